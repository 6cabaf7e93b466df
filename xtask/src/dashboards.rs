//! Writes the boards of `deploy/grafana` from the tables below.
//!
//! A board in Grafana's own form is a thousand lines of which ten say something. Here a panel is its title, its unit and
//! its queries; `$sel` stands for the choice of instances. The stage `metrics` of the tests runs every query.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use crate::places;

pub const FOLDER: &str = "deploy/grafana";

/// What `$sel` stands for.
const SELECTION: &str = "instance=~\"$instance\"";

/// Panels side by side, of the 24 columns that a board has.
const WIDTH: u64 = 8;
const HEIGHT: u64 = 8;

pub struct Board {
    pub name: &'static str,
    pub title: &'static str,
    pub panels: &'static [Panel],
}

pub struct Panel {
    pub title: &'static str,
    /// One of Grafana's.
    pub unit: &'static str,
    /// Expressions, with what the legend shows of each.
    pub queries: &'static [(&'static str, &'static str)],
}

const fn panel(
    title: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, unit, queries }
}

pub const BOARDS: &[Board] = &[
    Board { name: "broker", title: "Eventwright: broker", panels: BROKER },
    Board { name: "groups", title: "Eventwright: groups", panels: GROUPS },
    Board { name: "jobs", title: "Eventwright: jobs", panels: JOBS },
    Board { name: "node", title: "Eventwright: node and durability", panels: NODE },
];

