//! The node under test: which program it is, how it is started, and where it serves Kafka clients.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use kafka_client::Client;

use crate::program::Program;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const CLIENT: &str = "benches";

/// Which program is measured, and where it keeps its data.
#[derive(Debug, Clone, Args)]
pub struct NodeArguments {
    /// The program to measure [default: release/eventwright in cargo's target folder]
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// The arguments that start a node, separated by blanks
    #[arg(long, value_name = "WORDS", default_value = "start --data {data} --kafka {address}")]
    pub start_arguments: String,
    /// Existing folder for data directories and the raw files beside them: it chooses the disk [default: temporary files]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

impl NodeArguments {
    pub fn binary(&self) -> Result<PathBuf> {
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => target_folder().join("release").join("eventwright"),
        };
        if !binary.is_file() {
            bail!(
                "no file={}; build it with: cargo build --release, or name another with --binary",
                binary.display()
            );
        }
        // Programs are started in other folders.
        Ok(binary.canonicalize()?)
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// A new folder that goes with the guard.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("eventwright-bench-").tempdir_in(self.folder())?)
    }

    /// Removes a folder and waits until the file system is done with it: a removal of gigabytes goes on in the background,
    /// and whoever syncs next pays for it.
    pub fn settle(&self, scratch: tempfile::TempDir) -> Result<()> {
        scratch.close()?;
        rustix::fs::syncfs(File::open(self.folder())?)?;
        Ok(())
    }

    /// Starts a node on a free port.
    pub fn start(&self, data: &Path) -> Result<Node> {
        let words = self.start_arguments.split_whitespace();
        let data = data.display().to_string();
        let words = words.map(|word| word.replace("{data}", &data).replace("{address}", "127.0.0.1:0"));
        let program = Program::start(Command::new(self.binary()?).args(words))?;
        let address = program.wait_for(START_LIMIT, listening)?;
        Ok(Node { program, address })
    }
}

/// A running node.
pub struct Node {
    program: Program,
    pub address: String,
}

impl Node {
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    pub fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.address, CLIENT)?)
    }

    /// Where it serves HTTP.
    pub fn http(&self) -> Result<String> {
        self.program.wait_for(START_LIMIT, |line| line.strip_prefix("http ").and_then(listening))
    }

    pub fn stop(self) -> Result<()> {
        self.program.stop(STOP_LIMIT)
    }
}

/// The root of the checkout: the one that cargo runs this program in, or else that it was built from.
pub fn checkout() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let package = PathBuf::from(package);
        package.parent().map_or(package.clone(), Path::to_path_buf)
    });
    &ROOT
}

fn target_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => checkout().join(folder),
        None => checkout().join("target"),
    }
}

/// The address in a line such as `kafka listening on 127.0.0.1:40123`.
pub fn listening(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::listening;

    #[test]
    fn finds_the_address() {
        assert_eq!(listening("kafka listening on 127.0.0.1:40123"), Some("127.0.0.1:40123".to_owned()));
        assert_eq!(listening("data in there"), None);
    }
}
