//! A Flink in a process of its own that answers commands: `FlinkEval.java`, prepared by `cargo xtask flink`.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Names the file with the arguments for `java`.
const PREPARED: &str = "FLINK_EVAL";

/// Begins an answer; other lines are what the JVM has to say.
const ANSWER: &str = "ANSWER ";

pub struct Flink {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Flink {
    pub fn start() -> Result<Flink> {
        let Some(prepared) = std::env::var_os(PREPARED) else {
            bail!("{PREPARED} is not set; this runs under cargo xtask flink");
        };
        let mut process = Command::new("java")
            .arg(format!("@{}", prepared.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start java")?;
        let commands = process.stdin.take().context("no pipe to Flink")?;
        let answers = BufReader::new(process.stdout.take().context("no pipe from Flink")?);
        Ok(Flink { process, commands, answers })
    }

    /// Evaluates a file of expressions and writes the results into another; a sentence about it.
    pub fn expressions(&mut self, written: &Path, results: &Path) -> Result<String> {
        self.run("expressions", &[written, results])
    }

    /// Runs a file of statements and writes the results into another; a sentence about it.
    pub fn statements(&mut self, written: &Path, results: &Path) -> Result<String> {
        self.run("statements", &[&crate::statements::data_folder(), written, results])
    }

    fn run(&mut self, command: &str, paths: &[&Path]) -> Result<String> {
        let paths = paths.iter().map(|path| Ok(std::path::absolute(path)?.display().to_string()));
        let paths = paths.collect::<Result<Vec<String>>>()?;
        ensure!(paths.iter().all(|path| !path.contains(' ')), "no blanks in {}", paths.join(" and "));
        writeln!(self.commands, "{command} {}", paths.join(" "))?;
        self.commands.flush()?;
        let answer = loop {
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            ensure!(!line.is_empty(), "Flink has ended");
            if let Some(answer) = line.strip_prefix(ANSWER) {
                break answer.to_string();
            }
        };
        ensure!(!answer.starts_with("error: "), "Flink on {}: {}", paths.join(" "), answer.trim());
        Ok(answer.trim().to_string())
    }
}

impl Drop for Flink {
    fn drop(&mut self) {
        // It may be amid a query that nobody waits for any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
