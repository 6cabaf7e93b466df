//! Calls: several at once over connections that are kept, each tried again where that may help, and one long poll.
//!
//! Nothing waits in a thread of its own: calls that are made together are all sent before the first answer is read, and a long
//! poll is looked at whenever somebody has time for it.

use super::error::{Cause, Done, ServiceError};
use super::{Access, tls};
use crate::http_connection::HttpAnswer;
use crate::http_host::{Host, Lane, Lost, written};
use crate::named_pause::NamedPause;
use crate::percent::percent_encoded;
use auth::https::Url;
use auth::socket::monotonic;
use auth::tls::ClientConfig;
use os::Os;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer at most: ten messages of a megabyte each, and what JSON adds to them.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How often a call is made that is refused because too much is asked for.
const TRIES_MAX: u32 = 5;
/// The pause before the second try; each is twice the one before, less a random part.
const PAUSE_MS: u64 = 100;
/// For so long we wait at most where the service names a time; beyond that nothing is asked of it until the time is over, and
/// the job's restart strategy waits.
const NAMED_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often keys are looked for again when they are refused: whoever rotates them may not have written them yet.
const RENEWALS_MAX: u32 = 8;
const RENEWAL_PAUSE_MS: u64 = 250;

/// One request to a service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub method: &'static str,
    /// As the provider's identity wants it.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in small letters; besides those that every request has.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Call {
    /// Of the services that speak JSON: `target` is `SERVICE.Action`.
    pub(crate) fn json(version: &str, target: &str, body: &serde_json::Value) -> Call {
        let header = |name: &str, value: String| (name.to_string(), value);
        Call {
            method: "POST",
            path: "/".into(),
            headers: vec![
                header("content-type", format!("application/x-amz-json-{version}")),
                header("x-amz-target", target.to_string()),
            ],
            body: body.to_string().into_bytes(),
            ..Call::default()
        }
    }
}

/// `name=value&…`
pub(crate) fn form(parts: &[(&str, &str)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name, false), percent_encoded(value, false)))
        .collect();
    parts.join("&")
}

/// Who makes calls, as a provider of services wants to know it.
pub(crate) trait Identity: Send {
    /// The bytes of a request, with what proves who we are.
    fn request(&mut self, url: &Url, call: &Call) -> Done<Vec<u8>>;

    /// Looks for credentials once more; whether there are others than before.
    fn renew(&mut self) -> Done<bool>;

    /// What an answer says whose status is no success.
    fn refusal(&self, answer: &HttpAnswer) -> ServiceError;
}

/// One request beside those of a client: for keys and tokens.
pub(crate) struct Asked<'a> {
    pub os: &'a Os,
    pub url: &'a Url,
    pub authorities: &'a Path,
    pub timeout: Duration,
    pub answer_bytes_max: usize,
}

/// One request over a connection of its own.
pub(crate) fn exchange(
    asked: &Asked<'_>,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Done<HttpAnswer> {
    let Asked { os, url, authorities, timeout, answer_bytes_max } = *asked;
    let host = Host::new(os, url, tls(url, authorities)?, timeout, answer_bytes_max);
    let request = written(method, path, headers, body);
    let answer = host.exchange(&mut [Lane::default()], &[request]).pop();
    answer.unwrap_or(Err(Lost::Late)).map_err(|lost| of_lost(&lost, url))
}

fn of_lost(lost: &Lost, url: &Url) -> ServiceError {
    let error = lost.told(url);
    ServiceError::new(error.kind, error.message)
}

/// A call whose answer may be long in coming.
struct Long {
    request: Vec<u8>,
    /// By the monotonic clock.
    until: Duration,
}

pub(crate) struct Client {
    os: Os,
    host: Host,
    identity: Box<dyn Identity>,
    lanes: Vec<Lane>,
    long_lane: Lane,
    long: Option<Long>,
    pause: NamedPause,
}

