//! Looks at jobs, which must not notice: at their state, and at steps of before.

use super::World;
use runtime::{JobRequest, RuntimeError, StepWanted};

impl World {
    /// Runs a step again that lies a few steps back, beside the job, which must not notice.
    pub(super) fn look_back(&mut self, request: &JobRequest) {
        let Some(node) = &self.node else { return };
        let Some(last) = node.runtime.journal().job(&request.name).map(|state| state.last_step) else {
            return;
        };
        let step = last.saturating_sub(last % 5);
        let wanted = StepWanted { step, rows_max: 3, entries_max: 50, savepoint: None };
        match node.runtime.debug_step_of(request, &wanted) {
            Ok(debugged) => {
                assert_eq!(debugged.hash, debugged.stored_hash, "step {step} gives something else");
                let entries = debugged.operators.iter().flat_map(|operator| &operator.probed.state.entries);
                for entry in entries {
                    assert_ne!(entry.what, "entry", "an entry that nobody can read");
                }
                self.story.looked_back += 1;
            }
            // Chapters keep no input.
            Err(
                RuntimeError::NotCovered { .. }
                | RuntimeError::InputGone { .. }
                | RuntimeError::BeforeChange { .. },
            ) => {}
            Err(error) => self.excuse(&error),
        }
    }

    pub(super) fn look(&mut self) {
        let index = self.random.below(self.jobs.len() as u64) as usize;
        self.look_at(index);
    }

    /// Looks at the state of a job: after one step it is the same in every life.
    pub(super) fn look_at(&mut self, index: usize) {
        let job = &mut self.jobs[index];
        let Some(machine) = &mut job.machine else { return };
        // Rows that are forgotten after a while are counted as long as they lie somewhere.
        if job.plan.plan.state_ttl_ms.is_some() || job.is_changed {
            return;
        }
        match machine.digest() {
            Ok(digest) => {
                self.story.digests += 1;
                if let Some(step) = job.steps.last_mut() {
                    let known = *step.digest.get_or_insert(digest);
                    assert_eq!(digest, known, "the state after step {} is another", job.steps.len());
                }
                self.note(digest);
            }
            Err(error) => self.job_failed(index, &error),
        }
    }
}
