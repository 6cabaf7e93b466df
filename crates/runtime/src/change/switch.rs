//! The change itself: whether it may be made, the new state, and the record behind which the job is another one.

use super::compare::{Comparison, Fate, compare, is_at_its_tables};
use super::facts;
use super::rebuild::Rebuild;
use crate::ENGINE_VERSION;
use crate::error::RuntimeError;
use crate::feeds::Feeds;
use crate::history;
use crate::inputs::Inputs;
use crate::job::{CommitPoint, JobRequest};
use crate::journal::{Change, JournalState, LAYER, Record, SnapshotRecord};
use crate::lookups::Lookups;
use crate::operators::{self, OperatorRecord, Role};
use crate::origin::Origin;
use crate::outbox;
use crate::outputs::{connector_of, create_topics, sink_identity};
use crate::startup;
use crate::state_folder::{Opened, StateFolder};
use crate::steps::{Context, identity};
use crate::topics;
use base::{ErrorKind, Offset, PartitionId};
use dataflow::plan::{NodeId, NodeKind, Plan};
use dataflow::sink::Sink;
use eventlog::{EventLog, LogError};
use state::StoreOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Makes the request's plan that of the job: a job that begins with a savepoint begins here, one whose statement is
/// another one is changed, and its nodes get their tags. None if the job is to stop before that is done.
pub(crate) fn settle_plan(mut context: Context) -> Result<Option<Context>, RuntimeError> {
    context.settle()?;
    let name = context.request.name.clone();
    let mut known = context.journal.job(&name);
    if let Some(origin) = Origin::find(&context, known.as_ref())? {
        known = Some(origin.begin(&context)?);
    }
    let Some(mut state) = known.filter(|state| !state.finished) else { return Ok(Some(context)) };
    if state.engine_version != ENGINE_VERSION {
        return Err(RuntimeError::EngineChanged {
            job: name,
            stored: state.engine_version,
            now: ENGINE_VERSION,
        });
    }
    if is_changed(&context.request, &state) {
        // What is read again stays from here on, so that what is said of it now is true when it is read.
        let _pinned = Pinned::new(&context.log, &name, &state);
        let comparison = comparison(&context.log, &context.request, &state)?;
        check(&context.request, &comparison)?;
        if !alter(&context, &state, &comparison)? {
            return Ok(None);
        }
        let gone = || RuntimeError::Internal { job: name.clone(), reason: "its change is gone".into() };
        state = context.journal.job(&name).ok_or_else(gone)?;
    } else {
        // An older version began the job, which can be changed from now on; or options of its tables are others.
        let operators = operators::of_plan(&state.tagged(&context.request.plan));
        if operators != state.operators {
            let next_tag = state.next_tag;
            append(&context, &[Record::Operators { job: name, operators, next_tag }], &[])?;
        }
    }
    context.request.plan = Arc::new(state.tagged(&context.request.plan));
    Ok(Some(context))
}

/// Whether a job does not go on as it is: with another statement, or with the same over tables that lie elsewhere.
pub(crate) fn is_changed(request: &JobRequest, state: &JournalState) -> bool {
    state.plan != state::hash(request.fingerprint.as_bytes()) || !is_at_its_tables(state, &request.plan)
}

/// The input of a job that is changed, held from where it began until the change is made or has failed.
pub(super) struct Pinned<'a> {
    log: &'a EventLog,
    owner: String,
    partitions: BTreeSet<PartitionId>,
}

