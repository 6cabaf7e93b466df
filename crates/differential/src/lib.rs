//! The differential suite: what Apache Flink gave for expressions and statements, beside what we give.
//!
//! The files are in `tests/flink`: expressions by family, their golden results, and the gaps that are known. `cargo
//! xtask flink` makes the golden results with `tests/flink/runner/FlinkEval.java`; the tests of this crate compare
//! without Flink.

pub mod compare;
pub mod evaluate;
pub mod expressions;
pub mod flink;
pub mod fuzz;
pub mod gaps;
pub mod refusals;
pub mod run;
pub mod statements;
pub mod value;

use std::path::PathBuf;

/// `tests/flink` in the checkout that cargo runs this in, or else that it was built from.
pub fn folder() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = PathBuf::from(package);
    package.ancestors().nth(2).unwrap_or(&package).join("tests/flink")
}
