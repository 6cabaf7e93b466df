//! The parser from outside: what it accepts comes back as the same text, what it refuses says why, and no text
//! makes it panic.
//!
//! Every statement of `corpus/*.sql` has been accepted by Apache Flink 2.3.0's own parser.

mod canonical;
mod golden;
mod limits;
mod messages;
mod mutations;
mod spans;
