//! The engine against golden tables and against itself: step sizes, workers, snapshots.

mod fixtures;
mod windows;
