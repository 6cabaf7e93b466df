//! Where objects lie, as an address says it: whose bucket, and below which prefix.

use super::bucket::Bucket;
use crate::aws::options::PATH_STYLE;
use crate::service::{Access, Done};
use crate::{aws, azure, google};
use base::options::Options;
use os::Os;
use std::fmt;

/// Whose protocol is spoken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Provider {
    S3,
    Google,
    Azure(azure::Account),
}

/// A bucket (Azure: a container), and what lies below a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlace {
    pub(crate) provider: Provider,
    pub(crate) bucket: String,
    /// Without a slash in front or behind; empty is the whole bucket.
    pub(crate) prefix: String,
}

/// What there is to be written for a place in a bucket, for messages.
pub(crate) const WRITE: &str = "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://CONTAINER/FOLDER or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER";

impl ObjectPlace {
    /// None where the scheme is that of no bucket.
    pub fn parse(text: &str) -> Option<Result<ObjectPlace, String>> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let (provider, bucket) = match scheme {
            "s3" | "s3a" | "s3n" => (Ok(Provider::S3), authority),
            "gs" => (Ok(Provider::Google), authority),
            "az" => (Ok(Provider::Azure(azure::Account::default())), authority),
            "abfs" | "abfss" | "wasb" | "wasbs" => match authority.split_once('@') {
                Some((container, host)) => (azure::Account::of_host(host).map(Provider::Azure), container),
                None => (Ok(Provider::Azure(azure::Account::default())), authority),
            },
            _ => return None,
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        // Google's have up to 222 where they have points in them; Azure has three that begin with `$`.
        let plain = bucket.strip_prefix('$').filter(|_| provider != Ok(Provider::S3)).unwrap_or(bucket);
        if bucket.len() < 3 || bucket.len() > 222 || !plain.bytes().all(is_name) {
            let shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
            return Some(Err(format!("'{shown}' names no bucket: write {WRITE}")));
        }
        let place = |provider| ObjectPlace {
            provider,
            bucket: bucket.to_string(),
            prefix: prefix.trim_matches('/').to_string(),
        };
        Some(provider.map(place))
    }

    /// The bucket alone, as an address.
    pub(crate) fn root(&self) -> String {
        let bucket = &self.bucket;
        match &self.provider {
            Provider::S3 => format!("s3://{bucket}"),
            Provider::Google => format!("gs://{bucket}"),
            Provider::Azure(account) => account.root(bucket),
        }
    }

    /// The address of a key.
    pub(crate) fn of_key(&self, key: &str) -> String {
        format!("{}/{key}", self.root())
    }

    /// What the keys of its folder begin with.
    pub fn folder(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }

    /// How the bucket is reached, from checked options.
    pub(crate) fn access(&self, os: &Os, options: &Options) -> Result<Access, String> {
        match &self.provider {
            Provider::S3 => aws::access(os, options, "s3", None, None),
            Provider::Google => google::access(os, options, google::storage::NAMED),
            Provider::Azure(account) => azure::access(os, options, account),
        }
    }

    /// `is_path_style` is S3's alone.
    pub(crate) fn open(&self, access: &Access, is_path_style: Option<bool>) -> Done<Bucket> {
        match &self.provider {
            Provider::S3 => aws::s3::open(access, &self.bucket, is_path_style),
            Provider::Google => google::storage::open(access, &self.bucket),
            Provider::Azure(_) => azure::blobs::open(access, &self.bucket),
        }
    }
}

/// Whether a bucket of S3 stands in the path, if that is said.
pub(crate) fn path_style(options: &Options) -> Option<bool> {
    options.text(PATH_STYLE).map(|_| options.boolean(PATH_STYLE))
}

impl fmt::Display for ObjectPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.root(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_whose_bucket_it_is() {
        for (text, place, folder) in [
            ("s3://orders/a/b/", "s3://orders/a/b", "a/b/"),
            ("s3a://orders", "s3://orders/", ""),
            ("gs://orders/a", "gs://orders/a", "a/"),
            ("az://orders/a", "az://orders/a", "a/"),
            ("az://$web", "az://$web/", ""),
            (
                "abfss://orders@shop.dfs.core.windows.net/a",
                "abfss://orders@shop.dfs.core.windows.net/a",
                "a/",
            ),
            ("abfs://orders@shop.dfs.core.windows.net", "abfss://orders@shop.dfs.core.windows.net/", ""),
            (
                "wasbs://orders@shop.blob.core.windows.net/a",
                "abfss://orders@shop.dfs.core.windows.net/a",
                "a/",
            ),
            ("abfss://orders/a", "az://orders/a", "a/"),
        ] {
            let found = ObjectPlace::parse(text).unwrap().unwrap();
            assert_eq!((found.to_string().as_str(), found.folder().as_str()), (place, folder), "{text}");
        }
        for (text, words) in [
            ("s3://", "names no bucket"),
            ("s3://a b/c", "names no bucket"),
            ("s3://$web/c", "names no bucket"),
            ("gs://a", "names no bucket"),
            ("az://@/c", "names no bucket"),
            ("abfss://orders@shop/a", "no host of a storage account"),
            ("abfss://orders@SHOP.dfs.core.windows.net/a", "no name of a storage account"),
        ] {
            let told = ObjectPlace::parse(text).unwrap().unwrap_err();
            assert!(told.contains(words), "{text}: {told}");
        }
        for other in ["data/a", "file:///a", "hdfs://a/b"] {
            assert_eq!(ObjectPlace::parse(other), None, "{other}");
        }
    }
}
