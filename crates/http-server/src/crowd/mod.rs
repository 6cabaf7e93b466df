//! The connections that are open: who waits for a request, who is served, and who makes room for others.
//!
//! A connection that waits is a beginner until a whole head has come from it, and a regular between its requests; a
//! regular that has sent a part of its next head is a beginner again. Where a new one finds no room, one that waits
//! makes it: the beginner that has waited for longest, or else the regular; each from the network that has most of its
//! kind. So whoever opens connections and does not use them pushes out their own, and nobody else's. A few beginners
//! are spared, for which regulars make room: among them are those that are about to ask.
//!
//! To be served takes a seat as well, of which there is a fixed number, and a part of it for one network. What waits
//! needs no thread, one descriptor, and no memory but its task and the bytes of its head that have come.

use crate::scrape::Counters;
use broker::security::network_of;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Requests that are served at once; further ones wait for a seat.
const SEATS: usize = 512;

/// Requests of one network, so that one client cannot keep all others out.
const SEATS_OF_NETWORK: usize = 128;

/// Beginners that regulars make room for; a quarter, if all connections together are few.
const BEGINNERS_SPARED: usize = 512;

/// Heads of which the rest has not come, of all clients; beginners make room for more.
const PARTS_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Crowd {
    /// How many connections there may be at the moment.
    room: Box<dyn Fn() -> usize + Send + Sync>,
    counters: Arc<Counters>,
    seats: Arc<Semaphore>,
    there: Mutex<There>,
    empty: Notify,
}

#[derive(Default)]
struct There {
    networks: HashMap<IpAddr, Network>,
    beginners: Queues,
    regulars: Queues,
    all: usize,
    /// Those among all that have been told to go.
    going: usize,
    parts_bytes: usize,
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

/// Those of one kind that wait, by network.
#[derive(Default)]
struct Queues {
    /// The longest wait first.
    networks: HashMap<IpAddr, BTreeMap<u64, Waiting>>,
    lengths: BTreeSet<(usize, IpAddr)>,
    count: usize,
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
    /// Where it waits; it has been told to go if it is not there any more.
    waits: Option<(Kind, u64)>,
}

/// The right to be served.
pub(crate) struct Seat {
    _of_network: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Crowd {
    pub(crate) fn new(
        counters: Arc<Counters>,
        room: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Arc<Crowd> {
        Arc::new(Crowd {
            room: Box::new(room),
            counters,
            seats: Arc::new(Semaphore::new(SEATS)),
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
        let of_network = there
            .networks
            .entry(network)
            .or_insert_with(|| Network { connections: 0, seats: Arc::new(Semaphore::new(SEATS_OF_NETWORK)) });
        of_network.connections += 1;
        let seats = of_network.seats.clone();
        let out = Arc::new(Notify::new());
        let waits = there.wait(Kind::Beginner, network, Waiting { out: out.clone(), part_bytes: 0 });
        self.counters.opened();
        Some(Place { crowd: self.clone(), network, seats, out, waits: Some(waits) })
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
        let Some(waiting) = there.pop(spared) else { return false };
        waiting.out.notify_one();
        self.counters.pushed_out();
        true
    }

    fn there(&self) -> MutexGuard<'_, There> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl There {
    fn queues(&mut self, kind: Kind) -> &mut Queues {
        match kind {
            Kind::Beginner => &mut self.beginners,
            Kind::Regular => &mut self.regulars,
        }
    }

    fn wait(&mut self, kind: Kind, network: IpAddr, waiting: Waiting) -> (Kind, u64) {
        let turn = self.turns;
        self.turns += 1;
        self.parts_bytes += waiting.part_bytes;
        self.queues(kind).add(network, turn, waiting);
        (kind, turn)
    }

    fn take(&mut self, network: IpAddr, (kind, turn): (Kind, u64)) -> Option<Waiting> {
        let waiting = self.queues(kind).take(network, turn)?;
        self.parts_bytes -= waiting.part_bytes;
        Some(waiting)
    }

    /// The one that has to make room, if there are more beginners than are spared, or regulars, or none but these.
    fn pop(&mut self, spared: usize) -> Option<Waiting> {
        let kind = match self.beginners.count > spared || self.regulars.count == 0 {
            true => Kind::Beginner,
            false => Kind::Regular,
        };
        let (network, turn) = self.queues(kind).first()?;
        self.going += 1;
        self.take(network, (kind, turn))
    }
}

impl Queues {
    fn add(&mut self, network: IpAddr, turn: u64, waiting: Waiting) {
        let queue = self.networks.entry(network).or_default();
        self.lengths.remove(&(queue.len(), network));
        queue.insert(turn, waiting);
        self.lengths.insert((queue.len(), network));
        self.count += 1;
    }

    fn take(&mut self, network: IpAddr, turn: u64) -> Option<Waiting> {
        let queue = self.networks.get_mut(&network)?;
        let before = queue.len();
        let waiting = queue.remove(&turn)?;
        self.lengths.remove(&(before, network));
        match queue.len() {
            0 => drop(self.networks.remove(&network)),
            length => drop(self.lengths.insert((length, network))),
        }
        self.count -= 1;
        Some(waiting)
    }

    /// The longest wait in the longest queue.
    fn first(&self) -> Option<(IpAddr, u64)> {
        let (_, network) = self.lengths.last()?;
        let (turn, _) = self.networks.get(network)?.first_key_value()?;
        Some((*network, *turn))
    }
}

impl Place {
    /// It waits for the next request; false if it has to go instead. So do those below.
    pub(crate) fn idles(&mut self) -> bool {
        self.becomes(Kind::Regular, 0)
    }

    /// A head has begun to come, of which so many bytes are kept.
    pub(crate) fn begins(&mut self, part_bytes: usize) -> bool {
        if !self.becomes(Kind::Beginner, part_bytes) {
            return false;
        }
        let crowd = self.crowd.clone();
        let mut there = crowd.there();
        while there.parts_bytes > PARTS_BYTES_MAX && crowd.push_out_of(&mut there, 0) {}
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
    pub(crate) async fn must_go(&self) {
        self.out.notified().await;
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
                    there.parts_bytes += part_bytes;
                    there.queues(kind).add(self.network, turn, waiting);
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
