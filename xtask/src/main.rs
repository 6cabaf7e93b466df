//! `cargo xtask`: the project's tools, from installing real peers to the one command that tests everything.

#![allow(
    clippy::disallowed_methods,
    reason = "tools measure real time; nothing here is simulated or replayed"
)]

mod amqp;
mod apicurio;
mod aws;
mod certificates;
mod clickhouse;
mod clients;
mod clouds;
mod codegen;
mod compared;
mod connectors;
mod counts;
mod dashboards;
mod deny;
mod example;
mod ext4;
mod flink;
mod folders;
mod formats;
mod fuzz;
mod golden;
mod hex;
mod house;
mod http;
mod jaeger;
mod kafka;
mod kill;
mod kill_producers;
mod kill_remote;
mod lakes;
mod mongodb;
mod mqtt;
mod mysql;
mod nats;
mod node;
mod opensearch;
mod peers;
mod places;
mod postgres;
mod process;
mod prometheus;
mod proofs;
mod pubsub;
mod queue;
mod rabbitmq;
mod recorder;
mod redis;
mod secured;
mod side_by_side;
mod simulate;
mod stages;
mod stomp;
mod suites;
mod topics;
mod versions;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's tools")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the Kafka messages of `kafka-wire` from its tables
    Codegen,
    /// Write the boards of `deploy/grafana` from their tables
    Dashboards,
    /// Run everything that must hold: format, house rules, lints, tests, clients, the example
    Test(stages::Options),
    /// Check the house rules: floors, first lines, file lengths, licences, duplicate versions
    House,
    /// Run cargo-deny, which checks more than `house` does
    Deny {
        /// Install it into the peers folder first
        #[arg(long)]
        install: bool,
    },
    /// Install the real clients and servers that the tests use
    Peers {
        #[command(subcommand)]
        action: PeersAction,
    },
    /// Run the suites of real Kafka clients; without an address, against our own node
    Clients(ClientsOptions),
    /// Run the test suites of other projects, which were written against Apache Kafka, on our node
    Suites(suites::Options),
    /// Ask a node for everything that transactions are refused for (a suite of `clients`)
    #[command(hide = true)]
    TransactionCodes { bootstrap: String },
    /// Ask a node for everything that groups are refused for (a suite of `clients`)
    #[command(hide = true)]
    GroupCodes { bootstrap: String },
    /// Ask a node for what quotas refuse and slow down (a suite of `clients`)
    #[command(hide = true)]
    QuotaCodes { bootstrap: String },
    /// Run SQL files on Apache Flink
    Flink {
        #[command(subcommand)]
        action: FlinkAction,
    },
    /// Run the flights example on our node and compare with the rows that Flink gave
    Example,
    /// Kill the node while it runs the flights example, again and again, and compare its results
    Kill {
        #[arg(long, default_value_t = stages::KILLS)]
        cycles: u64,
        /// Where the kills are placed; printed by every run, and the clock's choice if not given
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Kill the node, and cut its power, while transactional and idempotent producers write, and read what is left
    KillProducers {
        #[arg(long, default_value_t = stages::PRODUCER_KILLS)]
        cycles: u64,
        #[arg(long, default_value_t = stages::POWER_CUTS)]
        power_cuts: u64,
        /// Cut the power of an ext4 in an image, mounted for it by root, rather than of a shadow of the disk
        #[arg(long)]
        ext4: bool,
        /// Where the kills are placed; printed by every run, and the clock's choice if not given
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Lose machines that ship their log to a bucket, have others take over, read what is left, and add to the ledger of proofs
    KillRemote {
        #[arg(long, default_value_t = 200)]
        kills: u64,
        /// Whose bucket it is, one after the other if not given
        #[arg(long, value_enum)]
        store: Option<kill_remote::Kind>,
        /// Where the deaths are placed; printed by every run, and the clock's choice if not given
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Copy tables of a PostgreSQL while they change and node and server are killed, and add to the ledger of proofs
    Changes {
        #[arg(long, default_value_t = 100)]
        kills: u64,
        #[arg(long, default_value_t = 10)]
        restarts: u64,
        /// Where the kills are placed; printed by every run, and the clock's choice if not given
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Kill our node in and between the commits of connectors, restart their servers, part their networks, and compare
    KillConnectors {
        #[arg(long, default_value_t = connectors::CONNECTOR_KILLS)]
        kills: u64,
        #[arg(long, default_value_t = connectors::SERVER_RESTARTS)]
        restarts: u64,
        #[arg(long, default_value_t = connectors::PARTITIONS)]
        partitions: u64,
        /// Where the faults are placed; printed by every run, and the clock's choice if not given
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Run connectors against their real servers, with kills of our node and restarts of the server
    Connectors(connectors::Options),
    /// Run the simulations of log and node from more seeds, and add to the ledger of proofs
    Simulate {
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// The first seed, for a range that ran before; without it the seeds are new
        #[arg(long)]
        first: Option<u64>,
    },
    /// Run the decoders' targets under libFuzzer, keep their corpora, and add to the ledger of proofs
    Fuzz(fuzz::Options),
    /// Start an Apache Kafka and leave it up until this program is stopped
    Kafka,
    /// Start a PostgreSQL with a role `bench` of that password, and leave it up until the standard input ends
    Postgres,
    /// The same with a RabbitMQ
    Rabbitmq,
}

#[derive(Subcommand)]
enum PeersAction {
    /// Install the named peers, or all: debian, python, node, kafka, brokers, flink, flink-formats, apicurio, franz-go …
    Install { names: Vec<String> },
    /// Print the folder of a version of something that was installed, for benches: librdkafka, nats-server
    Folder { name: String },
}

#[derive(Args)]
struct ClientsOptions {
    /// The names of the suites to run, all if there are none
    names: Vec<String>,
    /// Run against this cluster
    #[arg(long, conflicts_with = "kafka")]
    bootstrap: Option<String>,
    /// Run against an Apache Kafka that is started for it
    #[arg(long)]
    kafka: bool,
    /// Note which APIs each suite calls, for docs/compatibility.md
    #[arg(long)]
    record: bool,
}

#[derive(Subcommand)]
enum FlinkAction {
    /// Run one SQL file against a Kafka cluster
    Run {
        file: PathBuf,
        /// The cluster that `kafka` tables without an address mean
        #[arg(long)]
        bootstrap: String,
        /// A Flink option, KEY=VALUE
        #[arg(long = "set")]
        options: Vec<String>,
    },
    /// Run the files that tests compare with on Flink and Kafka, and keep their rows as golden files
    Golden {
        /// Which, all if there are none: flights, updates, windows, nexmark, nexmark/q0 …
        names: Vec<String>,
    },
    /// Evaluate the differential suite's expressions on Flink, and keep the results as golden files
    Expressions {
        /// The families (`tests/flink/expressions/FAMILY.sql`), all if there are none
        families: Vec<String>,
    },
    /// Run the differential suite's statements on Flink, and keep the results as golden files
    Statements {
        /// The topics (`tests/flink/statements/TOPIC.sql`), all if there are none
        topics: Vec<String>,
    },
    /// Run a file of statements on Flink and on our side, and print where they differ
    Query {
        file: PathBuf,
        /// Print all results, also those that are equal
        #[arg(long)]
        all: bool,
    },
    /// Evaluate a file of expressions on Flink and on our side, and print where they differ
    Eval {
        file: PathBuf,
        /// Print all results, also those that are equal
        #[arg(long)]
        all: bool,
    },
    /// Compare random expressions and queries, and add to the ledger of proofs
    Fuzz {
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// What is made up follows from it; printed by every run, and the clock's choice if not given
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Run a job with Flink's exactly-once Kafka sink on our node, kill it once, and count what it wrote
    ExactlyOnce {
        /// Run against this cluster
        #[arg(long, conflicts_with = "kafka")]
        bootstrap: Option<String>,
        /// Run against an Apache Kafka that is started for it
        #[arg(long)]
        kafka: bool,
    },
    /// Run them on our node, in all ways, and compare with the golden rows
    Compare {
        /// Which, all if there are none: formats (which needs Flink itself), updates, windows, nexmark, nexmark/q0 …
        names: Vec<String>,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What runs as another user does not die with this program, but when it is let go of.
fn until_input_ends() -> Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn perform(task: Task) -> Result<ExitCode> {
    match task {
        Task::Codegen => codegen::run()?,
        Task::Dashboards => dashboards::write()?,
        Task::Test(options) => return Ok(stages::run(&options)?.verdict()),
        Task::House => {
            return Ok(house::check()?.verdict());
        }
        Task::Deny { install } => deny::run_cargo_deny(install)?,
        Task::Peers { action: PeersAction::Install { names } } => peers::install(&names)?,
        Task::Peers { action: PeersAction::Folder { name } } => {
            println!("{}", peers::folder(&name)?.display());
        }
        Task::Clients(options) => {
            let target = clients::Target::of(options.bootstrap, options.kafka);
            return Ok(clients::run(&target, &options.names, options.record)?.verdict());
        }
        Task::Suites(options) => return Ok(suites::run(&options)?.verdict()),
        Task::GroupCodes { bootstrap } => {
            return Ok(clients::group_codes(&bootstrap)?.verdict());
        }
        Task::QuotaCodes { bootstrap } => {
            return Ok(clients::quota_codes(&bootstrap)?.verdict());
        }
        Task::TransactionCodes { bootstrap } => {
            return Ok(clients::transaction_codes(&bootstrap)?.verdict());
        }
        Task::Flink { action: FlinkAction::Run { file, bootstrap, options } } => {
            flink::run(&file, &bootstrap, &options)?;
        }
        Task::Flink { action: FlinkAction::Golden { names } } => flink::make_golden(&names)?,
        Task::Flink { action: FlinkAction::Expressions { families } } => {
            flink::make_suite_golden("expressions", &families)?;
        }
        Task::Flink { action: FlinkAction::Statements { topics } } => {
            flink::make_suite_golden("statements", &topics)?;
        }
        Task::Flink { action: FlinkAction::Fuzz { minutes, seed } } => {
            flink::fuzz(minutes, seed.unwrap_or_else(stages::seed))?;
        }
        Task::Flink { action: FlinkAction::Eval { file, all } } => flink::beside("eval", &file, all)?,
        Task::Flink { action: FlinkAction::Query { file, all } } => flink::beside("query", &file, all)?,
        Task::Flink { action: FlinkAction::ExactlyOnce { bootstrap, kafka } } => {
            return Ok(flink::exactly_once(&clients::Target::of(bootstrap, kafka))?.verdict());
        }
        Task::Flink { action: FlinkAction::Compare { names } } => {
            return Ok(stages::compare(&names)?.verdict());
        }
        Task::Example => return Ok(stages::example()?.verdict()),
        Task::Kill { cycles, seed } => kill::prove(cycles, seed.unwrap_or_else(stages::seed))?,
        Task::KillProducers { cycles, power_cuts, ext4, seed } => {
            let seed = seed.unwrap_or_else(stages::seed);
            kill_producers::prove(verify::Wanted { kills: cycles, power_cuts, seed }, ext4)?;
        }
        Task::KillRemote { kills, store, seed } => {
            kill_remote::prove(kills, store, seed.unwrap_or_else(stages::seed))?;
        }
        Task::Changes { kills, restarts, seed } => {
            let seed = seed.unwrap_or_else(stages::seed);
            return Ok(stages::prove_changes(stages::Faults { kills, restarts, seed })?.verdict());
        }
        Task::KillConnectors { kills, restarts, partitions, seed } => {
            let seed = seed.unwrap_or_else(stages::seed);
            let faults = connectors::Faults { kills, restarts, partitions, seed };
            return Ok(connectors::prove_kills(faults)?.verdict());
        }
        Task::Connectors(options) => return Ok(connectors::run(&options)?.verdict()),
        Task::Simulate { seeds, first } => simulate::run(seeds, first)?,
        Task::Fuzz(options) => fuzz::run(&options)?,
        Task::Kafka => {
            let kafka = kafka::start()?;
            println!("kafka listening on {}", kafka.bootstrap);
            loop {
                std::thread::park();
            }
        }
        Task::Postgres => {
            let folder = tempfile::tempdir()?;
            let postgres = postgres::Postgres::start(&folder.path().join("postgres.log"))?;
            postgres.psql("shop", "CREATE ROLE bench LOGIN SUPERUSER PASSWORD 'bench'")?;
            println!("postgres listening on 127.0.0.1:{}", postgres.port);
            until_input_ends()?;
        }
        Task::Rabbitmq => {
            let rabbitmq = rabbitmq::RabbitMq::start()?;
            println!("rabbitmq listening on {}", rabbitmq.url());
            until_input_ends()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
