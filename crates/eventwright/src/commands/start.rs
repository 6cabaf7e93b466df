//! `start`: a node that Kafka clients can use, until it is interrupted.

use crate::cli::StartArguments;
use crate::node::Node;
use crate::signals::Interrupt;
use os::Os;
use os::disk::shadow::ShadowDisk;
use std::io::Write;
use std::sync::Arc;

pub fn start(arguments: &StartArguments) -> anyhow::Result<()> {
    let mut os = Os::real();
    if let Some(shadow) = &arguments.shadow {
        os.disk = Arc::new(ShadowDisk::begin(&arguments.data, shadow)?);
    }
    let interrupt = Interrupt::listen()?;
    let node = Node::open(&os, &arguments.data, &arguments.node)?;
    // Scripts wait for this line, so it must not stay in a buffer.
    let mut out = std::io::stdout();
    writeln!(out, "kafka listening on {}", node.kafka_address())?;
    if let Some(address) = node.http_address() {
        writeln!(out, "http listening on {address}")?;
    }
    writeln!(out, "data in {}", arguments.data.display())?;
    out.flush()?;
    interrupt.wait();
    eprintln!("stopping");
    node.shutdown();
    Ok(())
}
