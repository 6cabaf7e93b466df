//! A container of Azure Blob Storage: block blobs, put whole or in blocks.
//!
//! An upload in parts is the blocks of a blob that is not there yet: each block's id begins with the upload's, which is ours and
//! random, since Azure has none. Blocks that no list of blocks names are dropped by Azure, when the blob is written or after a
//! week: there is nothing to be found or given up.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api>

use crate::objects::bucket::{
    Bucket, BucketClient, CALLS_MAX, INVALID_RANGE, NO_SUCH_BUCKET, NO_SUCH_KEY, NO_SUCH_UPLOAD, Object,
    PRECONDITION_FAILED, Part, Upload, some_bytes,
};
use crate::service::{Access, Call, Client, Done, ServiceError};
use crate::xml::{self, Element};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::NaiveDateTime;
use os::Os;

/// Of one list, at most.
const LISTED_MAX: usize = 5000;

struct Blobs {
    os: Os,
    client: Client,
    container: String,
    /// Where the last list has ended: its prefix, the last key, and what the service calls that place.
    ended: Option<(String, String, String)>,
}

pub(crate) fn open(access: &Access, container: &str) -> Done<Bucket> {
    let (os, client) = (access.os().clone(), access.client(CALLS_MAX)?);
    Ok(Bucket::new(Blobs { os, client, container: container.to_string(), ended: None }))
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn named(error: ServiceError) -> ServiceError {
    let code = match error.code.as_str() {
        "ContainerNotFound" => NO_SUCH_BUCKET,
        "BlobNotFound" => NO_SUCH_KEY,
        "InvalidRange" => INVALID_RANGE,
        "BlobAlreadyExists" | "ConditionNotMet" => PRECONDITION_FAILED,
        "InvalidBlockList" => NO_SUCH_UPLOAD,
        _ => return error,
    };
    ServiceError { code: code.to_string(), ..error }
}

/// A blob of a list; none of a folder, which an account with a hierarchical namespace lists too.
fn object(blob: &Element) -> Option<Option<Object>> {
    let properties = blob.find("Properties")?;
    if properties.text_of("ResourceType") == Some("directory") {
        return Some(None);
    }
    let time = properties.text_of("Last-Modified")?;
    let time = NaiveDateTime::parse_from_str(time, "%a, %d %b %Y %H:%M:%S GMT").ok()?;
    let tag = properties.text_of("Etag")?.trim_matches('"');
    Some(Some(Object {
        key: blob.text_of("Name")?.to_string(),
        bytes: properties.text_of("Content-Length")?.parse().ok()?,
        tag: format!("\"{tag}\""),
        modified_ms: time.and_utc().timestamp_millis(),
    }))
}

/// Whoever reads on behind a name would miss those that come later and sort before it.
fn not_by_name() -> ServiceError {
    ServiceError::invalid(
        "the account does not list blobs in the order of their names: one with a hierarchical namespace orders a folder's by the \
         folder; let no name of a file be that of a folder with more behind it",
    )
}

/// What the service calls a part of an upload: all ids of a blob have one length.
fn block_id(upload: &str, number: usize) -> String {
    BASE64_STANDARD.encode(format!("{upload}-{number:06}"))
}

impl Blobs {
    fn call(&self, method: &'static str, key: &str, query: &[(&str, &str)], body: Vec<u8>) -> Call {
        let path = match key {
            "" => format!("/{}", self.container),
            key => format!("/{}/{key}", self.container),
        };
        Call { method, path, query: pairs(query), headers: Vec::new(), body }
    }

    /// Puts a blob, with more headers.
    fn put_blob(&mut self, key: &str, bytes: Vec<u8>, more: &[(&str, &str)]) -> Done<()> {
        let mut call = self.call("PUT", key, &[], bytes);
        call.headers = pairs(&[&[("x-ms-blob-type", "BlockBlob")], more].concat());
        // The place behind the last list may not be behind this one.
        self.ended = None;
        self.client.call(&call).map(drop).map_err(named)
    }

    /// One page of a list: its blobs, and what the service calls the place behind it.
    fn page(&mut self, query: &[(&str, &str)]) -> Done<(Vec<Object>, String)> {
        let call = self.call("GET", "", query, Vec::new());
        let body = self.client.call(&call).map_err(named)?.body;
        let malformed = || ServiceError::malformed("a list of blobs");
        let text = std::str::from_utf8(&body).map_err(|_| malformed())?;
        let listed = xml::parse(text).map_err(|_| malformed())?;
        let blobs = listed.find("Blobs").ok_or_else(malformed)?;
        let mut objects = Vec::new();
        for blob in blobs.children.iter().filter(|child| child.name == "Blob") {
            objects.extend(object(blob).ok_or_else(malformed)?);
        }
        Ok((objects, listed.text_of("NextMarker").unwrap_or_default().to_string()))
    }
}

impl BucketClient for Blobs {
    fn hint(&self) -> &'static str {
        "create the container, or look at 'path', 'azure.account' and 'azure.endpoint'"
    }

    fn lost_parts(&self) -> &'static str {
        "more than a week has passed since they were sent, after which Azure drops them"
    }

    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Done<(Vec<Object>, bool)> {
        let ended = self.ended.take();
        let mut marker = match ended {
            Some((of, last, marker)) if of == prefix && last == behind => marker,
            _ => String::new(),
        };
        // By its own word the service goes on behind the last page; otherwise it begins with the name that is given, or with the
        // first one if it does not know where to begin.
        let is_behind = behind.is_empty() || !marker.is_empty();
        let mut wanted = (count + usize::from(!is_behind)).min(LISTED_MAX).to_string();
        let mut last = if is_behind { behind.to_string() } else { String::new() };
        loop {
            let mut query = vec![
                ("restype", "container"),
                ("comp", "list"),
                ("prefix", prefix),
                ("maxresults", wanted.as_str()),
            ];
            if !marker.is_empty() {
                query.push(("marker", &marker));
            } else if !behind.is_empty() {
                query.push(("startFrom", behind));
            }
            let (mut objects, next) = self.page(&query)?;
            for object in &objects {
                if object.key <= last {
                    return Err(not_by_name());
                }
                last.clone_from(&object.key);
            }
            objects.retain(|object| object.key.as_str() > behind);
            if objects.is_empty() && !next.is_empty() {
                if next == marker {
                    return Err(ServiceError::malformed("a list of blobs"));
                }
                // There may be many before it.
                wanted = LISTED_MAX.to_string();
                marker = next;
                continue;
            }
            let is_cut = objects.len() > count;
            objects.truncate(count);
            if let (false, false, Some(last)) = (is_cut, next.is_empty(), objects.last()) {
                self.ended = Some((prefix.to_string(), last.key.clone(), next.clone()));
            }
            return Ok((objects, is_cut || !next.is_empty()));
        }
    }

    fn get(&mut self, key: &str, from: u64, bytes: u64, tag: Option<&str>) -> Done<Vec<u8>> {
        let mut call = self.call("GET", key, &[], Vec::new());
        call.headers = vec![("range".into(), format!("bytes={from}-{}", from + bytes.max(1) - 1))];
        call.headers.extend(tag.map(|tag| ("if-match".to_string(), tag.to_string())));
        some_bytes(self.client.call(&call).map_err(named)?, from, bytes)
    }

    fn put_new(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        self.put_blob(key, bytes, &[("if-none-match", "*")])
    }

    fn put(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        self.put_blob(key, bytes, &[])
    }

    fn delete(&mut self, key: &str) -> Done<()> {
        let mut call = self.call("DELETE", key, &[], Vec::new());
        // One that has snapshots is not removed without them.
        call.headers = pairs(&[("x-ms-delete-snapshots", "include")]);
        self.client.call(&call).map(drop).map_err(named)
    }

    fn begin(&mut self, keys: &[&str]) -> Done<Vec<String>> {
        Ok(keys.iter().map(|_| format!("{:016x}", self.os.random.next_u64())).collect())
    }

    fn put_parts(&mut self, parts: Vec<Part<'_>>) -> Done<Vec<String>> {
        let ids: Vec<String> = parts.iter().map(|part| block_id(part.upload, part.number)).collect();
        let calls: Vec<Call> = (parts.into_iter().zip(&ids))
            .map(|(part, id)| self.call("PUT", part.key, &[("comp", "block"), ("blockid", id)], part.bytes))
            .collect();
        for answer in self.client.call_all(&calls) {
            answer.map_err(named)?;
        }
        Ok(ids)
    }

    fn complete(&mut self, uploads: &[Upload]) -> Vec<Done<()>> {
        let calls: Vec<Call> = (uploads.iter())
            .map(|upload| {
                // Not those of a blob that is there: whoever completes it again learns that it was done.
                let ids: String =
                    upload.tags.iter().map(|id| format!("<Uncommitted>{id}</Uncommitted>")).collect();
                let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>");
                self.call("PUT", &upload.key, &[("comp", "blocklist")], body.into_bytes())
            })
            .collect();
        let answers = self.client.call_all(&calls).into_iter();
        answers.map(|answer| answer.map(drop).map_err(named)).collect()
    }

    fn uploads(&mut self, _prefix: &str) -> Done<Vec<Upload>> {
        Ok(Vec::new())
    }

    fn abort(&mut self, _uploads: &[Upload]) -> Vec<Done<()>> {
        Vec::new()
    }
}
