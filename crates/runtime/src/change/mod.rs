//! Changing a job: an unfinished job goes on with another statement, and keeps what of its state still fits.
//!
//! 1. [`compare`] says, operator by operator, what becomes of what the job has; it is pure, and it is what EXPLAIN shows
//!    and what the change does.
//! 2. [`rebuild`] makes new state beside the old: the steps behind the last snapshot are run again for what is kept, and
//!    the input is read again from the log for what is not, up to where the job is. Nothing is published.
//! 3. [`switch`] has the state written as a snapshot and names it in one record of the journal. Before that record there
//!    is the old job, behind it the new one; what a crash leaves over is removed as any unfinished snapshot is.

mod cautions;
mod compare;
mod facts;
mod matched;
mod rebuild;
mod switch;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, Fate, OperatorChange};
pub(crate) use switch::{check, comparison, is_changed, settle_plan};

use crate::error::RuntimeError;
use crate::job::{JobRequest, Runtime};

impl Runtime {
    /// What would become of an unfinished job that is run with this request; nothing where the journal does not know the
    /// job, where it has finished, or where the statement is the job's own.
    pub fn compare_job(&self, request: &JobRequest) -> Result<Option<Comparison>, RuntimeError> {
        let Some(state) = self.journal().job(&request.name).filter(|state| !state.finished) else {
            return Ok(None);
        };
        if !is_changed(request, &state) {
            return Ok(None);
        }
        comparison(&self.log, request, &state).map(Some)
    }
}
