//! What the node does where there is much of something: partitions, topics, connections, data, clients that do not read.
//!
//! Each part starts nodes of its own, in new folders, and says what they have cost.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

mod connections;
mod partitions;
mod slow;
mod start;
mod topics;

use anyhow::Result;
use benches::machine;
use benches::node::NodeArguments;
use benches::report::{self, Form};
use clap::{Parser, Subcommand};

const TOPIC: &str = "load";

#[derive(Parser)]
#[command(about = "Many partitions, topics, connections, gigabytes, and clients that do not read")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    #[command(subcommand)]
    what: What,
    #[arg(short, long, value_enum, default_value_t = Form::Text, global = true)]
    output: Form,
}

#[derive(Subcommand)]
enum What {
    /// Produce to and fetch from many partitions, beside few
    Partitions(partitions::Arguments),
    /// Create many topics, ask for all of them, and start again
    Topics(topics::Arguments),
    /// Memory and CPU of idle connections
    Connections(connections::Arguments),
    /// Start on a large data directory
    Start(start::Arguments),
    /// Memory while many clients ask for much and take nothing
    Slow(slow::Arguments),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let load_before = machine::load()?;
    let node = &arguments.node;
    let table = match &arguments.what {
        What::Partitions(what) => partitions::run(node, what)?,
        What::Topics(what) => topics::run(node, what)?,
        What::Connections(what) => connections::run(node, what)?,
        What::Start(what) => start::run(node, what)?,
        What::Slow(what) => slow::run(node, what)?,
    };
    report::print(arguments.output, &node.folder(), &load_before, &[table])
}
