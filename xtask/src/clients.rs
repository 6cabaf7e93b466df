//! Runs the client suites of `tests/clients`: real Kafka clients against an address.
//!
//! A suite is one script that takes the bootstrap address, ends with a line `N passed, N failed` and with status 0
//! only if nothing failed. The same suites run against Apache Kafka, which shows that they ask for what Kafka
//! does, and against our node.

mod group_codes;
mod quota_codes;
mod transaction_codes;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::counts::Counts;
use crate::recorder::Recorder;
use crate::secured::Secured;
use crate::{apicurio, kafka, node, peers, places, process};

pub use group_codes::run as group_codes;
pub use quota_codes::run as quota_codes;
pub use transaction_codes::run as transaction_codes;

const SUITE_LIMIT: Duration = Duration::from_secs(600);
const COMPILE_LIMIT: Duration = Duration::from_secs(300);

/// What the suites run against.
pub enum Target {
    Address(String),
    Kafka,
    Node,
}

impl Target {
    /// The address if one is given; else an Apache Kafka, if that is wanted, or our node.
    pub fn of(bootstrap: Option<String>, kafka: bool) -> Target {
        match bootstrap {
            Some(address) => Target::Address(address),
            None if kafka => Target::Kafka,
            None => Target::Node,
        }
    }
}

type Prepare = fn() -> Result<Command>;

/// The suites, by name; the command gets the address as its last argument.
pub const SUITES: &[(&str, Prepare)] = &[
    ("kcat", kcat),
    ("python-confluent", python_confluent),
    ("python-kafka", python_kafka),
    ("kafkajs", kafkajs),
    ("java-clients", java_clients),
    ("java-share", java_share),
    ("java-console", java_console),
    ("transaction-codes", || ours("transaction-codes")),
    ("group-codes", || ours("group-codes")),
    ("quota-codes", || ours("quota-codes")),
    (SCHEMA_REGISTRY, || python("schema_registry.py")),
    ("python-websockets", || Ok(debian_python("websocket.py"))),
    ("node-ws", node_ws),
];

/// Those that ask our own HTTP port.
const OF_OUR_PORT: &[&str] = &["python-websockets", "node-ws"];

/// The one that needs more than a cluster: a registry, whose address stands in the environment.
const SCHEMA_REGISTRY: &str = "schema-registry";
const REGISTRY_VARIABLE: &str = "SCHEMA_REGISTRY";
const HTTP_VARIABLE: &str = "HTTP";

/// Those that want TLS, users and rules; they run where both are started for them.
const SECURED: &[(&str, Prepare)] = &[
    ("python-security", || python("python_security.py")),
    ("python-tokens", || python("python_tokens.py")),
    ("kafkajs-security", kafkajs_security),
    ("java-security", java_security),
];

/// Those that start our node themselves, and kill it amid their work.
const RESTARTING: &[(&str, Prepare)] =
    &[("python-group-restarts", || python("python_group_restarts.py")), ("java-restarts", java_restarts)];

/// Those of PostgreSQL's clients; they get the address of the node's PostgreSQL side.
const POSTGRESQL: &[(&str, Prepare)] =
    &[("psql", psql), ("psycopg", psycopg), ("node-pg", node_pg), ("pgjdbc", pgjdbc)];

/// Runs PostgreSQL's clients against a node.
pub fn run_postgresql(address: &str) -> Result<Counts> {
    run_suites(POSTGRESQL, address, &[], &[], false)
}

/// Runs the named suites, or all, and sums up what they counted; notes what they call, if that is wanted.
pub fn run(target: &Target, names: &[String], record: bool) -> Result<Counts> {
    let all = || SUITES.iter().chain(SECURED).chain(RESTARTING);
    for name in names {
        if !all().any(|(suite, _)| suite == name) {
            let known: Vec<&str> = all().map(|(suite, _)| *suite).collect();
            bail!("there is no suite={name}; there are {}", known.join(", "));
        }
    }
    let wanted = |suites: &[(&str, Prepare)]| {
        names.is_empty() || suites.iter().any(|(suite, _)| names.iter().any(|name| name == suite))
    };
    let mut total = Counts::default();
    if wanted(SUITES) {
        total = run_plain(target, names, record)?;
    }
    let secured = match target {
        _ if !wanted(SECURED) => None,
        Target::Address(_) => None,
        Target::Kafka => Some(Secured::kafka()?),
        Target::Node => Some(Secured::node()?),
    };
    if let Some(secured) = secured {
        let counts = run_suites(SECURED, &secured.sasl, &secured.environment(), names, false)?;
        total.add(counts);
    }
    if let (Target::Node, true) = (target, wanted(RESTARTING)) {
        let counts = run_restarting(names)?;
        total.add(counts);
    }
    Ok(total)
}

