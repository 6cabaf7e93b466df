//! Requests of samples, and what a server says of them: it takes a request as a whole, or says why not.
//!
//! The samples of a series have to come in the order of their times, so what is not taken for now is sent again before anything
//! that follows it. A sample that may have been taken before (by a request whose answer never came, or before a crash) and is
//! now refused as old, or as there already, is there.

use super::samples::{Samples, message};
use crate::http::access::{Access, Head, request, set};
use crate::http::codes::Meaning;
use crate::http_answers::words;
use crate::http_connection::HttpAnswer;
use crate::http_host::{Host, Lane, Lost};
use crate::messages::{Done, ServerError};
use crate::store::{Change, Encoded, Store, Verdict};
use arrow_array::RecordBatch;
use base::ErrorKind;
use dataflow::connector::Probed;
use std::time::Duration;

/// A longer pause that a server wants is not waited for in the sink.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Parts of what servers say of samples that are older than the last one of their series, or there already.
const OLD: &[&str] = &[
    "out of order",
    "out-of-order",
    "duplicate sample",
    "duplicate timestamp",
    "duplicate-timestamp",
    "too old",
    "too-old",
    "out of bounds",
];
const WHERE: &str = "look at 'metric.endpoint-url'; Prometheus takes remote-write when it is started with \
                     --web.enable-remote-write-receiver";

pub(super) struct Series {
    samples: Samples,
    endpoint: Endpoint,
    /// Up to this offset of the outbox the server may have samples already.
    maybe_taken: i64,
}

struct Endpoint {
    access: Access,
    open: Option<(Host, Lane)>,
    /// The server has taken something before: who we are was enough.
    was_let_in: bool,
    /// The last message may have arrived twice, and the answer be that to the second.
    is_repeated: bool,
}

impl Endpoint {
    fn new(access: Access) -> Endpoint {
        Endpoint { access, open: None, was_let_in: false, is_repeated: false }
    }

    fn head(&self) -> Done<Head> {
        let mut head = self.access.head()?;
        for (name, value) in [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ] {
            set(&mut head, name, value.to_string());
        }
        Ok(head)
    }

    /// Sends a message once.
    fn send(&mut self, message: &[u8]) -> Done<HttpAnswer> {
        self.access.wait_pause(WAIT_MAX)?;
        let packed = snap::raw::Encoder::new().compress_vec(message);
        let packed = packed.map_err(|error| ServerError::new(ErrorKind::Internal, error.to_string()))?;
        let request = request("POST", &self.access.url().path, &self.head()?, &packed);
        let (host, mut lane) = match self.open.take() {
            Some(open) => open,
            None => (self.access.host()?, Lane::default()),
        };
        let answer = host.exchange(std::slice::from_mut(&mut lane), &[request]).pop();
        self.is_repeated = lane.is_repeated();
        let answer = answer.unwrap_or(Err(Lost::Late)).map_err(|lost| self.access.lost(&lost))?;
        self.open = Some((host, lane));
        if Meaning::of(answer.status) == Meaning::Passing {
            self.access.keep_pause(&answer);
        }
        Ok(answer)
    }

    /// Sends a message, and says what became of it: taken, not for now, or refused for what is in it.
    fn judged(&mut self, message: &[u8]) -> Done<Verdict> {
        let answer = self.send(message)?;
        let said = format!("{}: {}", self.access.url().address(), words(&answer));
        Ok(match Meaning::of(answer.status) {
            Meaning::Done => {
                self.was_let_in = true;
                Verdict::Taken
            }
            Meaning::Passing => Verdict::NotNow(said),
            // A password is being changed where it was right before, and its file may follow.
            Meaning::NotLetIn if self.was_let_in => return Err(ServerError::unavailable(said)),
            Meaning::NotLetIn => {
                let hint = "look at 'username' and 'password', 'token', or the headers";
                return Err(ServerError::invalid(format!("{said}; {hint}")));
            }
            Meaning::NoSuchPlace => {
                return Err(ServerError::new(ErrorKind::NotFound, format!("{said}; {WHERE}")));
            }
            Meaning::Refused => Verdict::Refused(words(&answer)),
        })
    }

    /// A message without samples, which says whether it is the place for others.
    fn look(&mut self) -> Done<Verdict> {
        self.judged(&[])
    }
}

