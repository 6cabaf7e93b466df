//! Small suites of our own for stream processors and clients that have none to borrow: each writes, reads, stops and goes
//! on from its offsets or its checkpoint, and compares the result exactly.
//!
//! A suite is a program that takes the address and a folder, and says `ok NAME (…)` or `FAILED NAME: why` of each of its
//! checks. Those on the JVM are compiled for each run, together with `Checks.java`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::report::{Outcome, Verdict};
use super::{Run, Suite};
use crate::{peers, places, process};

pub const SPARK: Suite = Suite {
    name: "spark",
    peers: &["spark"],
    node_options: &[],
    kafka_settings: "",
    run: |run| {
        let mut command = java_suite("spark", "SparkSuite", run.folder)?;
        command.arg(run.bootstrap).arg(run.folder.join("work"));
        let _ = std::fs::remove_dir_all(run.folder.join("work"));
        std::fs::create_dir_all(run.folder.join("work"))?;
        checks(run, &mut command)
    },
};

pub const STORM: Suite = Suite {
    name: "storm",
    peers: &["storm"],
    node_options: &[],
    kafka_settings: "",
    run: |run| checks(run, java_suite("storm", "StormSuite", run.folder)?.arg(run.bootstrap)),
};

pub const SCALA: Suite = Suite {
    name: "scala",
    peers: &["scala"],
    node_options: &[],
    kafka_settings: "",
    run: |run| {
        let classes = run.folder.join("classes");
        let jars = peers::maven_jars("scala")?;
        compile(&[suites().join("Checks.java")], &jars, &classes)?;
        let mut compiler = Command::new("java");
        compiler.arg("-cp").arg(all(&jars)).arg("dotty.tools.dotc.Main");
        // The compiler wants each jar by name.
        compiler.arg("-classpath").arg(format!("{}:{}", each(&jars)?, classes.display()));
        compiler.arg("-d").arg(&classes).arg(suites().join("scala/ScalaSuite.scala"));
        process::output(&mut compiler, COMPILE_LIMIT)?;
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-Dpekko.loglevel=WARNING", "-Dpekko.log-dead-letters=off", "-cp"]);
        command.arg(format!("{}:{}", all(&jars), classes.display())).arg("ScalaSuite");
        checks(run, command.arg(run.bootstrap))
    },
};

const LIMIT: Duration = Duration::from_secs(600);
const COMPILE_LIMIT: Duration = Duration::from_secs(180);

/// The packages of the JDK that Spark reaches into.
const SPARK_OPENS: &[&str] = &[
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "jdk.internal.ref",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
];

/// Compiles a suite in Java, and returns the command that runs it.
fn java_suite(name: &str, class: &str, folder: &Path) -> Result<Command> {
    let jars = peers::maven_jars(name)?;
    let classes = folder.join("classes");
    let sources = [suites().join("Checks.java"), suites().join(name).join(format!("{class}.java"))];
    compile(&sources, &jars, &classes)?;
    let mut command = Command::new("java");
    command.arg("-Xmx768m");
    command.args(SPARK_OPENS.iter().map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")));
    command.arg("-cp").arg(format!("{}:{}", all(&jars), classes.display())).arg(class);
    Ok(command)
}

fn compile(sources: &[PathBuf], jars: &Path, classes: &Path) -> Result<()> {
    let mut command = Command::new("javac");
    command.arg("-cp").arg(all(jars)).arg("-d").arg(classes).args(sources);
    process::output(&mut command, COMPILE_LIMIT).map(drop)
}

fn suites() -> PathBuf {
    places::root().join("tests/suites")
}

fn all(jars: &Path) -> String {
    format!("{}/*", jars.display())
}

fn each(jars: &Path) -> Result<String> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(jars)? {
        paths.push(entry?.path().display().to_string());
    }
    Ok(paths.join(":"))
}

/// Runs the program and reads its verdicts.
fn checks(run: &Run<'_>, command: &mut Command) -> Result<Vec<Outcome>> {
    let errors = std::fs::File::create(run.folder.join("errors.txt"))?;
    let finished = process::capture(command.current_dir(run.folder).stderr(errors), LIMIT)?;
    std::fs::write(run.folder.join("output.txt"), &finished.stdout)?;
    Ok(finished.stdout.lines().filter_map(verdict).collect())
}

/// Reads `ok NAME (1.00 s)` and `FAILED NAME: why`.
fn verdict(line: &str) -> Option<Outcome> {
    let outcome = |test: &str, verdict, why: &str| {
        Some(Outcome { test: test.to_owned(), verdict, why: why.to_owned() })
    };
    if let Some(rest) = line.strip_prefix("FAILED ") {
        let (test, why) = rest.split_once(": ").unwrap_or((rest, ""));
        return outcome(test, Verdict::Failed, why);
    }
    let (test, _) = line.strip_prefix("ok ")?.rsplit_once(" (")?;
    outcome(test, Verdict::Passed, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_check_says() {
        let read = |line| verdict(line).map(|outcome| (outcome.test, outcome.verdict, outcome.why));
        let ok = |test: &str| Some((test.to_owned(), Verdict::Passed, String::new()));
        assert_eq!(read("ok batch from a time (1.36 s)"), ok("batch from a time"));
        let failed = |test: &str, why: &str| Some((test.to_owned(), Verdict::Failed, why.to_owned()));
        assert_eq!(read("FAILED offsets: Error: no"), failed("offsets", "Error: no"));
        assert_eq!(read("something else"), None);
    }
}
