//! How a job begins that has a savepoint to begin with.

use crate::ENGINE_VERSION;
use crate::error::RuntimeError;
use crate::feeds::Feeds;
use crate::journal::{JournalState, LAYER, Record, SnapshotRecord};
use crate::lookups::Lookups;
use crate::savepoint::Savepoint;
use crate::state_folder::StateFolder;
use crate::steps::Context;
use base::ErrorKind;

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
            Some(table) if !is_own => Err(RuntimeError::Savepoint {
                folder: self.savepoint.folder.display().to_string(),
                reason: format!(
                    "the job reads table '{table}' from outside; what came from there lies in the data directory where \
                     the savepoint was made, and only there can a job go on from it"
                ),
                kind: ErrorKind::Invalid,
            }),
            _ => Ok(()),
        }
    }

    /// Copies the state and journals the start together with its snapshot; answers what the journal
    /// says of the job then.
    pub(crate) fn begin(
        &self,
        context: &Context,
        folder: &StateFolder,
        instance: u64,
        (lookups, feeds): (&Lookups, &Feeds),
    ) -> Result<JournalState, RuntimeError> {
        let name = &context.request.name;
        let info = &self.savepoint.info;
        self.check_feeds(context, feeds)?;
        let (file, path) = folder.manifest(info.step);
        self.savepoint.copy_into(&context.os, folder.path(), &path)?;
        let (mut scans, mut cursors) = (info.scans.clone(), info.cursors.clone());
        lookups.begin_anew(&context.log, &mut scans, &mut cursors)?;
        let started = Record::Started {
            job: name.clone(),
            instance,
            engine_version: ENGINE_VERSION,
            plan: state::hash(context.request.fingerprint.as_bytes()),
            origin: info.id(),
            scans,
        };
        let snapshot = SnapshotRecord { step: info.step, clock_ms: info.clock_ms, file, cursors };
        let snapshot = Record::Snapshot { job: name.clone(), snapshot };
        let ((), lsn) = context.log.append(|frame| {
            frame.layer(LAYER, &started.encode())?;
            frame.layer(LAYER, &snapshot.encode())?;
            context.journal.apply(&started);
            context.journal.apply(&snapshot);
            Ok::<_, RuntimeError>(())
        })?;
        context.wait_durable(lsn)?;
        let missing = || RuntimeError::Internal { job: name.clone(), reason: "its start is gone".into() };
        context.journal.job(name).ok_or_else(missing)
    }
}
