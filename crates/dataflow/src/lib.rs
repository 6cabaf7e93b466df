//! The deterministic stepping machine: plans, operators, watermarks, source and sink traits.
//!
//! `(state, outputs) = step(state, inputs, clock)`. Nothing in an operator reads a clock, a random
//! number or a hash-map order, and nothing here does I/O: the runtime reads the sources, hands the
//! rows to the step, and commits what comes back as one record of the log.

pub mod batch;
pub mod connector;
pub mod engine;
pub mod expression;
pub mod feed;
pub mod lookup;
pub mod plan;
pub mod sink;
pub mod source;
pub mod table;
pub mod values;
