//! Runs SQL files on Apache Flink, with parallelism 1 and in one process, against any Kafka cluster.
//!
//! The work is done by `tests/flink/runner/FlinkRun.java`, compiled here against the installed jars. It fills the
//! cluster's address into the `kafka` and `upsert-kafka` tables; nothing else of a file is changed, which is what makes it a reference.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{compared, example, peers, places, process};

const COMPILE_LIMIT: Duration = Duration::from_secs(60);
const RUN_LIMIT: Duration = Duration::from_secs(600);

/// Flink reaches into the JDK with reflection; these are the packages that it asks for.
const OPENED_PACKAGES: &[&str] = &[
    "java.io",
    "java.lang",
    "java.lang.reflect",
    "java.net",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
    "sun.nio.ch",
];

const LOGGING: &str = "rootLogger.level=ERROR
rootLogger.appenderRef.stderr.ref=STDERR
appender.stderr.type=Console
appender.stderr.name=STDERR
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=%d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
";

const FLIGHTS: &str = "flights";

/// Makes the golden rows anew, of the named files or of all.
pub fn make_golden(names: &[String]) -> Result<()> {
    if names.is_empty() || names.iter().any(|name| name == FLIGHTS) {
        example::make_golden().with_context(|| format!("cannot make the golden rows of {FLIGHTS}"))?;
    }
    let mut wanted = if names.is_empty() { compared::all()? } else { Vec::new() };
    for name in names.iter().filter(|name| *name != FLIGHTS) {
        wanted.extend(compared::named(name)?);
    }
    for compared in wanted {
        compared
            .make_golden()
            .with_context(|| format!("cannot make the golden rows of {}", compared.name))?;
    }
    Ok(())
}

/// Runs a file in the checkout and shows what it prints, until it ends or is interrupted.
pub fn run(file: &Path, bootstrap: &str, options: &[String]) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let file = file.canonicalize().with_context(|| format!("cannot find file={}", file.display()))?;
    let mut command = command(&file, bootstrap, options, scratch.path())?;
    command.current_dir(places::root());
    // A job over unbounded sources has no deadline: it runs until it is stopped.
    process::run(&mut command, Duration::MAX)
}

/// Runs a bounded file with `folder` as working directory, and returns what its `print` tables printed.
pub fn run_to_end(file: &Path, bootstrap: &str, folder: &Path) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let mut command = command(file, bootstrap, &[], scratch.path())?;
    process::output(command.current_dir(folder), RUN_LIMIT)
}

fn command(file: &Path, bootstrap: &str, options: &[String], scratch: &Path) -> Result<Command> {
    let class_path = peers::flink_class_path()?;
    let sources =
        ["FlinkRun.java", "CountChar.java"].map(|name| places::root().join("tests/flink/runner").join(name));
    let classes = scratch.join("classes");
    process::run(
        Command::new("javac").args(["-cp", &class_path, "-d"]).arg(&classes).args(sources),
        COMPILE_LIMIT,
    )?;
    let logging = scratch.join("log4j2.properties");
    std::fs::write(&logging, LOGGING)?;

    let mut command = Command::new("java");
    command.arg("-Xmx1500m").arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
    for package in OPENED_PACKAGES {
        command.arg(format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
    }
    command.arg("-cp").arg(format!("{}:{class_path}", classes.display()));
    command.arg("FlinkRun").arg(file).args(["--bootstrap", bootstrap]);
    for option in options {
        command.args(["--set", option]);
    }
    Ok(command)
}
