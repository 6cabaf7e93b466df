//! Clock, disk, network and randomness behind traits: the real ones, and simulated ones that fail from a seed.
//!
//! Everything below the protocol edges reaches the outside world through an [`Os`] value only, so that a test can run
//! the same code on a disk that tears, reorders and loses what was not synced, on a clock that is moved by hand, and
//! on a network that resets, and can repeat any run from its seed.

pub mod allocator;
pub mod blocking;
pub mod clock;
pub mod command;
pub mod disk;
pub mod http;
pub mod network;
pub mod open_files;
pub mod process;
pub mod random;
pub mod sim;

pub use clock::Clock;
pub use disk::{Disk, DiskFile, Lock};
pub use network::{Datagrams, Destinations, Listener, Network, Stream};
pub use random::Random;

use std::sync::Arc;

/// The outside world as the node sees it; cheap to clone.
#[derive(Clone)]
pub struct Os {
    pub clock: Arc<dyn Clock>,
    pub disk: Arc<dyn Disk>,
    pub network: Arc<dyn Network>,
    pub random: Arc<dyn Random>,
    pub permits: Permits,
}

/// What jobs may do on this machine only if whoever starts the node says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permits {
    /// Run commands.
    pub exec: bool,
    /// Read the standard input of the process.
    pub stdin: bool,
    /// Take syslog from others without knowing who they are.
    pub open_syslog: bool,
}

impl Os {
    /// The machine's own clock, file system, sockets and random numbers. Files are its user's alone.
    pub fn real() -> Os {
        Os {
            clock: Arc::new(clock::RealClock::new()),
            disk: Arc::new(disk::real::RealDisk::private()),
            network: Arc::new(network::real::RealNetwork::default()),
            random: Arc::new(random::RealRandom),
            permits: Permits::default(),
        }
    }

    /// The same with files that others may read, as the umask says: for outputs.
    pub fn with_shared_files(&self) -> Os {
        Os { disk: Arc::new(disk::real::RealDisk::shared()), ..self.clone() }
    }
}

impl Os {
    /// The same with connections to any address, link-local ones among them.
    pub fn with_any_destination(&self) -> Os {
        let network = network::real::RealNetwork { destinations: network::Destinations::Any };
        Os { network: Arc::new(network), ..self.clone() }
    }
}

impl std::fmt::Debug for Os {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Os")
    }
}