fn run_restarting(names: &[String]) -> Result<Counts> {
    let folder = tempfile::tempdir()?;
    let environment = [
        ("NODE", places::binary().display().to_string()),
        ("DATA", folder.path().join("data").display().to_string()),
    ];
    run_suites(RESTARTING, &format!("127.0.0.1:{}", kafka::lasting_port()?), &environment, names, false)
}

fn run_plain(target: &Target, names: &[String], record: bool) -> Result<Counts> {
    match target {
        Target::Address(bootstrap) => run_suites(SUITES, bootstrap, &[], names, record),
        Target::Kafka => {
            let is_wanted = names.is_empty() || names.iter().any(|name| name == SCHEMA_REGISTRY);
            let registry = if is_wanted { Some(apicurio::start()?) } else { None };
            let environment: Vec<_> =
                registry.iter().map(|registry| (REGISTRY_VARIABLE, registry.url.clone())).collect();
            run_suites(SUITES, &kafka::start()?.bootstrap, &environment, names, false)
        }
        Target::Node => {
            let folder = tempfile::tempdir()?;
            let log = folder.path().join("node.log");
            let node = node::start(&folder.path().join("data"), &log)?;
            let environment =
                [(REGISTRY_VARIABLE, format!("http://{}", node.http)), (HTTP_VARIABLE, node.http.clone())];
            let counts = run_suites(SUITES, &node.bootstrap, &environment, names, record)?;
            if counts.failed() > 0 {
                show_log(&log);
            }
            node.stop()?;
            Ok(counts)
        }
    }
}

fn run_suites(
    suites: &[(&str, Prepare)],
    bootstrap: &str,
    environment: &[(&str, String)],
    names: &[String],
    record: bool,
) -> Result<Counts> {
    let mut total = Counts::default();
    for (name, prepare) in suites {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        if *name == SCHEMA_REGISTRY && environment.is_empty() {
            println!("{name}: not run, for no registry is known beside {bootstrap}");
            continue;
        }
        if OF_OUR_PORT.contains(name) && !environment.iter().any(|(key, _)| *key == HTTP_VARIABLE) {
            println!("{name}: not run, for it asks the HTTP port of a node of ours");
            continue;
        }
        let recorder = if record { Some(Recorder::start(bootstrap)?) } else { None };
        let bootstrap = recorder.as_ref().map_or(bootstrap, |recorder| &recorder.bootstrap);
        let mut command = prepare().with_context(|| format!("suite={name}"))?;
        let counts =
            match process::capture(command.envs(environment.iter().cloned()).arg(bootstrap), SUITE_LIMIT) {
                Ok(finished) => {
                    print!("{}", indent(name, &finished.stdout));
                    let mut counts = told(name, &finished.stdout);
                    if !finished.status.success() && counts.failed() == 0 {
                        counts.fail(format!("{name}: ended with {}", finished.status));
                    }
                    println!(
                        "{name}: {} passed, {} failed, {:.1} s",
                        counts.passed,
                        counts.failed(),
                        finished.seconds
                    );
                    counts
                }
                Err(error) => Counts::failure(format!("{name}: {error:#}")),
            };
        if let Some(recorder) = recorder.filter(|_| counts.failed() == 0) {
            recorder.save(&script("calls").join(format!("{name}.txt")))?;
        }
        total.add(counts);
    }
    Ok(total)
}

fn kcat() -> Result<Command> {
    let mut command = Command::new("bash");
    command.arg(script("kcat.sh"));
    Ok(command)
}

fn python_confluent() -> Result<Command> {
    python("python_confluent.py")
}

fn python_kafka() -> Result<Command> {
    python("python_kafka.py")
}

fn python(name: &str) -> Result<Command> {
    let mut command = Command::new(peers::python_program()?);
    // No compiled files in the checkout.
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script(name));
    Ok(command)
}

/// The system's Python, with what Debian has for it.
fn debian_python(name: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script(name));
    command
}

fn node_ws() -> Result<Command> {
    let mut command = Command::new("node");
    command.env("NODE_CLIENTS", peers::node_folder()?.join("node_modules")).arg(script("websocket.mjs"));
    Ok(command)
}

fn kafkajs() -> Result<Command> {
    let mut command = Command::new("node");
    // Modules of the newer kind are not found through NODE_PATH, so the script is told where to look.
    command.env("NODE_CLIENTS", peers::node_folder()?.join("node_modules")).arg(script("kafkajs.mjs"));
    Ok(command)
}

