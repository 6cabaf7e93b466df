//! The engine against golden tables and against itself: step sizes, workers, snapshots.

mod aggregates;
mod changelogs;
mod changes;
mod conflicts;
mod fixtures;
mod group;
mod idleness;
mod interval_join;
mod invariance;
mod keyed_rows;
mod lookup_join;
mod match_recognize;
mod operators;
mod over;
mod plans;
mod probe;
mod processing_time;
mod rank;
mod regular_join;
mod temporal_join;
mod temporal_sort;
mod traced;
mod unnest;
mod window_rows;
mod windows;
mod zones;
