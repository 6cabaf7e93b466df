//! Runs the test suites of other projects, which were written against Apache Kafka, and holds our node to their verdict.
//!
//! Each suite has a folder in `tests/suites`: `passing.txt` names the tests that pass on our node, and only grows: a run
//! fails if one of them does not pass, and says which tests pass that are not named yet (`--add` names them).
//! `kafka.txt` is the same for Apache Kafka, so that a failure that Kafka shares is known as one. `quick.txt`, where there
//! is one, names those that the test command runs; a suite without it is run by its own command only.

mod franz_go;
mod kafka_python;
mod librdkafka;
mod lists;
mod programs;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::clients::{Target, show_log};
use crate::counts::Counts;
use crate::recorder::{self, Recorder};
use crate::{kafka, node, peers, places};

pub use report::{Outcome, Verdict};

/// When more than so many fail, it is no race.
const RUN_AGAIN_MAX: usize = 15;
/// A race that is lost one time in three is lost in all of them once in some thousand runs.
const ATTEMPTS_MAX: usize = 8;

#[derive(Args)]
pub struct Options {
    /// The suites to run, all if there are none
    names: Vec<String>,
    /// Run only what the test command runs
    #[arg(long, conflicts_with = "only")]
    quick: bool,
    /// Run only this test; may be given several times
    #[arg(long)]
    only: Vec<String>,
    /// Add what passes to the suite's list
    #[arg(long)]
    add: bool,
    /// Note which APIs a suite calls, for docs/compatibility.md; with --kafka, which Kafka has
    #[arg(long)]
    record: bool,
    /// Run against this cluster
    #[arg(long, conflicts_with = "kafka")]
    bootstrap: Option<String>,
    /// Run against an Apache Kafka that is started for it, whose list is kafka.txt
    #[arg(long)]
    kafka: bool,
}

/// A suite: what it needs, and how it is run.
struct Suite {
    name: &'static str,
    peers: &'static [&'static str],
    /// Options of a node that is started for it.
    node_options: &'static [&'static str],
    /// Lines of the configuration of a Kafka that is started for it.
    kafka_settings: &'static str,
    run: fn(&Run<'_>) -> Result<Vec<Outcome>>,
}

const SUITES: &[Suite] = &[
    franz_go::SUITE,
    librdkafka::SUITE,
    librdkafka::NO_AUTO_CREATE,
    librdkafka::CONSUMER_PROTOCOL,
    librdkafka::SHARE_GROUPS,
    kafka_python::SUITE,
    programs::SPARK,
    programs::STORM,
    programs::SCALA,
];

/// One run of a suite.
struct Run<'a> {
    bootstrap: &'a str,
    /// The tests that are wanted, or all.
    only: Option<&'a [String]>,
    /// A folder for what the suite writes; its output goes there too.
    folder: &'a Path,
}

impl Run<'_> {
    fn wants(&self, test: &str) -> bool {
        self.only.is_none_or(|only| only.iter().any(|wanted| covers(wanted, test)))
    }
}