const BROKER: &[Panel] = &[
    panel(
        "Records in, by topic",
        "cps",
        &[(
            "sum by (topic) (rate(eventwright_topic_appended_records_total{$sel}[$__rate_interval]))",
            "{{topic}}",
        )],
    ),
    panel(
        "Bytes in, by topic",
        "Bps",
        &[(
            "sum by (topic) (rate(eventwright_topic_appended_bytes_total{$sel}[$__rate_interval]))",
            "{{topic}}",
        )],
    ),
    panel(
        "Bytes out, by topic",
        "Bps",
        &[(
            "sum by (topic) (rate(eventwright_topic_fetched_bytes_total{$sel}[$__rate_interval]))",
            "{{topic}}",
        )],
    ),
    panel(
        "Requests, by API",
        "reqps",
        &[(
            "sum by (api) (rate(eventwright_kafka_request_seconds_count{$sel}[$__rate_interval]))",
            "{{api}}",
        )],
    ),
    panel(
        "Produce: time to the acknowledgement",
        "s",
        &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(eventwright_kafka_request_seconds_bucket{$sel,api=\"Produce\"}[$__rate_interval])))",
                "p50",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(eventwright_kafka_request_seconds_bucket{$sel,api=\"Produce\"}[$__rate_interval])))",
                "p99",
            ),
        ],
    ),
    panel(
        "Time of requests, p99 by API",
        "s",
        &[(
            "histogram_quantile(0.99, sum by (api, le) (rate(eventwright_kafka_request_seconds_bucket{$sel,api!~\"Fetch|ShareFetch|JoinGroup|SyncGroup\"}[$__rate_interval]))) > 0",
            "{{api}}",
        )],
    ),
    panel(
        "Errors, by API and code",
        "reqps",
        &[(
            "sum by (api, error) (rate(eventwright_kafka_request_errors_total{$sel}[$__rate_interval]))",
            "{{api}} {{error}}",
        )],
    ),
    panel(
        "Connections",
        "short",
        &[
            ("sum by (instance) (eventwright_kafka_connections{$sel})", "open {{instance}}"),
            ("sum by (instance) (eventwright_kafka_connections_max{$sel})", "most {{instance}}"),
        ],
    ),
    panel(
        "Connections opened, refused, failed",
        "cps",
        &[
            ("sum(rate(eventwright_kafka_connections_opened_total{$sel}[$__rate_interval]))", "opened"),
            ("sum(rate(eventwright_kafka_connections_refused_total{$sel}[$__rate_interval]))", "refused"),
            ("sum(rate(eventwright_kafka_connections_failed_total{$sel}[$__rate_interval]))", "failed"),
        ],
    ),
    panel(
        "Log-ins that fail",
        "cps",
        &[(
            "sum by (listener) (rate(eventwright_authentications_failed_total{$sel}[$__rate_interval]))",
            "{{listener}}",
        )],
    ),
    panel(
        "Transactions",
        "cps",
        &[
            ("sum(rate(eventwright_transactions_committed_total{$sel}[$__rate_interval]))", "committed"),
            ("sum(rate(eventwright_transactions_aborted_total{$sel}[$__rate_interval]))", "aborted"),
        ],
    ),
    panel(
        "Open transactions",
        "short",
        &[("sum by (instance) (eventwright_transactions_open{$sel})", "{{instance}}")],
    ),
    panel(
        "Age of the oldest open transaction",
        "s",
        &[("max by (instance) (eventwright_transactions_oldest_age_seconds{$sel})", "{{instance}}")],
    ),
    panel(
        "Size of topics",
        "bytes",
        &[("sum by (topic) (eventwright_partition_size_bytes{$sel})", "{{topic}}")],
    ),
];

const GROUPS: &[Panel] = &[
    panel(
        "Groups, by type and state",
        "short",
        &[("sum by (type, state) (eventwright_groups{$sel})", "{{type}} {{state}}")],
    ),
    panel("Members", "short", &[("sum by (group) (eventwright_group_members{$sel})", "{{group}}")]),
    panel(
        "Lag in records",
        "short",
        &[("sum by (group, topic) (eventwright_group_lag_records{$sel})", "{{group}} {{topic}}")],
    ),
    panel(
        "Lag in time",
        "s",
        &[("max by (group, topic) (eventwright_group_lag_seconds{$sel})", "{{group}} {{topic}}")],
    ),
    panel(
        "Records committed",
        "cps",
        &[(
            "sum by (group, topic) (clamp_min(deriv(eventwright_group_committed_offset{$sel}[$__rate_interval]), 0))",
            "{{group}} {{topic}}",
        )],
    ),
    panel(
        "Partitions that are furthest behind",
        "short",
        &[("topk(10, eventwright_group_lag_records{$sel})", "{{group}} {{topic}}-{{partition}}")],
    ),
    panel(
        "Share groups: records that are not done",
        "short",
        &[("sum by (group, topic) (eventwright_share_group_lag_records{$sel})", "{{group}} {{topic}}")],
    ),
    panel(
        "Share groups: locked, held back, dead",
        "short",
        &[
            ("sum by (group) (eventwright_share_group_locked_records{$sel})", "{{group}} locked"),
            ("sum by (group) (eventwright_share_group_held_back_records{$sel})", "{{group}} held back"),
            ("sum by (group) (eventwright_share_group_dead_records{$sel})", "{{group}} dead, waiting"),
        ],
    ),
    panel(
        "Share groups: what becomes of records",
        "cps",
        &[
            (
                "sum by (group) (rate(eventwright_share_group_delivered_records_total{$sel}[$__rate_interval]))",
                "{{group}} delivered",
            ),
            (
                "sum by (group) (rate(eventwright_share_group_accepted_records_total{$sel}[$__rate_interval]))",
                "{{group}} accepted",
            ),
            (
                "sum by (group) (rate(eventwright_share_group_released_records_total{$sel}[$__rate_interval]))",
                "{{group}} released",
            ),
            (
                "sum by (group) (rate(eventwright_share_group_rejected_records_total{$sel}[$__rate_interval]))",
                "{{group}} rejected",
            ),
            (
                "sum by (group) (rate(eventwright_share_group_expired_locks_total{$sel}[$__rate_interval]))",
                "{{group}} lock ran out",
            ),
            (
                "sum by (group) (rate(eventwright_share_group_over_limit_records_total{$sel}[$__rate_interval]))",
                "{{group}} over the limit",
            ),
        ],
    ),
    panel(
        "Dead letters",
        "short",
        &[("sum by (group) (eventwright_share_group_dead_letters_total{$sel})", "{{group}}")],
    ),
];

const JOBS: &[Panel] = &[
    panel("Jobs, by state", "short", &[("sum by (state) (eventwright_jobs{$sel})", "{{state}}")]),
    panel(
        "Rows in",
        "rowsps",
        &[(
            "sum by (job_name) (rate(eventwright_job_rows_in_total{$sel}[$__rate_interval]))",
            "{{job_name}}",
        )],
    ),
    panel(
        "Rows out",
        "rowsps",
        &[(
            "sum by (job_name) (rate(eventwright_job_rows_out_total{$sel}[$__rate_interval]))",
            "{{job_name}}",
        )],
    ),
    panel(
        "Watermark behind the clock",
        "s",
        &[("max by (job_name) (eventwright_job_watermark_delay_seconds{$sel})", "{{job_name}}")],
    ),
    panel(
        "Records ahead in the sources",
        "short",
        &[("sum by (job_name) (eventwright_job_lag_records{$sel})", "{{job_name}}")],
    ),
    panel(
        "Outside targets behind their outbox",
        "s",
        &[(
            "max by (job_name, vertex) (eventwright_job_outbox_lag_seconds{$sel})",
            "{{job_name}} vertex {{vertex}}",
        )],
    ),
    panel(
        "Rows that wait for outside targets",
        "short",
        &[(
            "sum by (job_name, vertex) (eventwright_job_outbox_lag_records{$sel})",
            "{{job_name}} vertex {{vertex}}",
        )],
    ),
    panel(
        "Time of a step",
        "s",
        &[
            (
                "histogram_quantile(0.5, sum by (job_name, le) (rate(eventwright_job_step_seconds_bucket{$sel}[$__rate_interval]))) > 0",
                "{{job_name}} p50",
            ),
            (
                "histogram_quantile(0.99, sum by (job_name, le) (rate(eventwright_job_step_seconds_bucket{$sel}[$__rate_interval]))) > 0",
                "{{job_name}} p99",
            ),
        ],
    ),
    panel(
        "Rows of a step, on average",
        "short",
        &[(
            "sum by (job_name) (rate(eventwright_job_step_rows_sum{$sel}[$__rate_interval])) / sum by (job_name) (rate(eventwright_job_step_rows_count{$sel}[$__rate_interval])) >= 0",
            "{{job_name}}",
        )],
    ),
    panel(
        "Where the time goes, by operator",
        "percentunit",
        &[(
            "sum by (job_name, operator) (rate(eventwright_job_vertex_busy_seconds_total{$sel}[$__rate_interval]))",
            "{{job_name}} {{operator}}",
        )],
    ),
    panel(
        "Time in commits and upkeep",
        "percentunit",
        &[
            (
                "sum by (job_name) (rate(eventwright_job_commit_seconds_total{$sel}[$__rate_interval]))",
                "{{job_name}} commits",
            ),
            (
                "sum by (job_name) (rate(eventwright_job_upkeep_seconds_total{$sel}[$__rate_interval]))",
                "{{job_name}} upkeep",
            ),
        ],
    ),
    panel(
        "Rows in, by operator",
        "rowsps",
        &[(
            "sum by (job_name, operator) (rate(eventwright_job_vertex_rows_in_total{$sel}[$__rate_interval]))",
            "{{job_name}} {{operator}}",
        )],
    ),
    panel(
        "State",
        "bytes",
        &[
            ("sum by (job_name) (eventwright_job_state_memory_bytes{$sel})", "{{job_name}} in memory"),
            ("sum by (job_name) (eventwright_job_state_disk_bytes{$sel})", "{{job_name}} in files"),
        ],
    ),
    panel(
        "Late, skipped and dead",
        "short",
        &[
            ("sum by (job_name) (eventwright_job_late_rows_total{$sel})", "{{job_name}} late"),
            ("sum by (job_name) (eventwright_job_skipped_records_total{$sel})", "{{job_name}} skipped"),
            ("sum by (job_name) (eventwright_job_dead_letters_total{$sel})", "{{job_name}} dead letters"),
        ],
    ),
    panel(
        "Failures and restarts",
        "short",
        &[
            ("sum by (job_name) (eventwright_job_failures_total{$sel})", "{{job_name}} failures"),
            ("sum by (job_name) (eventwright_job_restarts_total{$sel})", "{{job_name}} restarts"),
        ],
    ),
    panel(
        "Failures of outside targets",
        "short",
        &[(
            "sum by (job_name, vertex) (eventwright_job_outbox_failures_total{$sel})",
            "{{job_name}} vertex {{vertex}}",
        )],
    ),
    panel(
        "Snapshots: time until durable, on average",
        "s",
        &[(
            "sum by (job_name) (eventwright_job_snapshot_seconds_sum{$sel}) / sum by (job_name) (eventwright_job_snapshot_seconds_count{$sel}) >= 0",
            "{{job_name}}",
        )],
    ),
    panel("Views: rows", "short", &[("sum by (view) (eventwright_view_rows{$sel})", "{{view}}")]),
    panel("Views: memory", "bytes", &[("sum by (view) (eventwright_view_memory_bytes{$sel})", "{{view}}")]),
    panel(
        "Views: behind their topics",
        "s",
        &[("max by (view) (eventwright_view_lag_seconds{$sel})", "{{view}}")],
    ),
    panel(
        "Views: reads by queries",
        "reqps",
        &[("sum by (view) (rate(eventwright_view_reads_total{$sel}[$__rate_interval]))", "{{view}}")],
    ),
];

const NODE: &[Panel] = &[
    panel("Version", "short", &[("eventwright_build_info{$sel}", "{{instance}} {{version}}")]),
    panel(
        "Time of a sync",
        "s",
        &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(eventwright_log_sync_seconds_bucket{$sel}[$__rate_interval])))",
                "p50",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(eventwright_log_sync_seconds_bucket{$sel}[$__rate_interval])))",
                "p99",
            ),
        ],
    ),
    panel(
        "Group commits",
        "ops",
        &[(
            "sum by (instance) (rate(eventwright_log_commit_seconds_count{$sel}[$__rate_interval]))",
            "{{instance}}",
        )],
    ),
    panel(
        "Frames in a group commit, on average",
        "short",
        &[(
            "sum by (instance) (rate(eventwright_log_commit_frames_sum{$sel}[$__rate_interval])) / sum by (instance) (rate(eventwright_log_commit_frames_count{$sel}[$__rate_interval]))",
            "{{instance}}",
        )],
    ),
    panel(
        "Bytes of a group commit, on average",
        "bytes",
        &[(
            "sum by (instance) (rate(eventwright_log_commit_size_bytes_sum{$sel}[$__rate_interval])) / sum by (instance) (rate(eventwright_log_commit_size_bytes_count{$sel}[$__rate_interval]))",
            "{{instance}}",
        )],
    ),
    panel(
        "Appended and not yet durable",
        "bytes",
        &[("eventwright_log_unsynced_bytes{$sel}", "{{instance}}")],
    ),
    panel(
        "Since the last commit",
        "s",
        &[("time() - eventwright_log_last_commit_timestamp_seconds{$sel}", "{{instance}}")],
    ),
    panel(
        "Trouble",
        "short",
        &[
            ("eventwright_log_fenced{$sel}", "fenced {{instance}}"),
            ("eventwright_log_disk_trouble{$sel}", "no next log file {{instance}}"),
            ("eventwright_compaction_trouble{$sel}", "not compacted {{instance}}"),
            ("eventwright_log_damaged_places_total{$sel}", "damaged places {{instance}}"),
        ],
    ),
    panel(
        "Disk",
        "bytes",
        &[
            ("eventwright_disk_free_bytes{$sel}", "free {{instance}}"),
            ("eventwright_log_disk_bytes{$sel}", "log {{instance}}"),
        ],
    ),
    panel(
        "Log files",
        "short",
        &[
            ("eventwright_log_files{$sel}", "files {{instance}}"),
            ("eventwright_log_segments{$sel}", "segments {{instance}}"),
        ],
    ),
    panel(
        "Log written",
        "Bps",
        &[(
            "sum by (instance) (rate(eventwright_log_appended_bytes_total{$sel}[$__rate_interval]))",
            "{{instance}}",
        )],
    ),
    panel(
        "Retention and compaction",
        "short",
        &[
            (
                "sum by (instance) (eventwright_retention_recycled_files_total{$sel})",
                "files given back {{instance}}",
            ),
            (
                "sum by (instance) (eventwright_compaction_passes_total{$sel})",
                "passes of compaction {{instance}}",
            ),
        ],
    ),
    panel(
        "Compaction",
        "Bps",
        &[
            (
                "sum by (instance) (rate(eventwright_compaction_read_bytes_total{$sel}[$__rate_interval]))",
                "read {{instance}}",
            ),
            (
                "sum by (instance) (rate(eventwright_compaction_written_bytes_total{$sel}[$__rate_interval]))",
                "written {{instance}}",
            ),
        ],
    ),
    panel(
        "Topics and partitions",
        "short",
        &[
            ("eventwright_topics{$sel}", "topics {{instance}}"),
            ("eventwright_partitions{$sel}", "partitions {{instance}}"),
        ],
    ),
    panel(
        "Processors",
        "percentunit",
        &[(
            "sum by (instance) (rate(process_cpu_seconds_total{job=\"eventwright\",$sel}[$__rate_interval]))",
            "{{instance}}",
        )],
    ),
    panel("Memory", "bytes", &[("process_resident_memory_bytes{job=\"eventwright\",$sel}", "{{instance}}")]),
    panel(
        "Open files and sockets",
        "short",
        &[
            ("process_open_fds{job=\"eventwright\",$sel}", "open {{instance}}"),
            ("process_max_fds{job=\"eventwright\",$sel}", "most {{instance}}"),
        ],
    ),
    panel(
        "HTTP requests, by status",
        "reqps",
        &[("sum by (code) (rate(eventwright_http_requests_total{$sel}[$__rate_interval]))", "{{code}}")],
    ),
    panel(
        "Time to make the page of metrics",
        "s",
        &[("eventwright_metrics_page_seconds{$sel}", "{{instance}}")],
    ),
];

