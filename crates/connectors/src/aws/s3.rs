//! A bucket of S3, or of a server that speaks its protocol: objects and multipart uploads.

use super::error;
use super::xml::{self, Element};
use crate::http_connection::HttpAnswer;
use crate::percent::percent_decoded;
use crate::service::{Access, Call, Client, Done, ServiceError};
use base::ErrorKind;
use chrono::DateTime;

/// Calls that are under way at once.
const CALLS_MAX: usize = 8;
/// What to do where there is no such bucket.
const HINT: &str = "create the bucket, or look at 'path', 'aws.region' and 's3.endpoint'";

pub(crate) struct Bucket {
    client: Client,
    /// In front of each key: the bucket, where its host does not name it.
    root: String,
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub key: String,
    pub bytes: u64,
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

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn document(answer: &HttpAnswer) -> Done<Element> {
    let root = std::str::from_utf8(&answer.body).ok().and_then(|text| xml::parse(text).ok());
    let root = root.ok_or_else(|| ServiceError::malformed("it is no XML"))?;
    // What takes long begins with a good status, and may end badly.
    match root.name.as_str() {
        "Error" => Err(error::refusal(&HttpAnswer { status: 500, ..answer.clone() }, 0)),
        _ => Ok(root),
    }
}

/// Whether AWS itself has the service.
fn is_of_amazon(access: &Access) -> bool {
    access.url.host.contains(".amazonaws.")
}

/// A bucket may have a host of its own.
fn of_bucket(access: &Access, name: &str) -> Access {
    let mut access = access.clone();
    access.url.host = format!("{name}.{}", access.url.host);
    access
}

impl Bucket {
    pub(crate) fn open(access: &Access, name: &str, is_path_style: Option<bool>) -> Done<Bucket> {
        // Buckets with points have no certificate of their own; other servers have no hosts for buckets as a rule.
        let is_path_style = is_path_style.unwrap_or(!is_of_amazon(access) || name.contains('.'));
        let (access, root) = match is_path_style {
            true => (access.clone(), format!("/{name}")),
            false => (of_bucket(access, name), String::new()),
        };
        Ok(Bucket { client: access.client(CALLS_MAX)?, root })
    }

    fn call(&self, method: &'static str, key: &str, query: &[(&str, &str)], body: Vec<u8>) -> Call {
        let path = format!("{}/{key}", self.root);
        Call { method, path, query: pairs(query), headers: Vec::new(), body }
    }

    fn ask(&mut self, call: &Call) -> Done<HttpAnswer> {
        self.client.call(call).map_err(hinted)
    }

    /// The objects whose keys begin so, in the order of the keys, behind one of them; whether there are more.
    pub(crate) fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Done<(Vec<Object>, bool)> {
        let count = count.to_string();
        let mut query =
            vec![("list-type", "2"), ("prefix", prefix), ("max-keys", &count), ("encoding-type", "url")];
        if !behind.is_empty() {
            query.push(("start-after", behind));
        }
        let call = self.call("GET", "", &query, Vec::new());
        let listed = document(&self.ask(&call)?)?;
        let malformed = || ServiceError::malformed("a list of objects");
        let objects = (listed.children.iter().filter(|child| child.name == "Contents"))
            .map(|object| {
                let time = DateTime::parse_from_rfc3339(object.text_of("LastModified")?).ok()?;
                Some(Object {
                    key: key_of(&listed, object.text_of("Key")?)?,
                    bytes: object.text_of("Size")?.parse().ok()?,
                    tag: object.text_of("ETag")?.to_string(),
                    modified_ms: time.timestamp_millis(),
                })
            })
            .map(|object| object.ok_or_else(malformed))
            .collect::<Done<Vec<Object>>>()?;
        // Whoever asks for the next page would never come to an end.
        if objects.iter().any(|object| object.key.as_str() <= behind) {
            return Err(ServiceError::invalid(
                "the server does not list objects in the order of their keys, behind one of them ('start-after')",
            ));
        }
        Ok((objects, listed.text_of("IsTruncated") == Some("true")))
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
        let mut call = self.call("GET", key, &[], Vec::new());
        call.headers = vec![("range".into(), format!("bytes={from}-{}", from + bytes.max(1) - 1))];
        call.headers.extend(tag.map(|tag| ("if-match".to_string(), tag.to_string())));
        Ok(self.ask(&call)?.body)
    }

