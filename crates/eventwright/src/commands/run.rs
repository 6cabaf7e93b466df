//! `run`: a Flink SQL file on an embedded node, from the first statement to the summary.

use crate::analyze::Analysis;
use crate::changes;
use crate::cli::{Form, RunArguments};
use crate::crash;
use crate::materialized;
use crate::node::{self, Node};
use crate::output::{print_table, thousands};
use crate::progress::{INTERVAL_MS, ProgressLine};
use crate::remotes::RemoteStore;
use crate::script::{self, JobNames, Script};
use crate::signals::Interrupt;
use crate::summary::{JobState, JobSummary, Summary};
use crate::takeover;
use anyhow::{Context, bail};
use os::Os;
use runtime::{JobHandle, JobOptions, JobProgress, JobRequest, RestartStrategy, Submitted};
use sql::ast::Statement;
use sql::session::{DroppedView, Outcome, Session, groups};
use std::io::Write;
use std::path::PathBuf;
use views::Decision;

pub fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let mut os = node::os(&arguments.node);
    // Whoever runs a file has a standard input for it; a node that others give jobs has none.
    os.permits.stdin = true;
    let script = Script::read(&arguments.script)?;
    // Everything wrong in the file is said before anything of it runs.
    let (statements, jobs) = script.check(&os)?;
    if arguments.from_savepoint.is_some() && jobs != 1 {
        bail!(
            "{} makes {jobs} jobs, and a savepoint is the state of one; put the job into a file of its own",
            arguments.script.file.display()
        );
    }
    if let Some(size) = &arguments.memory {
        memory_bytes("--memory", size)?;
    }
    let interrupt = Interrupt::listen()?;
    let wanted = RemoteStore::of(&os, &arguments.remote)?;
    let data = match &arguments.data {
        Some(data) => data.clone(),
        None if wanted.is_some() => {
            bail!("a node that ships its log has a directory that stays: give --data DIR")
        }
        None => fresh_data_directory(&os)?,
    };
    let say = |line: &str| {
        eprint!("{line}");
        Ok(())
    };
    if !takeover::wait_for_turn(&os, &data, (wanted.as_ref(), &arguments.remote), &interrupt, say)? {
        return Ok(());
    }
    let node = Node::open_shipped(&os, &data, &arguments.node, wanted.as_ref())?;
    eprintln!("kafka listening on {}", node.kafka_address());
    if let Some(address) = node.http_address() {
        eprintln!("http listening on {address}");
    }
    if let Some(address) = node.pg_address() {
        eprintln!("postgresql listening on {address}");
    }
    let result = Run::new(&node, &script, arguments, &interrupt).and_then(|mut run| {
        let result = run.statements(&statements);
        // Jobs that still run when a statement fails are stopped, not abandoned.
        let ended = if result.is_err() { run.stop_jobs() } else { run.wait_for_all() };
        let summarised = run.summarise();
        result.and(ended).and(summarised)
    });
    if result.is_ok() && arguments.keep_running && !interrupt.is_set() && node.fenced_elsewhere().is_none() {
        eprintln!("the node stays up on {}; interrupt it to stop", node.kafka_address());
        takeover::wait_for_end(&node, &interrupt);
    }
    let fenced = node.fenced_elsewhere();
    node.shutdown();
    match fenced {
        // It is why its jobs have failed, if they have.
        Some(reason) => bail!("fenced: {reason}"),
        None => result,
    }
}

/// Without `--data`, each run has a directory of its own, which stays for a look afterwards.
fn fresh_data_directory(os: &Os) -> anyhow::Result<PathBuf> {
    let name = format!("eventwright-{:08x}", os.random.next_u64() as u32);
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path)
        .with_context(|| format!("cannot make {}; give --data DIR", path.display()))?;
    Ok(path)
}

/// A job that was submitted and has not been seen to end.
struct Running {
    handle: JobHandle,
    begun_ns: u64,
    /// Failures that the user has been told of.
    failures_told: u64,
    /// The same of outside systems, and whether one of them fails now.
    edge_failures_told: u64,
    edges_fail: bool,
}

