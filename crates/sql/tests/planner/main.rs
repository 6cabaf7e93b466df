//! Plans, messages and values: data-driven, against golden files and tables of Flink's documented results.
//!
//! `UPDATE_GOLDEN=1 cargo test -p sql --test planner` writes the golden files anew.

mod aggregates;
mod changelogs;
mod connectors;
mod evaluation;
mod expressions;
mod golden;
mod identities;
mod scripts;
mod sessions;
