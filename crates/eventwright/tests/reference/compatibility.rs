//! `docs/compatibility.md`: the broker's table of APIs beside Kafka's and beside what each client calls, and how the test
//! suites of others fare.
//!
//! The facts lie in `tests`: `tests/suites/SUITE/passing.txt` and `kafka.txt` (lists that only grow), `calls.txt` (the APIs
//! that a client called while its suite passed), `tests/suites/kafka-apis.txt` (the APIs of Apache Kafka) and
//! `tests/suites/gaps.txt` (why a test that Kafka passes does not pass here).

use broker::api::APIS;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// What is run: a column's head, the program behind it, and where what it calls is noted.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("Java", "kafka-clients 4.3.1", "clients/calls/java-clients.txt"),
    ("tools", "Apache Kafka's command line tools 4.3.1", "clients/calls/java-console.txt"),
    ("Spark", "Spark 4.2.0, with kafka-clients 3.9", "suites/spark/calls.txt"),
    ("Storm", "Storm 2.8.3, with kafka-clients 4.3.1", "suites/storm/calls.txt"),
    ("Pekko", "Pekko's Kafka connectors 1.1.0 (Scala), with kafka-clients 3.8", "suites/scala/calls.txt"),
    ("librdkafka", "librdkafka 2.15.1, its own tests", "suites/librdkafka/calls.txt"),
    ("Python C", "confluent-kafka 2.16.1 (Python)", "clients/calls/python-confluent.txt"),
    ("kcat", "kcat of Debian", "clients/calls/kcat.txt"),
    ("franz-go", "franz-go 1.22.3 (Go), its own tests", "suites/franz-go/calls.txt"),
    ("Python", "kafka-python 3.0.12, its own tests", "suites/kafka-python/calls.txt"),
    ("kafkajs", "kafkajs 2.2.4 (Node.js)", "clients/calls/kafkajs.txt"),
];

/// Suites of others and for others: name, and what it is.
const SUITES: &[(&str, &str)] = &[
    (
        "franz-go",
        "the tests of franz-go that speak to a broker: groups, transactions, share groups, each with many clients",
    ),
    ("librdkafka", "the regression tests of librdkafka that speak to a broker"),
    ("librdkafka-no-auto-create", "those that want topics not to be created by being named"),
    ("librdkafka-consumer-protocol", "those with groups, with the protocol of KIP-848"),
    ("librdkafka-share", "those of share groups (KIP-932)"),
    ("kafka-python", "the integration tests of kafka-python"),
    ("spark", "Spark Structured Streaming's source and sink"),
    ("storm", "Storm's KafkaSpout and KafkaBolt on a local cluster"),
    ("scala", "Pekko's Kafka connectors, in Scala"),
];

pub fn page(made: &str) -> String {
    let mut page = format!(
        "# Compatibility with Apache Kafka\n\nWhat clients of Apache Kafka call, what this broker answers, and how their own tests fare on it. \
Where the answers differ on purpose stands in [FINDINGS.md](../FINDINGS.md). {made}\n"
    );
    suites(&mut page);
    gaps(&mut page);
    apis(&mut page);
    page
}

fn suites(page: &mut String) {
    page.push_str(
        "\n## Suites\n\nEach runs by one command, `cargo xtask suites NAME`, on a node that is started for it, and with `--kafka` on an Apache \
Kafka 4.3.1 of one node. A test that has passed once must pass ever after. Those with a *yes* run their quick tests in `cargo xtask test`. \
The clients' suites of our own (`cargo xtask clients`) pass check by check on both.\n\n\
| Suite | What it is | Tests that pass here | on Kafka | in the test command |\n|---|---|---|---|---|\n",
    );
    for (name, what) in SUITES {
        let quick = if list(name, "quick.txt").is_empty() { "no" } else { "yes" };
        let (here, kafka) = (list(name, "passing.txt").len(), list(name, "kafka.txt").len());
        writeln!(page, "| `{name}` | {what} | {here} | {kafka} | {quick} |").unwrap();
    }
}

