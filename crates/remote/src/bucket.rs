//! A store that is a bucket, or what lies below a prefix in one.

use crate::store::{Listed, Place, ReadPart, Store, StoreError};
use connectors::objects::{ObjectPlace, Objects};
use os::Os;
use std::collections::BTreeMap;

pub(crate) struct BucketPlace {
    pub(crate) os: Os,
    pub(crate) place: ObjectPlace,
    /// As tables name them.
    pub(crate) options: BTreeMap<String, String>,
}

impl Place for BucketPlace {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let objects = Objects::open(&self.os, &self.place, &self.options)?;
        Ok(Box::new(BucketStore { objects, prefix: self.place.folder() }))
    }

    fn name(&self) -> String {
        self.place.to_string()
    }
}

struct BucketStore {
    objects: Objects,
    /// Empty, or with `/` at its end.
    prefix: String,
}

impl BucketStore {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl Store for BucketStore {
    fn put_new(&mut self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let key = self.key(key);
        self.objects.put_new(&key, bytes.to_vec())
    }

    fn put(&mut self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let key = self.key(key);
        self.objects.put(&key, bytes.to_vec())
    }

    fn put_parts(&mut self, key: &str, bytes: u64, read: ReadPart<'_>) -> Result<(), StoreError> {
        let key = self.key(key);
        self.objects.put_parts(&key, bytes, read)
    }

    fn get(&mut self, key: &str, from: u64, bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.key(key);
        self.objects.get(&key, from, bytes)
    }

    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Result<(Vec<Listed>, bool), StoreError> {
        let behind = if behind.is_empty() { String::new() } else { self.key(behind) };
        let (found, more) = self.objects.list(&self.key(prefix), &behind, count)?;
        let own = |object: Listed| {
            let key = object.key.strip_prefix(&self.prefix)?.to_string();
            Some(Listed { key, ..object })
        };
        Ok((found.into_iter().filter_map(own).collect(), more))
    }

    fn delete(&mut self, key: &str) -> Result<(), StoreError> {
        let key = self.key(key);
        self.objects.delete(&key)
    }
}
