//! Requests of people who came by another door of this process, answered as if they had come over a Kafka connection.
//!
//! Their rights and quotas are those of the visitor. What a request waits for is waited for on the thread that asks; who
//! would wait for records is not kept waiting, and gets what there is.

use crate::broker::Broker;
use crate::call::{Now, Outcome, Peer, Until, Wait, Woken};
use crate::security::{Session, Visitor};
use bytes::Bytes;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long the coordinator may take for an answer that has no deadline.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Broker {
    /// What answers the visitor's requests, each a frame without its size; `address` is what Metadata calls the node.
    pub fn within(
        self: &Arc<Broker>,
        visitor: &Visitor,
        address: (&str, u16),
    ) -> impl FnMut(Bytes) -> io::Result<Vec<Bytes>> + Send + 'static {
        let broker = self.clone();
        let peer = Peer {
            advertised_host: address.0.to_owned(),
            advertised_port: address.1,
            host: visitor.host().to_owned(),
            session: Arc::new(Session::of(visitor.principal())),
            mute: Arc::default(),
        };
        move |frame| {
            let outcome = broker.handle(frame, &peer, Now::of(&*broker.os.clock));
            broker.waited_for(outcome)
        }
    }

    fn waited_for(&self, mut outcome: Outcome) -> io::Result<Vec<Bytes>> {
        loop {
            outcome = match outcome {
                Outcome::Reply(frame) => return Ok(frame.chunks),
                Outcome::Silent => return Ok(Vec::new()),
                Outcome::Close(reason) => return Err(io::Error::other(reason)),
                Outcome::Last(chunks, _) => return Ok(chunks),
                Outcome::Wait(wait) => self.wait_here(wait)?,
            };
        }
    }

    fn wait_here(&self, wait: Wait) -> io::Result<Outcome> {
        let Wait { until, deadline_ms, resume } = wait;
        let woken = match until {
            Until::Turn | Until::Append => Woken::Ready,
            Until::Durable(lsn) => {
                // That the log takes nothing any more is found by who goes on.
                let _ = self.log.wait_durable(lsn);
                Woken::Ready
            }
            Until::Shipped(lsn) => {
                let left = deadline_ms.map_or(ANSWER_MAX, |deadline_ms| {
                    Duration::from_millis(u64::try_from(deadline_ms - self.monotonic_ms()).unwrap_or(0))
                });
                if self.log.wait_shipped(lsn, left) { Woken::Ready } else { Woken::Deadline }
            }
            Until::Room(_) => return Err(io::Error::other("the memory for answers is taken; come again")),
            Until::Deadline | Until::Data { .. } | Until::Ready { .. } => Woken::Deadline,
            Until::Answer(awaited) => {
                let (wake, woken) = mpsc::channel();
                awaited.watch(Box::new(move || {
                    // The other side may have given up.
                    let _ = wake.send(());
                }));
                let left = deadline_ms.map_or(ANSWER_MAX, |deadline_ms| {
                    Duration::from_millis(u64::try_from(deadline_ms - self.monotonic_ms()).unwrap_or(0))
                });
                match woken.recv_timeout(left) {
                    Ok(()) => awaited.take().map_or(Woken::Ready, Woken::Reply),
                    Err(_) => Woken::Deadline,
                }
            }
        };
        Ok(resume(self, self.monotonic_ms(), woken))
    }
}
