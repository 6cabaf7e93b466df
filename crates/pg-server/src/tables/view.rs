//! A view as a table: its rows as the query's snapshot has them, by key where the filters name one.

use super::places;
use crate::engine::Scope;
use crate::error::{Code, PgError};
use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use std::ops::Bound;
use std::sync::Arc;
use views::{KeyRange, SCAN_ROWS_MAX, Scan, View, ViewDefinition, ViewKey};

pub struct ViewTable {
    pub definition: Arc<ViewDefinition>,
}

impl std::fmt::Debug for ViewTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewTable({})", self.definition.name)
    }
}

impl ViewTable {
    fn key(&self) -> &[usize] {
        match &self.definition.key {
            ViewKey::Columns(columns) => columns,
            ViewKey::Place => &[],
        }
    }
}

/// The view in a snapshot, if whoever asks may read it and it is still what was planned with.
pub(crate) fn readable(scope: &Scope, definition: &ViewDefinition) -> Result<View, PgError> {
    let name = &definition.name;
    if !scope.may_read(name) {
        let error = PgError::new(Code::INSUFFICIENT_PRIVILEGE, format!("permission denied for view {name}"));
        return Err(error.hint(format!(
            "{} needs READ on the topic '{name}', whose rules are the view's",
            scope.visitor.shown()
        )));
    }
    let snapshot =
        scope.views.as_ref().ok_or_else(|| PgError::new(Code::INTERNAL, "this node keeps no views"))?;
    let view = snapshot.view(name).map_err(|error| of_view(&error))?;
    if view.schema() != &definition.schema || view.definition().key != definition.key {
        let words = format!("view \"{name}\" has got other columns or another key");
        let error = PgError::new(Code::UNDEFINED_TABLE, words);
        return Err(error.hint("prepare the statement again"));
    }
    Ok(view.clone())
}

pub(crate) fn of_view(error: &views::ViewError) -> PgError {
    use views::ViewError;
    let code = match error {
        ViewError::Unknown { .. } => Code::UNDEFINED_TABLE,
        ViewError::NotReached { .. } => Code::QUERY_CANCELED,
        ViewError::Broken { .. } | ViewError::Stands { .. } | ViewError::Failed(_) => Code("55000"),
        ViewError::Log(_) => Code::IO_ERROR,
        _ => Code::INTERNAL,
    };
    PgError::new(code, error.to_string())
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        self.definition.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match equality(filter) {
            Some((column, _)) if self.key_place(column).is_some() => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scope = state
            .config()
            .get_extension::<Scope>()
            .ok_or_else(|| DataFusionError::Internal("a query has no scope".into()))?;
        let view = readable(&scope, &self.definition)?;
        let schema = match projection {
            Some(columns) => Arc::new(self.definition.schema.project(columns)?),
            None => self.definition.schema.clone(),
        };
        let scan = Scan { projection: projection.cloned(), range: self.range(filters)?, limit };
        let reader: Arc<dyn PartitionStream> = Arc::new(Reader { view, scan, schema: schema.clone() });
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![reader], None, Vec::new(), false, limit)?))
    }
}

/// `column = value`, either way round.
fn equality(filter: &Expr) -> Option<(&str, &datafusion::scalar::ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
            Some((column.name(), value))
        }
        _ => None,
    }
}

impl ViewTable {
    /// Which column of the key it is.
    fn key_place(&self, name: &str) -> Option<usize> {
        let schema = &self.definition.schema;
        self.key().iter().position(|column| schema.field(*column).name() == name)
    }

    /// The keys that begin with what the filters say of its first columns.
    fn range(&self, filters: &[Expr]) -> Result<KeyRange> {
        let mut prefix: Vec<ArrayRef> = Vec::new();
        for column in self.key() {
            let field = self.definition.schema.field(*column);
            let found = filters.iter().filter_map(equality).find(|(name, _)| name == field.name());
            let Some((_, value)) = found.filter(|(_, value)| value.data_type() == *field.data_type()) else {
                break;
            };
            if value.is_null() {
                break;
            }
            prefix.push(value.to_array()?);
        }
        if prefix.is_empty() {
            return Ok(KeyRange::default());
        }
        Ok(KeyRange { from: Bound::Included(prefix.clone()), to: Bound::Included(prefix) })
    }
}

struct Reader {
    view: View,
    scan: Scan,
    schema: SchemaRef,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewReader({})", self.view.name())
    }
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (view, scan) = (self.view.clone(), self.scan.clone());
        view.note_read();
        places::stream(&context, &self.schema, move |sender| {
            for batch in view.scan(&scan, SCAN_ROWS_MAX).map_err(|error| of_view(&error))? {
                let batch = batch.map_err(|error| of_view(&error).into());
                // Nobody reads any more where it cannot be sent.
                if sender.blocking_send(batch).is_err() {
                    break;
                }
            }
            Ok(())
        })
    }
}
