//! Buckets: those of tables and lakes, and one for the node itself, in which copies of its log are kept (crate `remote`, ADR 0045).
//!
//! Whoever has the bucket, its client is ours, and so are the options, the environment and the files that say where the service
//! is and who we are.

pub(crate) mod bucket;
pub(crate) mod options;
pub(crate) mod place;
pub(crate) mod xml_uploads;

pub use place::ObjectPlace;

use crate::aws::options::{PATH_STYLE, S3_ENDPOINT};
use crate::service::ServiceError;
use base::ErrorKind;
use base::options::{OptionKind, OptionSpec, Options};
use bucket::{Bucket, INVALID_RANGE, NO_SUCH_KEY, Part, Upload};
use os::Os;
use std::collections::BTreeMap;

const OWN: [OptionSpec; 2] = [
    crate::optional(
        S3_ENDPOINT,
        OptionKind::Text,
        None,
        "Where buckets are, if not in AWS; `aws.endpoint` says the same.",
        "http://localhost:9000",
    ),
    crate::optional(
        PATH_STYLE,
        OptionKind::Boolean,
        None,
        "Whether the bucket stands in the path instead of the host.",
        "true",
    ),
];
const SPECS: [OptionSpec; options::COUNT + 2] = options::with_common(OWN);

/// Larger objects go up in parts of this size.
pub const PART_BYTES: usize = 8 << 20;

/// What went wrong, and whether another try may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ObjectError {
    pub kind: ErrorKind,
    pub message: String,
}

impl ObjectError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ObjectError {
        ObjectError { kind, message: message.into() }
    }
}

impl From<ServiceError> for ObjectError {
    fn from(error: ServiceError) -> ObjectError {
        ObjectError { kind: error.kind, message: error.message }
    }
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    pub bytes: u64,
}

/// Gives so many bytes of what is put, from a position on.
pub type ReadPart<'a> = &'a mut dyn FnMut(u64, usize) -> Result<Vec<u8>, ObjectError>;

/// A bucket of S3, or of a server that speaks its protocol, of Google Cloud Storage, or a container of Azure Blob Storage.
pub struct Objects {
    bucket: Bucket,
}

impl Objects {
    /// `given` has the names that tables have: `aws.region`, `s3.endpoint`, `google.endpoint`, `azure.account` and others. `Invalid`
    /// for those that are wrong.
    pub fn open(
        os: &Os,
        place: &ObjectPlace,
        given: &BTreeMap<String, String>,
    ) -> Result<Objects, ObjectError> {
        let invalid = |message: String| ObjectError::new(ErrorKind::Invalid, message);
        let options = Options::check(given, &SPECS).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            invalid(texts.join("; "))
        })?;
        let mistakes: Vec<String> =
            options::mistakes(place, &options).into_iter().map(|(_, message)| message).collect();
        if !mistakes.is_empty() {
            return Err(invalid(mistakes.join("; ")));
        }
        let access = place.access(os, &options).map_err(invalid)?;
        Ok(Objects { bucket: place.open(&access, place::path_style(&options))? })
    }

    /// Puts an object where none is; false if there is one, which may be ours: an answer can be lost.
    pub fn put_new(&mut self, key: &str, bytes: Vec<u8>) -> Result<bool, ObjectError> {
        Ok(self.bucket.put_new(key, bytes)?)
    }

    /// Puts an object in place of what has its key.
    pub fn put(&mut self, key: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        Ok(self.bucket.put(key, bytes)?)
    }

    /// The same for what is not to be in memory at once.
    pub fn put_parts(&mut self, key: &str, bytes: u64, read: ReadPart<'_>) -> Result<(), ObjectError> {
        if bytes <= PART_BYTES as u64 {
            let whole = read(0, bytes as usize)?;
            return self.put(key, whole);
        }
        let ids = self.bucket.begin(&[key])?;
        let id = ids.into_iter().next().unwrap_or_default();
        let mut upload = Upload { key: key.to_string(), id, tags: Vec::new() };
        let done = self.put_each_part(&mut upload, bytes, read);
        if done.is_err() {
            // What stays takes space until a rule of the bucket removes it; the error before is the one to tell.
            let _ = self.bucket.abort(&[upload]);
        }
        done
    }

    fn put_each_part(
        &mut self,
        upload: &mut Upload,
        bytes: u64,
        read: ReadPart<'_>,
    ) -> Result<(), ObjectError> {
        let mut position = 0;
        // A bucket takes no more than 10,000 parts.
        let part_bytes = (PART_BYTES as u64).max(bytes.div_ceil(10_000));
        while position < bytes {
            let part = read(position, part_bytes.min(bytes - position) as usize)?;
            position += part.len() as u64;
            let number = upload.tags.len() + 1;
            let part = Part { key: &upload.key, upload: &upload.id, number, bytes: part };
            let tags = self.bucket.put_parts(vec![part])?;
            upload.tags.extend(tags);
        }
        Ok(self.bucket.complete(std::slice::from_ref(upload))?)
    }

    /// Some bytes of an object, fewer at its end; none if it is not there.
    pub fn get(&mut self, key: &str, from: u64, bytes: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        match self.bucket.get(key, from, bytes, None) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.code == NO_SUCH_KEY => Ok(None),
            Err(error) if error.code == INVALID_RANGE => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }

    /// The objects whose keys begin so, in the order of the keys, behind one of them; whether there are more.
    pub fn list(
        &mut self,
        prefix: &str,
        behind: &str,
        count: usize,
    ) -> Result<(Vec<ListedObject>, bool), ObjectError> {
        let (found, more) = self.bucket.list(prefix, behind, count)?;
        let listed = found.into_iter().map(|object| ListedObject { key: object.key, bytes: object.bytes });
        Ok((listed.collect(), more))
    }

    /// Removes an object; one that is not there is none.
    pub fn delete(&mut self, key: &str) -> Result<(), ObjectError> {
        Ok(self.bucket.delete(key)?)
    }
}

#[cfg(test)]
mod tests;
