//! A job without threads, for simulations: it does nothing but in the turns that it is given.
//!
//! Where a job with threads would sleep until somebody else has done something, a machine asks its owner, who makes
//! it happen or has the turn fail; so a turn always ends.

use crate::change;
use crate::drivers;
use crate::error::RuntimeError;
use crate::feeds;
use crate::lookups;
use crate::outbox::{Driver, DriverTurn, OutboxSignals};
use crate::progress::JobProgress;
use crate::savepoint::{Request, SavepointTicket};
use crate::steps::{Context, Job};
use base::Lsn;
use dataflow::engine::DataflowError;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a job cannot go on without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The log must be durable up to here.
    Durable(Lsn),
    /// The log takes nothing more before it has synced what it has.
    Synced,
    /// The disk is full.
    Room,
}

/// Answers whether it is worth trying again at once; otherwise the job fails with the error that it met.
pub type Patience = Arc<dyn Fn(Wait) -> bool + Send + Sync>;

/// What a turn of a [`Machine`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A step was run and handed to the log.
    Stepped,
    /// There is no input at the moment.
    Idle,
    /// All input is done and all outside sinks have what is theirs; the end is journalled.
    Finished,
}

/// A job in the hands of its owner. Sinks that write at once (print) still have their thread.
pub struct Machine {
    job: Job,
    drivers: Vec<Driver>,
    lookups: Vec<lookups::Driver>,
    feeds: Vec<feeds::Driver>,
    signals: Arc<OutboxSignals>,
}

impl Machine {
    pub(crate) fn open(context: Context) -> Result<Machine, RuntimeError> {
        let name = context.request.name.clone();
        let Some(context) = change::settle_plan(context)? else {
            return Err(RuntimeError::NotRunning { job: name });
        };
        let context = Arc::new(context);
        let job = Job::open(context.clone())?;
        let signals = job.signals.clone();
        let drivers = drivers::drivers(&context, &signals)?;
        let lookups = job.lookups.drivers(&context)?;
        let feeds = job.feeds.drivers(&context)?;
        Ok(Machine { job, drivers, lookups, feeds, signals })
    }

    /// One step, and one turn of every outside sink, of every feed and of everyone who asks for a lookup join.
    pub fn turn(&mut self) -> Result<Turn, RuntimeError> {
        let turn = self.job.turn()?;
        if turn == Turn::Finished {
            self.signals.ended.store(true, Ordering::Release);
            self.job.context.wait_durable(self.job.last_lsn)?;
        }
        for lookup in &mut self.lookups {
            lookup.turn()?;
        }
        for feed in &mut self.feeds {
            feed.turn(0)?;
        }
        let mut drained = true;
        for driver in &mut self.drivers {
            drained &= driver.turn()? == DriverTurn::Done;
        }
        match turn {
            Turn::Finished if !drained => Ok(Turn::Idle),
            Turn::Finished => self.job.end().map(|()| turn),
            other => Ok(other),
        }
    }

    /// A hash of the state; see [`state::SnapshotParts::digest`].
    pub fn digest(&mut self) -> Result<u64, RuntimeError> {
        let parts = self.job.dataflow.snapshot()?;
        Ok(parts.digest().map_err(DataflowError::from)?)
    }

    /// A savepoint of the state after the last turn, in a new folder below `target`.
    pub fn savepoint(&mut self, target: &Path) -> Result<SavepointTicket, RuntimeError> {
        let context = self.job.context.clone();
        let (request, ticket) = Request::new(&context.os, &context.request.name, target);
        context.savepoints.push(request);
        self.job.attend()?;
        Ok(ticket)
    }

    pub fn progress(&self) -> JobProgress {
        self.job.context.progress.read()
    }
}