/// The expression with the choice of instances in it.
pub fn expression(query: &str) -> String {
    query.replace("$sel", SELECTION)
}

fn path(board: &Board) -> PathBuf {
    places::root().join(FOLDER).join(format!("{}.json", board.name))
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn shown(panel: &Panel, index: u64) -> Value {
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..)
        .map(|((query, legend), letter)| {
            json!({ "refId": letter.to_string(), "datasource": source(), "expr": expression(query), "legendFormat": legend })
        })
        .collect();
    let across = 24 / WIDTH;
    json!({
        "id": index + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source(),
        "gridPos": { "h": HEIGHT, "w": WIDTH, "x": index % across * WIDTH, "y": index / across * HEIGHT },
        "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0, "custom": { "showPoints": "never" } }, "overrides": [] },
        "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } },
        "targets": targets,
    })
}

fn document(board: &Board) -> String {
    let panels: Vec<Value> = board.panels.iter().zip(0..).map(|(panel, index)| shown(panel, index)).collect();
    let board = json!({
        "uid": format!("eventwright-{}", board.name),
        "title": board.title,
        "tags": ["eventwright"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus" },
            {
                "name": "instance", "label": "Instance", "type": "query", "datasource": source(),
                "query": "label_values(eventwright_build_info, instance)", "refresh": 2,
                "multi": true, "includeAll": true, "allValue": ".*",
                "current": { "selected": true, "text": "All", "value": "$__all" },
            },
        ] },
        "panels": panels,
    });
    format!("{board:#}\n")
}

/// Writes the boards; says which files they are.
pub fn write() -> Result<()> {
    for board in BOARDS {
        let path = path(board);
        std::fs::create_dir_all(places::root().join(FOLDER))?;
        std::fs::write(&path, document(board))?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_boards_are_current() {
        for board in BOARDS {
            let committed = std::fs::read_to_string(path(board)).unwrap_or_default();
            assert!(committed == document(board), "run `cargo xtask dashboards`: {} is stale", board.name);
        }
    }

    #[test]
    fn every_query_can_be_narrowed_to_an_instance() {
        for panel in BOARDS.iter().flat_map(|board| board.panels) {
            assert!(panel.queries.iter().all(|(query, _)| query.contains("$sel")), "{}", panel.title);
        }
    }
}
