//! Runs SQL files on Apache Flink, with parallelism 1 and in one process, against any Kafka cluster.
//!
//! The work is done by `tests/flink/runner/FlinkRun.java`, compiled here against the installed jars. It fills the
//! cluster's address into the `kafka` and `upsert-kafka` tables; nothing else of a file is changed, which is what makes it a reference.

mod exactly_once;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::proofs::{self, Proof};
use crate::{compared, example, peers, places, process};

pub use exactly_once::run as exactly_once;

const COMPILE_LIMIT: Duration = Duration::from_secs(300);
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// All expressions and statements of the differential suite.
const SUITE_LIMIT: Duration = Duration::from_secs(3600);

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
    let mut command = command(&file, bootstrap, options, &[], scratch.path())?;
    command.current_dir(places::root());
    // A job over unbounded sources has no deadline: it runs until it is stopped.
    process::run(&mut command, Duration::MAX)
}

/// Runs a bounded file with `folder` as working directory, and returns what its `print` tables printed.
pub fn run_to_end(file: &Path, bootstrap: &str, folder: &Path) -> Result<String> {
    run_to_end_with(file, bootstrap, folder, &[])
}

/// Like [`run_to_end`], with more on the class path.
pub fn run_to_end_with(file: &Path, bootstrap: &str, folder: &Path, class_path: &[String]) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let mut command = command(file, bootstrap, &[], class_path, scratch.path())?;
    process::output(command.current_dir(folder), RUN_LIMIT)
}

/// Runs the differential suite's program, which gets a runner of Flink that it can start with `java @FILE`; what it
/// printed.
pub fn differential(arguments: &[String], limit: Duration) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    // Queries that fail are what is looked for, so Flink keeps silent about them. They are many and small: what the
    // better compiler costs never comes back.
    let options = ["-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=256m", "-XX:+UseSerialGC"];
    let mut runner = options.map(str::to_owned).to_vec();
    runner.extend(java("FlinkEval", &LOGGING.replace("=ERROR", "=OFF"), &[], scratch.path())?);
    let quoted: Vec<String> = runner.iter().map(|word| format!("\"{word}\"\n")).collect();
    let file = scratch.path().join("flink-eval");
    std::fs::write(&file, quoted.concat())?;
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // The folder stays the caller's, whose files are named.
    command.args(["run", "--quiet", "--package", "differential", "--"]).args(arguments);
    let finished = process::capture_shown(command.env("FLINK_EVAL", &file), limit)?;
    ensure!(finished.status.success(), "differential ended with {}", finished.status);
    Ok(finished.stdout)
}

/// Runs a file on Flink and on our side, and prints where the two differ.
pub fn beside(command: &str, file: &Path, all: bool) -> Result<()> {
    let all = all.then(|| "--all".to_owned());
    let words = [command.to_owned(), file.display().to_string()];
    differential(&words.into_iter().chain(all).collect::<Vec<_>>(), SUITE_LIMIT).map(drop)
}

/// Makes golden files of the differential suite anew: `expressions` or `statements`, the named or all.
pub fn make_suite_golden(what: &str, names: &[String]) -> Result<()> {
    let arguments = [&[format!("golden-{what}")], names].concat();
    differential(&arguments, SUITE_LIMIT).map(drop)
}

/// Compares random expressions and queries for a while, and adds to the ledger of proofs.
pub fn fuzz(minutes: f64, seed: u64) -> Result<()> {
    println!("fuzz: seed={seed}");
    let arguments = ["fuzz".to_owned(), minutes.to_string(), seed.to_string()];
    let limit = Duration::from_secs_f64(minutes * 60.0) + SUITE_LIMIT;
    let start = Instant::now();
    let printed = differential(&arguments, limit)?;
    let last = printed.lines().last().unwrap_or_default();
    let numbers: Vec<u64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
    let &[expressions, queries, mismatches] = numbers.as_slice() else {
        bail!("the differential suite's last line is {last}");
    };
    proofs::append(&Proof {
        command: format!("flink fuzz --seed {seed} ({expressions} expressions, {queries} queries)"),
        seeds: 1,
        minutes: start.elapsed().as_secs_f64() / 60.0,
        failures: mismatches,
        ..Proof::default()
    })
}

fn command(
    file: &Path,
    bootstrap: &str,
    options: &[String],
    class_path: &[String],
    scratch: &Path,
) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(java("FlinkRun", LOGGING, class_path, scratch)?).arg(file).args(["--bootstrap", bootstrap]);
    for option in options {
        command.args(["--set", option]);
    }
    Ok(command)
}

/// Compiles the runners, and returns what `java` is given to run one of them.
fn java(class: &str, logging: &str, more: &[String], scratch: &Path) -> Result<Vec<String>> {
    let class_path = peers::flink_class_path()?;
    let sources = ["FlinkRun.java", "FlinkEval.java", "CountChar.java"]
        .map(|name| places::root().join("tests/flink/runner").join(name));
    let classes = scratch.join("classes");
    process::run(
        Command::new("javac").args(["-cp", &class_path, "-d"]).arg(&classes).args(sources),
        COMPILE_LIMIT,
    )?;
    let logging_file = scratch.join("log4j2.properties");
    std::fs::write(&logging_file, logging)?;

    let mut words =
        vec!["-Xmx1500m".to_owned(), format!("-Dlog4j2.configurationFile={}", logging_file.display())];
    let opened = OPENED_PACKAGES.iter();
    words.extend(opened.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")));
    let class_path = [&[classes.display().to_string()], more, &[class_path]].concat().join(":");
    words.extend(["-cp".to_owned(), class_path, class.to_owned()]);
    Ok(words)
}