struct Run<'a> {
    node: &'a Node,
    script: &'a Script,
    arguments: &'a RunArguments,
    interrupt: &'a Interrupt,
    session: Session,
    running: Vec<Running>,
    ended: Vec<JobSummary>,
    /// Why the first of the jobs that failed did.
    failure: Option<anyhow::Error>,
    topics: Vec<String>,
    observer: Option<runtime::Observer>,
    /// Jobs so far by name, so that two of one name are told apart.
    names: JobNames,
}

impl<'a> Run<'a> {
    fn new(
        node: &'a Node,
        script: &'a Script,
        arguments: &'a RunArguments,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Run<'a>> {
        Ok(Run {
            node,
            script,
            arguments,
            interrupt,
            session: Session::new(node.connectors()),
            running: Vec::new(),
            ended: Vec::new(),
            failure: None,
            topics: Vec::new(),
            observer: arguments.kill_at.as_deref().map(crash::observer).transpose()?,
            names: JobNames::default(),
        })
    }

    fn statements(&mut self, statements: &[Statement]) -> anyhow::Result<()> {
        for group in groups(statements) {
            if self.interrupt.is_set() {
                bail!("interrupted");
            }
            self.session.know_views(materialized::statements(&self.node.views));
            let outcome = match self.session.execute_group(group) {
                Ok(outcome) => outcome,
                Err(diagnostics) => return Err(self.script.failure(&diagnostics)),
            };
            match outcome {
                Outcome::Done(message) => {
                    if !message.is_empty() {
                        eprintln!("{message}");
                    }
                }
                Outcome::Rows { columns, rows } => print_rows(&columns, &rows)?,
                Outcome::Explain(text) => print!("{text}"),
                Outcome::Job(job) if job.views.is_empty() => {
                    let name = self.names.name(&self.arguments.script.file, &job);
                    self.submit(job, name)?;
                }
                Outcome::Job(job) => self.keep(job)?,
                Outcome::DropViews(dropped) => self.drop_views(&dropped)?,
            }
        }
        Ok(())
    }

    /// A job that keeps materialized tables: what becomes of those that are there is said first.
    fn keep(&mut self, job: sql::session::JobRequest) -> anyhow::Result<()> {
        let base = self.names.name(&self.arguments.script.file, &job);
        match materialized::decide(self.node, &job)? {
            Decision::Leave => {
                let names: Vec<&str> = job.views.iter().map(|view| view.name.as_str()).collect();
                eprintln!("materialized table {} exists already and is left as it is", names.join(", "));
                return Ok(());
            }
            Decision::Resume { job: name } => return self.submit(job, name),
            Decision::Declare => {}
            Decision::Rebuild { jobs } => {
                materialized::tell_rebuild(self.node, &job);
                self.end_jobs(&jobs)?;
            }
        }
        let name = materialized::free_name(self.node, &base);
        materialized::declare(self.node, &job, &name)?;
        self.submit(job, name)
    }

    fn drop_views(&mut self, dropped: &[DroppedView]) -> anyhow::Result<()> {
        let (definitions, jobs) = materialized::dropped(self.node, dropped)?;
        self.end_jobs(&jobs)?;
        materialized::drop_views(self.node, &definitions)
    }

    /// Ends jobs for good; those that run stop first.
    fn end_jobs(&mut self, jobs: &[String]) -> anyhow::Result<()> {
        for job in jobs {
            if let Some(index) = self.running.iter().position(|running| running.handle.name() == job) {
                let running = self.running.remove(index);
                running.handle.stop();
                self.take_result(running);
            }
            if self
                .node
                .runtime
                .standing(job)
                .is_some_and(|standing| standing.state != runtime::JobState::Finished)
            {
                self.node.runtime.end(job)?;
            }
        }
        Ok(())
    }

    fn submit(&mut self, job: sql::session::JobRequest, name: String) -> anyhow::Result<()> {
        // The suggestions at the end name a result of the last job.
        let topics = script::topics_written(&job.plan);
        if !topics.is_empty() {
            self.topics = topics;
        }
        for warning in &job.warnings {
            eprintln!("{}", warning.render(&self.script.source));
        }
        for warning in self.node.runtime.letter_warnings(&job.plan) {
            eprintln!("warning: {warning}");
        }
        let setting = |key: &str| job.settings.get(key).map(String::as_str);
        let parallelism = setting("parallelism.default").and_then(|text| text.parse().ok()).unwrap_or(1);
        let waits = setting("table.dml-sync") == Some("true");
        let memory = self.arguments.memory.as_deref().map(|size| ("--memory", size));
        let memory = memory.or_else(|| Some((MEMORY, setting(MEMORY)?)));
        let defaults = JobOptions::default();
        let size = |key, default| setting(key).and_then(base::units::parse_bytes).unwrap_or(default);
        let request = JobRequest {
            name: name.clone(),
            plan: job.plan,
            fingerprint: job.fingerprint,
            connectors: self.node.connectors(),
            options: JobOptions {
                workers: self.arguments.workers.map_or(parallelism, usize::from).clamp(1, 128),
                step_rows_max: self.arguments.step_rows_max as usize,
                snapshot_steps_max: u64::from(self.arguments.snapshot_steps),
                snapshots_retained: setting(RETAINED).and_then(|text| text.parse().ok()).unwrap_or(1),
                memory_bytes_max: match memory {
                    Some((key, size)) => memory_bytes(key, size)?,
                    None => defaults.memory_bytes_max,
                },
                restart: RestartStrategy::from_settings(&job.settings)?,
                unread_bytes_max: size(UNREAD, defaults.unread_bytes_max),
                waiting_bytes_max: size(WAITING, defaults.waiting_bytes_max),
                allows_non_restored: self.arguments.allow_non_restored_state
                    || setting(changes::CONSENT) == Some("true"),
                ..defaults
            },
            from_savepoint: self.arguments.from_savepoint.clone(),
            late_rows_topic: job.settings.get(LATE_ROWS_TOPIC).cloned(),
            observer: self.observer.clone(),
        };
        if let Some(comparison) = changes::of(&self.node.runtime, &request)? {
            eprint!("{}", changes::text(&name, &comparison));
        }
        match self.node.runtime.submit(request)? {
            Submitted::FinishedBefore(_) => {
                let progress = JobProgress { job: name, ..JobProgress::default() };
                let state = JobState::FinishedBefore;
                self.ended.push(JobSummary { progress, restarts: 0, elapsed_ms: 0, state, analysis: None });
            }
            Submitted::Running(handle) => {
                let begun_ns = self.node.os.clock.monotonic_ns();
                self.running.push(Running {
                    handle,
                    begun_ns,
                    failures_told: 0,
                    edge_failures_told: 0,
                    edges_fail: false,
                });
                if waits {
                    self.wait_for_all()?;
                }
            }
        }
        Ok(())
    }

    /// Waits until every job has ended, also when one of them fails; an interrupt stops them in good order, and so does another
    /// node that has taken over.
    fn wait_for_all(&mut self) -> anyhow::Result<()> {
        let mut line = ProgressLine::new(self.node.os.clock.clone());
        while !self.running.is_empty() {
            if self.interrupt.is_set() || self.node.fenced_elsewhere().is_some() {
                line.clear();
                return self.stop_jobs();
            }
            if let Some(index) = self.running.iter().position(|running| running.handle.wait_timeout(0)) {
                line.clear();
                let running = self.running.remove(index);
                self.take_result(running);
                continue;
            }
            for running in &mut self.running {
                running.tell_failures(&mut line);
            }
            line.draw(&self.running.iter().map(|running| running.handle.progress()).collect::<Vec<_>>());
            // The interrupt is looked at between two waits.
            self.running[0].handle.wait_timeout(INTERVAL_MS);
        }
        line.clear();
        self.failure.take().map_or(Ok(()), Err)
    }

    fn stop_jobs(&mut self) -> anyhow::Result<()> {
        self.running.iter().for_each(|running| running.handle.stop());
        for running in std::mem::take(&mut self.running) {
            self.take_result(running);
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn take_result(&mut self, mut running: Running) {
        // A job that has stopped in the meantime may have failed once more before.
        while !running.handle.wait_timeout(INTERVAL_MS) {}
        running.tell_failures(&mut ProgressLine::new(self.node.os.clock.clone()));
        let Running { handle, begun_ns, .. } = running;
        let name = handle.name().to_string();
        let watched = handle.watch();
        let state = match handle.join() {
            Ok(true) => JobState::Finished,
            Ok(false) => JobState::Stopped,
            Err(error) => {
                let data = self.node.data.display();
                let error = anyhow::Error::from(error).context(format!(
                    "job {name} failed; mend the cause and run it again with --data {data} to resume"
                ));
                if !self.running.is_empty() {
                    // The others go on, perhaps for ever: it is said now, not only at the end.
                    eprintln!("error: {error:#}");
                }
                self.failure.get_or_insert(error);
                JobState::Failed
            }
        };
        let elapsed_ms = self.node.os.clock.monotonic_ns().saturating_sub(begun_ns) / 1_000_000;
        let restarts = watched.status().restarts;
        let analysis = self
            .arguments
            .analyze
            .then(|| Analysis::of_status(&watched.status(), self.node.os.clock.now_ms()));
        self.ended.push(JobSummary { progress: watched.read(), restarts, elapsed_ms, state, analysis });
    }

    fn summarise(&self) -> anyhow::Result<()> {
        if self.ended.is_empty() && self.arguments.output == Form::Text {
            return Ok(());
        }
        let summary = Summary {
            jobs: &self.ended,
            data: &self.node.data,
            kafka: self.node.kafka_address().to_string(),
            stays_up: self.arguments.keep_running
                && self.failure.is_none()
                && !self.interrupt.is_set()
                && self.node.fenced_elsewhere().is_none(),
            topics: &self.topics,
            file: &self.arguments.script.file,
        };
        eprint!("{}", summary.render(self.arguments.output));
        Ok(())
    }
}

impl Running {
    /// One line for each failure after which the job is run again; the last one is told as the job's result.
    fn tell_failures(&mut self, line: &mut ProgressLine) {
        for failure in self.handle.failures_after(self.failures_told) {
            self.failures_told = failure.number;
            let Some(delay_ms) = failure.restart_after_ms else { continue };
            line.clear();
            eprintln!(
                "job {} failed after step {}: {}; it is run again in {}.{:03} s",
                self.handle.name(),
                thousands(failure.step),
                failure.reason,
                delay_ms / 1000,
                delay_ms % 1000,
            );
        }
        self.tell_edges(line);
    }

    /// One line for each failure of an outside system, which the job goes on without, and one when they work again.
    fn tell_edges(&mut self, line: &mut ProgressLine) {
        let progress = self.handle.progress();
        let feeds = progress.feeds.iter().map(|feed| (feed.failures, &feed.failure));
        let sinks = progress.sinks.iter().map(|sink| (sink.failures, &sink.failure));
        let edges: Vec<_> = feeds.chain(sinks).collect();
        let failures = edges.iter().map(|(failures, _)| failures).sum();
        let failing: Vec<&String> = edges.iter().filter_map(|(_, failure)| failure.as_ref()).collect();
        let name = self.handle.name();
        if failures != self.edge_failures_told && !failing.is_empty() {
            line.clear();
            failing.iter().for_each(|failure| eprintln!("job {name}: {failure}; it is tried again"));
            (self.edge_failures_told, self.edges_fail) = (failures, true);
        }
        if self.edges_fail && failing.is_empty() {
            line.clear();
            eprintln!("job {name}: what failed outside works again");
            self.edges_fail = false;
        }
    }
}

/// The setting that names the topic for late rows.
const LATE_ROWS_TOPIC: &str = "eventwright.late-rows.topic";

/// The setting of Flink that says what the state may take in memory.
const UNREAD: &str = "eventwright.feed.unread-bytes-max";
const WAITING: &str = "eventwright.outbox.waiting-bytes-max";
/// How many snapshots `debug` can go back to.
const RETAINED: &str = "eventwright.debug.snapshots-retained";
const MEMORY: &str = "taskmanager.memory.managed.size";

/// Below this, a job would do nothing but write and read its state.
const MEMORY_BYTES_MIN: u64 = 1 << 20;

fn memory_bytes(key: &str, size: &str) -> anyhow::Result<usize> {
    let bytes = base::units::parse_bytes(size).filter(|bytes| *bytes >= MEMORY_BYTES_MIN);
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).with_context(|| {
        format!("{key} '{size}' is not a size of at least 1mb; write a number and a unit, for example 256mb")
    })
}

fn print_rows(columns: &[String], rows: &[Vec<Option<String>>]) -> anyhow::Result<()> {
    let header: Vec<&str> = columns.iter().map(String::as_str).collect();
    let null = || "NULL".to_string();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| cell.clone().unwrap_or_else(null)).collect()).collect();
    let mut out = std::io::stdout().lock();
    print_table(&mut out, &header, &rows)?;
    Ok(out.flush()?)
}
