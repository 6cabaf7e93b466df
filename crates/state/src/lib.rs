//! Keyed state of operators and its snapshots.
