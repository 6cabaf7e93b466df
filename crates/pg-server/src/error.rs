//! What a client is told when something went wrong: PostgreSQL's codes, words, and what to do.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use std::fmt;

/// An SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub &'static str);

impl Code {
    pub const PROTOCOL_VIOLATION: Code = Code("08P01");
    pub const CONNECTION_FAILURE: Code = Code("08006");
    pub const FEATURE_NOT_SUPPORTED: Code = Code("0A000");
    pub const INVALID_AUTHORIZATION: Code = Code("28000");
    pub const INVALID_PASSWORD: Code = Code("28P01");
    pub const CARDINALITY_VIOLATION: Code = Code("21000");
    pub const INVALID_PARAMETER_VALUE: Code = Code("22023");
    pub const INVALID_TEXT: Code = Code("22P02");
    pub const INVALID_BINARY: Code = Code("22P03");
    pub const DIVISION_BY_ZERO: Code = Code("22012");
    pub const OUT_OF_RANGE: Code = Code("22003");
    pub const ACTIVE_TRANSACTION: Code = Code("25001");
    pub const READ_ONLY: Code = Code("25006");
    pub const NO_TRANSACTION: Code = Code("25P01");
    pub const FAILED_TRANSACTION: Code = Code("25P02");
    pub const INVALID_STATEMENT_NAME: Code = Code("26000");
    pub const INVALID_CURSOR_NAME: Code = Code("34000");
    pub const DUPLICATE_CURSOR: Code = Code("42P03");
    pub const DUPLICATE_STATEMENT: Code = Code("42P05");
    pub const INSUFFICIENT_PRIVILEGE: Code = Code("42501");
    pub const SYNTAX_ERROR: Code = Code("42601");
    pub const UNDEFINED_COLUMN: Code = Code("42703");
    pub const UNDEFINED_FUNCTION: Code = Code("42883");
    pub const UNDEFINED_TABLE: Code = Code("42P01");
    pub const UNDEFINED_PARAMETER: Code = Code("42P02");
    pub const UNDEFINED_OBJECT: Code = Code("42704");
    pub const AMBIGUOUS_COLUMN: Code = Code("42702");
    pub const DATATYPE_MISMATCH: Code = Code("42804");
    pub const GROUPING_ERROR: Code = Code("42803");
    pub const UNDETERMINED_TYPE: Code = Code("42P18");
    pub const IDLE_IN_TRANSACTION_TIMEOUT: Code = Code("25P03");
    pub const OUT_OF_MEMORY: Code = Code("53200");
    pub const TOO_MANY_CONNECTIONS: Code = Code("53300");
    pub const STATEMENT_TOO_COMPLEX: Code = Code("54001");
    pub const LIMIT_EXCEEDED: Code = Code("54000");
    pub const TOO_MANY_COLUMNS: Code = Code("54011");
    pub const QUERY_CANCELED: Code = Code("57014");
    pub const ADMIN_SHUTDOWN: Code = Code("57P01");
    pub const IDLE_SESSION_TIMEOUT: Code = Code("57P05");
    pub const IO_ERROR: Code = Code("58030");
    pub const DATA_CORRUPTED: Code = Code("XX001");
    pub const INTERNAL: Code = Code("XX000");
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgError {
    pub code: Code,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// In characters of the statement, from 1.
    pub position: Option<usize>,
    /// The connection ends with it.
    pub is_fatal: bool,
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code.0)
    }
}

impl std::error::Error for PgError {}

impl PgError {
    pub fn new(code: Code, message: impl Into<String>) -> PgError {
        let message = message.into();
        PgError { code, message, detail: None, hint: None, position: None, is_fatal: false }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> PgError {
        self.hint = Some(hint.into());
        self
    }

    pub fn at(mut self, position: usize) -> PgError {
        self.position = Some(position);
        self
    }

    pub fn fatal(mut self) -> PgError {
        self.is_fatal = true;
        self
    }

    pub(crate) fn severity(&self) -> &'static str {
        if self.is_fatal { "FATAL" } else { "ERROR" }
    }

