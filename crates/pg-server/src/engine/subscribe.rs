//! SUBSCRIBE: the rows of a view, and then each change of it, as Materialize gives them.
//!
//! `mz_timestamp` is the place of the log after which the view is so, `mz_diff` is 1 for a row that came and -1 for one
//! that went. All changes of one place come together.
//!
//! Batches are made as they are asked for. In between a subscription keeps the view as the client has it, the one before
//! where it is still being told of the changes, and where it has come to in them.

use super::Scope;
use super::scope::may_read;
use crate::error::{Code, PgError};
use crate::statement::Subscribe;
use crate::tables::view::{of_view, readable};
use crate::tables::{RelationKind, Relations};
use arrow_array::builder::{BooleanBuilder, Decimal128Builder, Int64Builder};
use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use base::Lsn;
use broker::security::Visitor;
use datafusion::error::Result;
use futures::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use views::{Place, SCAN_ROWS_MAX, View, ViewDefinition, Views};

/// While a view does not change, a client is told so often at most that the log goes on.
const QUIET_PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What whoever subscribed may do now.
pub(crate) type Rights = Box<dyn Fn() -> Visitor + Send + Sync>;

struct Subscription {
    views: Views,
    published: watch::Receiver<Lsn>,
    schema: SchemaRef,
    rights: Rights,
    has_progress: bool,
    /// When the client was last told that nothing further comes of a place, and of which.
    progressed: (Instant, Lsn),
    /// The view as the client has it after what is left, and its place in the log.
    seen: View,
    lsn: Lsn,
    left: Left,
}

/// What is still to be told of `seen`, behind a place.
enum Left {
    Nothing,
    Rows(Option<Place>),
    Changes(Box<View>, Option<Place>),
    Progress,
}

pub(super) fn subscribed(
    relations: &Relations,
    subscribe: &Subscribe,
    visitor: &Visitor,
) -> std::result::Result<Arc<ViewDefinition>, PgError> {
    let (schema, name) = match subscribe.relation.as_slice() {
        [name] => (None, name),
        [schema, name] => (Some(schema.as_str()), name),
        _ => return Err(PgError::new(Code::UNDEFINED_TABLE, "a view has one name, or a schema and a name")),
    };
    // Whoever may not read it is told neither that it is there nor what it is.
    let found = relations.find(schema, name).filter(|relation| may_read(visitor, relation.right()));
    let found = found
        .ok_or_else(|| PgError::new(Code::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))?;
    let RelationKind::View(definition) = found.kind else {
        let error = PgError::new(
            Code::FEATURE_NOT_SUPPORTED,
            format!("\"{name}\" is a topic, and a subscription is to a view"),
        );
        return Err(error.hint("follow a topic with a Kafka client, or GET /topics/TOPIC over HTTP"));
    };
    Ok(definition)
}

