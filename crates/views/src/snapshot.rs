//! What readers hold: all views at one place of the log, for as long as they like.

use crate::ViewError;
use crate::codec::{self, RowCodec};
use crate::definition::ViewDefinition;
use crate::tree::{self, Tree};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use base::Lsn;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows of a batch that a scan gives, unless it is told otherwise.
pub const SCAN_ROWS_MAX: usize = 8192;
/// Bytes of rows after which a batch ends, however few they are.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// All views after a place of the log. It never changes, a copy costs nothing, and whoever holds one delays nobody; it
/// keeps in memory what the views had then.
#[derive(Debug, Clone)]
pub struct Snapshot {
    lsn: Lsn,
    catalog: u64,
    /// By name.
    views: Arc<[View]>,
}

impl Snapshot {
    pub(crate) fn new(lsn: Lsn, catalog: u64, views: Vec<View>) -> Snapshot {
        Snapshot { lsn, catalog, views: views.into() }
    }

    /// The same at a later place.
    pub(crate) fn at(&self, lsn: Lsn) -> Snapshot {
        Snapshot { lsn, ..self.clone() }
    }

    /// Everything in the log up to here is in the views.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Another number whenever a view has come, gone or got other columns; it means nothing after a restart.
    pub fn catalog_version(&self) -> u64 {
        self.catalog
    }

    /// All views in the order of their names.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    pub fn view(&self, name: &str) -> Result<&View, ViewError> {
        let views = &self.views;
        match views.binary_search_by(|view| view.name().cmp(name)) {
            Ok(place) => Ok(&views[place]),
            Err(_) => {
                let nearest = base::nearest(name, views.iter().map(View::name));
                Err(ViewError::Unknown { name: name.into(), nearest: nearest.map(str::to_string) })
            }
        }
    }
}

/// A view as it was at a place of the log.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) definition: Arc<ViewDefinition>,
    pub(crate) codec: Arc<RowCodec>,
    pub(crate) tree: Tree,
    pub(crate) changed: Lsn,
    pub(crate) position: i64,
    pub(crate) broken: Option<String>,
    pub(crate) reads: Reads,
}

/// Where a reader has come to in the order of the keys. One that takes its time keeps this and the view, and no rows.
#[derive(Debug, Clone)]
pub struct Place(Arc<[u8]>);
/// How often queries have read a view since it is there; all its snapshots count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reads(Arc<AtomicU64>);

/// Which rows of a view, in the order of its key.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Column indices; none: all columns.
    pub projection: Option<Vec<usize>>,
    pub range: KeyRange,
    /// At most so many rows.
    pub limit: Option<usize>,
}

/// Keys between two bounds. A bound has a value (an array of one) for each of the key's columns, or for its first few:
/// then it stands for all keys that begin so.
#[derive(Debug, Clone)]
pub struct KeyRange {
    pub from: Bound<Vec<ArrayRef>>,
    pub to: Bound<Vec<ArrayRef>>,
}

impl Default for KeyRange {
    fn default() -> KeyRange {
        KeyRange { from: Bound::Unbounded, to: Bound::Unbounded }
    }
}

impl View {
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    pub fn definition(&self) -> &Arc<ViewDefinition> {
        &self.definition
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.definition.schema
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.tree.len()
    }

    /// About what they take in memory.
    pub fn bytes(&self) -> u64 {
        self.tree.bytes()
    }

    /// The last place of the log that changed it.
    pub fn changed(&self) -> Lsn {
        self.changed
    }

