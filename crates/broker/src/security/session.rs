//! The log-in of one connection: which requests may come now, and who is on the other end.
//!
//! As in Kafka, a client of a SASL listener may ask for the versions, names a mechanism, and then sends
//! tokens until it is in; anything else closes the connection. After a log-in that ends by time, the
//! client goes through the same steps again on the open connection (KIP-368).

use super::config::{SaslMechanism, SecurityConfig};
use super::rules::Rules;
use super::{ANONYMOUS, shown};
use crate::call::Now;
use crate::sync::lock;
use auth::bearer::{self, INVALID_TOKEN};
use auth::jwt::{Token, TokenVerifier};
use auth::plain::Login;
use auth::scram::ServerExchange;
use auth::{Credential, Mechanism};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use std::sync::{Arc, Mutex};

/// Kafka's least time between two log-ins on one connection.
const REAUTHENTICATION_MS_MIN: i64 = 1_000;

pub struct Session {
    /// Whether a log-in is asked for at all.
    sasl: bool,
    /// Whether passwords and tokens may travel as they are: over TLS, or within the machine.
    private: bool,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    principal: Arc<str>,
    mechanism: Option<SaslMechanism>,
    logged_in_at_ms: i64,
    expires_at_ms: Option<i64>,
    /// SaslHandshake 0: tokens come without a request around them.
    raw: bool,
}

enum Phase {
    /// Requests are served.
    Open,
    Start,
    Chosen(SaslMechanism),
    Answered(Mechanism, ServerExchange),
    /// A token was refused, for this reason; the client has yet to take note of it.
    TokenRefused(String),
    Failed,
}

/// What log-ins are checked against.
pub(crate) struct Checks<'a> {
    pub config: &'a SecurityConfig,
    pub rules: &'a Rules,
    pub tokens: Option<&'a TokenVerifier>,
}

/// What may become of a frame.
pub(crate) enum Gate {
    Pass(Arc<str>),
    Close(String),
}

/// What becomes of a token.
pub(crate) enum Challenge {
    Continue(Vec<u8>),
    /// The client is in; for how long, 0 = without end.
    Done {
        answer: Vec<u8>,
        lifetime_ms: i64,
        user: String,
    },
    /// Words for the client, and words for the log; whose password it tried, if it did.
    Refused {
        words: String,
        reason: String,
        user: Option<String>,
    },
    /// There is nothing to log in to.
    Illegal,
}

impl Session {
    /// A connection that has just begun; `subject` is the name in the client's certificate.
    pub fn new(config: &SecurityConfig, subject: Option<&str>, loopback: bool) -> Session {
        let principal = match subject {
            Some(subject) => format!("User:{subject}").into(),
            None => ANONYMOUS.into(),
        };
        Session {
            sasl: config.sasl,
            private: config.tls || loopback,
            state: Mutex::new(State {
                phase: if config.sasl { Phase::Start } else { Phase::Open },
                principal,
                mechanism: None,
                logged_in_at_ms: 0,
                expires_at_ms: None,
                raw: false,
            }),
        }
    }

    /// Somebody who came by another door, where they said who they are.
    pub(crate) fn of(principal: Arc<str>) -> Session {
        Session {
            sasl: false,
            private: false,
            state: Mutex::new(State {
                phase: Phase::Open,
                principal,
                mechanism: None,
                logged_in_at_ms: 0,
                expires_at_ms: None,
                raw: false,
            }),
        }
    }

