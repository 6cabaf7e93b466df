//! The Flink SQL dialect: parser, catalog, planner and functions.
//!
//! Text goes through `source` (variables), `lexer` and `parser` into the tree of `ast`; every message is a
//! `diagnostic` that points at the text. `catalog` and `settings` keep what statements declare; `binder` and
//! `planner` make plans of them; `session` ties all of it together.

pub mod ast;
pub mod binder;
pub mod catalog;
pub mod diagnostic;
pub mod expression;
pub mod functions;
mod json;
mod keyword;
mod lexer;
pub mod parser;
pub mod planner;
pub mod reference;
pub mod session;
pub mod settings;
pub mod source;
pub mod span;
pub mod types;
pub mod unparse;
