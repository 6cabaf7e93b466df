//! Finds the column of a field's name, in the order in which the records before had their fields.
//!
//! Producers write the fields of an object in one order. So the names of the last object are kept
//! as they stood, quotes and colon included, and the next object's are compared with them, which
//! is much cheaper than finding where a name ends and looking it up. Results do not depend on it.

use std::collections::HashMap;

pub(crate) struct Names {
    names: Vec<Box<[u8]>>,
    /// Only for many names: few are found faster one by one.
    by_name: Option<HashMap<Box<[u8]>, usize>>,
    /// By place within the object: `"name":` as met last, and the column if it is wanted.
    order: Vec<(Vec<u8>, Option<usize>)>,
}

impl Names {
    /// Up to so many names are compared one by one.
    const LINEAR_MAX: usize = 12;
    /// So many places of an object are remembered, and names up to so many bytes.
    const ORDER_MAX: usize = 256;
    const REMEMBERED_BYTES_MAX: usize = 128;

    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Names {
        let names: Vec<Box<[u8]>> = names.map(|name| name.as_bytes().into()).collect();
        let by_name = (names.len() > Names::LINEAR_MAX)
            .then(|| names.iter().cloned().zip(0..).collect::<HashMap<_, _>>());
        Names { names, by_name, order: Vec::new() }
    }

    /// Whether `bytes` begin with the name met last at a place; its length and column.
    #[inline]
    pub(crate) fn guess(&self, place: usize, bytes: &[u8]) -> Option<(usize, Option<usize>)> {
        let (name, column) = self.order.get(place)?;
        bytes.starts_with(name).then_some((name.len(), *column))
    }

    /// The column of a name, for the next time remembered with how it stood.
    pub(crate) fn find(&mut self, name: &[u8], place: usize, as_it_stood: &[u8]) -> Option<usize> {
        let column = match &self.by_name {
            None => self.names.iter().position(|known| **known == *name),
            Some(by_name) => by_name.get(name).copied(),
        };
        if as_it_stood.len() <= Names::REMEMBERED_BYTES_MAX {
            let count = self.order.len();
            match self.order.get_mut(place) {
                Some((remembered, its_column)) => {
                    remembered.clear();
                    remembered.extend_from_slice(as_it_stood);
                    *its_column = column;
                }
                None if place == count && place < Names::ORDER_MAX => {
                    self.order.push((as_it_stood.to_vec(), column));
                }
                None => {}
            }
        }
        column
    }
}
