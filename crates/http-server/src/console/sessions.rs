//! Who has logged in with a browser: a random number in a cookie stands for a user, until they log out, do nothing for an
//! hour, half a day is over, or their password is another one.
//!
//! The cookie is for the console's paths alone, no script can read it, and no other site's page makes a browser send it.
//! Sessions are in memory: after a restart of the node everybody logs in again.

use auth::Credential;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker::Broker;
use hyper::header::HeaderValue;
use os::Os;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

const IDLE_MS_MAX: i64 = 3_600_000;
const LIFE_MS_MAX: i64 = 12 * 3_600_000;
/// Beyond so many, the one that was used least lately goes.
const SESSIONS_MAX: usize = 1_000;
const SESSIONS_OF_USER_MAX: usize = 16;

pub(super) struct Sessions {
    /// Two nodes of one host share its cookies, whatever their ports.
    cookie: String,
    attributes: &'static str,
    known: Mutex<HashMap<String, Session>>,
}

struct Session {
    user: String,
    /// With which they logged in.
    credentials: Vec<Credential>,
    begun_ms: i64,
    used_ms: i64,
}

impl Sessions {
    pub(super) fn new(cluster_id: &str, is_tls: bool) -> Sessions {
        Sessions {
            cookie: format!("eventwright-{cluster_id}"),
            attributes: match is_tls {
                true => "; Path=/console; HttpOnly; SameSite=Strict; Secure",
                false => "; Path=/console; HttpOnly; SameSite=Strict",
            },
            known: Mutex::default(),
        }
    }

    /// The cookie of a new session.
    pub(super) fn begin(&self, user: &str, broker: &Broker, os: &Os, now_ms: i64) -> HeaderValue {
        let mut number = [0; 32];
        os.random.fill(&mut number);
        let name = URL_SAFE_NO_PAD.encode(number);
        let credentials = broker.rules().credentials(user).to_vec();
        let mut known = self.known();
        known.retain(|_, session| session.is_alive(now_ms));
        let of_user = known.values().filter(|session| session.user == user).count();
        if of_user >= SESSIONS_OF_USER_MAX || known.len() >= SESSIONS_MAX {
            let candidates =
                known.iter().filter(|(_, session)| of_user < SESSIONS_OF_USER_MAX || session.user == user);
            let oldest = candidates.min_by_key(|(_, session)| session.used_ms).map(|(name, _)| name.clone());
            oldest.and_then(|name| known.remove(&name));
        }
        known.insert(
            name.clone(),
            Session { user: user.to_owned(), credentials, begun_ms: now_ms, used_ms: now_ms },
        );
        self.header(&name)
    }

    /// The user of the session that the cookies name.
    pub(super) fn user<'a>(
        &self,
        mut cookies: impl Iterator<Item = (&'a str, &'a str)>,
        broker: &Broker,
        now_ms: i64,
    ) -> Option<String> {
        let (_, name) = cookies.find(|(cookie, _)| *cookie == self.cookie)?;
        let mut known = self.known();
        let session = known.get_mut(name)?;
        let rules = broker.rules();
        let now = rules.credentials(&session.user);
        if session.is_alive(now_ms) && !now.is_empty() && now == session.credentials {
            session.used_ms = now_ms;
            return Some(session.user.clone());
        }
        known.remove(name);
        None
    }

    /// Ends the session that the cookies name; the cookie that takes them away.
    pub(super) fn end<'a>(&self, mut cookies: impl Iterator<Item = (&'a str, &'a str)>) -> HeaderValue {
        if let Some((_, name)) = cookies.find(|(cookie, _)| *cookie == self.cookie) {
            self.known().remove(name);
        }
        self.header("; Max-Age=0")
    }

    /// Of base64 characters and the words above, so that it is one always.
    fn header(&self, value: &str) -> HeaderValue {
        let text = format!("{}={value}{}", self.cookie, self.attributes);
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_alive(&self, now_ms: i64) -> bool {
        now_ms - self.used_ms < IDLE_MS_MAX && now_ms - self.begun_ms < LIFE_MS_MAX
    }
}
