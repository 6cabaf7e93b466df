//! How many connections there are: in all, from each address, and of those without a log-in.

use super::Shared;
use crate::metrics::count;
use crate::security::network_of;
use crate::sync::lock;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Connections from one network that have not logged in; more are refused.
const NOT_LOGGED_IN_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Connections {
    count: AtomicUsize,
    leaving: AtomicUsize,
    open: Mutex<Open>,
}

impl Connections {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none, and the broker has been told so.
    pub(super) fn are_over(&self) -> bool {
        self.count() == 0 && self.leaving.load(Ordering::Relaxed) == 0
    }
}

#[derive(Debug, Default)]
struct Open {
    addresses: HashMap<IpAddr, usize>,
    /// Those without a log-in, by network: of IPv6 the addresses in it are its owner's to choose.
    strangers: HashMap<IpAddr, usize>,
    strangers_in_all: usize,
}

/// Counts a connection that has ended for as long as the broker has not been told of it.
pub(super) struct Still {
    pub(super) shared: Arc<Shared>,
}

impl Still {
    pub(super) fn new(shared: &Arc<Shared>) -> Still {
        shared.connections.leaving.fetch_add(1, Ordering::Relaxed);
        Still { shared: shared.clone() }
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.shared.connections.leaving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a connection for as long as it lives, also if its task panics.
pub(super) struct Counted {
    pub(super) shared: Arc<Shared>,
    address: IpAddr,
    logged_in: bool,
    /// Connections before it.
    pub(super) number: u64,
}

impl Counted {
    /// The reason, if there are too many.
    pub(super) fn new(shared: &Arc<Shared>, address: IpAddr) -> Result<Counted, String> {
        let config = shared.broker.in_force();
        let (in_all_max, security) = (config.connections_max, &config.security);
        if shared.connections.count() >= in_all_max {
            return Err(format!("max.connections={in_all_max} is reached"));
        }
        let mut open = lock(&shared.connections.open);
        let most = security.connections_per_address_max;
        if open.addresses.get(&address).is_some_and(|count| *count >= most) {
            return Err(format!("max.connections.per.ip={most} is reached"));
        }
        // Without a handshake and a log-in to wait for, every connection is in at once.
        let logged_in = !security.tls && !security.sasl;
        if !logged_in {
            let network = network_of(address);
            if open.strangers.get(&network).is_some_and(|count| *count >= NOT_LOGGED_IN_MAX) {
                return Err(format!("{NOT_LOGGED_IN_MAX} connections from its address have not logged in"));
            }
            // Those who do log in must find a place, however many do not.
            let most = (in_all_max / 2).max(1);
            if open.strangers_in_all >= most {
                return Err(format!("{most} connections, half of max.connections, have not logged in"));
            }
            open.strangers_in_all += 1;
            *open.strangers.entry(network).or_default() += 1;
        }
        *open.addresses.entry(address).or_default() += 1;
        shared.connections.count.fetch_add(1, Ordering::Relaxed);
        let number = shared.broker.counters.connections.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Counted { shared: shared.clone(), address, logged_in, number })
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.logged_in
    }

    pub(super) fn logged_in(&mut self) {
        if !std::mem::replace(&mut self.logged_in, true) {
            let mut open = lock(&self.shared.connections.open);
            open.strangers_in_all -= 1;
            give_back(&mut open.strangers, network_of(self.address));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.logged_in();
        give_back(&mut lock(&self.shared.connections.open).addresses, self.address);
        self.shared.connections.count.fetch_sub(1, Ordering::Relaxed);
        count(&self.shared.broker.counters.connections.closed);
    }
}

fn give_back(counts: &mut HashMap<IpAddr, usize>, address: IpAddr) {
    if let Some(count) = counts.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}
