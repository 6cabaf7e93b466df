//! A bucket of S3, or of a server that speaks its protocol.

use crate::objects::bucket::{Bucket, BucketClient, CALLS_MAX, Object, Part, Upload, some_bytes};
use crate::objects::xml_uploads::{self, XmlUploads, document, key_of};
use crate::service::{Access, Call, Client, Done, ServiceError};
use crate::xml::Element;
use chrono::DateTime;

struct S3 {
    client: Client,
    /// In front of each key: the bucket, where its host does not name it.
    root: String,
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
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

pub(crate) fn open(access: &Access, name: &str, is_path_style: Option<bool>) -> Done<Bucket> {
    // Buckets with points have no certificate of their own; other servers have no hosts for buckets as a rule.
    let is_path_style = is_path_style.unwrap_or(!is_of_amazon(access) || name.contains('.'));
    let (access, root) = match is_path_style {
        true => (access.clone(), format!("/{name}")),
        false => (of_bucket(access, name), String::new()),
    };
    Ok(Bucket::new(S3 { client: access.client(CALLS_MAX)?, root }))
}

impl XmlUploads for S3 {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn call(&self, method: &'static str, key: &str, query: &[(&str, &str)], body: Vec<u8>) -> Call {
        let path = format!("{}/{key}", self.root);
        Call { method, path, query: pairs(query), headers: Vec::new(), body }
    }
}

/// The objects of a page.
fn objects_of(listed: &Element) -> Done<Vec<Object>> {
    let object = |object: &Element| {
        let time = DateTime::parse_from_rfc3339(object.text_of("LastModified")?).ok()?;
        Some(Object {
            key: key_of(listed, object.text_of("Key")?)?,
            bytes: object.text_of("Size")?.parse().ok()?,
            tag: object.text_of("ETag")?.to_string(),
            modified_ms: time.timestamp_millis(),
        })
    };
    let contents = listed.children.iter().filter(|child| child.name == "Contents");
    let objects: Option<Vec<Object>> = contents.map(object).collect();
    objects.ok_or_else(|| ServiceError::malformed("a list of objects"))
}

impl BucketClient for S3 {
    fn hint(&self) -> &'static str {
        "create the bucket, or look at 'path', 'aws.region' and 's3.endpoint'"
    }

    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Done<(Vec<Object>, bool)> {
        let count = count.to_string();
        let mut query =
            vec![("list-type", "2"), ("prefix", prefix), ("max-keys", &count), ("encoding-type", "url")];
        if !behind.is_empty() {
            query.push(("start-after", behind));
        }
        let mut token = String::new();
        loop {
            let mut call = self.call("GET", "", &query, Vec::new());
            if !token.is_empty() {
                call.query.push(("continuation-token".to_string(), token.clone()));
            }
            let answer = self.client.call(&call)?;
            let listed = document(&self.client, &answer)?;
            let objects = objects_of(&listed)?;
            let more = listed.text_of("IsTruncated") == Some("true");
            let next = listed.text_of("NextContinuationToken").unwrap_or_default();
            // A page may have fewer than are there, also none.
            if objects.is_empty() && more {
                if next.is_empty() || next == token {
                    return Err(ServiceError::malformed("a list of objects"));
                }
                token = next.to_string();
                continue;
            }
            return Ok((objects, more));
        }
    }

    fn get(&mut self, key: &str, from: u64, bytes: u64, tag: Option<&str>) -> Done<Vec<u8>> {
        let mut call = self.call("GET", key, &[], Vec::new());
        call.headers = vec![("range".into(), format!("bytes={from}-{}", from + bytes.max(1) - 1))];
        call.headers.extend(tag.map(|tag| ("if-match".to_string(), tag.to_string())));
        some_bytes(self.client.call(&call)?, from, bytes)
    }

    fn put_new(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        let mut call = self.call("PUT", key, &[], bytes);
        call.headers = pairs(&[("if-none-match", "*")]);
        self.client.call(&call).map(drop)
    }

    fn put(&mut self, key: &str, bytes: Vec<u8>) -> Done<()> {
        let call = self.call("PUT", key, &[], bytes);
        self.client.call(&call).map(drop)
    }

    fn delete(&mut self, key: &str) -> Done<()> {
        let call = self.call("DELETE", key, &[], Vec::new());
        self.client.call(&call).map(drop)
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
