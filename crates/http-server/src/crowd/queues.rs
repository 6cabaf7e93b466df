//! Those that wait, by network: whose turn it is to go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Each has a turn, which is higher the later it has come, and a weight.
pub(super) struct Queues<T> {
    networks: HashMap<IpAddr, Queue<T>>,
    /// The one to go first is the last.
    ranks: BTreeSet<Rank>,
    weight: usize,
}

/// The heaviest network, and of equal ones that with the longest wait.
type Rank = (usize, Reverse<u64>, IpAddr);

struct Queue<T> {
    weight: usize,
    /// With the weight of each, the longest wait first.
    turns: BTreeMap<u64, (usize, T)>,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Queues { networks: HashMap::new(), ranks: BTreeSet::new(), weight: 0 }
    }
}

impl<T> Queue<T> {
    /// None if nobody is left.
    fn rank(&self, network: IpAddr) -> Option<Rank> {
        let (first, _) = self.turns.first_key_value()?;
        Some((self.weight, Reverse(*first), network))
    }
}

impl<T> Queues<T> {
    /// Of all together.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn add(&mut self, network: IpAddr, turn: u64, weight: usize, what: T) {
        let queue =
            self.networks.entry(network).or_insert_with(|| Queue { weight: 0, turns: BTreeMap::new() });
        if let Some(rank) = queue.rank(network) {
            self.ranks.remove(&rank);
        }
        queue.turns.insert(turn, (weight, what));
        queue.weight += weight;
        self.weight += weight;
        self.ranks.extend(queue.rank(network));
    }

    pub(super) fn take(&mut self, network: IpAddr, turn: u64) -> Option<T> {
        let queue = self.networks.get_mut(&network)?;
        let before = queue.rank(network)?;
        let (weight, what) = queue.turns.remove(&turn)?;
        queue.weight -= weight;
        self.weight -= weight;
        self.ranks.remove(&before);
        match queue.rank(network) {
            None => drop(self.networks.remove(&network)),
            Some(rank) => drop(self.ranks.insert(rank)),
        }
        Some(what)
    }

    /// The longest wait in the heaviest network.
    pub(super) fn first(&self) -> Option<(IpAddr, u64)> {
        let (_, Reverse(turn), network) = self.ranks.last()?;
        Some((*network, *turn))
    }

    #[cfg(test)]
    pub(super) fn has(&self, network: IpAddr, turn: u64) -> bool {
        self.networks.get(&network).is_some_and(|queue| queue.turns.contains_key(&turn))
    }
}
