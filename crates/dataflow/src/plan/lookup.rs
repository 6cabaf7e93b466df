//! Lookup joins: how rows that lie in an outside system are asked for, kept and handed on.

use super::{JoinKind, tree::duration};
use crate::expression::Expression;
use crate::table::TableDefinition;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::fmt::Write;
use std::sync::Arc;

/// A join of a stream (input 0) with what an outside table holds under a row's key when the row comes by. The table is
/// not read: the node asks for keys, and the answers come in as input 1, a [`super::NodeKind::LookupAnswers`]. The
/// output columns are those of input 0, then the looked-up ones. NULL keys never match.
#[derive(Debug, Clone)]
pub struct LookupJoin {
    /// INNER or LEFT.
    pub kind: JoinKind,
    pub table: Arc<TableDefinition>,
    /// The columns that are looked up: indices into the table's schema.
    pub projection: Vec<usize>,
    pub stream_keys: Vec<usize>,
    /// The columns that are compared with them: indices into the table's schema.
    pub table_keys: Vec<usize>,
    /// Over all output columns.
    pub residual: Option<Arc<dyn Expression>>,
    /// Rows leave in the order in which they came; otherwise each as soon as its answer is there.
    pub ordered: bool,
    pub cache: Option<LookupCache>,
    pub asking: LookupAsking,
}

/// Which answers are kept, and for how long by the clock of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupCache {
    /// Keys that are kept at most; those that were not used again since they came go first.
    pub keys_max: Option<u64>,
    pub expire_after_write_ms: Option<u64>,
    pub expire_after_access_ms: Option<u64>,
    /// Keep also that there is nothing under a key.
    pub caches_missing_keys: bool,
}

/// How the outside system is asked. It decides no result that is in the journal, so a job may go on with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupAsking {
    /// Several questions are under way at a time.
    pub is_async: bool,
    /// Questions that are under way at most.
    pub capacity: u32,
    /// After this long without an answer a question fails the job.
    pub timeout_ms: u64,
    /// Ask again where nothing was found.
    pub retry: Option<LookupRetry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupRetry {
    pub delay_ms: u64,
    /// The first attempt is one of them.
    pub attempts_max: u32,
}

impl LookupAsking {
    /// Flink's defaults.
    pub const DEFAULT: LookupAsking =
        LookupAsking { is_async: false, capacity: 100, timeout_ms: 180_000, retry: None };
}

impl LookupJoin {
    /// The columns that a question's key has, named as in the table.
    pub fn key_schema(&self) -> Schema {
        Schema::new(self.fields(&self.table_keys))
    }

    /// The columns of the rows that are found.
    pub fn found_schema(&self) -> Schema {
        Schema::new(self.fields(&self.projection))
    }

    fn fields(&self, columns: &[usize]) -> Vec<Arc<Field>> {
        let fields = self.table.schema.fields();
        columns.iter().filter_map(|column| fields.get(*column).cloned()).collect()
    }

    /// What decides results, in one line; `names` are those of the stream's keys.
    pub(super) fn text(&self, names: &str) -> String {
        self.text_with(names, &|expression| expression.describe())
    }

    /// The same with another way to write expressions.
    pub(super) fn text_with(&self, names: &str, text_of: &dyn Fn(&dyn Expression) -> String) -> String {
        let found = self.table_keys.iter().map(|column| self.column_name(*column)).collect::<Vec<_>>();
        let order = if self.ordered { "ORDERED" } else { "ALLOW_UNORDERED" };
        let mut text = format!(
            "{}, `{}`, stream=[{names}], table=[{}], {order}",
            self.kind.name(),
            self.table.name,
            found.join(", ")
        );
        if let Some(residual) = &self.residual {
            let _ = write!(text, ", {}", text_of(residual.as_ref()));
        }
        match &self.cache {
            None => text.push_str(", cache=NONE"),
            Some(cache) => {
                let _ = write!(text, ", cache={}", cache.text());
            }
        }
        text
    }

    fn column_name(&self, column: usize) -> String {
        let fields = self.table.schema.fields();
        fields.get(column).map_or_else(|| format!("?{column}"), |field| field.name().clone())
    }
}

impl LookupCache {
    fn text(&self) -> String {
        let time = |ms: u64| duration(i64::try_from(ms).unwrap_or(i64::MAX));
        let mut parts = Vec::new();
        parts.extend(self.keys_max.map(|keys| format!("max-rows={keys}")));
        parts.extend(self.expire_after_write_ms.map(|ms| format!("expire-after-write={}", time(ms))));
        parts.extend(self.expire_after_access_ms.map(|ms| format!("expire-after-access={}", time(ms))));
        if !self.caches_missing_keys {
            parts.push("no missing keys".into());
        }
        format!("PARTIAL({})", parts.join(", "))
    }
}

impl LookupAsking {
    /// As EXPLAIN shows it.
    pub(super) fn text(&self) -> String {
        let time = |ms: u64| duration(i64::try_from(ms).unwrap_or(i64::MAX));
        let mut text = match self.is_async {
            true => format!("async(capacity={}, timeout={})", self.capacity, time(self.timeout_ms)),
            false => "sync".to_string(),
        };
        if let Some(retry) = &self.retry {
            let _ = write!(
                text,
                ", retry(lookup_miss, fixed-delay={}, max-attempts={})",
                time(retry.delay_ms),
                // As the hint has it: the attempts behind the first one.
                retry.attempts_max.saturating_sub(1)
            );
        }
        text
    }
}

/// The columns of a [`super::NodeKind::LookupAnswers`]: which question, and what was found.
pub fn answers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("question", DataType::Int64, false),
        Field::new("rows", DataType::Binary, false),
    ]))
}
