//! The simulated world in one place: everything in it follows from a seed and from what the test does to it.

pub use crate::clock::SimClock;
pub use crate::disk::sim::{SimDisk, SyncFault};
pub use crate::network::sim::{SimNetwork, SimNetworkFaults};
pub use crate::random::{SimRandom, SplitMix};

use crate::{Os, Permits};
use std::sync::Arc;

/// The parts of a simulated [`Os`], kept apart so that a test can turn their knobs.
#[derive(Clone)]
pub struct SimOs {
    pub clock: Arc<SimClock>,
    pub disk: Arc<SimDisk>,
    pub network: Arc<SimNetwork>,
    pub random: Arc<SimRandom>,
}

impl SimOs {
    /// The clock begins in November 2023, so that negative and small timestamps stand out.
    pub fn new(seed: u64) -> SimOs {
        SimOs {
            clock: Arc::new(SimClock::new(1_700_000_000_000)),
            disk: Arc::new(SimDisk::new()),
            network: Arc::new(SimNetwork::new(seed)),
            random: Arc::new(SimRandom::new(seed)),
        }
    }

    /// The same world as the code under test sees it.
    pub fn os(&self) -> Os {
        Os {
            clock: self.clock.clone(),
            disk: self.disk.clone(),
            network: self.network.clone(),
            random: self.random.clone(),
            permits: Permits::default(),
        }
    }
}
