//! The places of rows among those of their step, which random values are made of.

use arrow_array::{Array, BooleanArray};
use std::sync::Arc;

/// What a random value of a row is made of.
#[derive(Debug, Clone, Default)]
pub struct Draw {
    /// Of the step and the node.
    pub seed: u64,
    pub(super) places: Places,
}

#[derive(Debug, Clone, Default)]
pub(super) enum Places {
    /// Nobody asks.
    #[default]
    Unknown,
    /// The place of the first row; the others follow.
    From(u64),
    /// Rows that are left of others.
    Listed(Arc<Vec<u64>>),
}

impl Draw {
    pub fn place(&self, row: usize) -> u64 {
        match &self.places {
            Places::Unknown => row as u64,
            Places::From(first) => first.wrapping_add(row as u64),
            Places::Listed(places) => places.get(row).copied().unwrap_or(row as u64),
        }
    }

    /// Of the rows for which the mask is true.
    pub(super) fn filtered(&self, mask: &BooleanArray) -> Draw {
        if matches!(self.places, Places::Unknown) {
            return self.clone();
        }
        let kept = (0..mask.len()).filter(|row| mask.is_valid(*row) && mask.value(*row));
        let places = kept.map(|row| self.place(row)).collect();
        Draw { seed: self.seed, places: Places::Listed(Arc::new(places)) }
    }
}
