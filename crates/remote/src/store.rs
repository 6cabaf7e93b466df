//! What is asked of a store: few calls, of which one has a condition.
//!
//! A listing shows every object whose put was answered before it began (S3 promises that since 2020, Google and Azure always did, and so did a directory).

use crate::object::OBJECT_BYTES_MAX;
use base::ErrorKind;
use std::sync::Arc;

pub use connectors::objects::{ListedObject as Listed, ObjectError as StoreError, ReadPart};

/// One user's handle of a store.
pub trait Store: Send {
    /// Puts an object where none is. False if there is one: it may be ours, if an answer was lost. After an error it may be there
    /// or not, or come to be there later.
    fn put_new(&mut self, key: &str, bytes: &[u8]) -> Result<bool, StoreError>;

    /// Puts an object in place of what has its key.
    fn put(&mut self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The same, read in parts.
    fn put_parts(&mut self, key: &str, bytes: u64, read: ReadPart<'_>) -> Result<(), StoreError>;

    /// Some bytes of an object, fewer at its end; none if it is not there.
    fn get(&mut self, key: &str, from: u64, bytes: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Objects whose keys begin so, in the order of the keys, behind one of them; whether there are more.
    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Result<(Vec<Listed>, bool), StoreError>;

    /// Removes an object; one that is not there is none.
    fn delete(&mut self, key: &str) -> Result<(), StoreError>;
}

/// Where copies are; opens handles.
pub trait Place: Send + Sync {
    fn open(&self) -> Result<Box<dyn Store>, StoreError>;

    /// Whether that is there, where opening it would make it; a mount that is missing is not.
    fn is_there(&self) -> bool {
        true
    }

    /// As it is written: `s3://BUCKET/PREFIX`, a path.
    fn name(&self) -> String;
}

pub type SharedPlace = Arc<dyn Place>;

/// Bytes that are read at once.
pub(crate) const READ_BYTES: u64 = 8 << 20;
const LISTED_MAX: usize = 1000;

/// All objects whose keys begin so, behind one of them.
pub(crate) fn list_all(store: &mut dyn Store, prefix: &str, behind: &str) -> Result<Vec<Listed>, StoreError> {
    let mut found: Vec<Listed> = Vec::new();
    loop {
        let behind = found.last().map_or_else(|| behind.to_string(), |last| last.key.clone());
        let (more, is_truncated) = store.list(prefix, &behind, LISTED_MAX)?;
        let is_over = more.is_empty() || !is_truncated;
        found.extend(more);
        if is_over {
            return Ok(found);
        }
    }
}

/// A whole object; `NotFound` if it is not there, `Corrupt` if it is larger than objects are.
pub(crate) fn get_all(store: &mut dyn Store, key: &str) -> Result<Vec<u8>, StoreError> {
    let mut whole = Vec::new();
    loop {
        let part = store.get(key, whole.len() as u64, READ_BYTES)?;
        let part = part.ok_or_else(|| missing(key))?;
        let is_over = (part.len() as u64) < READ_BYTES;
        whole.extend(part);
        if whole.len() as u64 > OBJECT_BYTES_MAX {
            return Err(StoreError::new(
                ErrorKind::Corrupt,
                format!("object={key} has more than {OBJECT_BYTES_MAX} bytes: something else has written it"),
            ));
        }
        if is_over {
            return Ok(whole);
        }
    }
}

pub(crate) fn missing(key: &str) -> StoreError {
    StoreError::new(ErrorKind::NotFound, format!("object={key} is not in the store"))
}
