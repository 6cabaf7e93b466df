//! `jdbc` and `mysql-cdc` at a real MariaDB and a real MySQL: what is stored and looked up, who may write, and what is read of changes.
//!
//! `cargo xtask test mysql` starts the servers and runs this at each; it says in `EVENTWRIGHT_TEST_MYSQL` where
//! (`PORT REPLICA USER PASSWORD`). Every test has tables of its own.

mod cdc;
#[path = "../rows/mod.rs"]
mod rows;
#[path = "../rows/scans.rs"]
mod scans;
mod server;
mod sinks;
mod types;
