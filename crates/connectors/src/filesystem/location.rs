//! Where files lie: in a folder of this machine, or in a bucket.

use crate::aws;
use crate::aws::options::PATH_STYLE;
use crate::aws::s3::Bucket;
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
    bucket: String,
    /// Without a slash in front or behind; empty is the whole bucket.
    prefix: String,
    is_path_style: Option<bool>,
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl BucketPlace {
    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What the keys of its folder begin with.
    pub(super) fn folder(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }

    /// What the keys of its files begin with: it may be the key of one.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What a key is called within the folder; of the folder's own key, its last part.
    pub(super) fn name_within<'a>(&self, key: &'a str) -> Option<&'a str> {
        match key.strip_prefix(&self.prefix)? {
            "" => key.rsplit('/').next(),
            name if self.prefix.is_empty() => Some(name),
            name => name.strip_prefix('/'),
        }
    }

    /// The path of a key.
    pub(super) fn of_key(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    pub(super) fn open(&self, access: &Access) -> Done<Bucket> {
        Bucket::open(access, &self.bucket, self.is_path_style)
    }
}

/// Whether a path is in a bucket.
pub(super) fn is_bucket(path: &str) -> bool {
    path.starts_with("s3://") || path.starts_with("s3a://")
}

impl Location {
    pub(super) fn of(options: &Options) -> Result<Location, String> {
        let path = options.text("path").unwrap_or_default();
        let Some((scheme, rest)) = path.split_once("://") else { return Ok(Location::Local(path.into())) };
        match scheme {
            "file" => Ok(Location::Local(rest.into())),
            "s3" | "s3a" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
                if bucket.len() < 3 || bucket.len() > 63 || !bucket.bytes().all(is_name) {
                    return Err(format!(
                        "'{}' names no bucket: write s3://BUCKET/FOLDER",
                        path.escape_debug()
                    ));
                }
                let is_path_style = options.text(PATH_STYLE).map(|_| options.boolean(PATH_STYLE));
                let prefix = prefix.trim_matches('/').to_string();
                Ok(Location::Bucket(BucketPlace { bucket: bucket.to_string(), prefix, is_path_style }))
            }
            _ => Err(format!(
                "'{}' is no path that files can have: they lie on this machine, or in a bucket (s3://BUCKET/FOLDER)",
                path.escape_debug()
            )),
        }
    }
}

/// How the bucket is reached.
pub(super) fn access(os: &Os, options: &Options) -> Result<Access, String> {
    aws::access(os, options, "s3", None, None)
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
        for (path, place) in [("s3://orders/a/b/", "s3://orders/a/b"), ("s3a://orders", "s3://orders/")] {
            match of(path).unwrap() {
                Location::Bucket(bucket) => assert_eq!(bucket.to_string(), place),
                other => panic!("{path}: {other:?}"),
            }
        }
        assert_eq!(of("file:///data/a"), Ok(Location::Local("/data/a".into())));
        assert_eq!(of("data/a"), Ok(Location::Local("data/a".into())));
        for (path, words) in [
            ("s3://", "names no bucket"),
            ("s3://a b/c", "names no bucket"),
            ("gs://orders/a", "s3://BUCKET"),
        ] {
            assert!(of(path).is_err_and(|told| told.contains(words)), "{path}");
        }
    }
}
