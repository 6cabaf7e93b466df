//! Where copies are, as it is written on the command line.

use crate::bucket::BucketPlace;
use crate::directory::DirectoryPlace;
use crate::error::RemoteError;
use crate::store::{Place, SharedPlace};
use os::Os;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// `s3://BUCKET/PREFIX`, `file:///PATH` or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Bucket { bucket: String, prefix: String },
    Directory(PathBuf),
}

impl Address {
    /// `Invalid` for what is neither.
    pub fn parse(text: &str) -> Result<Address, RemoteError> {
        let shown = || text.chars().take(200).flat_map(char::escape_default).collect::<String>();
        if text.is_empty() {
            return Err(RemoteError::Invalid(
                "the store has no address: write s3://BUCKET/PREFIX or a path".into(),
            ));
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Address::Directory(text.into())) };
        match scheme {
            "file" => Ok(Address::Directory(rest.into())),
            "s3" | "s3a" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_matches('/');
                let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                Ok(Address::Bucket { bucket: bucket.to_string(), prefix })
            }
            "gs" | "az" | "azure" | "abfs" | "abfss" | "wasbs" => Err(RemoteError::Invalid(format!(
                "'{}': stores of Google and Azure cannot hold copies yet: what their protocols have for a put on a condition is \
                 another; use a bucket of S3 or of a server that speaks its protocol (s3://BUCKET/PREFIX), or a directory",
                shown()
            ))),
            _ => Err(RemoteError::Invalid(format!(
                "'{}' is no store: write s3://BUCKET/PREFIX, file:///PATH or a path",
                shown()
            ))),
        }
    }

    /// The store; `options` has what tables call `aws.region`, `s3.endpoint` and so on.
    pub fn place(&self, os: &Os, options: &BTreeMap<String, String>) -> Result<SharedPlace, RemoteError> {
        match self {
            Address::Directory(root) => {
                if let Some(key) = options.keys().next() {
                    return Err(RemoteError::Invalid(format!(
                        "a directory has no option '{key}'; leave it out"
                    )));
                }
                let root = std::path::absolute(root);
                let root =
                    root.map_err(|error| RemoteError::Invalid(format!("the store's path: {error}")))?;
                Ok(Arc::new(DirectoryPlace { os: os.clone(), root }))
            }
            Address::Bucket { bucket, prefix } => {
                let place = BucketPlace {
                    os: os.clone(),
                    bucket: bucket.clone(),
                    prefix: prefix.clone(),
                    options: options.clone(),
                };
                // What is wrong with the options is told now.
                place.open()?;
                Ok(Arc::new(place))
            }
        }
    }
}
