//! The sink of `jdbc` at a real PostgreSQL: what is stored, who may write, and what befalls them; and feeds of
//! `postgres-cdc`.
//!
//! `cargo xtask test postgres` starts the server and runs this; it says in `EVENTWRIGHT_TEST_POSTGRES` where
//! (`PORT USER PASSWORD`). Every test has tables of its own.

mod cdc;
mod changes;
mod faults;
mod killed;
mod refused;
#[path = "../rows/mod.rs"]
mod rows;
#[path = "../rows/scans.rs"]
mod scans;
mod server;
mod types;
