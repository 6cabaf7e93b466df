//! The options of `exec`.

use crate::messages::options::DEAD_LETTER_TOPIC;
use crate::table_format::FORMAT;
use crate::text_stream::RECORD_BYTES_SPEC;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use std::path::PathBuf;
use std::time::Duration;

const COMMAND: &str = "command";
const FOLDER: &str = "working-directory";
const ENVIRONMENT: &str = "environment.";
const RESTART: &str = "scan.restart";
const RESTART_DELAY: &str = "scan.restart-delay";
const REPLAYS: &str = "scan.replays";
const CONFIRM: &str = "sink.confirm";
const TIMEOUT: &str = "timeout";
const STOP_TIMEOUT: &str = "stop-timeout";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    FORMAT,
    OptionSpec {
        key: COMMAND,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "What is run, by `/bin/sh -c`. Its lines of standard output are the records of a table that is read; the rows of one \
              that is written are lines of its standard input. The node has to be started with `--allow-exec`.",
        example: "journalctl --follow --output json",
    },
    optional(
        FOLDER,
        OptionKind::Text,
        None,
        "The folder that it runs in; that of the node without it.",
        "/var/log",
    ),
    optional(
        "environment.*",
        OptionKind::Text,
        None,
        "A variable of its environment. Of the node's own it has `PATH`, `HOME`, `USER`, `LANG`, `TZ` and the like, and no more. \
         `${env:NAME}` and `${file:PATH}` stand for values that are not written here.",
        "eu",
    ),
    optional(
        RESTART,
        OptionKind::OneOf(&["on-failure", "always", "never"]),
        Some("on-failure"),
        "What follows when the command ends. With exit status 0 the table ends, but for `always`; with another one it is run \
         again by the job's restart strategy, but for `never`, which fails the job.",
        "always",
    ),
    optional(
        RESTART_DELAY,
        OptionKind::Duration,
        Some("1 s"),
        "With `always`, how long after the end of one run the next one begins.",
        "1 min",
    ),
    optional(
        REPLAYS,
        OptionKind::Boolean,
        Some("false"),
        "Whether the command writes the same lines from the beginning whenever it is run. Then those that are in the log are \
         passed over, and each is read exactly once; that they are the same is checked.",
        "true",
    ),
    optional(
        CONFIRM,
        OptionKind::OneOf(&["exit", "write"]),
        Some("exit"),
        "When rows count as written. `exit`: each commit is a run of the command, which reads its rows to the end and ends with \
         status 0. `write`: one run reads all rows, and what lies in its pipe counts.",
        "write",
    ),
    optional(
        TIMEOUT,
        OptionKind::Duration,
        Some("30 s"),
        "How long the command may leave rows unread, and may take to end when it has read all.",
        "5 min",
    ),
    optional(
        STOP_TIMEOUT,
        OptionKind::Duration,
        Some("5 s"),
        "How long its processes have between the signal to end (SIGTERM, to all of them) and SIGKILL.",
        "1 min",
    ),
    RECORD_BYTES_SPEC,
    optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "Records that are too long or cannot be read by the format, and rows whose line ends their format does not mark as their \
         own, go to this topic of the embedded log, with their bytes and the reason in a header, and the job goes on. Without \
         it such a record fails the job.",
        "lines-rejected",
    ),
    crate::SCAN_RATE_LIMIT,
    crate::SINK_RATE_LIMIT,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    OnFailure,
    Always(Duration),
    Never,
}

/// A table's options, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub command: String,
    pub folder: Option<PathBuf>,
    /// As they are written.
    environment: Vec<(String, String)>,
    pub restart: Restart,
    pub replays: bool,
    /// Each commit is a run of its own.
    pub confirms_by_exit: bool,
    pub timeout: Duration,
    pub stop_timeout: Duration,
}

impl Settings {
    pub(super) fn new(options: &Options) -> Settings {
        let time = |key: &str| Duration::from_millis(options.duration_ms(key).unwrap_or(0));
        let variables = options.with_prefix(ENVIRONMENT);
        Settings {
            command: options.text(COMMAND).unwrap_or_default().to_string(),
            folder: options.text(FOLDER).map(PathBuf::from),
            environment: variables
                .map(|(key, value)| {
                    (key.strip_prefix(ENVIRONMENT).unwrap_or(key).to_string(), value.to_string())
                })
                .collect(),
            restart: match options.text(RESTART) {
                Some("always") => Restart::Always(time(RESTART_DELAY)),
                Some("never") => Restart::Never,
                _ => Restart::OnFailure,
            },
            replays: options.boolean(REPLAYS),
            confirms_by_exit: options.text(CONFIRM) != Some("write"),
            timeout: time(TIMEOUT).max(Duration::from_millis(1)),
            stop_timeout: time(STOP_TIMEOUT),
        }
    }

    /// The variables with what they stand for, as that is now.
    pub(super) fn environment(&self) -> Result<Vec<(String, String)>, String> {
        let resolved = |(name, value): &(String, String)| match auth::secrets::resolved(value) {
            Ok(value) => Ok((name.clone(), value)),
            Err(error) => Err(format!("'{ENVIRONMENT}{name}': {error}")),
        };
        self.environment.iter().map(resolved).collect()
    }

    /// What is wrong beyond what one option can see.
    pub(super) fn problems(&self, table: &TableDefinition) -> Vec<ConnectorError> {
        let mut errors = Vec::new();
        let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
        if self.command.trim().is_empty() {
            problem(COMMAND, format!("'{COMMAND}' is empty"));
        }
        for (name, _) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) {
                problem(&format!("{ENVIRONMENT}{name}"), format!("'{name}' cannot be a variable's name"));
            }
        }
        if self.replays && matches!(self.restart, Restart::Always(_)) {
            let message = format!("'{RESTART}' = 'always' has no lines to pass over: leave out '{REPLAYS}'");
            problem(REPLAYS, message);
        }
        errors
    }
}