impl Client {
    pub(super) fn new(
        access: &Access,
        tls: Option<Arc<ClientConfig>>,
        identity: Box<dyn Identity>,
        lanes: usize,
    ) -> Client {
        Client {
            os: access.os.clone(),
            host: Host::new(&access.os, &access.url, tls, access.timeout, ANSWER_BYTES_MAX),
            identity,
            lanes: std::iter::repeat_with(Lane::default).take(lanes.max(1)).collect(),
            long_lane: Lane::default(),
            long: None,
            pause: access.pause.clone(),
        }
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn now(&self) -> Duration {
        monotonic(&*self.os.clock)
    }

    pub(crate) fn call(&mut self, call: &Call) -> Done<HttpAnswer> {
        let mut answers = self.call_all(std::slice::from_ref(call));
        answers.pop().unwrap_or_else(|| Err(ServiceError::unavailable("there is no answer")))
    }

    /// Makes calls together; the answers are in their order.
    pub(crate) fn call_all(&mut self, calls: &[Call]) -> Vec<Done<HttpAnswer>> {
        self.call_each(calls, TRIES_MAX)
    }

    /// The same where the caller knows better when to make those again that passingly fail.
    pub(crate) fn call_all_once(&mut self, calls: &[Call]) -> Vec<Done<HttpAnswer>> {
        self.call_each(calls, 1)
    }

    fn call_each(&mut self, calls: &[Call], tries_max: u32) -> Vec<Done<HttpAnswer>> {
        let mut answers: Vec<Option<Done<HttpAnswer>>> = calls.iter().map(|_| None).collect();
        let mut waiting: Vec<usize> = (0..calls.len()).collect();
        let (mut tries, mut renewals) = (0, 0);
        // Calls that are made again have no more time than those that are not.
        let until = self.now().saturating_add(self.host.timeout());
        while !waiting.is_empty() {
            let mut again = Vec::new();
            let mut is_of_keys = false;
            let mut named_pause = None;
            let mut silent: Option<ServiceError> = None;
            for group in waiting.chunks(self.lanes.len()) {
                let together: Vec<&Call> = group.iter().map(|index| &calls[*index]).collect();
                // A service that was silent once is not waited for by each group anew.
                let said = match &silent {
                    Some(error) => vec![Err(error.clone()); group.len()],
                    None => self.once(&together),
                };
                for (index, answer) in group.iter().zip(said) {
                    match &answer {
                        Err(error) if error.cause == Cause::Passing => {
                            named_pause = named_pause.max(error.pause);
                            again.extend(Some(*index).filter(|_| tries + 1 < tries_max));
                        }
                        Err(error) if error.cause == Cause::Keys && renewals < RENEWALS_MAX => {
                            is_of_keys = true;
                            again.push(*index);
                        }
                        Err(error) if error.is_silence => silent = Some(error.clone()),
                        _ => {}
                    }
                    answers[*index] = Some(answer);
                }
            }
            if let Some(pause) = named_pause.filter(|pause| *pause > NAMED_PAUSE_MAX) {
                self.pause.begin(&self.os, pause);
                break;
            }
            if again.is_empty() {
                break;
            }
            if is_of_keys {
                renewals += 1;
                if !matches!(self.identity.renew(), Ok(true)) {
                    std::thread::sleep(Duration::from_millis(RENEWAL_PAUSE_MS));
                }
            } else {
                tries += 1;
                if self.now() >= until {
                    break;
                }
                match named_pause {
                    Some(pause) => std::thread::sleep(pause),
                    None => self.pause(tries),
                }
            }
            waiting = again;
        }
        let missing = || Err(ServiceError::unavailable("there is no answer"));
        answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }

    /// Waits before another try, the longer the more there were.
    pub(crate) fn pause(&self, tries: u32) {
        let longest_ms = PAUSE_MS << tries.clamp(1, 8);
        let pause_ms = longest_ms / 2 + self.os.random.next_u64() % (longest_ms / 2);
        std::thread::sleep(Duration::from_millis(pause_ms));
    }

    /// Each call over a lane of its own.
    fn once(&mut self, calls: &[&Call]) -> Vec<Done<HttpAnswer>> {
        let requests: Done<Vec<Vec<u8>>> = calls.iter().map(|call| self.request(call)).collect();
        let requests = match requests {
            Ok(requests) => requests,
            Err(error) => return calls.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut lanes = std::mem::take(&mut self.lanes);
        let answers = self.host.exchange(&mut lanes, &requests).into_iter().map(|answer| match answer {
            Ok(answer) => self.understood(answer),
            Err(lost) => Err(self.lost(&lost)),
        });
        let answers = answers.collect();
        self.lanes = lanes;
        answers
    }

    /// What an answer says that is an error, whatever its status was.
    pub(crate) fn refusal(&self, answer: &HttpAnswer) -> ServiceError {
        self.identity.refusal(answer)
    }

    fn understood(&self, answer: HttpAnswer) -> Done<HttpAnswer> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(self.identity.refusal(&answer))
    }

    fn lost(&self, lost: &Lost) -> ServiceError {
        ServiceError { is_silence: true, ..of_lost(lost, self.host.url()) }
    }

    fn request(&mut self, call: &Call) -> Done<Vec<u8>> {
        self.identity.request(self.host.url(), call)
    }

    /// Begins a call that the service may take `longest` to answer, besides the time-out.
    pub(crate) fn begin_long(&mut self, call: &Call, longest: Duration) -> Done<()> {
        let request = self.request(call)?;
        let mut lane = std::mem::take(&mut self.long_lane);
        let sent = self.host.send(&mut lane, &request);
        self.long_lane = lane;
        sent.map_err(|lost| self.lost(&lost))?;
        let until = self.now().saturating_add(longest).saturating_add(self.host.timeout());
        self.long = Some(Long { request, until });
        Ok(())
    }

    pub(crate) fn is_long_under_way(&self) -> bool {
        self.long.is_some()
    }

    /// The answer to the long call, if it comes within `wait`.
    pub(crate) fn end_long(&mut self, wait: Duration) -> Done<Option<HttpAnswer>> {
        let Some(Long { request, until }) = self.long.take() else { return Ok(None) };
        let mut lane = std::mem::take(&mut self.long_lane);
        let received = self.host.receive(&mut lane, &request, wait, until);
        self.long_lane = lane;
        match received {
            Ok(None) if self.now() > until => {
                self.long_lane = Lane::default();
                // A service may wait for longer than it says: another call tells whether it is there.
                Err(ServiceError { cause: Cause::Passing, ..self.lost(&Lost::Late) })
            }
            Ok(None) => {
                self.long = Some(Long { request, until });
                Ok(None)
            }
            Ok(Some(answer)) => self.understood(answer).map(Some).map_err(|error| match error.pause {
                Some(pause) if pause > NAMED_PAUSE_MAX => {
                    self.pause.begin(&self.os, pause);
                    ServiceError { cause: Cause::Other, ..error }
                }
                pause => {
                    std::thread::sleep(pause.unwrap_or_default());
                    error
                }
            }),
            Err(lost) => {
                self.long_lane = Lane::default();
                Err(self.lost(&lost))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::script::Script;
    use base::ErrorKind;
    use std::path::PathBuf;

    struct Nobody;

    impl Identity for Nobody {
        fn request(&mut self, _: &Url, call: &Call) -> Done<Vec<u8>> {
            Ok(written(call.method, &call.path, &[], &call.body))
        }

        fn renew(&mut self) -> Done<bool> {
            Ok(false)
        }

        fn refusal(&self, answer: &HttpAnswer) -> ServiceError {
            ServiceError::invalid(answer.status.to_string())
        }
    }

    /// More calls than lanes wait for a silent service no longer than one.
    #[test]
    fn a_silent_service_is_waited_for_once() {
        let (script, os) = Script::new(Some(Vec::new()));
        let url = Url::parse("http://service/").unwrap();
        let identities: crate::service::Identities = Arc::new(|| Box::new(Nobody));
        let access = Access::new(&os, url, Duration::from_secs(30), PathBuf::new(), identities);
        let mut client = access.client(2).unwrap();
        let call = Call { method: "GET", path: "/".into(), ..Call::default() };
        let before = os.clock.monotonic_ns();
        let answers = client.call_all(&vec![call; 9]);
        let silent = |answer: &Done<HttpAnswer>| {
            answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Unavailable && error.is_silence)
        };
        assert!(answers.len() == 9 && answers.iter().all(silent), "{answers:?}");
        let taken = Duration::from_nanos(os.clock.monotonic_ns() - before);
        assert!(taken < Duration::from_secs(31), "{taken:?}");
        assert_eq!(script.heard.lock().unwrap().windows(5).filter(|part| part == b"GET /").count(), 2);
    }
}
