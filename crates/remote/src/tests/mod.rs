//! Two nodes on simulated disks and one store in memory that loses answers, fails, and takes what was given up on later.

mod faults;
mod memory;
mod node;
mod objects;
mod restoring;
mod takeover;

pub(super) use memory::Memory;
pub(super) use node::{Model, SimNode};