    /// Puts an object where none is; whether there was none.
    pub(crate) fn put_new(&mut self, key: &str, bytes: Vec<u8>) -> Done<bool> {
        let mut call = self.call("PUT", key, &[], bytes);
        call.headers = pairs(&[("if-none-match", "*")]);
        match self.client.call(&call) {
            Ok(_) => Ok(true),
            Err(error) if error.code == "PreconditionFailed" => Ok(false),
            Err(error) => Err(hinted(error)),
        }
    }

    /// Puts an object in place of what has its key.
    pub(crate) fn put(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        let call = self.call("PUT", key, &[], bytes);
        self.ask(&call).map(drop)
    }

    pub(crate) fn delete(&mut self, key: &str) -> Done<()> {
        let call = self.call("DELETE", key, &[], Vec::new());
        self.ask(&call).map(drop)
    }

    /// Begins uploads, of which nothing is seen before they are completed; their ids.
    pub(crate) fn begin(&mut self, keys: &[&str]) -> Done<Vec<String>> {
        let calls: Vec<Call> =
            keys.iter().map(|key| self.call("POST", key, &[("uploads", "")], Vec::new())).collect();
        let id = |answer: Done<HttpAnswer>| {
            let begun = document(&answer.map_err(hinted)?)?;
            let id = begun.text_of("UploadId").map(str::to_string);
            id.ok_or_else(|| ServiceError::malformed("an upload without an id"))
        };
        self.client.call_all(&calls).into_iter().map(id).collect()
    }

    /// The tags of parts that were uploaded.
    pub(crate) fn put_parts(&mut self, parts: Vec<Part<'_>>) -> Done<Vec<String>> {
        let call = |part: Part<'_>| {
            let number = part.number.to_string();
            self.call("PUT", part.key, &[("partNumber", &number), ("uploadId", part.upload)], part.bytes)
        };
        let calls: Vec<Call> = parts.into_iter().map(call).collect();
        let tag = |answer: Done<HttpAnswer>| {
            let tag = answer?.header("etag").map(str::to_string);
            tag.ok_or_else(|| ServiceError::malformed("a part without a tag"))
        };
        self.client.call_all(&calls).into_iter().map(tag).collect()
    }