    /// Whether requests are served; before, limits are tight.
    pub fn is_open(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Open)
    }

    /// Whether the next frame is a bare token.
    pub(crate) fn takes_bare_token(&self) -> bool {
        let state = lock(&self.state);
        state.raw && state.phase.is_under_way()
    }

    /// Whether the next token brings a password, whose check is costly on purpose.
    pub(crate) fn checks_password(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Chosen(SaslMechanism::Plain))
    }

    /// Whether a request may come now.
    pub(crate) fn gate(&self, api_key: i16, now_ms: i64) -> Gate {
        let state = lock(&self.state);
        let is = |api: ApiKey| api_key == api as i16;
        let unexpected =
            |when: &str| Gate::Close(format!("a request that may not come {when}: api_key={api_key}"));
        match state.phase {
            Phase::Open => match state.expires_at_ms {
                Some(at) if now_ms >= at && !is(ApiKey::SaslHandshake) => {
                    Gate::Close(format!("the log-in has expired: principal=\"{}\"", shown(&state.principal)))
                }
                _ => Gate::Pass(state.principal.clone()),
            },
            Phase::Start if is(ApiKey::ApiVersions) || is(ApiKey::SaslHandshake) => {
                Gate::Pass(ANONYMOUS.into())
            }
            Phase::Start => unexpected("before the client has logged in"),
            Phase::Failed => unexpected("after a log-in that failed"),
            Phase::Chosen(_) | Phase::Answered(..) | Phase::TokenRefused(_) => {
                if is(ApiKey::SaslAuthenticate) {
                    Gate::Pass(ANONYMOUS.into())
                } else {
                    unexpected("while the client logs in")
                }
            }
        }
    }

    /// The mechanisms that are offered on this connection.
    pub(crate) fn mechanisms(&self, config: &SecurityConfig) -> Vec<String> {
        let offered = config.mechanisms.iter().filter(|mechanism| self.offers(**mechanism));
        offered.map(|mechanism| mechanism.name().to_string()).collect()
    }

    fn offers(&self, mechanism: SaslMechanism) -> bool {
        self.private || !matches!(mechanism, SaslMechanism::Plain | SaslMechanism::OAuthBearer)
    }

    /// The client names a mechanism.
    pub(crate) fn handshake(
        &self,
        config: &SecurityConfig,
        name: &str,
        version: i16,
        now_ms: i64,
    ) -> Result<(), ErrorCode> {
        let mut state = lock(&self.state);
        let again = match state.phase {
            Phase::Start => false,
            Phase::Open if self.sasl && state.expires_at_ms.is_some() => {
                if now_ms - state.logged_in_at_ms < REAUTHENTICATION_MS_MIN {
                    return Err(ErrorCode::IllegalSaslState);
                }
                true
            }
            _ => return Err(ErrorCode::IllegalSaslState),
        };
        let chosen = SaslMechanism::from_name(name)
            .filter(|mechanism| config.mechanisms.contains(mechanism) && self.offers(*mechanism))
            .filter(|mechanism| !again || state.mechanism == Some(*mechanism));
        match chosen {
            Some(mechanism) => {
                state.phase = Phase::Chosen(mechanism);
                state.raw = version == 0;
                Ok(())
            }
            None => {
                state.phase = Phase::Failed;
                Err(ErrorCode::UnsupportedSaslMechanism)
            }
        }
    }

    /// The client sends a token; `nonce` must be fresh and random.
    pub(crate) fn authenticate(&self, checks: &Checks<'_>, nonce: &str, token: &[u8], now: Now) -> Challenge {
        let Checks { config, rules, tokens } = *checks;
        let mut state = lock(&self.state);
        match std::mem::replace(&mut state.phase, Phase::Failed) {
            Phase::Open => {
                state.phase = Phase::Open;
                Challenge::Illegal
            }
            Phase::Start | Phase::Failed => Challenge::Illegal,
            Phase::Chosen(SaslMechanism::Plain) => match Login::decode(token) {
                Err(error) => refused(SaslMechanism::Plain, "", &error.0),
                Ok(login) if password_fits(rules, &login) => {
                    state.log_in(config, SaslMechanism::Plain, &login.user, Vec::new(), None, now)
                }
                Ok(login) => refused(SaslMechanism::Plain, &login.user, "the user or the password is wrong"),
            },
            Phase::Chosen(SaslMechanism::Scram(mechanism)) => {
                let credential_of = |user: &str| rules.credential_or_decoy(user, mechanism);
                match ServerExchange::begin(token, nonce, credential_of) {
                    Err(error) => refused(SaslMechanism::Scram(mechanism), "", &error.0),
                    Ok((exchange, answer)) => {
                        state.phase = Phase::Answered(mechanism, exchange);
                        Challenge::Continue(answer)
                    }
                }
            }
            Phase::Answered(mechanism, exchange) => match exchange.finish(token) {
                Err(error) => refused(SaslMechanism::Scram(mechanism), &exchange.user, &error.0),
                Ok(answer) => {
                    state.log_in(config, SaslMechanism::Scram(mechanism), &exchange.user, answer, None, now)
                }
            },
            Phase::Chosen(SaslMechanism::OAuthBearer) => match token_of(tokens, token, now.wall_ms) {
                Err(LoginError::Damaged(why)) => no_guess(refused(SaslMechanism::OAuthBearer, "", &why)),
                Err(LoginError::Refused(why)) => {
                    state.phase = Phase::TokenRefused(why);
                    Challenge::Continue(INVALID_TOKEN.into())
                }
                Ok(token) => {
                    let (mechanism, end) = (SaslMechanism::OAuthBearer, Some(token.expires_at_ms));
                    state.log_in(config, mechanism, &token.subject, Vec::new(), end, now)
                }
            },
            Phase::TokenRefused(why) => Challenge::Refused {
                words: INVALID_TOKEN.to_string(),
                reason: format!("a log-in failed: mechanism=OAUTHBEARER reason={why}"),
                user: None,
            },
        }
    }
}

