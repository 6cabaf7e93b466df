//! `start`: a node that Kafka clients can use, until it is interrupted.

use crate::cli::{RemoteArguments, StartArguments};
use crate::node::{self, Node};
use crate::remotes::{self, RemoteStore};
use crate::signals::Interrupt;
use anyhow::bail;
use os::Os;
use os::disk::shadow::ShadowDisk;
use remote::{Standby, Watch};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// How often a node looks whether another one has taken over.
const FENCE_LOOK_MS: u64 = 100;
/// How often a standby looks into the store.
const STANDBY_LOOK_MS: u64 = 500;

pub fn start(arguments: &StartArguments) -> anyhow::Result<()> {
    let mut os = node::os(&arguments.node);
    if let Some(shadow) = &arguments.shadow {
        os.disk = Arc::new(ShadowDisk::begin(&arguments.data, shadow)?);
    }
    let interrupt = Interrupt::listen()?;
    let wanted = RemoteStore::of(&os, &arguments.remote)?;
    if let Some(wanted) = wanted.as_ref().filter(|_| arguments.remote.standby)
        && !follow(&os, &arguments.data, wanted, &arguments.remote, &interrupt)?
    {
        eprintln!("stopping");
        return Ok(());
    }
    let node = Node::open_shipped(&os, &arguments.data, &arguments.node, wanted.as_ref())?;
    let mut told = format!("kafka listening on {}\n", node.kafka_address());
    if let Some(address) = node.http_address() {
        told.push_str(&format!("http listening on {address}\n"));
    }
    if let Some(address) = node.pg_address() {
        told.push_str(&format!("postgresql listening on {address}\n"));
    }
    told.push_str(&format!("data in {}\n", arguments.data.display()));
    say(&told)?;
    let fenced = match node.is_shipped() {
        false => {
            interrupt.wait();
            None
        }
        true => loop {
            if let Some(reason) = node.fenced_elsewhere() {
                break Some(reason);
            }
            if interrupt.wait_timeout(FENCE_LOOK_MS) {
                break None;
            }
        },
    };
    eprintln!("stopping");
    node.shutdown();
    match fenced {
        Some(reason) => bail!("fenced: {reason}"),
        None => Ok(()),
    }
}

/// Scripts wait for this, so it must not stay in a buffer; as one, because a reader may go after the first line.
fn say(told: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(told.as_bytes())?;
    Ok(out.flush()?)
}

/// Follows the node that writes into the store; true when this one is to go on in its place, false when it is interrupted.
fn follow(
    os: &Os,
    data: &Path,
    wanted: &RemoteStore,
    arguments: &RemoteArguments,
    interrupt: &Interrupt,
) -> anyhow::Result<bool> {
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
