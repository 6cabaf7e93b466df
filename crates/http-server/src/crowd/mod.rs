//! The connections that are open: who waits for a request, who is served, and who makes room for others.
//!
//! A connection that waits is a regular between its requests, and otherwise a beginner: in its TLS handshake, until its
//! first head is there, with a part of the next one, with a whole one that waits for a seat, and while its client reads
//! its last answer. Where a new one finds no room, one that waits makes it: a beginner, or else a regular; from the network
//! that has most of its kind, or of equal ones the one that waits for longest, its longest wait. So whoever opens
//! connections and does not use them pushes out their own, and nobody else's. A few beginners are spared, for which
//! regulars make room: among them are those that are about to ask.
//!
//! To be served takes a seat as well (`seats`), of which there is a fixed number, and a part of it for one network. What
//! waits needs no thread, one descriptor, and no memory but its task, its TLS session, and the bytes that have come
//! of a head or of a record of TLS. These bytes have a limit in all, beyond which the network that has most of them
//! makes room.

mod queues;
mod seats;

use crate::scrape::Counters;
use broker::security::network_of;
use queues::Queues;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub(crate) use seats::{Held, Seat, Shares};

/// Beginners that regulars make room for; a quarter, if all connections together are few.
const BEGINNERS_SPARED: usize = 512;

/// What has come of heads, and of records of TLS, of which the rest has not, of all clients.
const PARTS_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Crowd {
    /// How many connections there may be at the moment.
    room: Box<dyn Fn() -> usize + Send + Sync>,
    counters: Arc<Counters>,
    shares: Shares,
    seats: Arc<Semaphore>,
    there: Mutex<There>,
    empty: Notify,
}

#[derive(Default)]
struct There {
    networks: HashMap<IpAddr, Network>,
    beginners: Queues<Waiting>,
    regulars: Queues<Waiting>,
    /// The bytes of those beginners that have sent a part of something.
    parts: Queues<()>,
    all: usize,
    /// Those among all that have been told to go.
    going: usize,
    turns: u64,
    is_over: bool,
}

struct Network {
    connections: usize,
    seats: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Beginner,
    Regular,
}

struct Waiting {
    out: Arc<Notify>,
    part_bytes: usize,
}

/// One connection's place among all, which ends with it.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    network: IpAddr,
    seats: Arc<Semaphore>,
    out: Arc<Notify>,
    since: Instant,
    /// Where it waits; it has been told to go if it is not there any more.
    waits: Option<(Kind, u64)>,
}

impl Crowd {
    pub(crate) fn new(
        counters: Arc<Counters>,
        shares: Shares,
        room: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Arc<Crowd> {
        Arc::new(Crowd {
            room: Box::new(room),
            counters,
            shares,
            seats: Arc::new(Semaphore::new(shares.seats)),
            there: Mutex::default(),
            empty: Notify::new(),
        })
    }

    /// A place for a connection that has just come, if it may stay.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let mut there = self.there();
        if there.is_over || !self.make_room(&mut there, 1) {
            self.counters.refused();
            return None;
        }
        let network = network_of(from);
        there.all += 1;
        let seats = || Arc::new(Semaphore::new(self.shares.seats_of_network));
        let of_network =
            there.networks.entry(network).or_insert_with(|| Network { connections: 0, seats: seats() });
        of_network.connections += 1;
        let seats = of_network.seats.clone();
        let out = Arc::new(Notify::new());
        let waits = there.wait(Kind::Beginner, network, Waiting { out: out.clone(), part_bytes: 0 });
        self.counters.opened();
        Some(Place { crowd: self.clone(), network, seats, out, since: Instant::now(), waits: Some(waits) })
    }

    /// There may be less room than before.
    pub(crate) fn shrink(&self) {
        self.make_room(&mut self.there(), 0);
    }

    /// Has one that waits make room, whether or not there is some by our count.
    pub(crate) fn push_out(&self) {
        let room = (self.room)();
        self.push_out_of(&mut self.there(), room);
    }

    /// Nobody waits any longer.
    pub(crate) fn end(&self) {
        let mut there = self.there();
        there.is_over = true;
        while let Some(waiting) = there.pop(0) {
            waiting.out.notify_one();
        }
    }

