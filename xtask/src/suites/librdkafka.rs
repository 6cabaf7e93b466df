//! The regression tests of librdkafka that speak to a broker, each in a process of its own.
//!
//! What the tests expect of a cluster: topics of four partitions when they are created by being named, access rules, and
//! Kafka's command line tools (`KAFKA_PATH`). Two more suites are the same tests otherwise set up: without automatic
//! creation of topics, and with the consumer group protocol of KIP-848; the tests of share groups, which take long, are one
//! more. Tests of the library's own mock cluster are left out.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::{Outcome, Verdict};
use super::{Run, Suite};
use crate::{peers, process, versions};

const PEERS: &[&str] = &["debian", "kafka", "librdkafka"];

pub const SUITE: Suite = Suite {
    name: "librdkafka",
    peers: PEERS,
    node_options: &["--set", "num.partitions=4", "--set", "allow.everyone.if.no.acl.found=true"],
    kafka_settings: "num.partitions=4
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
",
    run: |run| all(run, NUMBERS, &[]),
};

pub const NO_AUTO_CREATE: Suite = Suite {
    name: "librdkafka-no-auto-create",
    peers: PEERS,
    node_options: &["--set", "num.partitions=4", "--set", "auto.create.topics.enable=false"],
    kafka_settings: "num.partitions=4\nauto.create.topics.enable=false\n",
    run: |run| all(run, &["0045", "0107", "0111"], &[("TEST_SCENARIO", "noautocreate")]),
};

pub const CONSUMER_PROTOCOL: Suite = Suite {
    name: "librdkafka-consumer-protocol",
    run: |run| all(run, GROUPS, &[("TEST_CONSUMER_GROUP_PROTOCOL", "consumer")]),
    ..SUITE
};

/// As librdkafka sets up its own brokers: locks may be as short as a second.
pub const SHARE_GROUPS: Suite = Suite {
    name: "librdkafka-share",
    node_options: &["--set", "num.partitions=4", "--set", "group.share.min.record.lock.duration.ms=1000"],
    kafka_settings: "num.partitions=4\ngroup.share.min.record.lock.duration.ms=1000\n",
    run: |run| all(run, SHARE, &[]),
    ..SUITE
};

/// No test takes so long; one that hangs is stopped.
const LIMIT: Duration = Duration::from_secs(900);

/// So many processes run at once: the tests mostly wait.
const AT_ONCE: usize = 3;

/// The numbers of the tests that speak to a broker without security.
const NUMBERS: &[&str] = &[
    "0001", "0002", "0003", "0005", "0007", "0008", "0011", "0012", "0013", "0014", "0015", "0016", "0017",
    "0018", "0019", "0020", "0021", "0022", "0026", "0028", "0029", "0030", "0031", "0033", "0034", "0035",
    "0036", "0038", "0039", "0040", "0041", "0042", "0044", "0045", "0047", "0048", "0049", "0050", "0051",
    "0052", "0053", "0054", "0055", "0056", "0057", "0059", "0060", "0061", "0063", "0064", "0065", "0067",
    "0068", "0069", "0070", "0073", "0075", "0076", "0077", "0081", "0082", "0083", "0084", "0085", "0086",
    "0088", "0089", "0090", "0091", "0092", "0093", "0094", "0098", "0099", "0101", "0102", "0103", "0109",
    "0110", "0112", "0113", "0114", "0115", "0118", "0119", "0122", "0123", "0125", "0127", "0129", "0130",
    "0132", "0137", "0140",
];

/// Those of share groups (KIP-932).
const SHARE: &[&str] = &[
    "0170", "0171", "0172", "0173", "0174", "0175", "0176", "0177", "0178", "0179", "0180", "0181", "0184",
    "0185", "0190",
];