/// The tests that pass on Kafka and not here; each has its reason, and no reason is left over.
fn gaps(page: &mut String) {
    page.push_str("\n## Tests that pass on Kafka and not here\n\n");
    let text = read("suites/gaps.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut reasons: BTreeMap<(&str, &str), &str> = lines
        .map(|line| {
            let (test, reason) = line.split_once(" # ").expect("a gap has a reason behind ` # `");
            let (suite, test) = test.split_once(' ').expect("a gap names the suite and the test");
            ((suite, test), reason)
        })
        .collect();
    let mut rows = String::new();
    for (suite, _) in SUITES {
        let passing = list(suite, "passing.txt");
        for test in list(suite, "kafka.txt").into_iter().filter(|test| !passing.contains(test)) {
            let found = reasons.keys().find(|(of, gap)| of == suite && *gap == test).copied();
            let reason = found.and_then(|gap| reasons.remove(&gap));
            let reason =
                reason.unwrap_or_else(|| panic!("tests/suites/gaps.txt has no reason for {suite} {test}"));
            writeln!(rows, "| `{suite}` | `{test}` | {reason} |").unwrap();
        }
    }
    assert!(reasons.is_empty(), "tests/suites/gaps.txt has reasons for what is no gap: {:?}", reasons.keys());
    match rows.is_empty() {
        true => page.push_str("None.\n"),
        false => write!(page, "| Suite | Test | Why |\n|---|---|---|\n{rows}").unwrap(),
    }
}

fn apis(page: &mut String) {
    page.push_str(
        "\n## APIs\n\nThe versions that this broker advertises, those of Apache Kafka 4.3.1, and those that each client called while its suite \
passed here; the suites do not call all that a client can.\n\n",
    );
    for (head, client, _) in CLIENTS {
        writeln!(page, "- **{head}**: {client}").unwrap();
    }
    let calls: Vec<BTreeMap<i16, BTreeSet<i16>>> = CLIENTS.iter().map(|(.., file)| called(file)).collect();
    page.push_str("\n| Key | API | here | Kafka |");
    CLIENTS.iter().for_each(|(head, ..)| write!(page, " {head} |").unwrap());
    write!(page, "\n|---|---|---|---|{}\n", "---|".repeat(CLIENTS.len())).unwrap();
    for (key, (versions, name)) in kafka_apis() {
        let own = APIS.iter().find(|api| api.key as i16 == key);
        let here = own.map_or("–".to_owned(), |api| range(api.advertised_min, api.versions.1));
        let called: Vec<String> =
            calls.iter().map(|calls| calls.get(&key).map_or(String::new(), shown)).collect();
        let missing = own.is_none() && called.iter().any(|versions| !versions.is_empty());
        assert!(!missing, "a client called {name}, which is not there; record the suites again");
        writeln!(
            page,
            "| {key} | {name} | {here} | {} | {} |",
            versions.replace('-', "–"),
            called.join(" | ")
        )
        .unwrap();
    }
    for api in APIS {
        assert!(kafka_apis().contains_key(&(api.key as i16)), "Kafka has no {:?}", api.key);
    }
}

/// Kafka's APIs: versions and name by number.
fn kafka_apis() -> BTreeMap<i16, (String, String)> {
    let text = read("suites/kafka-apis.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let key = words.next().and_then(|key| key.parse().ok()).expect("a line begins with a number");
            (key, (words.next().expect("versions"), words.next().expect("a name")))
        })
        .collect()
}

/// What a client called: versions by the number of the API.
fn called(file: &str) -> BTreeMap<i16, BTreeSet<i16>> {
    let text = read(file);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (key, versions) = line.split_once(": ").expect("a line has a number and versions");
            let versions = versions.split(' ').map(|version| version.parse().expect("a version"));
            (key.parse().expect("a number"), versions.collect())
        })
        .collect()
}

/// Versions as runs: `0, 3–5`.
fn shown(versions: &BTreeSet<i16>) -> String {
    let mut runs: Vec<(i16, i16)> = Vec::new();
    for version in versions {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *version => *last = *version,
            _ => runs.push((*version, *version)),
        }
    }
    runs.into_iter().map(|(first, last)| range(first, last)).collect::<Vec<_>>().join(", ")
}

fn range(first: i16, last: i16) -> String {
    if first == last { first.to_string() } else { format!("{first}–{last}") }
}

fn list(suite: &str, name: &str) -> Vec<String> {
    let text = read(&format!("suites/{suite}/{name}"));
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|test| !test.is_empty()).map(str::to_owned).collect()
}

/// A file of `tests`; one that is not there says nothing.
fn read(name: &str) -> String {
    fs::read_to_string(tests().join(name)).unwrap_or_default()
}

fn tests() -> PathBuf {
    super::package().join("../../tests")
}
