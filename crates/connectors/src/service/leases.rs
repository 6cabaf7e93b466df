//! Brings the messages of a queue that leases them: received, landed, then confirmed, which takes them out of the queue.
//!
//! While nothing comes, one call waits in the service. Once it brings much, several are made at once, until they bring little.
//! What is held (received and not polled, or polled and not confirmed) has its lease renewed when half of it is over, so that
//! nobody else gets it; what was held for longer than that is given up, and comes again.

use super::error::{Cause, Done, ServiceError};
use super::{Access, Call, Client, source_error};
use crate::http_connection::HttpAnswer;
use crate::messages::HAUL_BYTES_MAX;
use auth::socket::monotonic;
use base::ErrorKind;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often what passes is tried again when messages are confirmed.
const CONFIRMS_MAX: u32 = 4;

/// A queue whose messages are leased.
pub(crate) trait Leases: Send {
    type Message: Send;

    /// Receipts that one call names.
    const RECEIPTS_MAX: usize;

    /// What to do where there is no such queue.
    const HINT: &'static str;

    /// Asks for what has to be known of the queue before it is read.
    fn look(&mut self, _client: &mut Client) -> Done<()> {
        Ok(())
    }

    /// They may change with what comes.
    fn limits(&self) -> LeaseLimits;

    /// Of so many messages at most; whether the call waits in the service while there are none.
    fn receive(&self, messages_max: usize, waits: bool) -> Call;

    fn received(&mut self, answer: &[u8]) -> Done<Vec<Leased<Self::Message>>>;

    fn confirm(&self, receipts: &[&str]) -> Call;

    /// The places of those receipts that are to be confirmed once more. One that is not, and was not confirmed, comes again
    /// and is left out then.
    fn unconfirmed(&self, answer: Done<HttpAnswer>) -> Done<Vec<usize>>;

    fn renew(&self, receipts: &[&str]) -> Call;

    /// Single messages may be gone, which is no error.
    fn renewed(&self, answer: Done<HttpAnswer>) -> Done<()>;

    /// What lands of a message.
    fn record(&self, table: &TableDefinition, message: Self::Message, now_ms: i64) -> FeedRecord;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseLimits {
    /// That one call brings.
    pub messages_max: usize,
    /// A call that brings so many says that there are more.
    pub much: usize,
    /// That are under way at once.
    pub calls_max: usize,
    /// Messages, and bytes of them, that may be received and not confirmed. One round of calls may go beyond the bytes.
    pub outstanding_max: usize,
    pub outstanding_bytes_max: usize,
    /// For so long nobody else gets a message.
    pub lease: Duration,
    /// How long a call may wait in the service.
    pub wait: Duration,
}

pub(crate) struct Leased<M> {
    pub receipt: String,
    /// About what it takes in memory.
    pub bytes: usize,
    pub message: M,
}

pub(crate) struct LeaseFeed<Q: Leases> {
    table: Arc<TableDefinition>,
    access: Access,
    queue: Q,
    open: Option<Open<Q::Message>>,
}

struct Open<M> {
    client: Client,
    /// Received and not polled.
    held: VecDeque<Held<M>>,
    /// Polled and not confirmed.
    polled: VecDeque<Polled>,
    /// Of both.
    bytes: usize,
    last_ticket: u64,
    /// The last calls brought much: the next ones do not wait.
    is_busy: bool,
    /// When the call that waits had not been answered yet: what it brings may lie in the socket since then.
    unanswered: Duration,
}

struct Held<M> {
    leased: Leased<M>,
    since: Duration,
}

struct Polled {
    ticket: u64,
    receipt: String,
    bytes: usize,
    since: Duration,
}

impl<M> Open<M> {
    /// How many messages may be received.
    fn free(&self, limits: LeaseLimits) -> usize {
        if self.bytes >= limits.outstanding_bytes_max {
            return 0;
        }
        limits.outstanding_max.saturating_sub(self.held.len() + self.polled.len())
    }

    fn hold(&mut self, messages: Vec<Leased<M>>, now: Duration) {
        self.bytes += messages.iter().map(|leased| leased.bytes).sum::<usize>();
        self.held.extend(messages.into_iter().map(|leased| Held { leased, since: now }));
    }

