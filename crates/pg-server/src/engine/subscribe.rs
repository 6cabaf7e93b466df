//! SUBSCRIBE: the rows of a view, and then each change of it, as Materialize gives them.
//!
//! `mz_timestamp` is the place of the log after which the view is so, `mz_diff` is 1 for a row that came and -1 for one
//! that went. All changes of one place come together.

use super::Scope;
use crate::error::{Code, PgError};
use crate::statement::Subscribe;
use crate::tables::view::{of_view, readable};
use crate::tables::{RelationKind, Relations};
use arrow_array::builder::{BooleanBuilder, Decimal128Builder, Int64Builder};
use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use base::Lsn;
use datafusion::error::Result;
use futures::Stream;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use views::{SCAN_ROWS_MAX, Scan, View, Views};

struct Subscription {
    views: Views,
    published: watch::Receiver<Lsn>,
    schema: SchemaRef,
    has_progress: bool,
    seen: View,
    ready: VecDeque<RecordBatch>,
}

pub(super) fn begin(
    relations: &Relations,
    published: watch::Receiver<Lsn>,
    subscribe: &Subscribe,
    scope: &Scope,
) -> std::result::Result<(SchemaRef, impl Stream<Item = Result<RecordBatch>> + Send + use<>), PgError> {
    let (schema, name) = match subscribe.relation.as_slice() {
        [name] => (None, name),
        [schema, name] => (Some(schema.as_str()), name),
        _ => return Err(PgError::new(Code::UNDEFINED_TABLE, "a view has one name, or a schema and a name")),
    };
    // Whoever may not read it is told neither that it is there nor what it is.
    let found = relations.find(schema, name).filter(|relation| scope.may_read(relation.right()));
    let found = found
        .ok_or_else(|| PgError::new(Code::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))?;
    let RelationKind::View(definition) = found.kind else {
        let error = PgError::new(
            Code::FEATURE_NOT_SUPPORTED,
            format!("\"{name}\" is a topic, and a subscription is to a view"),
        );
        return Err(error.hint("follow a topic with a Kafka client, or GET /topics/TOPIC over HTTP"));
    };
    let views =
        relations.views.clone().ok_or_else(|| PgError::new(Code::INTERNAL, "this node keeps no views"))?;
    let view = readable(scope, &definition)?;
    let lsn = scope.views.as_ref().map_or(Lsn(0), views::Snapshot::lsn);
    let mut fields = vec![Field::new("mz_timestamp", DataType::Decimal128(20, 0), false)];
    if subscribe.progress {
        fields.push(Field::new("mz_progressed", DataType::Boolean, false));
    }
    fields.push(Field::new("mz_diff", DataType::Int64, true));
    // A row that tells of progress has no values.
    fields.extend(definition.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut subscription = Subscription {
        views,
        published,
        schema: schema.clone(),
        has_progress: subscribe.progress,
        seen: view.clone(),
        ready: VecDeque::new(),
    };
    if subscribe.snapshot {
        for batch in view.scan(&Scan::default(), SCAN_ROWS_MAX).map_err(|error| of_view(&error))? {
            let batch = batch.map_err(|error| of_view(&error))?;
            let diffs = vec![1; batch.num_rows()];
            subscription.push(lsn, &batch, &diffs)?;
        }
    }
    if subscribe.progress {
        subscription.push_progress(lsn)?;
    }
    let stream = futures::stream::try_unfold(subscription, |mut subscription| async move {
        let batch = subscription.next().await?;
        Ok(Some((batch, subscription)))
    });
    Ok((schema, stream))
}

impl Subscription {
    async fn next(&mut self) -> std::result::Result<RecordBatch, PgError> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(batch);
            }
            self.published.borrow_and_update();
            let snapshot = self.views.snapshot();
            let name = self.seen.name().to_string();
            let view = snapshot.view(&name).map_err(|error| of_view(&error))?.clone();
            if !view.is_same(&self.seen) {
                let changes =
                    view.changes_since(&self.seen, SCAN_ROWS_MAX).map_err(|error| of_view(&error))?;
                let changes =
                    changes.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| of_view(&error))?;
                for changed in changes {
                    self.push(snapshot.lsn(), &changed.rows, &changed.diffs)?;
                }
                self.seen = view;
                if self.has_progress {
                    self.push_progress(snapshot.lsn())?;
                }
                continue;
            }
            if self.published.changed().await.is_err() {
                return Err(PgError::new(Code::ADMIN_SHUTDOWN, "the views do not follow the log any more"));
            }
        }
    }

    fn push(&mut self, lsn: Lsn, rows: &RecordBatch, diffs: &[i8]) -> std::result::Result<(), PgError> {
        let mut columns = self.head(lsn, diffs.len(), Some(diffs));
        columns.extend(rows.columns().iter().cloned());
        self.push_columns(columns)
    }

    /// Nothing further comes of this place.
    fn push_progress(&mut self, lsn: Lsn) -> std::result::Result<(), PgError> {
        let mut columns = self.head(lsn, 1, None);
        let fields = self.schema.fields().iter().skip(columns.len());
        let nulls: Vec<ArrayRef> = fields.map(|field| new_null_array(field.data_type(), 1)).collect();
        columns.extend(nulls);
        self.push_columns(columns)
    }

    fn push_columns(&mut self, columns: Vec<ArrayRef>) -> std::result::Result<(), PgError> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        self.ready.push_back(batch.map_err(|error| PgError::new(Code::INTERNAL, error.to_string()))?);
        Ok(())
    }

    /// The columns before those of the view.
    fn head(&self, lsn: Lsn, rows: usize, diffs: Option<&[i8]>) -> Vec<ArrayRef> {
        let mut times = Decimal128Builder::new().with_data_type(DataType::Decimal128(20, 0));
        let mut progressed = BooleanBuilder::new();
        let mut differences = Int64Builder::new();
        for row in 0..rows {
            times.append_value(lsn.0.into());
            progressed.append_value(diffs.is_none());
            differences.append_option(diffs.and_then(|diffs| diffs.get(row)).map(|diff| i64::from(*diff)));
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times.finish())];
        if self.has_progress {
            columns.push(Arc::new(progressed.finish()));
        }
        columns.push(Arc::new(differences.finish()));
        columns
    }
}
