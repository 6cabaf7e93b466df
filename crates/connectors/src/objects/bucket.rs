//! A bucket of objects, whoever has it: what remote copies and the connectors of files ask of it.
//!
//! A provider brings a [`BucketClient`]; what is the same for all of them stands in [`Bucket`]. Errors that callers tell apart
//! have S3's codes, whatever the provider calls them.

use crate::http_connection::HttpAnswer;
use crate::service::{Done, ServiceError};
use base::ErrorKind;

pub(crate) const NO_SUCH_BUCKET: &str = "NoSuchBucket";
pub(crate) const NO_SUCH_KEY: &str = "NoSuchKey";
/// No upload of this id is under way: it was completed, or given up.
pub(crate) const NO_SUCH_UPLOAD: &str = "NoSuchUpload";
/// What was asked for begins behind the end of the object.
pub(crate) const INVALID_RANGE: &str = "InvalidRange";
/// There is an object where none was to be, or another than was meant.
pub(crate) const PRECONDITION_FAILED: &str = "PreconditionFailed";

/// Calls that are under way at once.
pub(crate) const CALLS_MAX: usize = 8;

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub key: String,
    pub bytes: u64,
    /// Another one for what replaces it.
    pub tag: String,
    pub modified_ms: i64,
}

/// A part on its way to an upload.
pub(crate) struct Part<'a> {
    pub key: &'a str,
    pub upload: &'a str,
    /// From 1 on.
    pub number: usize,
    pub bytes: Vec<u8>,
}

/// An upload with the tags of its parts, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Upload {
    pub key: String,
    pub id: String,
    pub tags: Vec<String>,
}

/// What a provider does.
pub(crate) trait BucketClient: Send {
    /// What to do where there is no such bucket.
    fn hint(&self) -> &'static str;

    /// What may have become of the parts of an upload that is not there any more.
    fn lost_parts(&self) -> &'static str {
        "a rule of the bucket has aborted the upload, and must wait longer"
    }

    /// Objects whose keys begin so, behind one of them; whether there are more. None where none is behind it, and only there: a
    /// page without an object and a word for the next one is no answer, but a reason to ask on.
    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Done<(Vec<Object>, bool)>;

    /// Some bytes of an object, fewer at its end, as long as it is the same.
    fn get(&mut self, key: &str, from: u64, bytes: u64, tag: Option<&str>) -> Done<Vec<u8>>;

    /// `PRECONDITION_FAILED` where there is one.
    fn put_new(&mut self, key: &str, bytes: Vec<u8>) -> Done<()>;

    fn put(&mut self, key: &str, bytes: Vec<u8>) -> Done<()>;

    /// `NO_SUCH_KEY` where there is none, if the provider tells.
    fn delete(&mut self, key: &str) -> Done<()>;

    fn begin(&mut self, keys: &[&str]) -> Done<Vec<String>>;

    fn put_parts(&mut self, parts: Vec<Part<'_>>) -> Done<Vec<String>>;

    /// What became of each.
    fn complete(&mut self, uploads: &[Upload]) -> Vec<Done<()>>;

    /// None where the provider keeps no list of them.
    fn uploads(&mut self, prefix: &str) -> Done<Vec<Upload>>;

    /// What became of each.
    fn abort(&mut self, uploads: &[Upload]) -> Vec<Done<()>>;
}

/// What came of a call for some bytes of an object: no others, and no more of them.
pub(crate) fn some_bytes(answer: HttpAnswer, from: u64, bytes: u64) -> Done<Vec<u8>> {
    // A whole object may be what was asked for.
    let is_range = answer.status == 206 || (answer.status == 200 && from == 0);
    if !is_range || answer.body.len() as u64 > bytes.max(1) {
        return Err(ServiceError::invalid(
            "the server gives other bytes of an object than those that are asked for: it has to keep the header `range`",
        ));
    }
    Ok(answer.body)
}

pub(crate) struct Bucket {
    client: Box<dyn BucketClient>,
}

impl Bucket {
    pub(crate) fn new(client: impl BucketClient + 'static) -> Bucket {
        Bucket { client: Box::new(client) }
    }

    fn hinted(&self, error: ServiceError) -> ServiceError {
        match error.code.as_str() {
            NO_SUCH_BUCKET => {
                ServiceError { message: format!("{}; {}", error.message, self.client.hint()), ..error }
            }
            _ => error,
        }
    }

