//! The Flink SQL dialect: parser, catalog, planner and functions.
