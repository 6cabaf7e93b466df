//! Four flows between systems on the node, and on the tool that would be taken for them: rows per CPU second.
//!
//! Kafka to PostgreSQL with a change on the way, a queue of RabbitMQ to a topic, a topic to files of Parquet beside Benthos;
//! the rows of a PostgreSQL table and their changes to a topic beside Debezium. The servers are real and are charged to nobody,
//! but the broker of the topic that is written: it is inside the node, and a process of its own for the others. `cargo xtask` installs
//! and starts what is needed.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

mod flows;
mod world;

use anyhow::{Result, ensure};
use benches::machine;
use benches::node::NodeArguments;
use benches::report::{self, Form, Table, rounded};
use benches::sql_file::PeerArguments;
use clap::Parser;
use serde_json::Value;

use crate::flows::{FLOWS, Run};
use crate::world::World;

#[derive(Parser)]
#[command(about = "Rows per CPU second between systems, beside Benthos and Debezium")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    #[command(flatten)]
    peers: PeerArguments,
    /// The flows to run, all if there are none: kafka-to-postgres, rabbitmq-to-topic, changes-to-topic, topic-to-parquet
    flows: Vec<String>,
    /// Rows of each, in thousands
    #[arg(long, default_value_t = 300)]
    thousands: u64,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.thousands > 0, "--thousands must be above 0");
    for name in &arguments.flows {
        let known: Vec<&str> = FLOWS.iter().map(|flow| flow.name).collect();
        ensure!(known.contains(&name.as_str()), "there is no flow={name}; there are {}", known.join(", "));
    }
    let load_before = machine::load()?;
    let world = World::start(&arguments.node, &arguments.peers, arguments.thousands * 1000)?;
    let mut tables = Vec::new();
    for flow in FLOWS {
        if !arguments.flows.is_empty() && !arguments.flows.iter().any(|wanted| wanted == flow.name) {
            continue;
        }
        let (rows, runs) = (flow.run)(&world)?;
        let title = format!("{}, {rows} rows and changes", flow.name);
        let columns = [
            "",
            "s",
            "CPU s",
            "CPU s of its broker",
            "rows per CPU s",
            "the node's, of it",
            "MB of memory at most",
        ];
        let mut table = Table::new(title, &columns);
        let per_cpu = |run: &Run| rows as f64 / (run.cpu_seconds + run.broker_cpu_seconds.unwrap_or(0.0));
        let own = runs.first().map_or(f64::NAN, |(_, run)| per_cpu(run));
        for (name, run) in &runs {
            table.row(
                *name,
                vec![
                    rounded(run.seconds),
                    rounded(run.cpu_seconds),
                    run.broker_cpu_seconds.map_or(Value::Null, rounded),
                    rounded(per_cpu(run)),
                    rounded(own / per_cpu(run)),
                    rounded(run.memory_mb_max),
                ],
            );
        }
        tables.push(table);
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &tables)
}
