//! A bare Kafka node over an event log, to try clients against: `node DIRECTORY [ADDRESS]`.
//!
//! Prints the address it listens on, serves until its standard input ends, then stops in good order.

use broker::server::{ServerConfig, start};
use broker::{Broker, BrokerConfig, Recovered};
use eventlog::{LogError, LogOptions, Recovery};
use std::io::Read;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: node DIRECTORY [ADDRESS] [KEY=VALUE …]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".into()).parse()?;
    let given = arguments
        .filter_map(|pair| pair.split_once('=').map(|(key, value)| (key.to_string(), value.to_string())))
        .collect();
    let mut config = BrokerConfig::check(&given).map_err(|errors| errors[0].to_string())?;
    config.log_directory = directory.clone();
    if let Some(line) = config.fit_open_files(os::open_files::raise_limit()) {
        eprintln!("{line}");
    }

    let os = os::Os::real();
    let mut recovery = Recovery::open(&os, LogOptions::new(&directory))?;
    let recovered = Recovered::from_checkpoint(&recovery)?;
    recovery.replay(&mut |lsn, entry| {
        recovered.apply(lsn, &entry).map_err(|error| LogError::Internal(error.to_string()))
    })?;
    let log = recovery.start(recovered.folds())?;
    let broker = Arc::new(Broker::new(log.clone(), recovered, config, os)?);
    let server = ServerConfig { log: Arc::new(|line| eprintln!("{line}")), ..ServerConfig::new(address) };
    let server = start(server, broker)?;
    println!("listening on {}", server.local_addr());

    // Whoever started us holds the other end; a terminal gives it with Ctrl-D.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.shutdown();
    log.shutdown()?;
    Ok(())
}
