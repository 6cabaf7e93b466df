//! How many scans may be open at once, in a session and in all.
//!
//! A scan holds a thread until it is read to its end, and a cursor may be left open for long. Without a bound a few
//! cursors would hold all threads, and every other query would wait for ever without a word.

use crate::engine::Scope;
use crate::error::{Code, PgError};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Batches that are ready before they are asked for.
const AHEAD: usize = 2;

/// Threads that work may block, of which the runtime has so many; a part is left to short work.
pub(crate) const THREADS_MAX: usize = 512;
const SCANS_MAX: usize = 384;
/// A scan of a topic may be several of these, one for each of four groups of partitions.
const SESSION_SCANS_MAX: usize = 96;

/// The places of all sessions.
#[derive(Debug, Clone)]
pub(crate) struct NodePlaces(Arc<Semaphore>);

impl NodePlaces {
    pub(crate) fn new() -> NodePlaces {
        NodePlaces(Arc::new(Semaphore::new(SCANS_MAX)))
    }

    pub(crate) fn session(&self) -> Places {
        Places { node: self.0.clone(), session: Arc::new(Semaphore::new(SESSION_SCANS_MAX)) }
    }
}

/// The places of one session.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    node: Arc<Semaphore>,
    session: Arc<Semaphore>,
}

/// A scan's stream of rows, if there is a place for it; `read` holds a thread until all is sent, and the place with it.
pub(super) fn stream(
    context: &TaskContext,
    schema: &SchemaRef,
    read: impl FnOnce(Sender<Result<RecordBatch>>) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStream::builder(schema.clone(), AHEAD);
    let scope = context.session_config().get_extension::<Scope>();
    let place = scope.map(|scope| scope.places.take()).transpose();
    match place {
        Ok(place) => {
            let sender = builder.tx();
            builder.spawn_blocking(move || {
                let _place = place;
                read(sender)
            });
        }
        Err(error) => builder.spawn(async move { Err(error.into()) }),
    }
    builder.build()
}

/// Given back when it is dropped.
#[derive(Debug)]
struct Place {
    _session: OwnedSemaphorePermit,
    _node: OwnedSemaphorePermit,
}

impl Places {
    fn take(&self) -> std::result::Result<Place, PgError> {
        let session = self.session.clone().try_acquire_owned().map_err(|_| {
            PgError::new(
                Code::LIMIT_EXCEEDED,
                format!("the session has {SESSION_SCANS_MAX} scans open, which is the most"),
            )
            .hint("read cursors and portals to their end, or close them")
        })?;
        let node = self.node.clone().try_acquire_owned().map_err(|_| {
            PgError::new(
                Code::TOO_MANY_CONNECTIONS,
                format!("all sessions together have {SCANS_MAX} scans open, which is the most"),
            )
            .hint("try again when others have read theirs to the end")
        })?;
        Ok(Place { _session: session, _node: node })
    }
}
