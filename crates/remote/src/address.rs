//! Where copies are, as it is written on the command line.

use crate::bucket::BucketPlace;
use crate::directory::DirectoryPlace;
use crate::error::RemoteError;
use crate::store::{Place, SharedPlace};
use connectors::objects::ObjectPlace;
use os::Os;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX`,
/// `file:///PATH` or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Bucket(ObjectPlace),
    Directory(PathBuf),
}

impl Address {
    /// `Invalid` for what is none of them.
    pub fn parse(text: &str) -> Result<Address, RemoteError> {
        let shown = || text.chars().take(200).flat_map(char::escape_default).collect::<String>();
        if text.is_empty() {
            return Err(RemoteError::Invalid(
                "the store has no address: write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or a path".into(),
            ));
        }
        if let Some(place) = ObjectPlace::parse(text) {
            return place.map(Address::Bucket).map_err(RemoteError::Invalid);
        }
        match text.split_once("://") {
            None => Ok(Address::Directory(text.into())),
            Some(("file", rest)) => Ok(Address::Directory(rest.into())),
            Some(_) => Err(RemoteError::Invalid(format!(
                "'{}' is no store: write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, file:///PATH or a path",
                shown()
            ))),
        }
    }

    /// The store; `options` has what tables call `aws.region`, `s3.endpoint`, `azure.account` and so on.
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
            Address::Bucket(place) => {
                let place = BucketPlace { os: os.clone(), place: place.clone(), options: options.clone() };
                // What is wrong with the options is told now.
                place.open()?;
                Ok(Arc::new(place))
            }
        }
    }
}
