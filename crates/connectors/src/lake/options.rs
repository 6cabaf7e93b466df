//! The options that tables of all lakes have.

use crate::optional;
use base::options::{OptionKind, OptionSpec};

pub(crate) const INTERVAL: &str = "sink.commit.interval";
pub(crate) const CREATE: &str = "sink.create-table";

pub(crate) const COMMIT_INTERVAL: OptionSpec = optional(
    INTERVAL,
    OptionKind::Duration,
    Some("1 min"),
    "Rows are committed when the first of them is this old. Each commit adds a file for each partition that it has rows of, and an \
     entry to the table's history: shorter ones show rows earlier, and leave more to be compacted.",
    "10 s",
);

pub(crate) const CREATE_TABLE: OptionSpec = optional(
    CREATE,
    OptionKind::Boolean,
    Some("true"),
    "Whether a table that is not there is made, with the columns that are declared here.",
    "false",
);

pub(crate) const PARALLELISM: OptionSpec = optional(
    "sink.parallelism",
    OptionKind::Integer { min: 1, max: 128 },
    None,
    "Accepted for Flink's sake; rows are written in one order.",
    "1",
);
