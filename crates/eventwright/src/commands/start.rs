//! `start`: a node that Kafka clients can use, until it is interrupted.

use crate::cli::StartArguments;
use crate::node::{self, Node};
use crate::remotes::RemoteStore;
use crate::signals::Interrupt;
use crate::takeover;
use anyhow::bail;
use os::disk::shadow::ShadowDisk;
use std::io::Write;
use std::sync::Arc;

pub fn start(arguments: &StartArguments) -> anyhow::Result<()> {
    let mut os = node::os(&arguments.node);
    if let Some(shadow) = &arguments.shadow {
        os.disk = Arc::new(ShadowDisk::begin(&arguments.data, shadow)?);
    }
    let interrupt = Interrupt::listen()?;
    let wanted = RemoteStore::of(&os, &arguments.remote)?;
    if !takeover::wait_for_turn(&os, &arguments.data, (wanted.as_ref(), &arguments.remote), &interrupt, say)?
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
    let fenced = takeover::wait_for_end(&node, &interrupt);
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