/// Whether the test is the wanted one or a part of it: `TEST/PART` runs with `TEST`.
fn covers(wanted: &str, test: &str) -> bool {
    test.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the test command runs: the quick selections on our node.
pub fn quick() -> Result<Counts> {
    let names = SUITES.iter().filter(|suite| file(suite, "quick.txt").is_file());
    let names = names.map(|suite| suite.name.to_owned()).collect();
    run(&Options {
        names,
        quick: true,
        only: Vec::new(),
        add: false,
        record: false,
        bootstrap: None,
        kafka: false,
    })
}

/// Runs the named suites, or all, and sums up what they counted.
pub fn run(options: &Options) -> Result<Counts> {
    let mut wanted = Vec::new();
    for name in &options.names {
        let Some(suite) = SUITES.iter().find(|suite| suite.name == name) else {
            let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            bail!("there is no suite={name}; there are {}", known.join(", "));
        };
        wanted.push(suite);
    }
    if options.names.is_empty() {
        wanted = SUITES.iter().collect();
    }
    let mut total = Counts::default();
    for suite in wanted {
        let counts = run_suite(suite, options)
            .unwrap_or_else(|error| Counts::failure(format!("{}: {error:#}", suite.name)));
        total.add(counts);
    }
    Ok(total)
}

/// A few listed tests that failed are run again, alone: other projects' tests have races of their own (FINDINGS.md). What
/// passes then is named.
fn run_again(suite: &Suite, bootstrap: &str, folder: &Path, outcomes: &mut [Outcome]) -> Result<()> {
    let listed = lists::read(&file(suite, "passing.txt"))?;
    let folder = folder.join("again");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create folder={}", folder.display()))?;
    for attempt in 2..=ATTEMPTS_MAX {
        let failed = outcomes.iter().filter(|one| one.verdict == Verdict::Failed);
        let failed = failed.filter(|one| listed.contains(&one.test)).map(|one| one.test.clone());
        let failed: Vec<String> = failed.collect();
        if failed.is_empty() || failed.len() > RUN_AGAIN_MAX {
            return Ok(());
        }
        for again in (suite.run)(&Run { bootstrap, only: Some(&failed), folder: &folder })? {
            let is_better = again.verdict == Verdict::Passed && failed.contains(&again.test);
            let first = outcomes.iter_mut().find(|one| one.test == again.test).filter(|_| is_better);
            if let Some(first) = first {
                let (suite, test, why) = (suite.name, &again.test, &first.why);
                println!("{suite}: {test} passed at attempt {attempt}; the first: {why}");
                *first = again;
            }
        }
    }
    Ok(())
}

fn run_suite(suite: &Suite, options: &Options) -> Result<Counts> {
    let mut wanted: Vec<String> = suite.peers.iter().map(|peer| (*peer).to_owned()).collect();
    if options.kafka {
        wanted.push("kafka".to_owned());
    }
    peers::install(&wanted)?;
    let quick = if options.quick { Some(lists::read(&file(suite, "quick.txt"))?) } else { None };
    let only = quick.as_deref().or(Some(&options.only).filter(|only| !only.is_empty()).map(Vec::as_slice));
    let beside_ours = if options.kafka { "-on-kafka" } else { "" };
    let folder = places::target().join("suites").join(format!("{}{beside_ours}", suite.name));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create folder={}", folder.display()))?;

    let target = Target::of(options.bootstrap.clone(), options.kafka);
    let start = std::time::Instant::now();
    let outcomes = on(&target, suite, |bootstrap| {
        if options.record && options.kafka {
            recorder::save_apis(bootstrap, &places::root().join("tests/suites/kafka-apis.txt"))?;
        }
        let recorder =
            if options.record && !options.kafka { Some(Recorder::start(bootstrap)?) } else { None };
        let bootstrap = recorder.as_ref().map_or(bootstrap, |recorder| &recorder.bootstrap);
        let mut outcomes = (suite.run)(&Run { bootstrap, only, folder: &folder })?;
        if !options.kafka {
            run_again(suite, bootstrap, &folder, &mut outcomes)?;
        }
        recorder.map_or(Ok(()), |recorder| recorder.save(&file(suite, "calls.txt")))?;
        Ok(outcomes)
    })?;
    ensure!(!outcomes.is_empty(), "no test ran; see {}", folder.display());

    let (list, what, option) = match options.kafka {
        true => ("kafka.txt", "Passes on Apache Kafka", " --kafka"),
        false => ("passing.txt", "Passes on our node", ""),
    };
    let beside = if options.kafka { None } else { Some(lists::read(&file(suite, "kafka.txt"))?) };
    let listed = lists::read(&file(suite, list))?;
    let mut judged = report::judge(suite.name, &outcomes, &listed, beside.as_deref(), only);
    for line in &judged.lines {
        println!("{}: {line}", suite.name);
    }
    if options.add && !judged.unlisted.is_empty() {
        let title = format!("# {what}. Only grows: cargo xtask suites {}{option} --add", suite.name);
        lists::add(&file(suite, list), &judged.unlisted, &title)?;
        judged.counts.passed += judged.unlisted.len() as u64;
        println!("{}: added {} to {list}", suite.name, judged.unlisted.len());
    }
    println!(
        "{}: {} passed, {} failed, {:.1} s; output in {}",
        suite.name,
        judged.counts.passed,
        judged.counts.failed(),
        start.elapsed().as_secs_f64(),
        folder.display()
    );
    Ok(judged.counts)
}

/// Starts what the suite runs against, unless it is there.
fn on<T>(target: &Target, suite: &Suite, run: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    match target {
        Target::Address(bootstrap) => run(bootstrap),
        Target::Kafka => {
            let settings = suite.kafka_settings.to_owned();
            let kafka = kafka::start_with(&kafka::Security { settings, ..Default::default() })?;
            run(&kafka.bootstrap)
        }
        Target::Node => {
            let folder = tempfile::tempdir()?;
            let log = folder.path().join("node.log");
            // Advertised, as the Kafka is that is started for it.
            let address = format!("127.0.0.1:{}", kafka::lasting_port()?);
            let advertised = format!("advertised.listeners=PLAINTEXT://{address}");
            let own = ["--kafka", &address, "--set", &advertised];
            let options: Vec<String> =
                own.iter().chain(suite.node_options).map(|option| (*option).to_owned()).collect();
            let node = node::start_with(&folder.path().join("data"), &log, &options)?;
            let result = run(&node.bootstrap);
            // A node that fell in the middle is seen here.
            if let Err(error) = node.stop() {
                show_log(&log);
                return Err(error);
            }
            result
        }
    }
}

fn file(suite: &Suite, name: &str) -> PathBuf {
    places::root().join("tests/suites").join(suite.name).join(name)
}
