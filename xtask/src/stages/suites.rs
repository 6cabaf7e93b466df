//! The stage that runs the quick selections of other projects' test suites.

use anyhow::Result;

use crate::counts::Counts;
use crate::suites;

pub fn run() -> Result<Counts> {
    suites::quick()
}
