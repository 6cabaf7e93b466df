//! Evaluates an expression on our side: its type and its value, or why there is none.

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use dataflow::connector::ConnectorTable;
use dataflow::expression::EvaluationContext;
use sql::ast::ObjectName;
use sql::binder::{BindSettings, Binder, Named, Relations};
use sql::parser::{parse_expression, parse_script};
use sql::session::Session;
use sql::source::SourceText;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The clock of the suite: 2026-03-05 12:44:31.123 UTC.
pub const CLOCK_MS: i64 = 1_772_714_671_123;

/// What an expression came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evaluated {
    Value {
        data_type: String,
        value: String,
    },
    /// It was refused, or it failed.
    Error(String),
    /// Never right.
    Panic(String),
}

impl Evaluated {
    pub fn shown(&self) -> String {
        match self {
            Evaluated::Value { data_type, value } => format!("{data_type} => {value}"),
            Evaluated::Error(message) => format!("error: {message}"),
            Evaluated::Panic(message) => format!("PANIC: {message}"),
        }
    }
}

struct Nothing;

impl Relations for Nothing {
    fn find(&self, _: &ObjectName) -> Option<Named> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The settings in which expressions are evaluated.
pub struct Evaluator {
    session: Session,
}

impl Default for Evaluator {
    fn default() -> Evaluator {
        Evaluator { session: Session::new(ConnectorTable::default()) }
    }
}

impl Evaluator {
    /// Executes a SET.
    pub fn set(&mut self, statement: &str) -> Result<(), String> {
        let source = SourceText::new("setting", statement);
        let (statements, problems) = parse_script(&source);
        if let Some(problem) = problems.first() {
            return Err(problem.to_string());
        }
        for statement in &statements {
            self.session.execute(statement).map_err(|problems| problems[0].to_string())?;
        }
        Ok(())
    }

    pub fn evaluate(&self, text: &str) -> Evaluated {
        let settings = self.session.bind_settings();
        match catch_unwind(AssertUnwindSafe(|| evaluate(text, settings))) {
            Ok(Ok((data_type, value))) => Evaluated::Value { data_type, value },
            Ok(Err(message)) => Evaluated::Error(message),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                Evaluated::Panic(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?").to_string())
            }
        }
    }
}

fn evaluate(text: &str, settings: BindSettings) -> Result<(String, String), String> {
    let source = SourceText::new("expression", text);
    let written = parse_expression(&source).map_err(|problems| format!("parse: {}", problems[0]))?;
    let mut binder = Binder::new(&Nothing, settings);
    let scalar = binder.bind_constant(&written).map_err(|problem| format!("plan: {problem}"))?;
    let data_type = scalar.data_type.clone();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        .map_err(|error| error.to_string())?;
    let context = EvaluationContext { clock_ms: CLOCK_MS, watermarks: None, randomness: Default::default() };
    let array =
        scalar.compile().evaluate(&rows, &context).map_err(|error| format!("run: {}", error.message))?;
    Ok((data_type.to_string(), crate::value::show(array.as_ref(), 0, &data_type)?))
}
