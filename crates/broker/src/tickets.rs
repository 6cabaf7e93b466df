//! Where answers of the group coordinator wait for those who asked.
//!
//! The coordinator may answer before the edge has begun to wait, and an edge may go away before the
//! coordinator answers; both orders are safe here: an answer is kept until it is taken, or until
//! `Awaited`, the right to take it, is dropped with the connection that held it.

use crate::group::{Action, Reply, Ticket};
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Called when a ticket's answer has come.
pub type Wake = Box<dyn FnOnce() + Send>;

enum Slot {
    Open,
    Watched(Wake),
    Answered(Reply),
}

#[derive(Default)]
pub struct Tickets {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    slots: HashMap<Ticket, Slot>,
}

/// The right to one answer.
pub struct Awaited {
    ticket: Ticket,
    tickets: Arc<Tickets>,
}

impl Awaited {
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The answer, if it has come.
    pub fn take(&self) -> Option<Reply> {
        self.tickets.take(self.ticket)
    }

    /// `wake` is called once, when the answer is there; at once if it is there already.
    pub fn watch(&self, wake: Wake) {
        self.tickets.watch(self.ticket, wake);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        lock(&self.tickets.inner).slots.remove(&self.ticket);
    }
}

impl Tickets {
    pub fn open(self: &Arc<Self>) -> Awaited {
        let mut inner = lock(&self.inner);
        inner.last += 1;
        let ticket = Ticket(inner.last);
        inner.slots.insert(ticket, Slot::Open);
        Awaited { ticket, tickets: self.clone() }
    }

    pub fn answer(&self, actions: Vec<Action>) {
        for action in actions {
            let before = {
                let mut inner = lock(&self.inner);
                match inner.slots.get_mut(&action.ticket) {
                    Some(slot) => std::mem::replace(slot, Slot::Answered(action.reply)),
                    None => continue,
                }
            };
            if let Slot::Watched(wake) = before {
                wake();
            }
        }
    }

    fn take(&self, ticket: Ticket) -> Option<Reply> {
        let mut inner = lock(&self.inner);
        match inner.slots.remove(&ticket)? {
            Slot::Answered(reply) => Some(reply),
            other => {
                inner.slots.insert(ticket, other);
                None
            }
        }
    }

    fn watch(&self, ticket: Ticket, wake: Wake) {
        let mut inner = lock(&self.inner);
        match inner.slots.get_mut(&ticket) {
            Some(slot @ (Slot::Open | Slot::Watched(_))) => *slot = Slot::Watched(wake),
            Some(Slot::Answered(_)) | None => {
                drop(inner);
                wake();
            }
        }
    }

    /// How many answers are awaited or not yet taken.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.inner).slots.len()
    }

    #[cfg(test)]
    pub(crate) fn answered(&self, ticket: Ticket) -> bool {
        matches!(lock(&self.inner).slots.get(&ticket), Some(Slot::Answered(_)))
    }
}
