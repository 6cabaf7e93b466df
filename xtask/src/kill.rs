//! Kills the node with SIGKILL while it runs a file, again and again, and compares the results with Flink's.
//!
//! 1. A run is killed and started again on the same data folder until its jobs are done; most kills are placed
//!    by the node itself at a point of its commit or snapshot path (`--kill-at POINT:N`, the N-th time that it is passed),
//!    the others come from outside at a random time. Each start has another number of workers, and half of the
//!    runs have little memory for their state.
//! 2. All the while a consumer reads every topic: an offset never changes its record, none is left out, and what was
//!    seen stays.
//! 3. The results of a run that was killed must be those that Flink gave: nothing lost, nothing twice, and every
//!    topic of rows that change a valid changelog.
//!
//! The runs take turns between two files: the flights example (windows, joins with tables that end, files), and the
//! queries whose rows change (aggregates, joins, Top-N). The seed is printed, and the same seed places the same
//! kills (but for those that come by time).

mod reader;
mod run;

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::compared::{self, Compared};
use crate::example;
use crate::golden::{self, Results};
use crate::proofs::{self, Proof};

pub use self::run::{Conditions, Run};
use verify::Random;

/// Puts what a file needs into the working folder.
type Prepare = Box<dyn Fn(&Path) -> Result<()>>;
/// Gathers the results from the node at an address and from the working folder.
type Collect = Box<dyn Fn(&str, &Path) -> Result<Results>>;

/// What is run and killed.
pub struct Subject {
    pub name: String,
    /// What `run` is given: the SQL file, below the working folder, and what stands before it.
    pub arguments: Vec<String>,
    /// The topics that it writes.
    pub topics: Vec<String>,
    pub prepare: Prepare,
    pub collect: Collect,
    pub expected: Results,
}

impl Subject {
    /// A file that is compared with Flink.
    pub fn compared(compared: Compared) -> Result<Subject> {
        let compared = Rc::new(compared);
        let collected = Rc::clone(&compared);
        Ok(Subject {
            name: compared.name.clone(),
            arguments: compared.arguments(),
            topics: compared.topics(),
            expected: compared.expected()?,
            prepare: Box::new(move |folder| compared.prepare(folder)),
            collect: Box::new(move |bootstrap, folder| collected.collect(bootstrap, folder)),
        })
    }

    /// The flights example; what it prints is not kept, so not compared.
    fn flights() -> Result<Subject> {
        Ok(Subject {
            name: "flights".to_owned(),
            arguments: vec![example::FILE.to_owned()],
            topics: example::TOPICS.iter().map(|topic| (*topic).to_owned()).collect(),
            prepare: Box::new(example::link),
            collect: Box::new(example::collect_kept),
            expected: example::expected_kept()?,
        })
    }
}

/// A budget that the state of the updating queries exceeds some times over.
const LITTLE_MEMORY: &str = "2mb";

/// What all runs came to.
pub struct Tally {
    pub kills: u64,
    pub runs: u64,
    pub by_point: BTreeMap<&'static str, u64>,
    /// Records that the consumers saw, each counted once.
    pub records_seen: u64,
    /// How often they had to connect.
    pub connections: u64,
}

/// Kills at least `cycles` times; fails at the first difference.
pub fn run(cycles: u64, seed: u64) -> Result<Tally> {
    let mut folder = tempfile::tempdir().context("cannot make a working folder")?;
    eprintln!("kill: seed={seed} cycles={cycles}");
    let mut random = Random(seed);
    let mut subjects = vec![Subject::flights()?];
    for compared in compared::named("updates")? {
        subjects.push(Subject::compared(compared)?);
    }
    let by_point = run::POINTS.iter().map(|(point, _)| (*point, 0)).collect();
    let mut tally = Tally { kills: 0, runs: 0, by_point, records_seen: 0, connections: 0 };
    while tally.kills < cycles {
        tally.runs += 1;
        let subject = &subjects[(tally.runs % subjects.len() as u64) as usize];
        let memory = (random.below(2) == 0).then(|| LITTLE_MEMORY.to_owned());
        let conditions = Conditions { memory, ..Conditions::default() };
        let path = folder.path().join(format!("run-{}", tally.runs));
        let run = Run::new(subject, &path, conditions)?;
        let finished = run.to_end(&mut random).with_context(|| {
            format!("seed={seed} run={} of {}, data in {}", tally.runs, subject.name, path.display())
        });
        if finished.is_err() {
            // The data folder of a failure is worth more than a clean temporary directory.
            folder.disable_cleanup(true);
        }
        let finished = finished?;
        tally.add(&finished);
        eprintln!(
            "kill: run {} of {}: {} kills, {} in all, results equal",
            tally.runs,
            subject.name,
            finished.kills(),
            tally.kills
        );
        std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    println!("kill: {}; every run's results are those of Flink", tally.text());
    for (point, count) in &tally.by_point {
        ensure!(*count > 0, "no kill hit point={point}; raise --cycles");
    }
    Ok(tally)
}

/// Like [`run`], as a proof in the ledger.
pub fn prove(cycles: u64, seed: u64) -> Result<()> {
    let begun = Instant::now();
    let result = run(cycles, seed);
    proofs::append(&Proof {
        command: format!("kill --cycles {cycles} --seed {seed}"),
        kills: result.as_ref().map_or(0, |tally| tally.kills),
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: u64::from(result.is_err()),
        ..Proof::default()
    })?;
    result.map(|_| ())
}

impl Tally {
    fn add(&mut self, finished: &run::Finished) {
        self.kills += finished.kills();
        for point in &finished.killed_at {
            *self.by_point.entry(point).or_default() += 1;
        }
        self.records_seen += finished.records_seen;
        self.connections += finished.connections;
    }

    /// The sum in one line.
    pub fn text(&self) -> String {
        let by_point: Vec<String> =
            self.by_point.iter().map(|(point, count)| format!("{point} {count}")).collect();
        format!(
            "{} kills in {} runs ({}), consumers saw {} records over {} connections",
            self.kills,
            self.runs,
            by_point.join(", "),
            self.records_seen,
            self.connections
        )
    }
}

/// Fails with the rows that differ.
fn check(subject: &Subject, results: &Results) -> Result<()> {
    let differences = golden::compare(&subject.expected, results);
    ensure!(differences.is_empty(), "the results differ:\n{}", differences.join("\n"));
    Ok(())
}