    /// Makes uploads objects. One that was completed before is left as it is.
    ///
    /// There is no condition on it: one that meets a conflict loses its parts, and one that finds an object of its name would
    /// be taken for completed. That nobody else completes another upload of this name is the caller's to know.
    pub(crate) fn complete(&mut self, uploads: &[Upload]) -> Done<()> {
        let calls: Vec<Call> = (uploads.iter())
            .map(|upload| {
                let parts: String = (upload.tags.iter().enumerate())
                    .map(|(index, tag)| {
                        format!(
                            "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>",
                            index + 1,
                            escaped(tag)
                        )
                    })
                    .collect();
                let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
                let mut call = self.call("POST", &upload.key, &[("uploadId", &upload.id)], body.into_bytes());
                call.headers = pairs(&[("content-type", "application/xml")]);
                call
            })
            .collect();
        let answers = self.client.call_all(&calls);
        for (upload, answer) in uploads.iter().zip(answers) {
            match answer.and_then(|answer| document(&answer)) {
                Ok(_) => {}
                Err(error) if error.code == "NoSuchUpload" => {
                    if !self.is_there(&upload.key)? {
                        return Err(ServiceError::new(
                            ErrorKind::Corrupt,
                            format!(
                                "'{}' is not there, nor are its parts. If a reader took it away just before the job stopped, put any \
                                 object of this name there and start the job again; otherwise a rule of the bucket has aborted \
                                 the upload, and must wait longer",
                                upload.key
                            ),
                        ));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_there(&mut self, key: &str) -> Done<bool> {
        let (found, _) = self.list(key, "", 1)?;
        Ok(found.first().is_some_and(|object| object.key == key))
    }

    /// The uploads that were begun and not completed, to keys that begin so.
    pub(crate) fn uploads(&mut self, prefix: &str) -> Done<Vec<Upload>> {
        let mut found = Vec::new();
        let mut markers = (String::new(), String::new());
        loop {
            let mut query = vec![("uploads", ""), ("prefix", prefix), ("encoding-type", "url")];
            if !markers.0.is_empty() {
                query.extend([("key-marker", markers.0.as_str()), ("upload-id-marker", &markers.1)]);
            }
            let call = self.call("GET", "", &query, Vec::new());
            let listed = document(&self.ask(&call)?)?;
            for upload in listed.children.iter().filter(|child| child.name == "Upload") {
                let key = upload.text_of("Key").and_then(|key| key_of(&listed, key));
                let (Some(key), Some(id)) = (key, upload.text_of("UploadId")) else {
                    return Err(ServiceError::malformed("a list of uploads"));
                };
                found.push(Upload { key, id: id.to_string(), tags: Vec::new() });
            }
            let next =
                listed.text_of("NextKeyMarker").and_then(|key| key_of(&listed, key)).unwrap_or_default();
            let next = (next, listed.text_of("NextUploadIdMarker").unwrap_or_default().to_string());
            if listed.text_of("IsTruncated") != Some("true") || next.0.is_empty() || next == markers {
                return Ok(found);
            }
            markers = next;
        }
    }

    /// Gives uploads up; one that is not there is none.
    pub(crate) fn abort(&mut self, uploads: &[Upload]) -> Done<()> {
        let calls: Vec<Call> = (uploads.iter())
            .map(|upload| self.call("DELETE", &upload.key, &[("uploadId", &upload.id)], Vec::new()))
            .collect();
        for answer in self.client.call_all(&calls) {
            match answer {
                Err(error) if error.code != "NoSuchUpload" => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn hinted(error: ServiceError) -> ServiceError {
    match error.code.as_str() {
        "NoSuchBucket" => ServiceError { message: format!("{}; {HINT}", error.message), ..error },
        _ => error,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A key in a listing, which encodes it if it says so: it may have what XML does not.
fn key_of(listed: &Element, key: &str) -> Option<String> {
    match listed.text_of("EncodingType") {
        Some("url") => percent_decoded(&key.replace('+', " ")),
        _ => Some(key.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_listed() {
        let encoded = xml::parse("<R><EncodingType>url</EncodingType></R>").unwrap();
        assert_eq!(key_of(&encoded, "a%2Bb/c+d%C3%BC").as_deref(), Some("a+b/c dü"));
        assert_eq!(key_of(&encoded, "%zz"), None);
        let plain = xml::parse("<R/>").unwrap();
        assert_eq!(key_of(&plain, "a+b%20").as_deref(), Some("a+b%20"));
        assert_eq!(escaped("\"a\"<&"), "\"a\"&lt;&amp;");
    }

    #[test]
    fn what_begins_well_may_end_badly() {
        let answer = |body: &str| HttpAnswer { status: 200, headers: Vec::new(), body: body.into() };
        let failed =
            document(&answer("<Error><Code>InternalError</Code><Message>x</Message></Error>")).unwrap_err();
        assert_eq!((failed.code.as_str(), failed.kind), ("InternalError", ErrorKind::Unavailable));
        assert!(document(&answer("<CompleteMultipartUploadResult/>")).is_ok());
    }
}
