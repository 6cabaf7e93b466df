//! The handle that everybody holds: the current snapshot, and waiting for a later one.
//!
//! There is one writer, who follows the log (or a test); readers take the current snapshot under a lock that is held for
//! a count. Read-your-writes: a write is at a place of the log; a view has it when its job has taken everything that was
//! in the job's partitions then, and when what the job made of it is folded. `Wait` asks for both.

use crate::ViewError;
use crate::fold::Fold;
use crate::snapshot::Snapshot;
use base::{Lsn, Offset, PartitionId};
use eventlog::EventLog;
use os::Os;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

/// The jobs that keep views, as far as a reader must know of them.
pub trait Jobs: Send + Sync {
    /// None where there is no such job.
    fn standing(&self, job: &str) -> Option<Standing>;
}

/// How far a job has come.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The next offset of each partition of the log that it reads, by the steps that are in the log, durable or not; none
    /// before it has begun.
    pub taken: Option<Vec<(PartitionId, Offset)>>,
    /// Nothing follows: it has read all there was to read, and its views stay as they are.
    pub finished: bool,
    /// Why it does not go on, if so: `stopped`, `failed`.
    pub stands: Option<String>,
}

/// Takes a line for the operator.
pub type Tell = dyn Fn(&str) + Send + Sync;

/// Called after each new snapshot by whoever publishes it: it must be quick and must not wait for one.
pub type Listener = Arc<dyn Fn(&Snapshot) + Send + Sync>;

/// All views of a node; cheap to clone.
#[derive(Clone)]
pub struct Views {
    shared: Arc<Shared>,
}

struct Shared {
    os: Os,
    tell: Arc<Tell>,
    /// Why nothing new comes, if so.
    failed: Mutex<Option<String>>,
    fold: Mutex<Fold>,
    current: Mutex<Snapshot>,
    published: Condvar,
    listeners: RwLock<Vec<Listener>>,
    surroundings: OnceLock<(EventLog, Arc<dyn Jobs>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Views {
    /// Views that somebody else fills by `commit`.
    pub fn new(os: Os, fold: Fold) -> Views {
        Views::telling(os, fold, Arc::new(|_| {}))
    }

    /// The same, with a line taken about each view that is given up.
    pub fn telling(os: Os, mut fold: Fold, tell: Arc<Tell>) -> Views {
        let current = Mutex::new(fold.publish(Lsn(0), None));
        Views {
            shared: Arc::new(Shared {
                os,
                tell,
                failed: Mutex::default(),
                fold: Mutex::new(fold),
                current,
                published: Condvar::new(),
                listeners: RwLock::default(),
                surroundings: OnceLock::new(),
            }),
        }
    }

    /// Where the partitions and the jobs are known that a wait must look at. Only the first call takes effect; before
    /// it a wait is for the place in the log alone.
    pub fn surround(&self, log: EventLog, jobs: Arc<dyn Jobs>) {
        let _ = self.shared.surroundings.set((log, jobs));
    }

    /// Where the partitions and the jobs are known, as far as somebody has said.
    pub(crate) fn surroundings(&self) -> Option<(&EventLog, &dyn Jobs)> {
        self.shared.surroundings.get().map(|(log, jobs)| (log, &**jobs))
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.shared.os.clock.now_ms()
    }

    /// All views as they are now.
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.shared.current).clone()
    }

    /// Changes the fold and publishes all of it as the state at `lsn`.
    pub fn commit(&self, lsn: Lsn, change: impl FnOnce(&mut Fold)) {
        let done = self.try_commit(lsn, |fold| {
            change(fold);
            Ok::<_, std::convert::Infallible>(())
        });
        match done {
            Ok(()) => {}
        }
    }

    /// The same, published only if it succeeds.
    pub(crate) fn try_commit<E>(
        &self,
        lsn: Lsn,
        change: impl FnOnce(&mut Fold) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut fold = lock(&self.shared.fold);
        change(&mut fold)?;
        let last = self.snapshot();
        let snapshot = fold.publish(lsn, Some(&last));
        // Under the fold's lock, so that snapshots are published in their order.
        *lock(&self.shared.current) = snapshot.clone();
        drop(fold);
        self.shared.published.notify_all();
        let listeners = self.shared.listeners.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|listener| listener(&snapshot));
        Ok(())
    }

    /// Nothing new comes: who waits is told why.
    pub(crate) fn fail(&self, reason: String) {
        (self.shared.tell)(&format!("the views stay as they are until the node is started again: {reason}"));
        *lock(&self.shared.failed) = Some(reason);
        self.shared.published.notify_all();
    }

    pub(crate) fn tell(&self, line: &str) {
        (self.shared.tell)(line);
    }

    /// Has `listener` called after each new snapshot.
    pub fn subscribe(&self, listener: Listener) {
        self.shared.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// The next snapshot after one, within a time: what a subscription sends the changes of.
    pub fn newer_than(&self, seen: Lsn, timeout: Duration) -> Option<Snapshot> {
        let current = lock(&self.shared.current);
        let (current, _) = self
            .shared
            .published
            .wait_timeout_while(current, timeout, |current| current.lsn() <= seen)
            .unwrap_or_else(PoisonError::into_inner);
        (current.lsn() > seen).then(|| current.clone())
    }

    /// Waits until these views have everything that was written to the log up to `lsn` (an acknowledged write is at
    /// `EventLog::durable` at most); with no names, until all that is in the log up to there is folded.
    pub fn wait_for(&self, lsn: Lsn, views: &[&str], timeout: Duration) -> Result<Snapshot, ViewError> {
        let clock = &self.shared.os.clock;
        let begun_ns = clock.monotonic_ns();
        let mut wait = self.wait(lsn, views)?;
        loop {
            // Before the look, so that what is published after it wakes.
            let seen = self.snapshot().lsn();
            if let Some(snapshot) = wait.look()? {
                return Ok(snapshot);
            }
            let waited = Duration::from_nanos(clock.monotonic_ns().saturating_sub(begun_ns));
            let Some(left) = timeout.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Err(wait.given_up(waited));
            };
            // A job may stop without anything new in the log.
            let _ = self.newer_than(seen, left.min(JOBS_LOOKED_AT_EVERY));
        }
    }

    /// The same for those who look again after each snapshot instead of waiting on a thread.
    pub fn wait(&self, lsn: Lsn, views: &[&str]) -> Result<Wait, ViewError> {
        let snapshot = self.snapshot();
        let mut jobs: Vec<(String, String)> = Vec::new();
        for view in views {
            let definition = snapshot.view(view)?.definition().clone();
            if jobs.iter().all(|(_, job)| *job != definition.job) {
                jobs.push((view.to_string(), definition.job.clone()));
            }
        }
        Ok(Wait { views: self.clone(), lsn, wanted: lsn, goals: Vec::new(), jobs, aimed: false })
    }
}

