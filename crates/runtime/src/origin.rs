//! How a job begins that has a savepoint to begin with.

use crate::ENGINE_VERSION;
use crate::change;
use crate::error::RuntimeError;
use crate::feeds::Feeds;
use crate::journal::{JournalState, LAYER, Record, SnapshotRecord};
use crate::lookups::Lookups;
use crate::outbox;
use crate::outputs::create_topics;
use crate::savepoint::Savepoint;
use crate::startup;
use crate::state_folder::StateFolder;
use crate::steps::{Context, identity};
use base::ErrorKind;
use dataflow::plan::Plan;

/// The savepoint that a job begins with.
pub(crate) struct Origin {
    savepoint: Savepoint,
}

impl Origin {
    /// Nothing where the request names no savepoint, or where the job has begun with it before.
    pub(crate) fn find(
        context: &Context,
        known: Option<&JournalState>,
    ) -> Result<Option<Origin>, RuntimeError> {
        let Some(folder) = &context.request.from_savepoint else { return Ok(None) };
        let savepoint = Savepoint::open(&context.os, folder)?;
        match known {
            Some(state) if state.origin == savepoint.info.id() => Ok(None),
            // The job itself, which goes back to where it was then.
            Some(state) if state.instance == savepoint.info.instance => Ok(Some(Origin { savepoint })),
            Some(_) => Err(RuntimeError::Known { job: context.request.name.clone() }),
            None => Ok(Some(Origin { savepoint })),
        }
    }

    /// What came from outside lies in the log in which the savepoint's job ran, and nowhere else.
    fn check_feeds(&self, context: &Context, feeds: &Feeds) -> Result<(), RuntimeError> {
        let info = &self.savepoint.info;
        let is_own =
            context.journal.job(&context.request.name).is_some_and(|own| own.instance == info.instance);
        match feeds.tables().next() {
            Some(table) if !is_own => Err(self.unusable(format!(
                "the job reads table '{table}' from outside; what came from there lies in the data directory where the \
                 savepoint was made, and only there can a job go on from it"
            ))),
            _ => Ok(()),
        }
    }

    /// What has been given to the targets since a change of the job lies under tags that the savepoint does not know.
    fn check_not_behind(&self, known: Option<&JournalState>) -> Result<(), RuntimeError> {
        match known {
            Some(state) if state.changed_step > self.savepoint.info.step => Err(self.unusable(format!(
                "it was taken before step {}, in which the job's statement was changed; restore it in another data \
                 directory",
                state.changed_step
            ))),
            _ => Ok(()),
        }
    }

    fn unusable(&self, reason: String) -> RuntimeError {
        let folder = self.savepoint.folder.display().to_string();
        RuntimeError::Savepoint { folder, reason, kind: ErrorKind::Invalid }
    }

    /// The request's plan with the tags that its nodes have in the savepoint. If it is not the savepoint's own, the job is
    /// changed when it has begun; whether that can be is found out now.
    fn plan(&self, context: &Context) -> Result<Plan, RuntimeError> {
        let info = &self.savepoint.info;
        let state = info.as_state();
        if !change::is_changed(&context.request, &state) {
            return Ok(state.tagged(&context.request.plan));
        }
        let comparison = change::comparison(&context.log, &context.request, &state)?;
        change::check(&context.request, &comparison)?;
        Ok(context.request.plan.with_tags(comparison.tags))
    }

    /// Copies the state and journals the start together with its snapshot; answers what the journal
    /// says of the job then.
    pub(crate) fn begin(&self, context: &Context) -> Result<JournalState, RuntimeError> {
        let name = &context.request.name;
        let info = &self.savepoint.info;
        let known = context.journal.job(name);
        let instance = known.as_ref().map_or(context.new_instance, |state| state.instance);
        self.check_not_behind(known.as_ref())?;
        if known.is_none() {
            outbox::check_alone(&context.journal, name)?;
        }
        let plan = self.plan(context)?;
        // Tags that the change will give are not in the journal yet, so nothing may lie under them.
        let own = |tag: u32| info.operators.is_empty() || info.operators.iter().any(|known| known.tag == tag);
        let lookups = Lookups::new(&plan, name).only(own);
        let feeds = Feeds::new(&plan, &context.request.connectors, name, &identity(name, instance))?;
        self.check_feeds(context, &feeds)?;
        if let Some(lsn) = create_topics(&context.log, &lookups.topics_wanted())? {
            context.wait_durable(lsn)?;
        }
        let folder = StateFolder::open(&context.os, &context.data, name)?;
        let (file, path) = folder.manifest(info.step);
        self.savepoint.copy_into(&context.os, folder.path(), &path)?;
        let (mut scans, mut cursors) = (info.scans.clone(), info.cursors.clone());
        lookups.begin_anew(&context.log, &mut scans, &mut cursors)?;
        let begun = JournalState {
            scans: scans.clone(),
            snapshot: Some(SnapshotRecord { cursors: cursors.clone(), ..info.as_snapshot() }),
            ..info.as_state()
        };
        startup::hold(&context.log, name, &[&begun]);
        let started = Record::Started {
            job: name.clone(),
            instance,
            engine_version: ENGINE_VERSION,
            plan: info.plan,
            origin: info.id(),
            scans,
        };
        let (operators, next_tag) = (info.operators.clone(), info.next_tag);
        let operators = Record::Operators { job: name.clone(), operators, next_tag };
        let snapshot = SnapshotRecord { step: info.step, clock_ms: info.clock_ms, file, cursors };
        let snapshot = Record::Snapshot { job: name.clone(), snapshot };
        let ((), lsn) = context.log.append(|frame| {
            for record in [&started, &operators, &snapshot] {
                frame.layer(LAYER, &record.encode())?;
                context.journal.apply(record);
            }
            Ok::<_, RuntimeError>(())
        })?;
        context.wait_durable(lsn)?;
        let missing = || RuntimeError::Internal { job: name.clone(), reason: "its start is gone".into() };
        context.journal.job(name).ok_or_else(missing)
    }
}
