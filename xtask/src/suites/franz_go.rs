//! The tests of franz-go's client package, as its module brings them: groups, transactions, share groups, regular
//! expressions, pausing, large messages, each with many clients at once.
//!
//! Its other tests need no broker and are left out, as are those that want log-in (skipped without an address for it).

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::report::{Outcome, Verdict};
use super::{Run, Suite};
use crate::{peers, process};

pub const SUITE: Suite =
    Suite { name: "franz-go", peers: &["franz-go"], node_options: &[], kafka_settings: "", run };

const LIMIT: Duration = Duration::from_secs(900);

/// What makes the tests as small as one node on a small machine bears: one replica, 20,000 records instead of 500,000
/// through each chain of groups, topics of at most 7 partitions.
const SIZES: [(&str, &str); 4] = [
    ("KGO_TEST_RF", "1"),
    ("KGO_TEST_RECORDS", "20000"),
    ("KGO_TEST_MAX_TOPIC_PARTS", "7"),
    ("KGO_LOG_LEVEL", "none"),
];

/// The tests that speak to the broker.
const TESTS: &[&str] = &[
    "TestUnknownGroupOffsetFetchPinned",
    "TestPing",
    "TestIssue1034",
    "TestShareGroup",
    "TestIssue325",
    "TestConsumeTopicRetrieval",
    "TestConsumeTopicRetrieval_Many",
    "TestConsumeRegex",
    "TestConsumeRegexShareSkipsInternal",
    "Test848RegexBrokerResolves",
    "TestIssue337",
    "TestDirectPartitionPurge",
    "TestIssue434",
    "TestAddRemovePartitions",
    "TestPauseIssue489",
    "TestPauseIssueOct2023",
    "TestIssue523",
    "TestIssue648",
    "TestIssue810",
    "TestIssue865",
    "TestIssueFetchLargerThanBrokerMaxReadBytes",
    "TestPooling",
    "TestGroupSimple",
    "TestHookPollStart",
    "TestConsumeMaxDecompressBatchBytes",
    "TestGroupETL",
    "TestClient_Produce",
    "TestIssue769",
    "TestIssueProduceBrokerTooOldFailsRecords",
    "TestIssueProduceSyncManualPartitionNegativeDoesNotPanic",
    "TestIssue831",
    "TestClient_ProduceLargeMessages",
    "TestShareGroupETL",
    "TestShareGroupAckOnClose",
    "TestShareGroupOffsetsAdmin",
    "TestTxnEtl",
];

fn run(run: &Run<'_>) -> Result<Vec<Outcome>> {
    let tests: Vec<&str> = TESTS.iter().copied().filter(|test| run.wants(test)).collect();
    let mut command = Command::new(peers::franz_go_folder()?.join("kgo.test"));
    command.args(["-test.v", "-test.timeout", &format!("{}s", LIMIT.as_secs() - 30)]);
    // They mostly wait, so more of them than there are cores run at once.
    command.args(["-test.parallel", "6", "-test.run", &format!("^({})$", tests.join("|"))]);
    command.env("KGO_SEEDS", run.bootstrap).envs(SIZES).current_dir(run.folder);
    let errors = std::fs::File::create(run.folder.join("errors.txt"))?;
    let finished = process::capture(command.stderr(errors), LIMIT)?;
    std::fs::write(run.folder.join("output.txt"), &finished.stdout)?;
    Ok(outcomes(&finished.stdout))
}

/// Reads what `go test -v` prints.
fn outcomes(text: &str) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    // Output belongs to the test that was named last.
    let mut current = "";
    let mut said: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("=== ") {
            current = rest.split_whitespace().nth(1).unwrap_or_default();
        } else if let Some((verdict, test)) = end(line.trim_start()) {
            outcomes.push(Outcome { test: test.to_owned(), verdict, why: String::new() });
        } else if line.contains("_test.go:") && !line.contains("deleting topic") {
            said.entry(current).or_default().push(line.trim());
        }
    }
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.verdict != Verdict::Passed) {
        let lines = said.get(outcome.test.as_str()).map(Vec::as_slice).unwrap_or_default();
        outcome.why = lines.iter().take(3).copied().collect::<Vec<_>>().join("; ");
    }
    outcomes
}

/// Reads `--- PASS: TEST (1.00s)`.
fn end(line: &str) -> Option<(Verdict, &str)> {
    let (word, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
    let verdict = match word {
        "PASS" => Verdict::Passed,
        "FAIL" => Verdict::Failed,
        "SKIP" => Verdict::Skipped,
        _ => return None,
    };
    Some((verdict, rest.split_once(" (")?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_test_prints() {
        let text = "=== RUN   TestA
=== PAUSE TestA
=== RUN   TestA/part
=== NAME  TestB
    b_test.go:12: deleting topic x
    b_test.go:13: expected 2 topics, got 0
--- PASS: TestA (0.10s)
    --- SKIP: TestA/part (0.00s)
--- FAIL: TestB (1.00s)
FAIL
";
        let read: Vec<_> =
            outcomes(text).into_iter().map(|outcome| (outcome.test, outcome.verdict, outcome.why)).collect();
        let expected = [
            ("TestA", Verdict::Passed, ""),
            ("TestA/part", Verdict::Skipped, ""),
            ("TestB", Verdict::Failed, "b_test.go:13: expected 2 topics, got 0"),
        ];
        assert_eq!(read, expected.map(|(test, verdict, why)| (test.to_owned(), verdict, why.to_owned())));
    }
}