    /// Comes when all connections are closed.
    pub(crate) async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.there().all == 0 {
                return;
            }
            empty.await;
        }
    }

    /// Whether there is room for so many more.
    fn make_room(&self, there: &mut There, more: usize) -> bool {
        let room = (self.room)();
        while there.all - there.going + more > room {
            if !self.push_out_of(there, room) {
                return false;
            }
        }
        true
    }

    fn push_out_of(&self, there: &mut There, room: usize) -> bool {
        let spared = BEGINNERS_SPARED.min(room / 4);
        self.is_told(there.pop(spared))
    }

    /// Tells one to go, if there is one.
    fn is_told(&self, waiting: Option<Waiting>) -> bool {
        let Some(waiting) = waiting else { return false };
        waiting.out.notify_one();
        self.counters.pushed_out();
        true
    }

    #[cfg(test)]
    pub(crate) fn part_bytes(&self) -> usize {
        self.there().parts.weight()
    }

    fn there(&self) -> MutexGuard<'_, There> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl There {
    fn queues(&mut self, kind: Kind) -> &mut Queues<Waiting> {
        match kind {
            Kind::Beginner => &mut self.beginners,
            Kind::Regular => &mut self.regulars,
        }
    }

    fn wait(&mut self, kind: Kind, network: IpAddr, waiting: Waiting) -> (Kind, u64) {
        let turn = self.turns;
        self.turns += 1;
        self.put(network, (kind, turn), waiting);
        (kind, turn)
    }

    fn put(&mut self, network: IpAddr, (kind, turn): (Kind, u64), waiting: Waiting) {
        if waiting.part_bytes > 0 {
            self.parts.add(network, turn, waiting.part_bytes, ());
        }
        self.queues(kind).add(network, turn, 1, waiting);
    }

    fn take(&mut self, network: IpAddr, (kind, turn): (Kind, u64)) -> Option<Waiting> {
        let _ = self.parts.take(network, turn);
        self.queues(kind).take(network, turn)
    }

    /// The one that has to make room, if there are more beginners than are spared, or regulars, or none but these.
    fn pop(&mut self, spared: usize) -> Option<Waiting> {
        let kind = match self.beginners.weight() > spared || self.regulars.weight() == 0 {
            true => Kind::Beginner,
            false => Kind::Regular,
        };
        let (network, turn) = self.queues(kind).first()?;
        self.going += 1;
        self.take(network, (kind, turn))
    }

    /// The one whose part has to make room for others.
    fn pop_part(&mut self) -> Option<Waiting> {
        let (network, turn) = self.parts.first()?;
        self.going += 1;
        self.take(network, (Kind::Beginner, turn))
    }
}

impl Place {
    /// It waits for the next request; false if it has to go instead. So do those below.
    pub(crate) fn idles(&mut self) -> bool {
        self.becomes(Kind::Regular, 0)
    }

    /// It is a beginner, and so many bytes are kept of what has begun to come.
    pub(crate) fn begins(&mut self, part_bytes: usize) -> bool {
        if !self.becomes(Kind::Beginner, part_bytes) {
            return false;
        }
        let crowd = self.crowd.clone();
        let mut there = crowd.there();
        while there.parts.weight() > PARTS_BYTES_MAX && crowd.is_told(there.pop_part()) {}
        true
    }

    /// It is served, and makes room for nobody meanwhile.
    pub(crate) fn is_served(&mut self) -> bool {
        let Some(waits) = self.waits else { return true };
        let taken = self.crowd.there().take(self.network, waits).is_some();
        if taken {
            self.waits = None;
        }
        taken
    }

    /// Comes when it has to go.
    pub(crate) fn must_go(&self) -> impl Future<Output = ()> + use<> {
        let out = self.out.clone();
        async move { out.notified().await }
    }

    /// When the connection was accepted.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// A seat, if one is free.
    pub(crate) fn try_sit(&self) -> Option<Seat> {
        let of_network = self.seats.clone().try_acquire_owned().ok()?;
        let of_all = self.crowd.seats.clone().try_acquire_owned().ok()?;
        Some(Seat { _of_network: of_network, _of_all: of_all })
    }

    /// A seat, when those who have waited for longer have theirs.
    pub(crate) async fn sit(&self) -> Option<Seat> {
        // That of the network first: who waits for it is in the way of nobody else. They are never closed.
        let of_network = self.seats.clone().acquire_owned().await.ok()?;
        let of_all = self.crowd.seats.clone().acquire_owned().await.ok()?;
        Some(Seat { _of_network: of_network, _of_all: of_all })
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.crowd.counters
    }

    fn becomes(&mut self, kind: Kind, part_bytes: usize) -> bool {
        let mut there = self.crowd.there();
        match self.waits {
            // A beginner that goes on keeps its turn: bytes that come one by one prolong nothing.
            Some(waits @ (was, turn)) => {
                let Some(mut waiting) = there.take(self.network, waits) else { return false };
                waiting.part_bytes = part_bytes;
                if was == kind {
                    there.put(self.network, (kind, turn), waiting);
                } else {
                    self.waits = Some(there.wait(kind, self.network, waiting));
                }
            }
            None if there.is_over => return false,
            None => {
                self.waits =
                    Some(there.wait(kind, self.network, Waiting { out: self.out.clone(), part_bytes }))
            }
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut there = self.crowd.there();
        if let Some(waits) = self.waits
            && there.take(self.network, waits).is_none()
        {
            there.going -= 1;
        }
        there.all -= 1;
        if let Some(network) = there.networks.get_mut(&self.network) {
            network.connections -= 1;
            if network.connections == 0 {
                there.networks.remove(&self.network);
            }
        }
        if there.all == 0 {
            self.crowd.empty.notify_one();
        }
        drop(there);
        self.crowd.counters.closed();
    }
}

#[cfg(test)]
mod tests;
