//! Seats: who is answered at the moment, and who follows instead.

use super::Place;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// Requests that are answered at once, where there is room for so many connections; further ones wait for a seat.
const SEATS: usize = 512;

/// Streams, WebSockets and long polls, where there is room for twice as many connections.
const FOLLOWERS: usize = 256;

/// How many connections may be there without having to make room for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    pub seats: usize,
    /// A quarter, so that one client cannot keep all others out.
    pub seats_of_network: usize,
    /// Who follows has no seat: one network may have all of these, and others are answered still.
    pub followers: usize,
}

impl Shares {
    /// In a room of that size, or a larger one.
    pub(crate) fn of(room: usize) -> Shares {
        let seats = SEATS.min(room).max(4);
        Shares { seats, seats_of_network: seats / 4, followers: FOLLOWERS.min(room / 2).max(1) }
    }
}

/// The right to be served.
pub(crate) struct Seat {
    pub(super) _of_network: OwnedSemaphorePermit,
    pub(super) _of_all: OwnedSemaphorePermit,
}

/// What a connection has while it is answered; its requests have this among their extensions.
#[derive(Clone)]
pub(crate) struct Held(Arc<Mutex<Right>>);

enum Right {
    Seat {
        _seat: Seat,
    },
    /// A place among those who follow.
    Follows {
        _place: OwnedSemaphorePermit,
    },
}

impl Held {
    pub(crate) fn new(seat: Seat) -> Held {
        Held(Arc::new(Mutex::new(Right::Seat { _seat: seat })))
    }

    /// Gives the seat back for a place among those who follow, which ends when the answer is out.
    pub(crate) fn follows(&self, place: OwnedSemaphorePermit) {
        *self.right() = Right::Follows { _place: place };
    }

    pub(crate) fn is_seat(&self) -> bool {
        matches!(*self.right(), Right::Seat { .. })
    }

    /// For a request behind one that followed: has a seat again, if one is free.
    pub(crate) fn sits(&self, place: &Place) -> bool {
        let mut right = self.right();
        if let Right::Follows { .. } = *right {
            let Some(seat) = place.try_sit() else { return false };
            *right = Right::Seat { _seat: seat };
        }
        true
    }

    fn right(&self) -> MutexGuard<'_, Right> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