    /// The first record of its topic that is not in it: what follows there are its changes.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Why it cannot be read, if so.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Counts a query that reads it.
    pub fn note_read(&self) {
        self.reads.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often queries have read it since it is there.
    pub fn reads(&self) -> u64 {
        self.reads.0.load(Ordering::Relaxed)
    }

    fn whole(&self) -> Result<(), ViewError> {
        match &self.broken {
            None => Ok(()),
            Some(reason) => Err(ViewError::Broken { view: self.name().into(), reason: reason.clone() }),
        }
    }

    /// The rows under keys: the columns of the primary key, in its order, each with as many values as there are keys. A
    /// key without a row gives none.
    pub fn get(&self, keys: &[ArrayRef], projection: Option<&[usize]>) -> Result<RecordBatch, ViewError> {
        self.whole()?;
        let wanted = self.codec.key_columns().len();
        if self.definition.keeps_every_row() || keys.len() != wanted {
            return Err(ViewError::Invalid(format!(
                "view '{}' is asked by a key of {wanted} columns, not {}",
                self.name(),
                keys.len()
            )));
        }
        self.check_types(keys)?;
        let count = keys.first().map_or(1, |column| column.len());
        let keys = self.codec.keys(keys)?;
        let found: Vec<(&[u8], &[u8])> = (0..count)
            .map(|row| keys.row(row))
            .filter_map(|key| Some((key, &**self.tree.get(key)?)))
            .collect();
        Ok(self.codec.decode(found.into_iter(), projection)?)
    }

    /// Rows in the order of the key, in batches of at most `rows_max`.
    pub fn scan(&self, scan: &Scan, rows_max: usize) -> Result<Rows<'_>, ViewError> {
        self.whole()?;
        let from = self.bound(&scan.range.from, Side::From)?;
        let to = self.bound(&scan.range.to, Side::To)?;
        let from = match &from {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(key) => Bound::Included(key.as_slice()),
            Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
        };
        Ok(Rows {
            view: self,
            entries: self.tree.range(from, to),
            projection: scan.projection.clone(),
            left: scan.limit.unwrap_or(usize::MAX),
            rows_max: rows_max.max(1),
            last: None,
        })
    }

    /// All rows behind a place, or from the first one on.
    pub fn scan_behind(&self, place: Option<&Place>, rows_max: usize) -> Result<Rows<'_>, ViewError> {
        self.whole()?;
        let from = place.map_or(Bound::Unbounded, |place| Bound::Excluded(&*place.0));
        Ok(Rows {
            view: self,
            entries: self.tree.range(from, Bound::Unbounded),
            projection: None,
            left: usize::MAX,
            rows_max: rows_max.max(1),
            last: None,
        })
    }

    /// What has changed since the view was as in `before`, in the order of the key: for each row that is new or was
    /// there, one with +1 or -1. A view that was made anew in between gives all of its old rows with -1.
    pub fn changes_since<'a>(&'a self, before: &'a View, rows_max: usize) -> Result<Changes<'a>, ViewError> {
        self.changes_behind(before, None, rows_max)
    }

    /// The same behind a place.
    pub fn changes_behind<'a>(
        &'a self,
        before: &'a View,
        place: Option<&Place>,
        rows_max: usize,
    ) -> Result<Changes<'a>, ViewError> {
        self.whole()?;
        before.whole()?;
        if self.schema() != before.schema() || self.definition.key != before.definition.key {
            return Err(ViewError::Invalid(format!(
                "view '{}' has got other columns or another key; begin again with all of its rows",
                self.name()
            )));
        }
        let diff = match place {
            None => self.tree.diff(&before.tree),
            Some(place) => self.tree.diff_above(&before.tree, &place.0),
        };
        Ok(Changes { view: self, diff, rows_max: rows_max.max(2), last: None })
    }

    /// Whether no row has changed between the two.
    pub fn is_same(&self, other: &View) -> bool {
        self.tree.is_same(&other.tree)
    }

    fn check_types(&self, key: &[ArrayRef]) -> Result<(), ViewError> {
        let columns = self.codec.key_columns();
        for (column, values) in columns.iter().zip(key) {
            let field = self.schema().field(*column);
            if field.data_type() != values.data_type() {
                return Err(ViewError::Invalid(format!(
                    "column '{}' of view '{}' has the type {}, and the key's value {}",
                    field.name(),
                    self.name(),
                    field.data_type(),
                    values.data_type()
                )));
            }
        }
        Ok(())
    }

    fn bound(&self, bound: &Bound<Vec<ArrayRef>>, side: Side) -> Result<Bound<Vec<u8>>, ViewError> {
        let (Bound::Included(values) | Bound::Excluded(values)) = bound else { return Ok(Bound::Unbounded) };
        if self.definition.keeps_every_row() && !values.is_empty() {
            return Err(ViewError::Invalid(format!("view '{}' has no key to name a range of", self.name())));
        }
        self.check_types(values)?;
        let prefix = self.codec.keys(values)?.row(0).to_vec();
        let behind = || codec::after_prefix(&prefix);
        Ok(match (side, bound) {
            (Side::From, Bound::Included(_)) => Bound::Included(prefix),
            // Behind the last possible key there is nothing.
            (Side::From, _) => {
                behind().map_or(Bound::Excluded(vec![u8::MAX; prefix.len() + 1]), Bound::Included)
            }
            (Side::To, Bound::Included(_)) => behind().map_or(Bound::Unbounded, Bound::Excluded),
            (Side::To, _) => Bound::Excluded(prefix),
        })
    }
}

