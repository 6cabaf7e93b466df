//! What the drivers in `bin/` share: starting programs, reading their cost from the kernel, floors and tables.
//!
//! A driver starts the node as its users do, as a process of its own, and reads what the kernel charges that process.
//! Beside each number stands what the bare machine needs for the same bytes, measured in the same run: on a
//! machine that is shared or throttled, only such pairs can be compared.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

pub mod cost;
pub mod floor;
pub mod latency;
pub mod load;
pub mod machine;
pub mod node;
pub mod open_loop;
pub mod program;
pub mod report;
pub mod sql_file;

/// Bytes in the gigabyte of all tables.
pub const GIGABYTE: f64 = 1e9;
