//! The settings that are known, those of Flink that change nothing here among them.

use super::{Effect, SettingSpec};
use base::options::{OptionKind, OptionSpec};

const fn used(
    key: &'static str,
    kind: OptionKind,
    default: Option<&'static str>,
    doc: &'static str,
    example: &'static str,
) -> SettingSpec {
    let option = OptionSpec { key, kind, required: false, default, doc, example };
    SettingSpec { option, effect: Effect::Used }
}

const fn without(
    key: &'static str,
    kind: OptionKind,
    reason: &'static str,
    example: &'static str,
) -> SettingSpec {
    let option = OptionSpec { key, kind, required: false, default: None, doc: reason, example };
    SettingSpec { option, effect: Effect::None(reason) }
}

const TEXT: OptionKind = OptionKind::Text;
const BOOLEAN: OptionKind = OptionKind::Boolean;
const DURATION: OptionKind = OptionKind::Duration;
const SIZE: OptionKind = OptionKind::Size;
const COUNT: OptionKind = OptionKind::Integer { min: 1, max: i64::MAX };

const ATTEMPTS: OptionKind = OptionKind::Integer { min: 1, max: i32::MAX as i64 };
const STRATEGY: OptionKind = OptionKind::OneOf(&[
    "exponential-delay",
    "exponentialdelay",
    "fixed-delay",
    "fixeddelay",
    "failure-rate",
    "failurerate",
    "none",
    "off",
    "disable",
]);

const STEPS: &str = "every step commits by itself, and a snapshot is taken when it shortens recovery";
const BATCHES: &str = "a step takes what is there, one row or tens of thousands";
const PLANS: &str = "the planner always does what helps";
const PROCESS: &str = "everything runs in one process";
const CLIENT: &str = "results are shown as rows of a table";