    /// Makes as many calls at once as messages may come.
    fn receive_at_once<Q: Leases<Message = M>>(
        &mut self,
        queue: &mut Q,
        count_max: usize,
        now: Duration,
    ) -> Done<()> {
        let limits = queue.limits();
        let free = self.free(limits).min(count_max);
        let calls_max = self.client.lanes().min(limits.calls_max);
        let calls: Vec<Call> = (0..free)
            .step_by(limits.messages_max)
            .take(calls_max)
            .map(|from| queue.receive(limits.messages_max.min(free - from), false))
            .collect();
        let before = self.held.len();
        let mut failed = None;
        for answer in self.client.call_all(&calls) {
            // What other calls brought is held by us alone, so it is kept.
            match answer.and_then(|answer| queue.received(&answer.body)) {
                Ok(messages) => self.hold(messages, now),
                Err(error) => failed = Some(error),
            }
        }
        let came = self.held.len() - before;
        self.is_busy = came > calls.len() * limits.much / 2 && came > 1;
        match failed {
            Some(error) if came == 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes what the call brought that waits in the service, if it is back within `wait`.
    fn receive_long<Q: Leases<Message = M>>(
        &mut self,
        queue: &mut Q,
        wait: Duration,
        now: impl Fn() -> Duration,
    ) -> Done<()> {
        match self.client.end_long(wait) {
            Ok(None) => {
                self.unanswered = now();
                Ok(())
            }
            Ok(Some(answer)) => {
                let messages = queue.received(&answer.body)?;
                self.is_busy = messages.len() >= queue.limits().much;
                self.hold(messages, self.unanswered);
                self.renew(queue, now())
            }
            // A call that does not wait is made again by itself, with other keys if there are.
            Err(error) if error.cause != Cause::Other => {
                self.receive_at_once(queue, queue.limits().messages_max, now())
            }
            Err(error) => Err(error),
        }
    }

    /// Renews the lease of what is held, when half of it is over; gives up what is held for longer than that.
    fn renew<Q: Leases<Message = M>>(&mut self, queue: &Q, now: Duration) -> Done<()> {
        let lease = queue.limits().lease;
        let bytes = &mut self.bytes;
        self.held.retain(|held| {
            let is_ours = now.saturating_sub(held.since) < lease;
            *bytes -= if is_ours { 0 } else { held.leased.bytes };
            is_ours
        });
        let half = lease / 2;
        let is_due = |since: Duration| now.saturating_sub(since) >= half;
        let held =
            self.held.iter().filter(|held| is_due(held.since)).map(|held| held.leased.receipt.as_str());
        let polled =
            self.polled.iter().filter(|polled| is_due(polled.since)).map(|polled| polled.receipt.as_str());
        let receipts: Vec<&str> = held.chain(polled).collect();
        if receipts.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> =
            receipts.chunks(Q::RECEIPTS_MAX).map(|receipts| queue.renew(receipts)).collect();
        for answer in self.client.call_all(&calls) {
            queue.renewed(answer)?;
        }
        let sinces = self.held.iter_mut().map(|held| &mut held.since);
        for since in sinces.chain(self.polled.iter_mut().map(|polled| &mut polled.since)) {
            if now.saturating_sub(*since) >= half {
                *since = now;
            }
        }
        Ok(())
    }

    fn confirm<Q: Leases<Message = M>>(&mut self, queue: &Q, ticket: u64) -> Done<()> {
        let count = self.polled.partition_point(|polled| polled.ticket <= ticket);
        let confirmed: Vec<Polled> = self.polled.drain(..count).collect();
        self.bytes -= confirmed.iter().map(|polled| polled.bytes).sum::<usize>();
        let mut receipts: Vec<&str> = confirmed.iter().map(|polled| polled.receipt.as_str()).collect();
        let mut tries = 0;
        while !receipts.is_empty() {
            let batches: Vec<&[&str]> = receipts.chunks(Q::RECEIPTS_MAX).collect();
            let calls: Vec<Call> = batches.iter().map(|receipts| queue.confirm(receipts)).collect();
            let mut again = Vec::new();
            for (answer, receipts) in self.client.call_all(&calls).into_iter().zip(batches) {
                let places = queue.unconfirmed(answer)?;
                again.extend(places.into_iter().filter_map(|place| receipts.get(place).copied()));
            }
            tries += 1;
            if tries == CONFIRMS_MAX {
                break;
            }
            if !again.is_empty() {
                self.client.pause(tries);
            }
            receipts = again;
        }
        Ok(())
    }
}

impl<Q: Leases> LeaseFeed<Q> {
    pub(crate) fn new(table: Arc<TableDefinition>, access: Access, queue: Q) -> LeaseFeed<Q> {
        LeaseFeed { table, access, queue, open: None }
    }

    fn now(&self) -> Duration {
        monotonic(&*self.access.os().clock)
    }

    /// With an error what is held is given up: it comes again.
    fn with<T>(
        &mut self,
        call: impl FnOnce(&mut Open<Q::Message>, &mut Q) -> Done<T>,
    ) -> Result<T, SourceError> {
        let called = match &mut self.open {
            Some(open) => call(open, &mut self.queue),
            None => Err(ServiceError::unavailable("the service is not asked for messages yet")),
        };
        called.map_err(|error| {
            self.open = None;
            let error = match error.kind {
                ErrorKind::NotFound => {
                    ServiceError { message: format!("{}; {}", error.message, Q::HINT), ..error }
                }
                _ => error,
            };
            source_error(&self.table, error)
        })
    }
}

impl<Q: Leases> Feed for LeaseFeed<Q> {
    fn open(&mut self, _position: Option<&[u8]>) -> Result<(), SourceError> {
        let client = self.access.client(self.queue.limits().calls_max);
        let client = client.map_err(|error| source_error(&self.table, error))?;
        let now = self.now();
        self.open = Some(Open {
            client,
            held: VecDeque::new(),
            polled: VecDeque::new(),
            bytes: 0,
            last_ticket: 0,
            is_busy: false,
            unanswered: now,
        });
        // It is seen at once whether there is such a queue and we are let in.
        self.with(|open, queue| {
            queue.look(&mut open.client)?;
            open.receive_at_once(queue, queue.limits().messages_max, now)
        })
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let clock = self.access.os().clock.clone();
        let now = || monotonic(&*clock);
        self.with(|open, queue| {
            open.renew(queue, now())?;
            let limits = queue.limits();
            let free = open.free(limits);
            if !open.held.is_empty() || free == 0 {
                return Ok(());
            }
            if open.is_busy && !open.client.is_long_under_way() {
                return open.receive_at_once(queue, free, now());
            }
            if !open.client.is_long_under_way() {
                open.unanswered = now();
                let call = queue.receive(limits.messages_max.min(free), true);
                open.client.begin_long(&call, limits.wait)?;
            }
            open.receive_long(queue, Duration::from_millis(wait_ms), now)
        })?;
        let mut haul = Haul::default();
        let Some(open) = &mut self.open else { return Ok(haul) };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        open.last_ticket += 1;
        while bytes < HAUL_BYTES_MAX
            && let Some(Held { leased: Leased { receipt, bytes: its, message }, since }) =
                open.held.pop_front()
        {
            bytes += its;
            open.polled.push_back(Polled { ticket: open.last_ticket, receipt, bytes: its, since });
            taken.push(message);
        }
        haul.ticket = open.last_ticket;
        let now_ms = clock.now_ms();
        let records = taken.into_iter().map(|message| self.queue.record(&self.table, message, now_ms));
        haul.records = records.collect();
        Ok(haul)
    }

    fn confirm(&mut self, ticket: u64) -> Result<(), SourceError> {
        self.with(|open, queue| open.confirm(queue, ticket))
    }

    /// Takes what comes of the call that waits in the service, and begins no other.
    fn keep_alive(&mut self) -> Result<(), SourceError> {
        let clock = self.access.os().clock.clone();
        let now = || monotonic(&*clock);
        self.with(|open, queue| {
            open.receive_long(queue, Duration::ZERO, now)?;
            open.renew(queue, now())
        })
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause_ms()
    }
}
