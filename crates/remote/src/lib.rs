//! Copies of the log and of the jobs' snapshots in a store elsewhere, how a node comes back from them, and how another one takes
//! over (ADR 0045).
//!
//! 1. What is durable is shipped in the order of the log, as objects `log/NUMBER` that are counted without gaps. Each is put on the
//!    condition that there is none of its number: the store decides who wrote it, and so who may write. A node begins with an
//!    object of its own, its *epoch*; whoever wrote before meets it where its own next object should stand, and is fenced.
//! 2. An object names the files beside the log (segments, snapshots of jobs) that came with it. The object with which a log file
//!    begins is a *base*: it names all that is needed to begin there. Sealed log files are put whole, so that coming back is quick.
//! 3. [`Shipper`] ships on a thread; the log knows how far it has come, and whoever waits for it is told.
//! 4. [`restore`] makes a data directory from the store at once, a [`Standby`] by and by.

mod address;
mod bases;
mod bucket;
mod claim;
mod copy;
mod directory;
mod error;
mod identity;
mod keeper;
mod kept;
mod object;
mod shipper;
mod side;
mod standby;
mod store;
mod thread;

#[cfg(test)]
mod tests;

pub use address::Address;
pub use copy::{Copied, restore};
pub use error::RemoteError;
pub use kept::KeptDisk;
pub use shipper::{PIN, Settings, Shipper};
pub use standby::{Standby, TAKEOVER_FILE, Watch};
pub use store::{Listed, Place, Store, StoreError};
pub use thread::{Shipping, Tell, begin};
