//! Where files lie: in a folder of this machine, or in a bucket.

use crate::objects::ObjectPlace;
use crate::objects::bucket::Bucket;
use crate::objects::place::{Provider, WRITE, path_style};
use crate::service::{Access, Done};
use base::options::Options;
use os::Os;
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Local(PathBuf),
    Bucket(BucketPlace),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BucketPlace {
    place: ObjectPlace,
    is_path_style: Option<bool>,
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(out)
    }
}

impl BucketPlace {
    pub(super) fn place(&self) -> &ObjectPlace {
        &self.place
    }

    pub(super) fn bucket(&self) -> &str {
        &self.place.bucket
    }

    pub(super) fn is_of_s3(&self) -> bool {
        self.place.provider == Provider::S3
    }

    /// What the keys of its folder begin with.
    pub(super) fn folder(&self) -> String {
        self.place.folder()
    }

    /// What the keys of its files begin with: it may be the key of one.
    pub(super) fn prefix(&self) -> &str {
        &self.place.prefix
    }

    /// What a key is called within the folder; of the folder's own key, its last part.
    pub(super) fn name_within<'a>(&self, key: &'a str) -> Option<&'a str> {
        match key.strip_prefix(self.prefix())? {
            "" => key.rsplit('/').next(),
            name if self.prefix().is_empty() => Some(name),
            name => name.strip_prefix('/'),
        }
    }

    /// The path of a key.
    pub(super) fn of_key(&self, key: &str) -> String {
        self.place.of_key(key)
    }

    /// How the bucket is reached.
    pub(super) fn access(&self, os: &Os, options: &Options) -> Result<Access, String> {
        self.place.access(os, options)
    }

    pub(super) fn open(&self, access: &Access) -> Done<Bucket> {
        self.place.open(access, self.is_path_style)
    }
}

/// Whether a path is in a bucket.
pub(super) fn is_bucket(path: &str) -> bool {
    ObjectPlace::parse(path).is_some()
}

impl Location {
    pub(super) fn of(options: &Options) -> Result<Location, String> {
        let path = options.text("path").unwrap_or_default();
        if let Some(place) = ObjectPlace::parse(path) {
            let is_path_style = path_style(options);
            return Ok(Location::Bucket(BucketPlace { place: place?, is_path_style }));
        }
        match path.split_once("://") {
            None => Ok(Location::Local(path.into())),
            Some(("file", rest)) => Ok(Location::Local(rest.into())),
            Some(_) => Err(format!(
                "'{}' is no path that files can have: they lie on this machine, or in a bucket ({WRITE})",
                path.escape_debug()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn of(path: &str) -> Result<Location, String> {
        let options = [("connector", "filesystem"), ("path", path)];
        let options: BTreeMap<String, String> =
            options.map(|(key, value)| (key.to_string(), value.to_string())).into();
        Location::of(&Options::check(&options, super::super::OPTIONS).unwrap())
    }

    #[test]
    fn paths_are_of_this_machine_or_of_a_bucket() {
        for (path, place) in [
            ("s3://orders/a/b/", "s3://orders/a/b"),
            ("gs://orders", "gs://orders/"),
            ("az://orders/a", "az://orders/a"),
        ] {
            match of(path).unwrap() {
                Location::Bucket(bucket) => assert_eq!(bucket.to_string(), place),
                other => panic!("{path}: {other:?}"),
            }
        }
        assert_eq!(of("file:///data/a"), Ok(Location::Local("/data/a".into())));
        assert_eq!(of("data/a"), Ok(Location::Local("data/a".into())));
        for (path, words) in [("s3://", "names no bucket"), ("hdfs://orders/a", "s3://BUCKET")] {
            assert!(of(path).is_err_and(|told| told.contains(words)), "{path}");
        }
    }
}
