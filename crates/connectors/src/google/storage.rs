//! A bucket of Google Cloud Storage: objects by its JSON API, uploads in parts by its XML API, at the same address.
//!
//! The JSON API has the condition that a put needs (`ifGenerationMatch=0`: there is no object of this name) and lists from a name
//! on. It knows no uploads in parts that somebody else could complete, or find and give up; the XML API has those of S3.
//!
//! <https://cloud.google.com/storage/docs/json_api>, <https://cloud.google.com/storage/docs/xml-api/overview>

use super::Named;
use super::error::CONDITION_NOT_MET;
use super::options::OF_STORAGE;
use crate::http_connection::HttpAnswer;
use crate::objects::bucket::{
    Bucket, BucketClient, CALLS_MAX, INVALID_RANGE, NO_SUCH_BUCKET, NO_SUCH_KEY, Object, PRECONDITION_FAILED,
    Part, Upload, some_bytes,
};
use crate::objects::xml_uploads::{self, XmlUploads};
use crate::percent::percent_encoded;
use crate::service::{Access, Call, Client, Done, ServiceError};
use base::ErrorKind;
use chrono::DateTime;
use os::Os;
use serde_json::{Value, json};

pub(crate) const NAMED: Named = Named {
    host: "storage.googleapis.com",
    emulator: "STORAGE_EMULATOR_HOST",
    scope: "https://www.googleapis.com/auth/devstorage.read_write",
    names: OF_STORAGE,
};

struct Storage {
    os: Os,
    client: Client,
    bucket: String,
}