#[derive(Clone, Copy)]
enum Side {
    From,
    To,
}

/// Batches of rows.
pub struct Rows<'a> {
    view: &'a View,
    entries: tree::Range<'a>,
    projection: Option<Vec<usize>>,
    left: usize,
    rows_max: usize,
    last: Option<&'a Arc<[u8]>>,
}

impl Rows<'_> {
    /// Behind the rows that were given.
    pub fn place(&self) -> Option<Place> {
        self.last.cloned().map(Place)
    }

    pub fn schema(&self) -> Result<SchemaRef, ViewError> {
        Ok(self.view.codec.projected(self.projection.as_deref())?)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RecordBatch, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut entries: Vec<(&[u8], &[u8])> = Vec::new();
        let mut bytes = 0;
        while entries.len() < self.left.min(self.rows_max) && bytes < BATCH_BYTES_MAX {
            let Some(entry) = self.entries.next() else { break };
            bytes += entry.key.len() + entry.row.len();
            self.last = Some(&entry.key);
            entries.push(entry.into());
        }
        self.left -= entries.len();
        if entries.is_empty() {
            return None;
        }
        Some(self.view.codec.decode(entries.into_iter(), self.projection.as_deref()).map_err(ViewError::from))
    }
}

/// Rows that came (+1) or went (-1).
#[derive(Debug, Clone)]
pub struct ChangedRows {
    pub rows: RecordBatch,
    /// By row.
    pub diffs: Vec<i8>,
}

/// Batches of changes. Of a row that has changed the old one stands before the new one, both in one batch.
pub struct Changes<'a> {
    view: &'a View,
    diff: tree::Diff<'a>,
    rows_max: usize,
    last: Option<&'a Arc<[u8]>>,
}

impl Changes<'_> {
    /// Behind the changes that were given.
    pub fn place(&self) -> Option<Place> {
        self.last.cloned().map(Place)
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<ChangedRows, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut entries: Vec<(&[u8], &[u8])> = Vec::new();
        let mut diffs = Vec::new();
        let mut bytes = 0;
        while entries.len() + 2 <= self.rows_max && bytes < BATCH_BYTES_MAX {
            let Some(difference) = self.diff.next() else { break };
            self.last = Some(difference.key);
            let sides = [(difference.before, -1), (difference.after, 1)];
            for (row, diff) in sides.into_iter().filter_map(|(row, diff)| Some((row?, diff))) {
                bytes += difference.key.len() + row.len();
                entries.push((difference.key, row));
                diffs.push(diff);
            }
        }
        if entries.is_empty() {
            return None;
        }
        let rows = self.view.codec.decode(entries.into_iter(), None);
        Some(rows.map(|rows| ChangedRows { rows, diffs }).map_err(ViewError::from))
    }
}
