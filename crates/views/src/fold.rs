//! The fold: changes of views in, a new version of all views out.
//!
//! It does no I/O and knows no log. What is applied becomes visible when it is published, all at once.

use crate::ViewError;
use crate::codec::{self, RowCodec};
use crate::definition::ViewDefinition;
use crate::snapshot::{Reads, Snapshot, View};
use crate::tree::Tree;
use arrow_array::{ArrayRef, RecordBatch};
use base::Lsn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A part of the changes of a view, in their order.
#[derive(Debug, Clone)]
pub enum Change {
    /// Rows, each in the place of the one of its key.
    Upsert(RecordBatch),
    /// Keys that have no row any more: the columns of the primary key, in its order, and how many.
    Delete { keys: Vec<ArrayRef>, count: usize },
    /// Both, in an order: true takes the next row, false the next key, whose row goes.
    Mixed { rows: RecordBatch, keys: Vec<ArrayRef>, order: Vec<bool> },
    /// Rows of a view that keeps every row, from this place on.
    Append { place: u64, rows: RecordBatch },
}

#[derive(Debug)]
struct Kept {
    definition: Arc<ViewDefinition>,
    codec: Arc<RowCodec>,
    tree: Tree,
    /// The last LSN that changed it.
    changed: Lsn,
    /// The first record of its topic that is not in it.
    position: i64,
    /// Why it cannot be read.
    broken: Option<String>,
    reads: Reads,
}

/// All views, as they will be seen next.
#[derive(Debug, Default)]
pub struct Fold {
    views: BTreeMap<String, Kept>,
    /// Counts definitions that came or went.
    catalog: u64,
    bytes_max: Option<u64>,
    /// Something is not as it was when it was published last.
    changed: bool,
}

impl Fold {
    /// A fold whose views together may take about so many bytes of memory.
    pub fn within(bytes_max: u64) -> Fold {
        Fold { bytes_max: Some(bytes_max), ..Fold::default() }
    }

    /// Adds a view without rows, in the place of one of the same name.
    pub fn define(&mut self, definition: ViewDefinition) -> Result<(), ViewError> {
        let codec = RowCodec::new(&definition)
            .map_err(|error| ViewError::Invalid(format!("view '{}': {error}", definition.name)))?;
        let kept = Kept {
            codec: Arc::new(codec),
            tree: Tree::default(),
            changed: Lsn(0),
            position: 0,
            broken: None,
            reads: Reads::default(),
            definition: Arc::new(definition),
        };
        self.views.insert(kept.definition.name.clone(), kept);
        (self.catalog, self.changed) = (self.catalog + 1, true);
        Ok(())
    }

    pub fn remove(&mut self, view: &str) {
        if self.views.remove(view).is_some() {
            (self.catalog, self.changed) = (self.catalog + 1, true);
        }
    }

    /// The definition of a view.
    pub fn definition(&self, view: &str) -> Option<&Arc<ViewDefinition>> {
        self.views.get(view).map(|kept| &kept.definition)
    }

    /// Applies changes that are in the log at `lsn`. A view that cannot take them is broken from then on; its
    /// neighbours go on.
    pub fn apply(&mut self, view: &str, lsn: Lsn, changes: &[Change]) {
        let used = self.bytes();
        let Some(kept) = self.views.get_mut(view).filter(|kept| kept.broken.is_none()) else { return };
        self.changed |= !changes.is_empty();
        let before = kept.tree.bytes();
        for change in changes {
            if let Err(error) = kept.apply(change) {
                kept.give_up(error.to_string());
                return;
            }
        }
        kept.changed = lsn;
        let now = used - before + kept.tree.bytes();
        if let Some(bytes_max) = self.bytes_max.filter(|bytes_max| now > *bytes_max) {
            kept.give_up(format!(
                "all views together take more than {} MB of memory, so it is not kept any more; drop views or give \
                 the node more with --views-memory, and start it again",
                bytes_max >> 20
            ));
        }
    }

    /// All records of its topic before this one are in the view.
    pub(crate) fn reached(&mut self, view: &str, position: i64) {
        if let Some(kept) = self.views.get_mut(view)
            && kept.position != position
        {
            kept.position = position;
            self.changed = true;
        }
    }

    /// Marks a view as one that cannot be read, with the reason.
    pub fn break_off(&mut self, view: &str, reason: String) {
        if let Some(kept) = self.views.get_mut(view) {
            kept.give_up(reason);
            self.changed = true;
        }
    }

    /// About what all views take in memory.
    pub fn bytes(&self) -> u64 {
        self.views.values().map(|kept| kept.tree.bytes()).sum()
    }

    /// All views as they are after `lsn`; `last` is what was made of the fold before.
    pub(crate) fn publish(&mut self, lsn: Lsn, last: Option<&Snapshot>) -> Snapshot {
        if let Some(last) = last.filter(|_| !std::mem::take(&mut self.changed)) {
            return last.at(lsn);
        }
        let views = self.views.values().map(|kept| View {
            definition: kept.definition.clone(),
            codec: kept.codec.clone(),
            tree: kept.tree.clone(),
            changed: kept.changed,
            position: kept.position,
            broken: kept.broken.clone(),
            reads: kept.reads.clone(),
        });
        Snapshot::new(lsn, self.catalog, views.collect())
    }
}

impl Kept {
    fn give_up(&mut self, reason: String) {
        self.tree = Tree::default();
        self.broken = Some(reason);
    }

    fn apply(&mut self, change: &Change) -> Result<(), ViewError> {
        match change {
            Change::Upsert(rows) => {
                let (keys, values) = (self.codec.keys_of(rows)?, self.codec.values_of(rows)?);
                for row in 0..rows.num_rows() {
                    self.tree.insert(keys.row(row), Arc::from(values.row(row)));
                }
            }
            Change::Delete { keys, count } => {
                let keys = self.codec.keys(keys)?;
                for row in 0..*count {
                    self.tree.remove(keys.row(row));
                }
            }
            Change::Mixed { rows, keys, order } => {
                let (new, values) = (self.codec.keys_of(rows)?, self.codec.values_of(rows)?);
                let old = self.codec.keys(keys)?;
                let (mut row, mut gone) = (0, 0);
                for is_row in order {
                    if *is_row {
                        self.tree.insert(new.row(row), Arc::from(values.row(row)));
                        row += 1;
                    } else {
                        self.tree.remove(old.row(gone));
                        gone += 1;
                    }
                }
            }
            Change::Append { place, rows } => {
                let values = self.codec.values_of(rows)?;
                for row in 0..rows.num_rows() {
                    self.tree.insert(&codec::place_key(place + row as u64), Arc::from(values.row(row)));
                }
            }
        }
        Ok(())
    }
}