/// How often a wait asks whether its jobs still run.
const JOBS_LOOKED_AT_EVERY: Duration = Duration::from_millis(200);

/// A wait for views that have everything up to a place of the log.
pub struct Wait {
    views: Views,
    lsn: Lsn,
    /// What must be folded: `lsn`, and once the jobs have taken what they had to, where the log was then.
    wanted: Lsn,
    /// Jobs that have not taken all that they must.
    goals: Vec<Goal>,
    /// A view and its job, for each job.
    jobs: Vec<(String, String)>,
    aimed: bool,
}

struct Goal {
    view: String,
    job: String,
    /// What it must have taken.
    until: Vec<(PartitionId, Offset)>,
}

impl Wait {
    /// The snapshot, once it has what was waited for.
    pub fn look(&mut self) -> Result<Option<Snapshot>, ViewError> {
        let snapshot = self.views.snapshot();
        if let Some(reason) = &*lock(&self.views.shared.failed) {
            return Err(ViewError::Failed(reason.clone()));
        }
        // Only what is durable can be in a snapshot.
        if snapshot.lsn() < self.lsn {
            return Ok(None);
        }
        if !self.aimed {
            self.aim()?;
        }
        if !self.goals.is_empty() {
            self.ask_jobs()?;
        }
        let is_reached = self.aimed && self.goals.is_empty() && snapshot.lsn() >= self.wanted;
        Ok(is_reached.then_some(snapshot))
    }

    /// Notes what the jobs must take: all that is in their partitions at this moment, `lsn` and what is before it among
    /// it. Not before they have begun.
    fn aim(&mut self) -> Result<(), ViewError> {
        let shared = self.views.shared.clone();
        let Some((log, jobs)) = shared.surroundings.get() else {
            self.aimed = true;
            return Ok(());
        };
        let mut goals = Vec::new();
        for (view, job) in &self.jobs {
            let Some(standing) = jobs.standing(job) else {
                return Err(self.stands(view, job, "unknown to this node"));
            };
            let Some(taken) = &standing.taken else {
                return standing.stands.map_or(Ok(()), |state| Err(self.stands(view, job, &state)));
            };
            let mut until = Vec::new();
            for (partition, _) in taken {
                match log.last_stable_offset(*partition) {
                    Ok(end) => until.push((*partition, end)),
                    // The topic is gone, and the job will say so.
                    Err(eventlog::LogError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            goals.push(Goal { view: view.clone(), job: job.clone(), until });
        }
        (self.goals, self.aimed) = (goals, true);
        Ok(())
    }

    fn ask_jobs(&mut self) -> Result<(), ViewError> {
        let shared = self.views.shared.clone();
        let Some((log, jobs)) = shared.surroundings.get() else { return Ok(()) };
        let mut left = Vec::new();
        for goal in std::mem::take(&mut self.goals) {
            let Some(standing) = jobs.standing(&goal.job) else {
                return Err(self.stands(&goal.view, &goal.job, "unknown to this node"));
            };
            let taken = standing.taken.unwrap_or_default();
            let is_behind = |(partition, end): &(PartitionId, Offset)| {
                taken.iter().any(|(one, taken)| one == partition && taken < end)
            };
            if !goal.until.iter().any(is_behind) {
                continue;
            }
            // It was ended, or its input was to end there: what was written later is not in the view.
            if standing.finished {
                return Err(self.stands(&goal.view, &goal.job, "finished"));
            }
            if let Some(state) = &standing.stands {
                return Err(self.stands(&goal.view, &goal.job, state));
            }
            left.push(goal);
        }
        if left.is_empty() {
            // The steps that took it are in the log by now.
            self.wanted = log.appended();
        }
        self.goals = left;
        Ok(())
    }

    fn stands(&self, view: &str, job: &str, state: &str) -> ViewError {
        ViewError::Stands { view: view.into(), job: job.into(), state: state.into(), wanted: self.lsn }
    }

    /// The error of a wait that has taken too long.
    pub fn given_up(&self, waited: Duration) -> ViewError {
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        ViewError::NotReached { wanted: self.lsn, reached: self.views.snapshot().lsn(), waited_ms }
    }
}
