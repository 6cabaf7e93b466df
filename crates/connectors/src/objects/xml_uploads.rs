//! Uploads in parts as S3 has them, which Google's XML API has too: begun, sent, completed, listed and given up.

use super::bucket::{Part, Upload};
use crate::http_connection::HttpAnswer;
use crate::percent::percent_decoded;
use crate::service::{Call, Client, Done, ServiceError};
use crate::xml::{self, Element};

/// A client of a store that speaks so.
pub(crate) trait XmlUploads {
    fn client(&mut self) -> &mut Client;

    /// A call about an object; without a key, about the bucket.
    fn call(&self, method: &'static str, key: &str, query: &[(&str, &str)], body: Vec<u8>) -> Call;
}

/// The document of an answer. What takes long begins with a good status, and may end badly.
pub(crate) fn document(client: &Client, answer: &HttpAnswer) -> Done<Element> {
    let root = std::str::from_utf8(&answer.body).ok().and_then(|text| xml::parse(text).ok());
    let root = root.ok_or_else(|| ServiceError::malformed("it is no XML"))?;
    match root.name.as_str() {
        "Error" => Err(client.refusal(&HttpAnswer { status: 500, ..answer.clone() })),
        _ => Ok(root),
    }
}

pub(crate) fn begin(store: &mut impl XmlUploads, keys: &[&str]) -> Done<Vec<String>> {
    let calls: Vec<Call> =
        keys.iter().map(|key| store.call("POST", key, &[("uploads", "")], Vec::new())).collect();
    let answers = store.client().call_all(&calls);
    let id = |answer: Done<HttpAnswer>| {
        let begun = document(store.client(), &answer?)?;
        let id = begun.text_of("UploadId").map(str::to_string);
        id.ok_or_else(|| ServiceError::malformed("an upload without an id"))
    };
    answers.into_iter().map(id).collect()
}

pub(crate) fn put_parts(store: &mut impl XmlUploads, parts: Vec<Part<'_>>) -> Done<Vec<String>> {
    let call = |part: Part<'_>| {
        let number = part.number.to_string();
        store.call("PUT", part.key, &[("partNumber", &number), ("uploadId", part.upload)], part.bytes)
    };
    let calls: Vec<Call> = parts.into_iter().map(call).collect();
    let tag = |answer: Done<HttpAnswer>| {
        let tag = answer?.header("etag").map(str::to_string);
        tag.ok_or_else(|| ServiceError::malformed("a part without a tag"))
    };
    store.client().call_all(&calls).into_iter().map(tag).collect()
}

pub(crate) fn complete(store: &mut impl XmlUploads, uploads: &[Upload]) -> Vec<Done<()>> {
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
            let mut call = store.call("POST", &upload.key, &[("uploadId", &upload.id)], body.into_bytes());
            call.headers.push(("content-type".into(), "application/xml".into()));
            call
        })
        .collect();
    let answers = store.client().call_all(&calls);
    let client = store.client();
    answers.into_iter().map(|answer| document(client, &answer?).map(drop)).collect()
}

pub(crate) fn uploads(store: &mut impl XmlUploads, prefix: &str) -> Done<Vec<Upload>> {
    let mut found = Vec::new();
    let mut markers = (String::new(), String::new());
    loop {
        let mut query = vec![("uploads", ""), ("prefix", prefix), ("encoding-type", "url")];
        if !markers.0.is_empty() {
            query.extend([("key-marker", markers.0.as_str()), ("upload-id-marker", &markers.1)]);
        }
        let call = store.call("GET", "", &query, Vec::new());
        let client = store.client();
        let answer = client.call(&call)?;
        let listed = document(client, &answer)?;
        for upload in listed.children.iter().filter(|child| child.name == "Upload") {
            let key = upload.text_of("Key").and_then(|key| key_of(&listed, key));
            let (Some(key), Some(id)) = (key, upload.text_of("UploadId")) else {
                return Err(ServiceError::malformed("a list of uploads"));
            };
            found.push(Upload { key, id: id.to_string(), tags: Vec::new() });
        }
        let next = listed.text_of("NextKeyMarker").and_then(|key| key_of(&listed, key)).unwrap_or_default();
        let next = (next, listed.text_of("NextUploadIdMarker").unwrap_or_default().to_string());
        if listed.text_of("IsTruncated") != Some("true") || next.0.is_empty() || next == markers {
            return Ok(found);
        }
        markers = next;
    }
}

pub(crate) fn abort(store: &mut impl XmlUploads, uploads: &[Upload]) -> Vec<Done<()>> {
    let calls: Vec<Call> = (uploads.iter())
        .map(|upload| store.call("DELETE", &upload.key, &[("uploadId", &upload.id)], Vec::new()))
        .collect();
    store.client().call_all(&calls).into_iter().map(|answer| answer.map(drop)).collect()
}

/// A text within an element.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A key in a listing, which encodes it if it says so: it may have what XML does not.
pub(crate) fn key_of(listed: &Element, key: &str) -> Option<String> {
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
}
