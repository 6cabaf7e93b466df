//! What runs the job: the node, or Apache Flink beside Apache Kafka.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use benches::cost::descendants;
use benches::node::{NodeArguments, listening};
use benches::program::Program;
use benches::sql_file::{Kafka, PeerArguments};
use kafka_client::Client;
use rustix::process::{Pid, Signal, kill_process};

use crate::flow::{EVENTS, Flow, RESULTS};

const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

pub trait Target {
    /// Where the events go and the results come from.
    fn address(&self) -> &str;

    /// All that do its work.
    fn processes(&self) -> Vec<u32>;

    fn stop(self) -> Result<()>;
}

pub struct OnNode {
    program: Program,
    address: String,
    scratch: tempfile::TempDir,
}

impl OnNode {
    pub fn start(arguments: &NodeArguments, flow: Flow) -> Result<OnNode> {
        let scratch = arguments.scratch()?;
        let data = scratch.path().join("data");
        // The topics as they are on the other side.
        let node = arguments.start(&data)?;
        let mut client = node.client()?;
        for topic in [EVENTS, RESULTS] {
            client.create_topic(topic, 1, 1, &[])?;
        }
        node.stop()?;
        std::fs::write(scratch.path().join("job.sql"), flow.sql())?;
        let mut command = Command::new(arguments.binary()?);
        command.current_dir(scratch.path()).args(["run", "job.sql", "--data"]).arg(&data);
        command.args(["--kafka", "127.0.0.1:0", "--http", "none", "--pg", "none"]);
        let program = Program::start(&mut command)?;
        let address =
            program.wait_for(START_LIMIT, |line| line.starts_with("kafka ").then(|| listening(line))?)?;
        Ok(OnNode { program, address, scratch })
    }
}

impl Target for OnNode {
    fn address(&self) -> &str {
        &self.address
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.program.id()]
    }

    fn stop(self) -> Result<()> {
        self.program.stop(STOP_LIMIT)?;
        Ok(self.scratch.close()?)
    }
}

pub struct Flink<'a> {
    program: Program,
    kafka: &'a Kafka,
    /// Its JVM.
    process: u32,
    _scratch: tempfile::TempDir,
}

impl<'a> Flink<'a> {
    /// With a checkpoint every so many ms; `flush` has Kafka sync each batch.
    pub fn start(
        peers: &PeerArguments,
        kafka: &'a Kafka,
        flow: Flow,
        (interval_ms, flush): (u64, bool),
    ) -> Result<Flink<'a>> {
        let mut client = Client::connect(&kafka.address, "benches")?;
        let settings: &[(&str, &str)] = if flush { &[("flush.messages", "1")] } else { &[] };
        for topic in [EVENTS, RESULTS] {
            client.create_topic(topic, 1, 1, settings)?;
        }
        let scratch = tempfile::tempdir()?;
        let file = scratch.path().join("job.sql");
        // What it waits for by default before a row goes from one task to the next would only cost it time. Checkpoints
        // lie in memory.
        let settings = format!(
            "SET 'execution.checkpointing.interval' = '{interval_ms} ms';\n\
             SET 'execution.buffer-timeout.interval' = '1 ms';\n"
        );
        std::fs::write(&file, settings + flow.sql())?;
        let mut command = peers.xtask();
        command.args(["flink", "run"]).arg(&file).args(["--bootstrap", &kafka.address]);
        let program = Program::start(&mut command)?;
        let begun = std::time::Instant::now();
        // The compiler of the runner is another program, so the only `java` is Flink.
        let process = loop {
            program.still_runs()?;
            if let Some(process) = descendants(program.id(), "java").first() {
                break *process;
            }
            if begun.elapsed() > START_LIMIT {
                bail!("no JVM of Flink was seen");
            }
            std::thread::sleep(PAUSE);
        };
        Ok(Flink { program, kafka, process, _scratch: scratch })
    }
}

impl Target for Flink<'_> {
    fn address(&self) -> &str {
        &self.kafka.address
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.process, self.kafka.process]
    }

    /// The job has no end, so its process is killed; the runner says that this is a failure, which it is not.
    fn stop(self) -> Result<()> {
        let process = i32::try_from(self.process).ok().and_then(Pid::from_raw);
        kill_process(process.context("no process")?, Signal::KILL)?;
        let _ = self.program.run_to_end(PAUSE, |_, _| {});
        Ok(())
    }
}