/// Every known setting; a key with `*` stands for all that begin so.
pub const SETTINGS: &[SettingSpec] = &[
    used(
        "table.dml-sync",
        BOOLEAN,
        Some("false"),
        "Whether an INSERT is waited for before the next statement begins.",
        "true",
    ),
    used("pipeline.name", TEXT, None, "The name of the jobs that follow.", "delays"),
    used(
        "parallelism.default",
        COUNT,
        Some("1"),
        "How many workers a job runs on. Results do not depend on it.",
        "2",
    ),
    used(
        "table.local-time-zone",
        TEXT,
        Some("UTC"),
        "The zone of TIMESTAMP_LTZ: what the wall clock shows in casts, functions and windows. A name of the IANA database, which is compiled in, or an offset such as `GMT+02:00`.",
        "Europe/Berlin",
    ),
    used(
        "table.exec.sink.not-null-enforcer",
        OptionKind::OneOf(&["ERROR", "DROP", "error", "drop"]),
        Some("ERROR"),
        "What becomes of a row with NULL in a NOT NULL column of a sink: the job fails, or the row is dropped.",
        "DROP",
    ),
    used(
        "execution.runtime-mode",
        OptionKind::OneOf(&["streaming", "STREAMING"]),
        Some("streaming"),
        "A job over bounded tables ends by itself in streaming mode too.",
        "streaming",
    ),
    used(
        "eventwright.late-rows.topic",
        TEXT,
        None,
        "The topic that gets the rows that come too late for an operator, as JSON with the operator, the row's time and \
         the watermark, exactly once. Without it they are dropped and counted, in Flink in silence. Flink refuses \
         no setting that it does not know, so a file with this one runs there too.",
        "late",
    ),
    used(
        "eventwright.debug.snapshots-retained",
        OptionKind::Integer { min: 1, max: 1000 },
        Some("1"),
        "How many snapshots of the job's state are kept, the last one among them: `eventwright debug` can run the steps \
         behind each of them again. Each costs what the state has changed by since the one before, on disk.",
        "10",
    ),
    used(
        "execution.state-recovery.ignore-unclaimed-state",
        BOOLEAN,
        Some("false"),
        "A job whose statement has changed may lose state that no operator takes any more, or that cannot be made anew \
         from all of its input; as --allow-non-restored-state.",
        "true",
    ),
    used(
        "eventwright.feed.unread-bytes-max",
        SIZE,
        Some("256 mb"),
        "About how many bytes that came from outside may wait for the job before no more is fetched.",
        "64 mb",
    ),
    used(
        "eventwright.outbox.waiting-bytes-max",
        SIZE,
        Some("1 gb"),
        "About how many bytes may wait for a target outside before the job takes no more input.",
        "256 mb",
    ),
    // Settings that would change results: only what happens here is a value.
    used(
        "table.exec.legacy-cast-behaviour",
        OptionKind::OneOf(&["DISABLED", "disabled"]),
        Some("DISABLED"),
        "A cast that has no result fails the job; TRY_CAST answers NULL.",
        "DISABLED",
    ),
    used(
        "table.exec.sink.type-length-enforcer",
        OptionKind::OneOf(&["IGNORE", "ignore"]),
        Some("IGNORE"),
        "Longer texts than a CHAR or VARCHAR column declares are written as they are.",
        "IGNORE",
    ),
    used(
        "table.sql-dialect",
        OptionKind::OneOf(&["default", "DEFAULT"]),
        Some("default"),
        "The dialect is Flink's own.",
        "default",
    ),
    // Watermarks and state.
    without(
        "pipeline.auto-watermark-interval",
        DURATION,
        "watermarks advance with every row, as Flink's do with '0ms'",
        "0ms",
    ),
    used(
        "table.exec.source.idle-timeout",
        DURATION,
        Some("0 ms"),
        "A partition from which nothing came for longer than this no longer holds the watermark back, until a row comes \
         of it; 0 waits for ever. A table's own 'scan.watermark.idle-timeout' goes before it.",
        "10 s",
    ),
    used(
        "table.exec.state.ttl",
        DURATION,
        Some("0 ms"),
        "State that was not written for so long is forgotten, in silence, by the clock of the steps; 0 keeps it for ever.",
        "1 d",
    ),
    // Restarts. The runtime reads them by the same names and has the same defaults.
    used(
        "restart-strategy.type",
        STRATEGY,
        Some("exponential-delay"),
        "What becomes of a job after a failure that may pass by itself, such as a target that is away: it is run \
         again after a delay, or it fails. What cannot pass by itself always fails the job at once.",
        "fixed-delay",
    ),
    used("restart-strategy", STRATEGY, None, "What 'restart-strategy.type' was called before.", "none"),
    used(
        "restart-strategy.exponential-delay.initial-backoff",
        DURATION,
        Some("1 s"),
        "How long a job waits before its first restart.",
        "10 s",
    ),
    used(
        "restart-strategy.exponential-delay.max-backoff",
        DURATION,
        Some("1 min"),
        "How long a job waits before a restart at most.",
        "2 min",
    ),
    used(
        "restart-strategy.exponential-delay.backoff-multiplier",
        OptionKind::Decimal { min: 1, max: 1_000_000 },
        Some("1.5"),
        "By what the delay grows from restart to restart.",
        "2.0",
    ),
    used(
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        DURATION,
        Some("1 h"),
        "After how long without a failure the first delay counts again.",
        "10 min",
    ),
    used(
        "restart-strategy.exponential-delay.jitter-factor",
        OptionKind::Decimal { min: 0, max: 1 },
        Some("0.1"),
        "The part of a delay that is added or taken away by chance, so that jobs do not all come back at once.",
        "0.2",
    ),
    used(
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        ATTEMPTS,
        None,
        "How many restarts there are before the delay is reset; without it, any number.",
        "10",
    ),
    used(
        "restart-strategy.fixed-delay.attempts",
        OptionKind::Integer { min: 0, max: i32::MAX as i64 },
        Some("1"),
        "How many restarts there are in all.",
        "3",
    ),
    used(
        "restart-strategy.fixed-delay.delay",
        DURATION,
        Some("1 s"),
        "How long a job waits before a restart.",
        "10 s",
    ),
    used(
        "restart-strategy.failure-rate.max-failures-per-interval",
        ATTEMPTS,
        Some("1"),
        "How many failures an interval may have before the job fails.",
        "3",
    ),
    used(
        "restart-strategy.failure-rate.failure-rate-interval",
        DURATION,
        Some("1 min"),
        "The interval in which failures are counted.",
        "5 min",
    ),
    used(
        "restart-strategy.failure-rate.delay",
        DURATION,
        Some("1 s"),
        "How long a job waits before a restart.",
        "10 s",
    ),
    // Steps instead of checkpoints and batches.
    without("execution.checkpointing.*", TEXT, STEPS, "10 s"),
    without("state.*", TEXT, STEPS, "rocksdb"),
    without("table.exec.mini-batch.enabled", BOOLEAN, BATCHES, "true"),
    without("table.exec.mini-batch.allow-latency", DURATION, BATCHES, "2 s"),
    without("table.exec.mini-batch.size", COUNT, BATCHES, "5000"),
    without("table.exec.window-agg.buffer-size-limit", COUNT, BATCHES, "100000"),
    without("execution.buffer-timeout.*", TEXT, BATCHES, "100 ms"),
    without("execution.buffer-timeout", DURATION, BATCHES, "100 ms"),
    // Planning and sinks.
    without("table.optimizer.*", TEXT, PLANS, "true"),
    used(
        "table.exec.sink.upsert-materialize",
        OptionKind::OneOf(&["AUTO", "NONE", "FORCE", "auto", "none", "force"]),
        Some("AUTO"),
        "Keeps the rows of each primary key in front of a sink that updates by it: when the query updates by another key, never, or always.",
        "AUTO",
    ),
    without("table.exec.sink.keyed-shuffle", TEXT, PLANS, "AUTO"),
    used(
        "table.exec.source.cdc-events-duplicate",
        BOOLEAN,
        Some("false"),
        "The topics of changelogs may hold a change twice: the last row of each PRIMARY KEY is kept, and what changes nothing is dropped.",
        "true",
    ),
    without("table.exec.simplify-operator-name-enabled", BOOLEAN, PLANS, "true"),
    without("table.exec.uid.*", TEXT, "operators are known by their part of the plan", "PLAN_ONLY"),
    used(
        "table.exec.async-lookup.output-mode",
        OptionKind::OneOf(&["ORDERED", "ALLOW_UNORDERED"]),
        Some("ORDERED"),
        "Whether rows of lookup joins with the hint 'async' = 'true' leave in the order in which they came.",
        "ALLOW_UNORDERED",
    ),
    used(
        "table.exec.async-lookup.buffer-capacity",
        COUNT,
        Some("100"),
        "Questions of a lookup join with the hint 'async' = 'true' that are under way at most.",
        "500",
    ),
    used(
        "table.exec.async-lookup.timeout",
        DURATION,
        Some("3 min"),
        "A question of a lookup join that takes longer fails the job.",
        "30 s",
    ),
    without(
        "table.exec.async-lookup.key-ordered-enabled",
        BOOLEAN,
        "rows that change are not looked up",
        "true",
    ),
    without("table.exec.async-scalar.*", TEXT, "functions are answered within the step", "10"),
    without("table.exec.deduplicate.*", TEXT, BATCHES, "true"),
    without("table.exec.rank.topn-cache-size", COUNT, PLANS, "10000"),
    without("table.exec.spill-compression.*", TEXT, PLANS, "true"),
    without("table.plan.*", TEXT, PLANS, "ALL"),
    without("table.generated-code.*", TEXT, "no code is generated", "4000"),
    // Resources and processes.
    without(
        "table.exec.resource.default-parallelism",
        OptionKind::Integer { min: -1, max: i64::MAX },
        "'parallelism.default' says how many workers there are",
        "4",
    ),
    without("pipeline.max-parallelism", COUNT, "keys always lie in 128 groups", "128"),
    without("pipeline.object-reuse", BOOLEAN, PROCESS, "true"),
    without("pipeline.operator-chaining", BOOLEAN, PLANS, "true"),
    without("pipeline.operator-chaining.*", TEXT, PLANS, "true"),
    without("pipeline.jars", TEXT, "there is no JVM to load them into", "a.jar"),
    without("pipeline.classpaths", TEXT, "there is no JVM to load them into", "file:///a.jar"),
    without("pipeline.global-job-parameters", TEXT, "no user code reads them", "a:b"),
    used(
        "taskmanager.memory.managed.size",
        OptionKind::Size,
        None,
        "What the state of a job may take in memory; what is beyond lies on disk.",
        "256 mb",
    ),
    without("taskmanager.*", TEXT, PROCESS, "2"),
    without("jobmanager.*", TEXT, PROCESS, "1g"),
    without("rest.*", TEXT, PROCESS, "8081"),
    without("cluster.*", TEXT, PROCESS, "a"),
    without("execution.target", TEXT, PROCESS, "local"),
    without("execution.attached", BOOLEAN, PROCESS, "true"),
    without("execution.shutdown-on-attached-exit", BOOLEAN, PROCESS, "true"),
    // The client.
    without(
        "sql-client.execution.result-mode",
        OptionKind::OneOf(&["table", "changelog", "tableau", "TABLE", "CHANGELOG", "TABLEAU"]),
        CLIENT,
        "tableau",
    ),
    without("sql-client.*", TEXT, CLIENT, "true"),
    without("table.display.max-column-width", COUNT, CLIENT, "30"),
    without("table.builtin-catalog-name", TEXT, "the first catalog is default_catalog", "default_catalog"),
    without(
        "table.builtin-database-name",
        TEXT,
        "the first database is default_database",
        "default_database",
    ),
];