impl<'a> Pinned<'a> {
    pub(super) fn new(log: &'a EventLog, job: &str, state: &JournalState) -> Pinned<'a> {
        let owner = format!("the change of job {job}");
        let splits = state.scans.iter().flat_map(|scan| &scan.splits);
        let mut first: BTreeMap<PartitionId, Offset> = BTreeMap::new();
        for split in splits {
            let Some(partition) = startup::partition_of(log, split) else { continue };
            let from = Offset(split.start.0);
            first.entry(partition).and_modify(|known| *known = from.min(*known)).or_insert(from);
        }
        first.iter().for_each(|(partition, from)| log.pin(&owner, *partition, Some(*from)));
        Pinned { log, owner, partitions: first.into_keys().collect() }
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.partitions.iter().for_each(|partition| self.log.pin(&self.owner, *partition, None));
    }
}

/// What would become of a job.
pub(crate) fn comparison(
    log: &EventLog,
    request: &JobRequest,
    state: &JournalState,
) -> Result<Comparison, RuntimeError> {
    if state.operators.is_empty() || !state.operators.iter().all(OperatorRecord::is_comparable) {
        return Err(RuntimeError::ChangeUnknown { job: request.name.clone() });
    }
    let facts = |_: NodeId, tag: u32| facts::of_scan(log, state, tag);
    let has_outbox = |tag: u32| log.topic(&outbox::topic(&request.name, tag)).is_some();
    Ok(compare(state, &request.plan, &facts, &has_outbox))
}

/// Whether the change can be made, and may be.
pub(crate) fn check(request: &JobRequest, comparison: &Comparison) -> Result<(), RuntimeError> {
    let job = request.name.clone();
    if !comparison.is_possible() {
        let reasons = comparison.reasons(|operator| operator.fate == Fate::Impossible);
        return Err(RuntimeError::ChangeImpossible { job, reasons });
    }
    if comparison.needs_consent() && !request.options.allows_non_restored {
        let reasons = comparison.reasons(|operator| operator.needs_consent);
        return Err(RuntimeError::ChangeLoses { job, reasons });
    }
    Ok(())
}

/// Makes the new state and names it in the journal; false if the job is to stop before.
fn alter(context: &Context, state: &JournalState, comparison: &Comparison) -> Result<bool, RuntimeError> {
    let request = &context.request;
    let name = request.name.as_str();
    let observe = |point| request.observer.iter().for_each(|observer| observer(point, state.last_step));
    observe(CommitPoint::BeforeChange);
    let plan = Arc::new(request.plan.with_tags(comparison.tags.clone()));
    check_outboxes(context, &plan, state)?;
    let lookups = Arc::new(Lookups::new(&plan, name));
    let feeds = Feeds::new(&plan, &request.connectors, name, &identity(name, state.instance))?;
    let mut topics = lookups.topics_wanted();
    topics.extend(feeds.topics_wanted(&context.log)?);
    if let Some(lsn) = create_topics(&context.log, &topics)? {
        context.wait_durable(lsn)?;
    }
    let mut inputs = Inputs::open(&plan, &request.connectors, &context.log, &lookups, &feeds)?;
    let scans = inputs.alter(name, &state.scans)?;
    let folder = StateFolder::open(&context.os, &context.data, name)?;
    let options = StoreOptions {
        budget_bytes: request.options.memory_bytes_max,
        background: request.options.background,
        ..StoreOptions::default()
    };
    // Until the change is made, all that the old job has stays as it is.
    let chapters = history::chapters(&context.os, &folder, state);
    let Opened { store, manifest, past } = folder.store(options, state.snapshot.as_ref(), chapters)?;
    // The change is a step of its own, so that its snapshot has a name that no other has.
    let step = state.last_step + 1;
    let (file, path) = folder.manifest(step);
    let rebuild = Rebuild { context, state, comparison, plan: &plan, store: &store, manifest_path: &path };
    let Some(mut dataflow) = rebuild.run(&mut inputs, manifest.as_ref())? else { return Ok(false) };
    store.restore_done();
    let pending = dataflow.snapshot()?.write(&store, path.clone());
    store.wait_written();
    let missing =
        || RuntimeError::Internal { job: name.into(), reason: "its new state was not written".into() };
    let snapshot = pending.take().ok_or_else(missing)?.map_err(|error| folder.error(&path, &error))?;
    observe(CommitPoint::DuringChange);
    // From here on the journal may name it, whatever becomes of this process.
    snapshot.keep();
    let change = Change {
        engine_version: ENGINE_VERSION,
        plan: state::hash(request.fingerprint.as_bytes()),
        scans,
        operators: operators::of_plan(&plan),
        next_tag: comparison.next_tag,
        snapshot: SnapshotRecord { step, clock_ms: rebuild.clock_ms(), file, cursors: inputs.cursors() },
    };
    let mut changed = state.clone();
    changed.alter(&change);
    startup::hold(&context.log, name, &[state, &changed]);
    let gone = own_topics_gone(context, state, &plan);
    append(context, &[Record::Altered { job: name.into(), change }], &gone)?;
    startup::unpin_dropped(&context.log, name, state, &plan);
    drop(past);
    observe(CommitPoint::AfterChange);
    Ok(true)
}

/// A job that has got outboxes must be the only one with outboxes of their names.
fn check_outboxes(context: &Context, plan: &Plan, state: &JournalState) -> Result<(), RuntimeError> {
    let request = &context.request;
    let Err(alike) = outbox::check_alone(&context.journal, &request.name) else { return Ok(()) };
    for id in plan.sinks() {
        let NodeKind::Sink { table } = &plan.node(id).kind else { continue };
        let identity = sink_identity(&identity(&request.name, state.instance), plan.tag(id));
        if let Sink::Outbox(_) = connector_of(&request.connectors, table)?.sink(table, &identity)? {
            return Err(alike);
        }
    }
    Ok(())
}

/// The internal topics of what the job reads and writes no more.
fn own_topics_gone(context: &Context, state: &JournalState, plan: &Plan) -> Vec<String> {
    let name = &context.request.name;
    let is_gone = |tag: &u32| plan.tagged(*tag).is_none();
    // Where another job's outboxes have such names, what is there may be its own.
    let is_alone = outbox::check_alone(&context.journal, name).is_ok();
    let gone = state.operators.iter().filter(|operator| is_gone(&operator.tag));
    let names = gone.flat_map(|operator| topics_of(name, operator.role, operator.tag, is_alone));
    names.filter(|topic| context.log.topic(topic).is_some()).collect()
}

/// The internal topics that a node of a job may have.
pub(super) fn topics_of(job: &str, role: Role, tag: u32, is_alone: bool) -> Vec<String> {
    match role {
        Role::Sink if is_alone => vec![outbox::topic(job, tag)],
        Role::Sink => Vec::new(),
        _ => [topics::LOOKUP, topics::SOURCE, topics::IDS].map(|kind| topics::own(kind, job, tag)).to_vec(),
    }
}

/// One frame, durable.
fn append(context: &Context, records: &[Record], topics_gone: &[String]) -> Result<(), RuntimeError> {
    loop {
        let appended = context.log.append(|frame| {
            for topic in topics_gone.iter().filter(|topic| context.log.topic(topic).is_some()) {
                frame.delete_own_topic(topic)?;
            }
            for record in records {
                frame.layer(LAYER, &record.encode())?;
            }
            records.iter().for_each(|record| context.journal.apply(record));
            Ok::<_, LogError>(())
        });
        match appended {
            Ok(((), lsn)) => return Ok(context.wait_durable(lsn)?),
            Err(error) if error.kind() == ErrorKind::Retry => context.wait_synced(error)?,
            Err(error) => return Err(error.into()),
        }
    }
}
