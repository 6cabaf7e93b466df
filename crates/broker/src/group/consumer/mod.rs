//! Consumer groups (KIP-848): the broker assigns, and each member goes its own way to its target.
//!
//! `model` is what the log keeps, `decide` and `classic` are what requests make of it, `reconcile` is the way of one
//! member, `assignors` say who is meant to have what. `timers` are soft: after a restart every member gets a whole
//! session anew. All of it is pure; the log comes in with `crate::consumer_groups`.

mod assignors;
mod classic;
mod decide;
mod model;
mod reconcile;
mod timers;
mod topics;

#[cfg(test)]
mod tests;

pub use assignors::{ASSIGNORS, Assignor};
pub use classic::{
    CONSUMER, ClassicBeat, ClassicGroup, ClassicGroupMember, Commit, all_classic_but, check_commit,
    downgraded, heartbeat_classic, leaving_classic, sync_classic, upgraded,
};
pub use decide::{Beat, Decision, Heartbeat, World, quiet};
pub use model::*;
pub use timers::{Timer, Timers, WHOLE_GROUP};
pub use topics::Topics;