/// Those that have consumers in groups.
const GROUPS: &[&str] = &[
    "0014", "0018", "0019", "0022", "0026", "0029", "0030", "0033", "0040", "0041", "0042", "0045", "0050",
    "0051", "0056", "0060", "0061", "0067", "0069", "0081", "0082", "0085", "0089", "0091", "0093", "0098",
    "0102", "0112", "0113", "0118", "0122", "0127", "0129", "0130", "0132", "0137", "0140",
];

/// Tests that leave out most of their parts when they are to be quick.
const WHOLE: &[&str] = &[
    "0018", "0019", "0026", "0045", "0050", "0061", "0089", "0102", "0122", "0127", "0132", "0137", "0170",
    "0171", "0172", "0173", "0174", "0175", "0176", "0177", "0178", "0179", "0180", "0181", "0184", "0185",
];

/// Tests whose parts run alone, so that what fails first does not hide the others.
const IN_PARTS: &[(&str, &[&str])] = &[(
    "0081",
    &[
        "do_test_CreateTopics",
        "do_test_DeleteTopics",
        "do_test_CreatePartitions",
        "do_test_CreateAcls",
        "do_test_DescribeAcls",
        "do_test_DeleteAcls",
        "do_test_AlterConfigs",
        "do_test_IncrementalAlterConfigs",
        "do_test_DescribeConfigs",
        "do_test_DeleteRecords",
        "do_test_ListConsumerGroups",
        "do_test_DescribeConsumerGroups",
        "do_test_DescribeTopics",
        "do_test_DescribeCluster",
        "do_test_DeleteGroups",
        "do_test_DeleteConsumerGroupOffsets",
        "do_test_ListOffsets",
        "do_test_AlterConsumerGroupOffsets",
        "do_test_ListConsumerGroupOffsets",
        "do_test_UserScramCredentials",
    ],
)];

