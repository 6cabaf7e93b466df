//! The Flink SQL dialect: parser, catalog, planner and functions.
//!
//! Text goes through `source` (variables), `lexer` and `parser` into the tree of `ast`; every message is a
//! `diagnostic` that points at the text.

pub mod ast;
pub mod catalog;
pub mod diagnostic;
pub mod expression;
pub mod functions;
mod keyword;
mod lexer;
pub mod parser;
pub mod settings;
pub mod source;
pub mod span;
pub mod types;
pub mod unparse;
pub mod binder;
pub mod planner;
pub mod session;
