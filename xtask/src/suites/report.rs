//! Judges the outcomes of a suite by its list.

use super::covers;
use crate::counts::Counts;

/// How one test ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub test: String,
    pub verdict: Verdict,
    /// What the test said when it did not pass; empty if it said nothing.
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// What a run comes to.
pub struct Judged {
    /// Passed are the listed tests that passed; failed those that did not.
    pub counts: Counts,
    pub lines: Vec<String>,
    /// Tests that passed and are not listed.
    pub unlisted: Vec<String>,
}

/// Compares the outcomes of a suite with its list; `beside` is the list of Kafka, `only` what was to run.
pub fn judge(
    suite: &str,
    outcomes: &[Outcome],
    listed: &[String],
    beside: Option<&[String]>,
    only: Option<&[String]>,
) -> Judged {
    let mut judged = Judged { counts: Counts::default(), lines: Vec::new(), unlisted: Vec::new() };
    let ran = |test: &str| only.is_none_or(|only| only.iter().any(|wanted| covers(wanted, test)));
    for test in listed.iter().filter(|test| ran(test)) {
        match outcomes.iter().find(|outcome| outcome.test == **test) {
            Some(Outcome { verdict: Verdict::Passed, .. }) => judged.counts.pass(),
            found => {
                let how = found.map_or("did not run", |outcome| outcome.verdict.word());
                judged.counts.fail(format!("{suite}: {test} is listed, and {how}{}", why(found)));
            }
        }
    }
    for outcome in outcomes.iter().filter(|outcome| !listed.contains(&outcome.test)) {
        if outcome.verdict == Verdict::Passed {
            judged.lines.push(format!("new  {}: passes and is not listed (--add)", outcome.test));
            judged.unlisted.push(outcome.test.clone());
            continue;
        }
        let kafka = match beside {
            Some(beside) if beside.contains(&outcome.test) => "; it passes on Kafka",
            Some(_) => "; nor does it pass on Kafka",
            None => "",
        };
        let line = format!("gap  {}: {}{kafka}{}", outcome.test, outcome.verdict.word(), why(Some(outcome)));
        judged.lines.push(line);
    }
    judged
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Skipped => "was skipped",
        }
    }
}

fn why(outcome: Option<&Outcome>) -> String {
    match outcome {
        Some(outcome) if !outcome.why.is_empty() => format!(": {}", outcome.why),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(test: &str, verdict: Verdict) -> Outcome {
        Outcome { test: test.to_owned(), verdict, why: String::new() }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_listed_test_that_does_not_pass_fails_the_run() {
        let outcomes = [
            outcome("a", Verdict::Passed),
            outcome("b", Verdict::Failed),
            outcome("c", Verdict::Skipped),
            outcome("e", Verdict::Passed),
            outcome("f", Verdict::Failed),
            outcome("g", Verdict::Failed),
        ];
        let listed = names(&["a", "b", "c", "d"]);
        let judged = judge("suite", &outcomes, &listed, Some(&names(&["f"])), None);
        assert_eq!((judged.counts.passed, judged.counts.failed()), (1, 3));
        assert_eq!(judged.unlisted, ["e"]);
        assert_eq!(
            judged.lines,
            [
                "new  e: passes and is not listed (--add)",
                "gap  f: failed; it passes on Kafka",
                "gap  g: failed; nor does it pass on Kafka",
            ]
        );
    }

    #[test]
    fn what_was_not_to_run_is_not_missed() {
        let outcomes = [outcome("a", Verdict::Passed), outcome("a/part", Verdict::Passed)];
        let listed = names(&["a", "a/part", "a/other", "ab", "b"]);
        let judged = judge("suite", &outcomes, &listed, None, Some(&names(&["a"])));
        assert_eq!((judged.counts.passed, judged.counts.failed()), (2, 1));
    }
}
