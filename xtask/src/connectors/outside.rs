//! What the conformance suite needs of an outside system: a trait, implemented once for each.
//!
//! The suite's rows are numbers: `n` counts from 0, and `k` is `n % KEYS`. A trial has a [`Place`] of its own in the
//! outside system (a topic, a table, a queue, a folder), which is empty at first. In a source's trial the outside gets the
//! numbers and the node's topic `landed` must have them; in a sink's trial the node's topic `numbers` gets them and the
//! outside must have them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::gate::Gate;
use crate::process::Server;

pub const KEYS: u64 = 10;
/// Who the job is, where the outside system wants to know.
pub const USER: &str = "conformance";
/// The number that a sink's target is told to refuse.
pub const REFUSED: u64 = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Source,
    Sink,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::Source => "source",
            Direction::Sink => "sink",
        }
    }
}

/// Where the rows of a trial lie.
#[derive(Debug, Clone)]
pub struct Place {
    /// Letters, digits and underscores; no other trial has it.
    pub name: String,
    /// The trial's folder, in which the node runs.
    pub folder: PathBuf,
}

impl Place {
    /// The file with the password of [`USER`]; the table names it as `${file:PATH}`.
    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }
}

/// An outside system that a connector is tried against.
///
/// What a system does not have is left as it is here, and `exempt` says why. Every method ends by itself.
pub trait Outside {
    /// For the command line and the matrix: `kafka`.
    fn name(&self) -> &'static str;

    /// The name in `'connector' = '…'`.
    fn connector(&self) -> &'static str;

    /// The server's name and version, or what stands in for one.
    fn version(&self) -> Result<String>;

    fn directions(&self) -> &'static [Direction];

    /// A case begins, by its name: a system of several servers chooses one.
    fn begin(&mut self, _case: &str) {}

    /// Why a case (by its name) does not apply, in half a sentence.
    fn exempt(&self, _direction: Direction, _case: &str) -> Option<&'static str> {
        None
    }

    /// Whether numbers may come more than once after a failure: no more than that is promised.
    fn may_repeat(&self, _direction: Direction) -> bool {
        false
    }

    /// Whether numbers with one key come in their order, also after a failure.
    fn keeps_order(&self, _direction: Direction) -> bool {
        true
    }

    /// Whether a source reads only what is there when the job starts.
    fn is_bounded(&self) -> bool {
        false
    }

    /// Whether a source's rows may change, so that they land as changes.
    fn has_changes(&self) -> bool {
        false
    }

    /// Whether there is a server, which can be killed.
    fn has_server(&self) -> bool {
        true
    }

    /// Its process, where there is one.
    fn server(&self) -> Result<&Server> {
        bail!("there is no server")
    }

    /// Starts the server on the data that it has; it is up when this returns. A stand-in that keeps nothing was not ended: the
    /// way to it opens again.
    fn start(&mut self) -> Result<()> {
        self.gate()?.open();
        Ok(())
    }

    /// Kills the server as it stands.
    fn kill(&mut self) -> Result<()> {
        self.gate()?.shut();
        Ok(())
    }

    /// Stops the server in its tracks (`SIGSTOP`): it keeps its connections and answers nothing.
    fn freeze(&mut self) -> Result<()> {
        self.server()?.freeze()
    }

    /// Lets it go on (`SIGCONT`).
    fn thaw(&mut self) -> Result<()> {
        self.server()?.thaw()
    }

    /// Through which jobs reach the server. What the suite itself does goes beside it.
    fn gate(&self) -> Result<&Gate> {
        bail!("there is no network")
    }

    /// Makes the place, empty.
    fn prepare(&mut self, place: &Place, direction: Direction) -> Result<()>;

    /// What stands behind WITH, without the brackets. Time-outs are short: a few seconds.
    fn options(&self, place: &Place, direction: Direction) -> String;

    /// What stands behind the columns in a sink's table: `, PRIMARY KEY (n) NOT ENFORCED`.
    fn key(&self) -> &'static str {
        ""
    }

    /// What stands behind the columns in a source's table.
    fn source_columns(&self) -> &'static str {
        ""
    }

    /// Puts numbers into the place, each once.
    fn put(&mut self, _place: &Place, _numbers: Range<u64>) -> Result<()> {
        bail!("it is no source")
    }

    /// The numbers that lie in the place, those of a key in their order.
    fn read(&mut self, _place: &Place) -> Result<Vec<u64>> {
        bail!("it is no sink")
    }

    /// How a password is written where the job reads it.
    fn password(&self, word: &str) -> String {
        word.to_owned()
    }

    /// Gives [`USER`] another password, for new connections. The server starts with [`FIRST_PASSWORD`].
    fn set_password(&mut self, _password: &str) -> Result<()> {
        bail!("it has no users")
    }

    /// What the server says to a wrong password, in part.
    fn refusal(&self) -> &'static str {
        "password"
    }

    /// Puts a record that no row can be made of; answers its bytes, as the dead letter must hold them.
    fn put_poison(&mut self, _place: &Place) -> Result<Vec<u8>> {
        bail!("it is no source")
    }

    /// Has the place refuse the number [`REFUSED`], and no other.
    fn refuse(&mut self, _place: &Place) -> Result<()> {
        bail!("it refuses nothing")
    }

    /// Makes the place anew, such that the table's columns do not fit; answers what the job must say.
    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String>;
}

/// Everybody's password at first.
pub const FIRST_PASSWORD: &str = "first-Secret-1";

/// A number as the suite writes it in JSON.
pub fn json(n: u64) -> String {
    format!("{{\"k\":{},\"n\":{n}}}", n % KEYS)
}

/// The folder of a trial as an option's text.
pub fn text(path: &Path) -> String {
    path.display().to_string().replace('\'', "''")
}