pub(crate) fn open(access: &Access, bucket: &str) -> Done<Bucket> {
    let (os, client) = (access.os().clone(), access.client(CALLS_MAX)?);
    Ok(Bucket::new(Storage { os, client, bucket: bucket.to_string() }))
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// What an error means to whoever asks for objects. That a bucket is missing is only said in words where a key was named.
fn named(error: ServiceError, has_key: bool) -> ServiceError {
    let code = match error.code.as_str() {
        "404" | "NOT_FOUND" if !has_key || error.message.contains("bucket does not exist") => NO_SUCH_BUCKET,
        "404" | "NOT_FOUND" => NO_SUCH_KEY,
        CONDITION_NOT_MET => PRECONDITION_FAILED,
        // Of bytes the answer may be bare, and there is one condition; of a put there may be others, such as a policy's.
        "412" if has_key => PRECONDITION_FAILED,
        "416" => INVALID_RANGE,
        _ => return error,
    };
    let kind = if code == NO_SUCH_BUCKET { ErrorKind::NotFound } else { error.kind };
    ServiceError { code: code.to_string(), kind, ..error }
}

impl Storage {
    /// The path of an object; without a key, of all of them.
    fn path(&self, key: &str) -> String {
        let bucket = percent_encoded(&self.bucket, false);
        match key {
            "" => format!("/storage/v1/b/{bucket}/o"),
            key => format!("/storage/v1/b/{bucket}/o/{}", percent_encoded(key, false)),
        }
    }

    /// Puts an object, with more of a query.
    fn insert(&mut self, key: &str, bytes: &[u8], more: &[(&str, &str)]) -> Done<()> {
        let boundary = format!("{:016x}{:016x}", self.os.random.next_u64(), self.os.random.next_u64());
        let head = format!(
            "--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{}\r\n--{boundary}\r\ncontent-type: \
             application/octet-stream\r\n\r\n",
            json!({"name": key})
        );
        let body = [head.as_bytes(), bytes, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let call = Call {
            method: "POST",
            path: format!("/upload{}", self.path("")),
            query: pairs(&[&[("uploadType", "multipart"), ("fields", "generation")], more].concat()),
            headers: pairs(&[("content-type", &format!("multipart/related; boundary={boundary}"))]),
            body,
        };
        self.client.call(&call).map(drop).map_err(|error| named(error, false))
    }
}

/// The objects of a page, and the word for the next one, if one follows.
fn page_of(answer: &HttpAnswer) -> Option<(Vec<Object>, Option<String>)> {
    let listed: Value = serde_json::from_slice(&answer.body).ok()?;
    let objects = listed["items"].as_array().into_iter().flatten().map(object).collect::<Option<_>>()?;
    Some((objects, listed["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_string)))
}

/// An item of a list.
fn object(item: &Value) -> Option<Object> {
    let text = |name: &str| item[name].as_str();
    Some(Object {
        key: text("name")?.to_string(),
        bytes: text("size")?.parse().ok()?,
        tag: text("generation")?.to_string(),
        modified_ms: DateTime::parse_from_rfc3339(text("updated")?).ok()?.timestamp_millis(),
    })
}

impl XmlUploads for Storage {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn call(&self, method: &'static str, key: &str, query: &[(&str, &str)], body: Vec<u8>) -> Call {
        let path = format!("/{}/{}", percent_encoded(&self.bucket, false), percent_encoded(key, true));
        Call { method, path, query: pairs(query), headers: Vec::new(), body }
    }
}

impl BucketClient for Storage {
    fn hint(&self) -> &'static str {
        "create the bucket, or look at 'path' and 'google.endpoint'"
    }

    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Done<(Vec<Object>, bool)> {
        // It begins with the name that is given; one more tells whether there are more.
        let wanted = (count + 1 + usize::from(!behind.is_empty())).to_string();
        let mut query = vec![
            ("prefix", prefix),
            ("maxResults", &wanted),
            ("fields", "nextPageToken,items(name,size,generation,updated)"),
        ];
        if !behind.is_empty() {
            query.push(("startOffset", behind));
        }
        let mut token: Option<String> = None;
        loop {
            let mut query = pairs(&query);
            query.extend(token.iter().map(|token| ("pageToken".to_string(), token.clone())));
            let call = Call { method: "GET", path: self.path(""), query, ..Call::default() };
            let answer = self.client.call(&call).map_err(|error| named(error, false))?;
            let malformed = || ServiceError::malformed("a list of objects");
            let (mut objects, next) = page_of(&answer).ok_or_else(malformed)?;
            objects.retain(|object| object.key != behind);
            // A page may have fewer than are there, also none.
            if objects.is_empty() && next.is_some() {
                if next == token {
                    return Err(malformed());
                }
                token = next;
                continue;
            }
            let more = next.is_some() || objects.len() > count;
            objects.truncate(count);
            return Ok((objects, more));
        }
    }

    fn get(&mut self, key: &str, from: u64, bytes: u64, tag: Option<&str>) -> Done<Vec<u8>> {
        let mut query = vec![("alt", "media")];
        query.extend(tag.map(|tag| ("ifGenerationMatch", tag)));
        let range = format!("bytes={from}-{}", from + bytes.max(1) - 1);
        let call = Call {
            method: "GET",
            path: self.path(key),
            query: pairs(&query),
            // What was put compressed stays so: a range of it is meant.
            headers: pairs(&[("range", &range), ("accept-encoding", "gzip")]),
            body: Vec::new(),
        };
        some_bytes(self.client.call(&call).map_err(|error| named(error, true))?, from, bytes)
    }

    fn put_new(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        self.insert(key, &bytes, &[("ifGenerationMatch", "0")])
    }

    fn put(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        self.insert(key, &bytes, &[])
    }

    fn delete(&mut self, key: &str) -> Done<()> {
        let call = Call { method: "DELETE", path: self.path(key), ..Call::default() };
        self.client.call(&call).map(drop).map_err(|error| named(error, true))
    }

    fn begin(&mut self, keys: &[&str]) -> Done<Vec<String>> {
        xml_uploads::begin(self, keys)
    }

    fn put_parts(&mut self, parts: Vec<Part<'_>>) -> Done<Vec<String>> {
        xml_uploads::put_parts(self, parts)
    }

    fn complete(&mut self, uploads: &[Upload]) -> Vec<Done<()>> {
        xml_uploads::complete(self, uploads)
    }

    fn uploads(&mut self, prefix: &str) -> Done<Vec<Upload>> {
        xml_uploads::uploads(self, prefix)
    }

    fn abort(&mut self, uploads: &[Upload]) -> Vec<Done<()>> {
        xml_uploads::abort(self, uploads)
    }
}