    /// What the parser or the planner says of a statement.
    pub fn of_datafusion(error: &DataFusionError, statement: &str) -> PgError {
        let root = error.find_root();
        if let DataFusionError::External(inner) = root
            && let Some(own) = inner.downcast_ref::<PgError>()
        {
            return own.clone();
        }
        match root {
            DataFusionError::SQL(error, _) => PgError::of_parser(error, statement),
            DataFusionError::ResourcesExhausted(_) => PgError::new(
                Code::OUT_OF_MEMORY,
                "the query needs more memory than queries may have together",
            )
            .hint("read fewer rows or columns, group by fewer keys, or start the node with a larger --pg-memory"),
            DataFusionError::NotImplemented(words) => {
                PgError::new(Code::FEATURE_NOT_SUPPORTED, first_line(words))
            }
            DataFusionError::ArrowError(error, _) => {
                let words = error.to_string();
                let code = match &**error {
                    arrow_schema::ArrowError::DivideByZero => Code::DIVISION_BY_ZERO,
                    arrow_schema::ArrowError::ArithmeticOverflow(_) => Code::OUT_OF_RANGE,
                    arrow_schema::ArrowError::CastError(_) | arrow_schema::ArrowError::ParseError(_) => {
                        Code::INVALID_TEXT
                    }
                    _ => Code::INTERNAL,
                };
                PgError::new(code, first_line(&words))
            }
            DataFusionError::SchemaError(error, _) => {
                use datafusion::common::SchemaError;
                let words = first_line(&error.to_string());
                let code = match &**error {
                    SchemaError::AmbiguousReference { .. } => Code::AMBIGUOUS_COLUMN,
                    SchemaError::FieldNotFound { field, .. } => {
                        let message = format!("column \"{}\" does not exist", field.name);
                        let known = words.split_once("Did you mean").map(|(_, near)| format!("did you mean{near}"));
                        let mut error = PgError::new(Code::UNDEFINED_COLUMN, message);
                        error.hint = known;
                        error.position = position_of(statement, &field.name);
                        return error;
                    }
                    _ => Code::DATATYPE_MISMATCH,
                };
                PgError::new(code, words)
            }
            DataFusionError::Plan(words) | DataFusionError::Execution(words) => {
                let words = first_line(words);
                PgError::new(code_of(&words), words)
            }
            DataFusionError::Diagnostic(_, inner) => PgError::of_datafusion(inner, statement),
            other => PgError::new(Code::INTERNAL, first_line(&other.to_string())),
        }
    }

    pub fn of_parser(error: &ParserError, statement: &str) -> PgError {
        match error {
            ParserError::RecursionLimitExceeded => {
                PgError::new(Code::STATEMENT_TOO_COMPLEX, "the statement is nested too deeply")
                    .hint("write it with fewer levels of parentheses and sub-queries")
            }
            ParserError::TokenizerError(words) | ParserError::ParserError(words) => {
                let (words, position) = place(words, statement);
                let mut error = PgError::new(Code::SYNTAX_ERROR, format!("syntax error: {words}"));
                error.position = position;
                error
            }
        }
    }
}

impl From<PgError> for DataFusionError {
    fn from(error: PgError) -> DataFusionError {
        DataFusionError::External(Box::new(error))
    }
}

impl From<eventlog::LogError> for PgError {
    fn from(error: eventlog::LogError) -> PgError {
        let code = match &error {
            eventlog::LogError::Corrupt(_) => Code::DATA_CORRUPTED,
            _ => Code::IO_ERROR,
        };
        PgError::new(code, error.to_string())
    }
}

/// The planner has few kinds of errors; its words tell more.
fn code_of(words: &str) -> Code {
    let lower = words.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    if has("table") && has("not found") {
        Code::UNDEFINED_TABLE
    } else if has("invalid function") || has("no function matches") {
        Code::UNDEFINED_FUNCTION
    } else if has("group by") || has("aggregate") {
        Code::GROUPING_ERROR
    } else if has("cannot cast") || has("coerc") || has("type") {
        Code::DATATYPE_MISMATCH
    } else if has("divide by zero") {
        Code::DIVISION_BY_ZERO
    } else if has("overflow") {
        Code::OUT_OF_RANGE
    } else if has("returned more than one row") {
        Code::CARDINALITY_VIOLATION
    } else {
        Code::SYNTAX_ERROR
    }
}

/// What follows the first line is for those who build DataFusion.
fn first_line(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default();
    let line = line.split(". This issue was likely caused by").next().unwrap_or(line);
    line.trim_start_matches("Error during planning: ").trim().to_string()
}

/// Takes ` at Line: 1, Column: 8` off the words.
fn place(words: &str, statement: &str) -> (String, Option<usize>) {
    let Some((before, after)) = words.rsplit_once(" at Line: ") else { return (words.to_string(), None) };
    let numbers = after.split_once(", Column: ").and_then(|(line, column)| {
        let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse::<usize>().ok()?, digits.parse::<usize>().ok()?))
    });
    let position = numbers.map(|(line, column)| {
        let before: usize =
            statement.split('\n').take(line.saturating_sub(1)).map(|line| line.chars().count() + 1).sum();
        before + column.max(1)
    });
    (before.to_string(), position)
}

/// Where a name stands in the statement, as a word of its own.
pub(crate) fn position_of(statement: &str, name: &str) -> Option<usize> {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    statement.match_indices(name).find_map(|(at, _)| {
        let (before, after) = (&statement[..at], &statement[at + name.len()..]);
        let is_word = !is_part(before.chars().next_back()) && !is_part(after.chars().next());
        is_word.then(|| before.chars().count() + 1)
    })
}
