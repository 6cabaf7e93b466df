//! Which of several nodes writes into a store: a standby waits for its turn, and the one that writes looks whether it still does.

use crate::cli::RemoteArguments;
use crate::node::Node;
use crate::remotes::{self, RemoteStore};
use crate::signals::Interrupt;
use os::Os;
use remote::{Standby, Watch};
use std::path::Path;

/// How often a node looks whether another one has taken over.
const FENCE_LOOK_MS: u64 = 100;
/// How often a standby looks into the store.
const STANDBY_LOOK_MS: u64 = 500;

/// Waits until the node is interrupted or another one has taken over; why, in the latter case.
pub fn wait_for_end(node: &Node, interrupt: &Interrupt) -> Option<String> {
    if !node.is_shipped() {
        interrupt.wait();
        return None;
    }
    loop {
        if let Some(reason) = node.fenced_elsewhere() {
            return Some(reason);
        }
        if interrupt.wait_timeout(FENCE_LOOK_MS) {
            return None;
        }
    }
}

/// Where a standby is wanted, follows the node that writes into the store. True when this node is to serve, false when it was
/// interrupted before. `say` takes the line that says that it follows.
pub fn wait_for_turn(
    os: &Os,
    data: &Path,
    (wanted, arguments): (Option<&RemoteStore>, &RemoteArguments),
    interrupt: &Interrupt,
    say: impl Fn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let Some(wanted) = wanted.filter(|_| arguments.standby) else { return Ok(true) };
    let takeover_after = remotes::duration("--takeover-after", &arguments.takeover_after)?;
    let mut is_told = false;
    let mut standby = loop {
        match Standby::open(os, data, &wanted.place, Watch { takeover_after }) {
            Ok(standby) => break standby,
            Err(error) if Standby::may_go_on(&error) => {
                if !std::mem::replace(&mut is_told, true) {
                    eprintln!("warning: the store does not answer, trying again: {error}");
                }
            }
            Err(error) => return Err(error.into()),
        }
        if interrupt.wait_timeout(STANDBY_LOOK_MS) {
            return Ok(false);
        }
    };
    say(&format!("standby of {} in {}\n", wanted.place.name(), data.display()))?;
    loop {
        match standby.turn() {
            Ok(true) => {
                eprintln!("taking over {}", wanted.place.name());
                return Ok(true);
            }
            Ok(false) => is_told = false,
            Err(error) if Standby::may_go_on(&error) => {
                if !is_told {
                    eprintln!("warning: the store cannot be followed, trying again: {error}");
                }
                is_told = true;
            }
            Err(error) => return Err(error.into()),
        }
        if interrupt.wait_timeout(STANDBY_LOOK_MS) {
            return Ok(false);
        }
    }
}
