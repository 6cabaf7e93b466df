//! Reads a whole topic back with kcat, from a real cluster or from our node alike.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process;

const READ_LIMIT: Duration = Duration::from_secs(120);

/// The values of all records of a topic from its beginning to its present end, in order of each partition.
pub fn read(bootstrap: &str, topic: &str) -> Result<Vec<String>> {
    let text = process::output(
        Command::new("kcat").args([
            "-C",
            "-q",
            "-e",
            "-b",
            bootstrap,
            "-t",
            topic,
            "-o",
            "beginning",
            "-f",
            "%s\\n",
            "-X",
            "allow.auto.create.topics=false",
        ]),
        READ_LIMIT,
    )?;
    Ok(text.lines().map(str::to_owned).collect())
}