impl Series {
    pub(super) fn new(access: Access, samples: Samples) -> Series {
        Series { samples, endpoint: Endpoint::new(access), maybe_taken: 0 }
    }

    /// Sends samples together; where they are refused, in halves, until those are found that are. Of what is not taken for now
    /// nothing is sent that is behind it.
    fn send(&mut self, changes: &[Change]) -> Done<Vec<Verdict>> {
        let all = |verdict: Verdict| Ok(vec![verdict; changes.len()]);
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(Vec::new()) };
        let message = match message(changes) {
            Ok(message) => message,
            Err(reason) => return Err(ServerError::new(ErrorKind::Corrupt, reason)),
        };
        let verdict = self.endpoint.judged(&message)?;
        if self.endpoint.is_repeated {
            self.maybe_taken = self.maybe_taken.max(last.offset + 1);
        }
        match verdict {
            Verdict::NotNow(reason) => {
                self.maybe_taken = self.maybe_taken.max(last.offset + 1);
                all(Verdict::NotNow(reason))
            }
            Verdict::Refused(reason) if changes.len() == 1 => {
                let said = reason.to_ascii_lowercase();
                let is_there = first.offset < self.maybe_taken && OLD.iter().any(|part| said.contains(part));
                all(if is_there { Verdict::Taken } else { Verdict::Refused(reason) })
            }
            Verdict::Refused(_) => {
                let (left, right) = changes.split_at(changes.len() / 2);
                let mut verdicts = self.send(left)?;
                let stuck = verdicts.iter().find(|verdict| matches!(verdict, Verdict::NotNow(_))).cloned();
                match stuck {
                    Some(not_now) => verdicts.resize(changes.len(), not_now),
                    None => verdicts.extend(self.send(right)?),
                }
                Ok(verdicts)
            }
            taken => all(taken),
        }
    }
}

impl Store for Series {
    const REPEATS_GROUPS: bool = true;

    fn encode(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        _is_deleted: bool,
        _clock_ms: i64,
    ) -> Result<Encoded, String> {
        self.samples.encode(rows, row)
    }

    fn open(&mut self, mark: u64) -> Done<u64> {
        self.endpoint.open = None;
        // The group up to there was begun, and its answer is not known.
        self.maybe_taken = self.maybe_taken.max(i64::try_from(mark).unwrap_or(0));
        match self.endpoint.look()? {
            Verdict::NotNow(reason) => Err(ServerError::unavailable(reason)),
            // Who does not take nothing may take something.
            Verdict::Taken | Verdict::Refused(_) => Ok(mark),
        }
    }

    fn write(&mut self, changes: &[Change]) -> Done<Vec<Verdict>> {
        let is_sample = |change: &&Change| change.encoded.key.is_some();
        let samples: Vec<Change> = changes.iter().filter(is_sample).cloned().collect();
        let mut verdicts = self.send(&samples)?.into_iter();
        let verdict = |change: &Change| match &change.encoded.note {
            Some(reason) => Verdict::Refused(reason.clone()),
            None => verdicts.next().unwrap_or_else(|| Verdict::NotNow("nothing was said of it".into())),
        };
        Ok(changes.iter().map(verdict).collect())
    }

    /// The row.
    fn letter(&self, change: &Change) -> Vec<u8> {
        change.encoded.value.clone().unwrap_or_default()
    }

    fn pause_ms(&self) -> Option<u64> {
        let access = &self.endpoint.access;
        access.pause().left_ms(access.os())
    }
}

pub(super) fn probe(access: Access) -> Vec<Probed> {
    let place = access.url().address();
    let reached =
        access.host().and_then(|host| host.connect(&mut Lane::default()).map_err(|lost| access.lost(&lost)));
    if let Err(error) = reached {
        return vec![Probed::failed("reached", error.message)];
    }
    let reached =
        Probed::well("reached", if access.url().tls { format!("{place}, over TLS") } else { place });
    let found = match Endpoint::new(access).look() {
        Err(error) => Probed::failed("remote-write", error.message),
        Ok(Verdict::NotNow(reason)) => Probed::failed("remote-write", reason),
        Ok(Verdict::Taken) => Probed::well("remote-write", "a message without samples is taken"),
        Ok(Verdict::Refused(said)) => {
            Probed::well("remote-write", format!("of a message without samples {said}"))
        }
    };
    vec![reached, found]
}
