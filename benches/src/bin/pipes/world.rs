//! The servers that the flows lie between, and what is asked of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benches::node::{NodeArguments, checkout};
use benches::program::Program;
use benches::sql_file::{Kafka, PeerArguments};
use kafka_client::{Client, Isolation, OffsetSpec};

const START_LIMIT: Duration = Duration::from_secs(180);
const FILES: &str = "benches/src/bin/pipes";
pub const TOPIC: &str = "orders";
pub const QUEUE: &str = "orders";
/// A role that `cargo xtask postgres` makes, with its name as its password.
pub const WHO: &str = "bench";

pub struct World<'a> {
    pub node: &'a NodeArguments,
    peers: &'a PeerArguments,
    pub rows: u64,
    pub kafka: Kafka,
    pub postgres_port: String,
    pub amqp: String,
    servers: Vec<Program>,
}

impl<'a> World<'a> {
    pub fn start(node: &'a NodeArguments, peers: &'a PeerArguments, rows: u64) -> Result<World<'a>> {
        let status = peers
            .xtask()
            .args(["peers", "install", "debian", "kafka", "benthos", "debezium", "duckdb"])
            .status()
            .context("cannot run xtask")?;
        ensure!(status.success(), "the peers could not be installed");
        let serve = |name: &str| -> Result<(Program, String)> {
            let program = Program::start(peers.xtask().arg(name))?;
            let begin = format!("{name} listening on ");
            let address =
                program.wait_for(START_LIMIT, |line| line.strip_prefix(&begin).map(str::to_owned))?;
            Ok((program, address))
        };
        let (postgres, address) = serve("postgres")?;
        let (rabbitmq, amqp) = serve("rabbitmq")?;
        let (_, port) = address.rsplit_once(':').context("no port of PostgreSQL")?;
        let postgres_port = port.to_owned();
        let kafka = Kafka::start(peers)?;
        Ok(World { node, peers, rows, kafka, postgres_port, amqp, servers: vec![postgres, rabbitmq] })
    }

    /// Where xtask has installed a peer.
    pub fn folder_of(&self, name: &str) -> Result<PathBuf> {
        let output =
            self.peers.xtask().args(["peers", "folder", name]).output().context("cannot run xtask")?;
        ensure!(output.status.success(), "xtask does not know the folder of {name}");
        Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
    }

    /// What the files of the flows call `${NAME}`.
    pub fn variables(&self, folder: &Path) -> Vec<(&'static str, String)> {
        let port = &self.postgres_port;
        vec![
            ("ROWS", self.rows.to_string()),
            ("LAST", (self.rows - 1).to_string()),
            ("KAFKA", self.kafka.address.clone()),
            ("TOPIC", TOPIC.to_owned()),
            ("AMQP", self.amqp.clone()),
            ("QUEUE", QUEUE.to_owned()),
            ("PORT", port.clone()),
            ("WHO", WHO.to_owned()),
            ("PASSWORD", WHO.to_owned()),
            ("POSTGRES", format!("postgres://{WHO}:{WHO}@127.0.0.1:{port}/shop?sslmode=disable")),
            ("FOLDER", folder.join("files").display().to_string()),
        ]
    }

    /// The node with a file of `node/`, in a folder.
    pub fn job(&self, name: &str, folder: &Path) -> Result<Command> {
        let mut command = Command::new(self.node.binary()?);
        command.arg("run").arg(file(&format!("node/{name}.sql"))).arg("--data").arg(folder.join("data"));
        command.args(["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"]).current_dir(folder);
        for (name, value) in self.variables(folder) {
            command.args(["--var", &format!("{name}={value}")]);
        }
        Ok(command)
    }

    /// Runs a file of the node that ends, to make what a flow reads.
    pub fn fill(&self, name: &str) -> Result<()> {
        let scratch = self.node.scratch()?;
        let output = self.job(name, scratch.path())?.stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
        self.node.settle(scratch)
    }

    /// Benthos with a file of `benthos/`.
    pub fn benthos(&self, name: &str, folder: &Path) -> Result<Command> {
        let mut command = Command::new(self.folder_of("benthos")?.join("benthos"));
        command.args(["run", "--log.level", "error"]).arg(file(&format!("benthos/{name}.yaml")));
        command.envs(self.variables(folder)).current_dir(folder);
        Ok(command)
    }

    /// Debezium, with PostgreSQL's connector.
    pub fn debezium(&self, topic: &str, folder: &Path) -> Result<Command> {
        let mut command = Command::new("java");
        command.args(["-Xmx1g", "-cp", &format!("{}/*", self.folder_of("debezium")?.join("jars").display())]);
        command.arg(file("debezium/Changes.java"));
        command.args([&self.postgres_port, WHO, &self.kafka.address, topic]).arg(folder).current_dir(folder);
        Ok(command)
    }

    pub fn psql(&self, sql: &str) -> Result<String> {
        let mut command = Command::new("psql");
        command.args(["-qXAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &self.postgres_port]);
        command.args(["-U", WHO, "-d", "shop", "-c", sql]).env("PGPASSWORD", WHO);
        let output = command.stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// How many rows the files of a folder hold.
    pub fn rows_in_files(&self, folder: &Path) -> Result<u64> {
        let program = self.folder_of("duckdb")?.join("bin").join("python");
        let script = "import duckdb\nprint(duckdb.sql(\"SELECT count(DISTINCT id) FROM read_parquet('**/*.parquet')\").fetchall()[0][0])";
        let output = Command::new(program).args(["-c", script]).current_dir(folder).output()?;
        ensure!(output.status.success(), "duckdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        for server in self.servers.drain(..) {
            // One that does not end in time is killed.
            let _ = server.end_input(START_LIMIT);
        }
    }
}

fn file(name: &str) -> PathBuf {
    checkout().join(FILES).join(name)
}

/// The end of a topic's only partition; 0 while it is not there.
pub fn end(address: &str, topic: &str) -> Result<u64> {
    let mut client = Client::connect(address, "benches")?;
    match client.list_offsets_isolated(topic, 0, OffsetSpec::Latest, Isolation::ReadUncommitted) {
        Ok(listed) => Ok(u64::try_from(listed.offset)?),
        Err(error) if error.kind() != base::ErrorKind::Invalid => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Up to where a group has committed the topic of orders.
pub fn committed(address: &str, group: &str) -> Result<u64> {
    let mut client = Client::connect(address, "benches")?;
    let found = client.offset_fetch(group)?.into_iter().find(|offset| offset.topic == TOPIC);
    Ok(found.map_or(0, |offset| offset.offset.max(0) as u64))
}
