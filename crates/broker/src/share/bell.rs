//! Wakes the fetches of a share group when records become ready again without anything new in the log's partitions.

use crate::sync::lock;
use std::sync::{Arc, Mutex};

type Wake = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
pub struct Bell(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    rung: u64,
    last_id: u64,
    listeners: Vec<(u64, Wake)>,
}

/// Listens as long as it lives.
pub struct Listener {
    bell: Bell,
    id: u64,
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Bell({})", self.rung())
    }
}

impl Bell {
    /// How often it has rung; taken before looking for records, so that nothing is missed.
    pub fn rung(&self) -> u64 {
        lock(&self.0).rung
    }

    /// Whether anybody has it besides the one who asks.
    pub fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub fn ring(&self) {
        let listeners = {
            let mut inner = lock(&self.0);
            inner.rung += 1;
            std::mem::take(&mut inner.listeners)
        };
        listeners.into_iter().for_each(|(_, wake)| wake());
    }

    /// `wake` is called once when it rings; at once if it has rung since.
    pub fn listen(&self, since: u64, wake: Wake) -> Listener {
        let mut inner = lock(&self.0);
        inner.last_id += 1;
        let id = inner.last_id;
        if inner.rung == since {
            inner.listeners.push((id, wake));
        } else {
            drop(inner);
            wake();
        }
        Listener { bell: self.clone(), id }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        lock(&self.bell.0).listeners.retain(|(id, _)| *id != self.id);
    }
}