/// Compiles the Java suites, and returns the folder of their classes.
fn java_classes() -> Result<std::path::PathBuf> {
    let jars = format!("{}/*", peers::kafka_jars()?.display());
    let classes = places::peers()?.join("java-client-classes");
    process::run(
        Command::new("javac")
            .args(["-cp", &jars, "-d"])
            .arg(&classes)
            .arg(script("java/ClientSuite.java"))
            .arg(script("java/TransactionChecks.java"))
            .arg(script("java/GroupChecks.java"))
            .arg(script("java/ShareChecks.java"))
            .arg(script("java/RestartChecks.java")),
        COMPILE_LIMIT,
    )?;
    Ok(classes)
}

fn kafkajs_security() -> Result<Command> {
    let mut command = Command::new("node");
    command
        .env("NODE_CLIENTS", peers::node_folder()?.join("node_modules"))
        .arg(script("kafkajs_security.mjs"));
    Ok(command)
}

fn java_security() -> Result<Command> {
    let mut command = Command::new("bash");
    command.env("KAFKA_JARS", peers::kafka_jars()?).arg(script("java_security.sh"));
    Ok(command)
}

fn java_clients() -> Result<Command> {
    let jars = format!("{}/*", peers::kafka_jars()?.display());
    let classes = java_classes()?;
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-cp", &format!("{}:{jars}", classes.display()), "ClientSuite"]);
    Ok(command)
}

/// Queues, in a suite of their own: they wait for locks to end.
fn java_share() -> Result<Command> {
    let mut command = java_clients()?;
    command.arg("share");
    Ok(command)
}

fn java_restarts() -> Result<Command> {
    let mut command = java_clients()?;
    command.arg("restarts");
    Ok(command)
}

fn java_console() -> Result<Command> {
    let mut command = Command::new("bash");
    command.env("KAFKA_JARS", peers::kafka_jars()?).env("CLIENT_CLASSES", java_classes()?);
    command.arg(script("java_console.sh"));
    Ok(command)
}

/// Ours, and run by this program itself, so that it is reported as the others are.
fn ours(command: &str) -> Result<Command> {
    let mut this = Command::new(std::env::current_exe()?);
    this.arg(command);
    Ok(this)
}

fn psql() -> Result<Command> {
    let mut command = Command::new("bash");
    command.arg(script("../postgresql-clients/psql.sh"));
    Ok(command)
}

fn psycopg() -> Result<Command> {
    python("../postgresql-clients/psycopg_suite.py")
}

fn node_pg() -> Result<Command> {
    let mut command = Command::new("node");
    command.env("NODE_CLIENTS", peers::node_folder()?.join("node_modules"));
    command.arg(script("../postgresql-clients/pg.mjs"));
    Ok(command)
}

fn pgjdbc() -> Result<Command> {
    let jars = format!("{}/*", peers::pgjdbc_jars()?.display());
    let classes = places::peers()?.join("pgjdbc-client-classes");
    let mut compile = Command::new("javac");
    compile.args(["-cp", &jars, "-d"]).arg(&classes).arg(script("../postgresql-clients/java/JdbcSuite.java"));
    process::run(&mut compile, COMPILE_LIMIT)?;
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-cp", &format!("{}:{jars}", classes.display()), "JdbcSuite"]);
    Ok(command)
}

fn script(name: &str) -> std::path::PathBuf {
    places::root().join("tests/clients").join(name)
}

fn indent(name: &str, text: &str) -> String {
    // The suites' own sums are left out: this program prints one for all at its end.
    text.lines().filter(|line| sums(line).is_none()).map(|line| format!("{name}: {line}\n")).collect()
}

/// What a suite says of itself: `FAILED NAME: why` of each that failed, and its sums in the last line that has any.
fn told(suite: &str, text: &str) -> Counts {
    let Some((passed, failed)) = text.lines().rev().find_map(sums) else {
        return Counts::failure(format!("{suite}: ended without a sum"));
    };
    let mut names = text.lines().filter_map(|line| line.strip_prefix("FAILED "));
    let failures =
        (0..failed).map(|_| format!("{suite}: {}", names.next().unwrap_or("a test without a name")));
    Counts::told(passed, failures.collect())
}

fn sums(line: &str) -> Option<(u64, u64)> {
    let (passed, failed) = line.trim().split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.strip_suffix(" failed")?.parse().ok()?))
}

/// Prints the end of a node's log.
pub fn show_log(path: &std::path::Path) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(40)..] {
        println!("node: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn the_last_sum_counts() {
        let text = "FAILED metadata: no\n1 passed, 1 failed\nok x\n3 passed, 2 failed\n\n";
        let counts = told("s", text);
        assert_eq!((counts.passed, counts.failed()), (3, 2));
        for without in ["3 passed", ""] {
            let counts = told("s", without);
            assert_eq!((counts.passed, counts.failed()), (0, 1));
        }
    }
}
