//! The stage that runs the suites of real Kafka clients against our node.

use anyhow::Result;

use crate::clients::{self, Target};
use crate::counts::Counts;
use crate::peers;

pub fn run() -> Result<Counts> {
    let wanted = ["debian", "python", "node", "kafka"].map(str::to_owned);
    peers::install(&wanted)?;
    clients::run(&Target::Node, &[], false)
}