fn all(run: &Run<'_>, numbers: &[&str], environment: &[(&str, &str)]) -> Result<Vec<Outcome>> {
    let configuration = run.folder.join("test.conf");
    std::fs::write(
        &configuration,
        format!("bootstrap.servers={}\ntest.topic.random=true\ntest.timeout.multiplier=3\n", run.bootstrap),
    )?;
    let mut wanted = Vec::new();
    for number in numbers {
        // A test's name begins with its number, of which it may be one of several.
        let is_named = |part: Option<&str>| {
            run.only.is_none_or(|only| {
                only.iter().filter(|test| test.starts_with(number)).any(|test| {
                    let of_test = test.split_once('/').map(|(_, part)| part);
                    of_test.is_none() || of_test == part
                })
            })
        };
        let parts = IN_PARTS.iter().find(|(in_parts, _)| in_parts == number);
        let parts = parts.map_or(vec![None], |(_, parts)| parts.iter().copied().map(Some).collect());
        wanted.extend(parts.into_iter().filter(|part| is_named(*part)).map(|part| (*number, part)));
    }
    let (next, outcomes) = (Mutex::new(wanted.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let taken = lock(&next).next();
                    let Some((number, part)) = taken else { break };
                    let of_one = one(run, number, part, environment).unwrap_or_else(|error| {
                        let test = part.map_or(number.to_owned(), |part| format!("{number}/{part}"));
                        vec![Outcome { test, verdict: Verdict::Failed, why: format!("{error:#}") }]
                    });
                    for outcome in &of_one {
                        println!("{} {}", outcome.verdict.word(), outcome.test);
                    }
                    lock(&outcomes).extend(of_one.into_iter().filter(|outcome| run.wants(&outcome.test)));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by(|one: &Outcome, other| one.test.cmp(&other.test));
    Ok(outcomes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the tests with this number, or one part of them.
fn one(
    run: &Run<'_>,
    number: &str,
    part: Option<&str>,
    environment: &[(&str, &str)],
) -> Result<Vec<Outcome>> {
    let build = peers::librdkafka_folder()?;
    let sources = peers::librdkafka_sources()?;
    let name = part.map_or(number.to_owned(), |part| format!("{number}-{part}"));
    let report = run.folder.join(format!("{name}.json"));
    let errors_path = run.folder.join(format!("{name}.txt"));
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new(sources.join("tests").join("test-runner"));
    command.args(["-p1", "-L", "-V", versions::KAFKA]);
    if !WHOLE.contains(&number) {
        command.arg("-Q");
    }
    command
        .env("TESTS", number)
        .env("TEST_REPORT", &report)
        .env("RDKAFKA_TEST_CONF", run.folder.join("test.conf"))
        .env(
            "LD_LIBRARY_PATH",
            format!("{}:{}", sources.join("src").display(), sources.join("src-cpp").display()),
        )
        .env("BROKERS", run.bootstrap)
        .env("KAFKA_PATH", &build)
        .envs(part.map(|part| ("SUBTESTS", part)))
        .envs(environment.iter().copied())
        // The tests leave out what they hold unreliable on a server that builds.
        .env_remove("CI")
        .current_dir(sources.join("tests"));
    let errors = std::fs::File::create(&errors_path)?;
    command.stderr(errors.try_clone()?);
    let finished = process::capture(&mut command, LIMIT);
    let said = String::from_utf8_lossy(&std::fs::read(&errors_path)?).into_owned();
    let status = match finished {
        Ok(finished) => finished.status.to_string(),
        Err(error) => format!("{error:#}"),
    };
    let text = std::fs::read_to_string(&report)
        .with_context(|| format!("no report, {status}: {}", reason(&said)))?;
    let mut outcomes = outcomes(&text, number, &said)?;
    for outcome in &mut outcomes {
        outcome.test.extend(part.map(|part| format!("/{part}")));
    }
    Ok(outcomes)
}

/// Reads the report, which has all tests: those with the number that were run.
fn outcomes(report: &str, number: &str, said: &str) -> Result<Vec<Outcome>> {
    let report: Value = serde_json::from_str(report).context("the report is not JSON")?;
    let tests = report["tests"].as_object().context("the report has no tests")?;
    let of_number = tests.iter().filter(|(name, _)| name.split('_').next() == Some(number));
    Ok(of_number
        .filter_map(|(name, test)| {
            let verdict = match test["state"].as_str()? {
                "PASSED" => Verdict::Passed,
                "SKIPPED" if said.contains(&format!("Running test {name} ")) => Verdict::Skipped,
                "SKIPPED" | "DNS" => return None,
                _ => Verdict::Failed,
            };
            let why = if verdict == Verdict::Passed { String::new() } else { reason(said) };
            Some(Outcome { test: name.clone(), verdict, why })
        })
        .collect())
}

/// What the test wrote as the reason that it failed or was skipped.
fn reason(said: &str) -> String {
    let mut lines = said.lines().skip_while(|line| !line.contains("### Test \""));
    let failed = lines.nth(1).map(str::trim);
    let skips = said.lines().filter(|line| !line.contains("negative test flags"));
    let skipped =
        skips.filter_map(|line| line.split_once("SKIPPING TEST: ")).map(|(_, why)| why.trim()).next();
    failed.or(skipped).unwrap_or_default().trim_end_matches("\u{1b}[0m").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_report_of_one_number() {
        let report = r#"{"tests": {
            "<MAIN>": {"state": "PASSED"},
            "0045_a": {"state": "PASSED"},
            "0045_b": {"state": "FAILED"},
            "0045_local": {"state": "SKIPPED"},
            "0046_c": {"state": "PASSED"}}}"#;
        let said =
            "Running test 0045_b \n### Test \"0045_b\" failed at a.c:1:f() at Monday: ###\nf():1: no\n";
        let read: Vec<_> = outcomes(report, "0045", said).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|outcome| (outcome.test.as_str(), outcome.verdict, outcome.why.as_str()))
            .collect();
        assert_eq!(read, [("0045_a", Verdict::Passed, ""), ("0045_b", Verdict::Failed, "f():1: no")]);
    }
}