impl Phase {
    /// Whether a token is awaited.
    fn is_under_way(&self) -> bool {
        matches!(self, Phase::Chosen(_) | Phase::Answered(..) | Phase::TokenRefused(_))
    }
}

enum LoginError {
    /// It is no OAUTHBEARER message, which ends the log-in at once.
    Damaged(String),
    /// The token does not count.
    Refused(String),
}

/// The token of an OAUTHBEARER message, if it counts.
fn token_of(tokens: Option<&TokenVerifier>, message: &[u8], wall_ms: i64) -> Result<Token, LoginError> {
    let login = bearer::Login::decode(message).map_err(|error| LoginError::Damaged(error.0))?;
    let verifier =
        tokens.ok_or_else(|| LoginError::Refused("there are no keys to check tokens with".into()))?;
    let token = verifier.verify(&login.token, wall_ms).map_err(|error| LoginError::Refused(error.0))?;
    if login.user.is_some_and(|user| user != token.subject) {
        return Err(LoginError::Damaged("the authorization id is not whom the token is about".into()));
    }
    Ok(token)
}

/// With the strongest credential there is. Without one it takes as long.
pub(super) fn password_fits(rules: &Rules, login: &Login) -> bool {
    let credential = match rules.credentials(&login.user).last() {
        Some(credential) => credential.clone(),
        None => rules.credential_or_decoy(&login.user, Mechanism::Sha512),
    };
    Credential::verify_password(&credential, &login.password)
}

fn refused(mechanism: SaslMechanism, user: &str, why: &str) -> Challenge {
    let words = format!("{why} (mechanism={})", mechanism.name());
    let reason =
        format!("a log-in failed: user=\"{}\" mechanism={} reason={why}", shown(user), mechanism.name());
    Challenge::Refused { words, reason, user: Some(user.to_string()) }
}

/// A token cannot be guessed at, so that failures are no reason to wait longer each time.
fn no_guess(challenge: Challenge) -> Challenge {
    match challenge {
        Challenge::Refused { words, reason, .. } => Challenge::Refused { words, reason, user: None },
        other => other,
    }
}

impl State {
    fn log_in(
        &mut self,
        config: &SecurityConfig,
        mechanism: SaslMechanism,
        user: &str,
        answer: Vec<u8>,
        credential_ends_ms: Option<i64>,
        now: Now,
    ) -> Challenge {
        let principal = format!("User:{user}");
        if self.mechanism.is_some() && *principal != *self.principal {
            return refused(mechanism, user, "another log-in on a connection must be by the same user");
        }
        self.phase = Phase::Open;
        self.principal = principal.into();
        self.mechanism = Some(mechanism);
        self.logged_in_at_ms = now.monotonic_ms;
        // As in Kafka, a credential that ends sets an end whether or not the listener does.
        let most_ms = Some(config.reauthentication_ms).filter(|most_ms| *most_ms > 0);
        let left_ms = credential_ends_ms.map(|end_ms| end_ms.saturating_sub(now.wall_ms).max(0));
        let lifetime_ms = most_ms.into_iter().chain(left_ms).min();
        self.expires_at_ms = lifetime_ms.map(|lifetime_ms| now.monotonic_ms.saturating_add(lifetime_ms));
        let lifetime_ms = lifetime_ms.unwrap_or_default();
        Challenge::Done { answer, lifetime_ms, user: user.to_string() }
    }
}