    /// The objects whose keys begin so, in the order of the keys, behind one of them; whether there are more.
    pub(crate) fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Done<(Vec<Object>, bool)> {
        let (objects, more) = self.client.list(prefix, behind, count).map_err(|error| self.hinted(error))?;
        // Whoever asks for the next page would never come to an end, or would miss some.
        let mut before = behind;
        for object in &objects {
            if object.key.as_str() <= before {
                return Err(ServiceError::invalid(
                    "the server does not list objects in the order of their keys, behind one of them",
                ));
            }
            before = &object.key;
        }
        // Whoever looks whether there is anything would be told that there is nothing.
        if objects.is_empty() && more {
            return Err(ServiceError::malformed("a list without an object that has more behind it"));
        }
        Ok((objects, more))
    }

    /// All of them.
    pub(crate) fn list_all(&mut self, prefix: &str) -> Done<Vec<Object>> {
        let mut found: Vec<Object> = Vec::new();
        loop {
            let behind = found.last().map_or_else(String::new, |object| object.key.clone());
            let (more, is_truncated) = self.list(prefix, &behind, 1000)?;
            let is_over = more.is_empty() || !is_truncated;
            found.extend(more);
            if is_over {
                return Ok(found);
            }
        }
    }

    /// Some bytes of an object, as long as it is the same.
    pub(crate) fn get(&mut self, key: &str, from: u64, bytes: u64, tag: Option<&str>) -> Done<Vec<u8>> {
        self.client.get(key, from, bytes, tag).map_err(|error| self.hinted(error))
    }

    /// Puts an object where none is; whether there was none.
    pub(crate) fn put_new(&mut self, key: &str, bytes: Vec<u8>) -> Done<bool> {
        match self.client.put_new(key, bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.code == PRECONDITION_FAILED => Ok(false),
            Err(error) => Err(self.hinted(error)),
        }
    }

    /// Puts an object in place of what has its key.
    pub(crate) fn put(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        self.client.put(key, bytes).map_err(|error| self.hinted(error))
    }

    /// Removes an object; one that is not there is none.
    pub(crate) fn delete(&mut self, key: &str) -> Done<()> {
        match self.client.delete(key) {
            Err(error) if error.code != NO_SUCH_KEY => Err(self.hinted(error)),
            _ => Ok(()),
        }
    }

    /// Begins uploads, of which nothing is seen before they are completed; their ids.
    pub(crate) fn begin(&mut self, keys: &[&str]) -> Done<Vec<String>> {
        self.client.begin(keys).map_err(|error| self.hinted(error))
    }

    /// The tags of parts that were uploaded.
    pub(crate) fn put_parts(&mut self, parts: Vec<Part<'_>>) -> Done<Vec<String>> {
        self.client.put_parts(parts).map_err(|error| self.hinted(error))
    }

    /// Makes uploads objects. One that was completed before is left as it is.
    ///
    /// There is no condition on it: one that meets a conflict loses its parts, and one that finds an object of its name would
    /// be taken for completed. That nobody else completes another upload of this name is the caller's to know.
    pub(crate) fn complete(&mut self, uploads: &[Upload]) -> Done<()> {
        let done = self.client.complete(uploads);
        for (upload, done) in uploads.iter().zip(done) {
            match done {
                Ok(()) => {}
                Err(error) if error.code == NO_SUCH_UPLOAD => {
                    if !self.is_there(&upload.key)? {
                        return Err(ServiceError::new(
                            ErrorKind::Corrupt,
                            format!(
                                "'{}' is not there, nor are its parts. If a reader took it away just before the job stopped, put any \
                                 object of this name there and start the job again; otherwise {}",
                                upload.key,
                                self.client.lost_parts()
                            ),
                        ));
                    }
                }
                Err(error) => return Err(self.hinted(error)),
            }
        }
        Ok(())
    }

    fn is_there(&mut self, key: &str) -> Done<bool> {
        let (found, _) = self.list(key, "", 1)?;
        Ok(found.first().is_some_and(|object| object.key == key))
    }

    /// The uploads that were begun and not completed, to keys that begin so; none where they go by themselves.
    pub(crate) fn uploads(&mut self, prefix: &str) -> Done<Vec<Upload>> {
        self.client.uploads(prefix).map_err(|error| self.hinted(error))
    }

    /// Gives uploads up; one that is not there is none.
    pub(crate) fn abort(&mut self, uploads: &[Upload]) -> Done<()> {
        for done in self.client.abort(uploads) {
            match done {
                Err(error) if error.code != NO_SUCH_UPLOAD => return Err(self.hinted(error)),
                _ => {}
            }
        }
        Ok(())
    }
}