pub(super) fn begin(
    relations: &Relations,
    published: watch::Receiver<Lsn>,
    subscribe: &Subscribe,
    definition: &ViewDefinition,
    scope: &Scope,
    rights: Rights,
) -> std::result::Result<(SchemaRef, impl Stream<Item = Result<RecordBatch>> + Send + use<>), PgError> {
    let views =
        relations.views.clone().ok_or_else(|| PgError::new(Code::INTERNAL, "this node keeps no views"))?;
    let seen = readable(scope, definition)?;
    seen.note_read();
    let lsn = scope.views.as_ref().map_or(Lsn(0), views::Snapshot::lsn);
    let mut fields = vec![Field::new("mz_timestamp", DataType::Decimal128(20, 0), false)];
    if subscribe.progress {
        fields.push(Field::new("mz_progressed", DataType::Boolean, false));
    }
    fields.push(Field::new("mz_diff", DataType::Int64, true));
    // A row that tells of progress has no values.
    fields.extend(definition.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let subscription = Subscription {
        views,
        published,
        schema: schema.clone(),
        rights,
        has_progress: subscribe.progress,
        progressed: (Instant::now(), Lsn(0)),
        seen,
        lsn,
        left: if subscribe.snapshot { Left::Rows(None) } else { Left::Progress },
    };
    let stream = futures::stream::try_unfold(subscription, |mut subscription| async move {
        let batch = subscription.next().await?;
        Ok(Some((batch, subscription)))
    });
    Ok((schema, stream))
}

impl Subscription {
    async fn next(&mut self) -> std::result::Result<RecordBatch, PgError> {
        loop {
            // A right may go while a subscription is open; the record that says so is news of the log.
            let definition = self.seen.definition().clone();
            let name = &definition.name;
            if !may_read(&(self.rights)(), name) {
                let message = format!("permission denied for view {name}");
                return Err(PgError::new(Code::INSUFFICIENT_PRIVILEGE, message));
            }
            if let Some(batch) = self.rest()? {
                return Ok(batch);
            }
            self.published.borrow_and_update();
            let snapshot = self.views.snapshot();
            let view = snapshot.view(name).map_err(|error| of_view(&error))?;
            self.lsn = snapshot.lsn();
            if !view.is_same(&self.seen) {
                let before = std::mem::replace(&mut self.seen, view.clone());
                self.left = Left::Changes(Box::new(before), None);
                continue;
            }
            let (told_at, told) = self.progressed;
            let news = self.published.changed();
            let news = if self.has_progress && told < self.lsn {
                match tokio::time::timeout_at(told_at + QUIET_PROGRESS_EVERY, news).await {
                    Ok(news) => news,
                    Err(_) => {
                        self.left = Left::Progress;
                        continue;
                    }
                }
            } else {
                news.await
            };
            if news.is_err() {
                return Err(PgError::new(Code::ADMIN_SHUTDOWN, "the views do not follow the log any more"));
            }
        }
    }

    /// The next batch of what is left to tell.
    fn rest(&mut self) -> std::result::Result<Option<RecordBatch>, PgError> {
        loop {
            match &mut self.left {
                Left::Nothing => return Ok(None),
                Left::Rows(place) => {
                    let mut rows = self
                        .seen
                        .scan_behind(place.as_ref(), SCAN_ROWS_MAX)
                        .map_err(|error| of_view(&error))?;
                    if let Some(batch) = rows.next() {
                        let batch = batch.map_err(|error| of_view(&error))?;
                        *place = rows.place();
                        return self.told(&batch, &vec![1; batch.num_rows()]).map(Some);
                    }
                }
                Left::Changes(before, place) => {
                    let mut changes = self
                        .seen
                        .changes_behind(before, place.as_ref(), SCAN_ROWS_MAX)
                        .map_err(|error| of_view(&error))?;
                    if let Some(changed) = changes.next() {
                        let changed = changed.map_err(|error| of_view(&error))?;
                        *place = changes.place();
                        return self.told(&changed.rows, &changed.diffs).map(Some);
                    }
                }
                Left::Progress => {
                    self.left = Left::Nothing;
                    self.progressed = (Instant::now(), self.lsn);
                    match self.has_progress {
                        true => return self.told_progress().map(Some),
                        false => continue,
                    }
                }
            }
            self.left = Left::Progress;
        }
    }

    fn told(&self, rows: &RecordBatch, diffs: &[i8]) -> std::result::Result<RecordBatch, PgError> {
        let mut columns = self.head(diffs.len(), Some(diffs));
        columns.extend(rows.columns().iter().cloned());
        self.batch(columns)
    }

    /// Nothing further comes of this place.
    fn told_progress(&self) -> std::result::Result<RecordBatch, PgError> {
        let mut columns = self.head(1, None);
        let fields = self.schema.fields().iter().skip(columns.len());
        let nulls: Vec<ArrayRef> = fields.map(|field| new_null_array(field.data_type(), 1)).collect();
        columns.extend(nulls);
        self.batch(columns)
    }

    fn batch(&self, columns: Vec<ArrayRef>) -> std::result::Result<RecordBatch, PgError> {
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| PgError::new(Code::INTERNAL, error.to_string()))
    }

    /// The columns before those of the view.
    fn head(&self, rows: usize, diffs: Option<&[i8]>) -> Vec<ArrayRef> {
        let mut times = Decimal128Builder::new().with_data_type(DataType::Decimal128(20, 0));
        let mut progressed = BooleanBuilder::new();
        let mut differences = Int64Builder::new();
        for row in 0..rows {
            times.append_value(self.lsn.0.into());
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
