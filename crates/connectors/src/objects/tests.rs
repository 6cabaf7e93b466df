//! The buckets of Google and of Azure on the wire: what is asked, and what is made of the answers.

mod lists;

use super::bucket::{Bucket, Upload};
use super::*;
use crate::service::testing::{Answer, Asked, Served};
use std::sync::{Arc, Mutex};

const KEY: &str = "c2VjcmV0IG9mIHRoZSBhY2NvdW50";

/// Answers, each given once and in its order, to requests that begin so.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Vec<(String, Answer)>>>);

impl Script {
    fn then(self, begins: &str, status: u16, headers: &[(&'static str, &str)], body: &str) -> Script {
        let headers = headers.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let answer = Some((status, headers, body.as_bytes().to_vec()));
        self.0.lock().unwrap().push((begins.to_string(), answer));
        self
    }

    /// The connection ends instead.
    fn then_nothing(self, begins: &str) -> Script {
        self.0.lock().unwrap().push((begins.to_string(), None));
        self
    }

    fn serve(&self) -> Served {
        let script = self.clone();
        Served::start_with(move |asked: &Asked| {
            let mut left = script.0.lock().unwrap();
            if left.is_empty() || !asked.head.starts_with(&left[0].0) {
                let expected = left.first().map(|(begins, _)| begins.clone());
                return Some((400, Vec::new(), format!("{} instead of {expected:?}", asked.head).into()));
            }
            left.remove(0).1
        })
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

fn objects(address: &str, options: &[(&str, &str)]) -> Objects {
    let place = ObjectPlace::parse(address).unwrap().unwrap();
    let given: BTreeMap<String, String> = options
        .iter()
        .chain(&[("timeout", "5 s")])
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    Objects::open(&Os::real(), &place, &given).unwrap()
}

fn google(served: &Served) -> Objects {
    objects("gs://orders/x", &[("google.endpoint", &served.url), ("google.access-token", "pencil")])
}

fn azure(served: &Served) -> Objects {
    let endpoint = format!("{}/shop", served.url);
    let given =
        [("azure.endpoint", endpoint.as_str()), ("azure.account", "shop"), ("azure.account-key", KEY)];
    objects("az://orders/x", &given)
}

/// Keys and sizes of a list.
fn listed(found: Result<(Vec<ListedObject>, bool), ObjectError>) -> (String, bool) {
    let (found, more) = found.unwrap();
    let found: Vec<String> =
        found.into_iter().map(|object| format!("{} {}", object.key, object.bytes)).collect();
    (found.join(", "), more)
}

fn items(names: &[&str], next: &str) -> String {
    let items: Vec<String> = names
        .iter()
        .map(|name| {
            format!(
                r#"{{"name":"{name}","size":"7","generation":"42","updated":"2026-11-29T12:00:00.123Z"}}"#
            )
        })
        .collect();
    let next = if next.is_empty() { String::new() } else { format!(r#","nextPageToken":"{next}""#) };
    format!(r#"{{"kind":"storage#objects","items":[{}]{next}}}"#, items.join(","))
}

fn said(code: u16, words: &str) -> String {
    format!(r#"{{"error":{{"code":{code},"message":"{words}"}}}}"#)
}

#[test]
fn google_puts_an_object_where_none_is() {
    const PUT: &str =
        "POST /upload/storage/v1/b/orders/o?uploadType=multipart&fields=generation&ifGenerationMatch=0 ";
    let taken = r#"{"error":{"code":412,"message":"no.","errors":[{"reason":"conditionNotMet"}]}}"#;
    let script = Script::default()
        .then(PUT, 200, &[], r#"{"generation":"1"}"#)
        .then(PUT, 412, &[], taken)
        // A condition of somebody else, such as a policy's, says nothing of an object.
        .then(PUT, 412, &[], &said(412, "a constraint of the organization"))
        // Too much at once is tried again, and so is a service that fails.
        .then(PUT, 429, &[], &said(429, "slow down"))
        .then(PUT, 503, &[], &said(503, "later"))
        .then(PUT, 200, &[], r#"{"generation":"2"}"#)
        // Whose answer is lost is not told: the object may be there.
        .then_nothing(PUT)
        .then(PUT, 412, &[], taken)
        .then(PUT, 404, &[], &said(404, "The specified bucket does not exist."))
        .then(PUT, 403, &[], &said(403, "no access"));
    let served = script.serve();
    let mut objects = google(&served);
    assert_eq!(objects.put_new("log/1 ü", b"--x\r\n".to_vec()), Ok(true));
    assert_eq!(objects.put_new("log/1", b"a".to_vec()), Ok(false));
    let of_policy = objects.put_new("log/2", b"a".to_vec()).unwrap_err();
    assert!(
        of_policy.kind == ErrorKind::Invalid && of_policy.message.contains("a constraint"),
        "{of_policy}"
    );
    assert_eq!(objects.put_new("log/2", b"a".to_vec()), Ok(true));
    assert_eq!(google(&served).put_new("log/3", b"a".to_vec()).unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(objects.put_new("log/3", b"a".to_vec()), Ok(false));
    let missing = objects.put_new("log/4", b"a".to_vec()).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert!(missing.message.contains("create the bucket"), "{missing}");
    let denied = objects.put_new("log/4", b"a".to_vec()).unwrap_err();
    assert_eq!((denied.kind, script.is_over()), (ErrorKind::Invalid, true));
    let asked = served.asked().remove(0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("authorization: Bearer pencil"), "{head}");
    let boundary = head.split_once("multipart/related; boundary=").unwrap().1.split("\r\n").next().unwrap();
    let expected = format!(
        "--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{{\"name\":\"log/1 ü\"}}\r\n--{boundary}\r\n\
         content-type: application/octet-stream\r\n\r\n--x\r\n\r\n--{boundary}--\r\n"
    );
    assert_eq!(body, expected);
}

#[test]
fn google_gives_bytes_of_an_object_and_removes_it() {
    const GET: &str = "GET /storage/v1/b/orders/o/x%2Fa%20b?alt=media ";
    const DELETE: &str = "DELETE /storage/v1/b/orders/o/x%2Fa%20b ";
    let missing = said(404, "No such object: orders/x/a b");
    let script = Script::default()
        .then(GET, 206, &[], "cde")
        .then(GET, 404, &[], &missing)
        .then(GET, 404, &[], &said(404, "The specified bucket does not exist."))
        .then(GET, 416, &[], "<Error><Code>InvalidRange</Code></Error>")
        // The range was passed over, or not kept.
        .then(GET, 200, &[], "abc")
        .then(GET, 206, &[], "cdef")
        .then("GET /storage/v1/b/orders/o/x%2Fa%20b?alt=media&ifGenerationMatch=1 ", 412, &[], "")
        .then(DELETE, 204, &[], "")
        .then(DELETE, 404, &[], &missing);
    let served = script.serve();
    let mut objects = google(&served);
    assert_eq!(objects.get("x/a b", 2, 3), Ok(Some(b"cde".to_vec())));
    assert_eq!(objects.get("x/a b", 2, 3), Ok(None));
    assert!(objects.get("x/a b", 2, 3).unwrap_err().message.contains("create the bucket"));
    assert_eq!(objects.get("x/a b", 2, 3), Ok(Some(Vec::new())));
    for _ in 0..2 {
        assert!(objects.get("x/a b", 2, 3).unwrap_err().message.contains("other bytes"));
    }
    let changed = objects.bucket.get("x/a b", 0, 1, Some("1")).unwrap_err();
    assert_eq!(changed.code, bucket::PRECONDITION_FAILED);
    assert_eq!((objects.delete("x/a b"), objects.delete("x/a b")), (Ok(()), Ok(())));
    assert!(served.asked()[0].contains("range: bytes=2-4\r\n") && script.is_over());
}

/// A bucket of a place that asks this server.
fn bucket(address: &str, served: &Served) -> Bucket {
    match address {
        "gs" => google(served).bucket,
        _ => azure(served).bucket,
    }
}

#[test]
fn google_takes_uploads_in_parts_and_completes_them_once() {
    let script = Script::default()
        .then("POST /orders/x/a?uploads= ", 200, &[], "<R><UploadId>u1</UploadId></R>")
        .then("PUT /orders/x/a?partNumber=1&uploadId=u1 ", 200, &[("ETag", "\"t1\"")], "")
        .then("POST /orders/x/a?uploadId=u1 ", 200, &[], "<R/>")
        .then("POST /orders/x/a?uploadId=u1 ", 404, &[], "<Error><Code>NoSuchUpload</Code></Error>")
        .then("GET /storage/v1/b/orders/o?prefix=x%2Fa&", 200, &[], &items(&["x/a"], ""))
        .then("POST /orders/x/a?uploadId=u1 ", 404, &[], "<Error><Code>NoSuchUpload</Code></Error>")
        .then("GET /storage/v1/b/orders/o?prefix=x%2Fa&", 200, &[], &items(&["x/a2"], ""))
        // It begins well and ends badly.
        .then("POST /orders/x/a?uploadId=u1 ", 200, &[], "<Error><Code>InternalError</Code></Error>")
        .then(
            "GET /orders/?uploads=&prefix=x%2F&",
            200,
            &[],
            "<R><Upload><Key>x/b</Key><UploadId>u2</UploadId></Upload></R>",
        )
        .then("DELETE /orders/x/b?uploadId=u2 ", 404, &[], "<Error><Code>NoSuchUpload</Code></Error>");
    let served = script.serve();
    let mut bucket = bucket("gs", &served);
    let id = bucket.begin(&["x/a"]).unwrap().remove(0);
    let part = Part { key: "x/a", upload: &id, number: 1, bytes: b"abc".to_vec() };
    let tags = bucket.put_parts(vec![part]).unwrap();
    let upload = [Upload { key: "x/a".into(), id, tags }];
    assert_eq!(bucket.complete(&upload), Ok(()));
    assert_eq!(bucket.complete(&upload), Ok(()));
    assert_eq!(bucket.complete(&upload).unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(bucket.complete(&upload).unwrap_err().kind, ErrorKind::Unavailable);
    let left = bucket.uploads("x/").unwrap();
    assert_eq!((left[0].key.as_str(), left[0].id.as_str()), ("x/b", "u2"));
    assert_eq!(bucket.abort(&left), Ok(()));
    assert!(
        served.asked()[2].ends_with(
            "<Part><PartNumber>1</PartNumber><ETag>\"t1\"</ETag></Part></CompleteMultipartUpload>"
        )
    );
    assert!(script.is_over());
}

fn refused(code: &str) -> String {
    format!("\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no.</Message></Error>")
}

fn blobs(names: &[&str], next: &str) -> String {
    let blob = |name: &&str| {
        let kind = if name.ends_with('/') { "directory" } else { "file" };
        let name = name.trim_end_matches('/');
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Sun, 29 Nov 2026 12:00:00 GMT</Last-Modified><Etag>0x1</Etag>\
             <ResourceType>{kind}</ResourceType><Content-Length>7</Content-Length></Properties></Blob>"
        )
    };
    let blobs: String = names.iter().map(blob).collect();
    format!(
        "\u{feff}<?xml version=\"1.0\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
    )
}

#[test]
fn azure_puts_a_blob_where_none_is() {
    const PUT: &str = "PUT /shop/orders/log/1%20x ";
    let script = Script::default()
        .then(PUT, 201, &[], "")
        .then(PUT, 409, &[], &refused("BlobAlreadyExists"))
        .then(PUT, 412, &[], &refused("ConditionNotMet"))
        .then(PUT, 503, &[], &refused("ServerBusy"))
        .then(PUT, 201, &[], "")
        .then(PUT, 409, &[], &refused("LeaseAlreadyPresent"))
        .then(PUT, 404, &[], &refused("ContainerNotFound"))
        .then(PUT, 201, &[], "");
    let served = script.serve();
    let mut objects = azure(&served);
    let mut put_new = || objects.put_new("log/1 x", b"abc".to_vec());
    assert_eq!((put_new(), put_new(), put_new(), put_new()), (Ok(true), Ok(false), Ok(false), Ok(true)));
    assert_eq!(put_new().unwrap_err().kind, ErrorKind::Invalid);
    let missing = put_new().unwrap_err();
    assert!(missing.kind == ErrorKind::NotFound && missing.message.contains("create the container"));
    assert_eq!(objects.put("log/1 x", b"abc".to_vec()), Ok(()));
    let asked = served.asked();
    for part in ["x-ms-blob-type: BlockBlob\r\n", "if-none-match: *\r\n", "authorization: SharedKey shop:"] {
        assert!(asked[0].contains(part), "{part}: {}", asked[0]);
    }
    assert!(!asked[7].contains("if-none-match") && script.is_over());
}

#[test]
fn azure_gives_bytes_of_a_blob_and_removes_it() {
    const GET: &str = "GET /shop/orders/x/a ";
    const DELETE: &str = "DELETE /shop/orders/x/a ";
    let script = Script::default()
        .then(GET, 206, &[], "cde")
        .then(GET, 404, &[("x-ms-error-code", "BlobNotFound")], "")
        .then(GET, 416, &[], &refused("InvalidRange"))
        .then(GET, 412, &[], &refused("ConditionNotMet"))
        .then(GET, 200, &[], "cde")
        .then(GET, 200, &[], "abc")
        .then(GET, 206, &[], "abcd")
        .then(DELETE, 202, &[], "")
        .then(DELETE, 404, &[], &refused("BlobNotFound"));
    let served = script.serve();
    let mut objects = azure(&served);
    assert_eq!(objects.get("x/a", 2, 3), Ok(Some(b"cde".to_vec())));
    assert_eq!((objects.get("x/a", 2, 3), objects.get("x/a", 2, 3)), (Ok(None), Ok(Some(Vec::new()))));
    let changed = objects.bucket.get("x/a", 0, 1, Some("\"0x1\"")).unwrap_err();
    assert_eq!(changed.code, bucket::PRECONDITION_FAILED);
    assert!(objects.get("x/a", 2, 3).unwrap_err().message.contains("other bytes"));
    // A whole object from its beginning on is what was asked for, as long as it is no longer.
    assert_eq!(objects.get("x/a", 0, 3), Ok(Some(b"abc".to_vec())));
    assert!(objects.get("x/a", 0, 3).unwrap_err().message.contains("other bytes"));
    assert_eq!((objects.delete("x/a"), objects.delete("x/a")), (Ok(()), Ok(())));
    let asked = served.asked();
    assert!(asked[3].contains("if-match: \"0x1\"\r\n") && script.is_over());
    assert!(asked[7].contains("x-ms-delete-snapshots: include\r\n"), "{}", asked[7]);
}

#[test]
fn azure_takes_blocks_and_lists_them_once() {
    const LIST: &str = "PUT /shop/orders/x/a?comp=blocklist ";
    let script = Script::default()
        .then("PUT /shop/orders/x/a?comp=block&blockid=", 201, &[], "")
        .then("PUT /shop/orders/x/a?comp=block&blockid=", 201, &[], "")
        .then(LIST, 201, &[], "")
        .then(LIST, 400, &[], &refused("InvalidBlockList"))
        .then("GET /shop/orders?restype=container&comp=list&prefix=x%2Fa&", 200, &[], &blobs(&["x/a"], ""))
        .then(LIST, 400, &[], &refused("InvalidBlockList"))
        .then("GET /shop/orders?restype=container&comp=list&prefix=x%2Fa&", 200, &[], &blobs(&[], ""));
    let served = script.serve();
    let mut bucket = bucket("az", &served);
    let id = bucket.begin(&["x/a"]).unwrap().remove(0);
    let mut upload = Upload { key: "x/a".into(), id: id.clone(), tags: Vec::new() };
    for number in [1, 2] {
        let part = Part { key: "x/a", upload: &id, number, bytes: b"abc".to_vec() };
        upload.tags.extend(bucket.put_parts(vec![part]).unwrap());
    }
    assert!(upload.tags[0] != upload.tags[1] && upload.tags[0].len() == upload.tags[1].len());
    let upload = [upload];
    assert_eq!((bucket.complete(&upload), bucket.complete(&upload)), (Ok(()), Ok(())));
    let lost = bucket.complete(&upload).unwrap_err();
    assert!(lost.kind == ErrorKind::Corrupt && lost.message.contains("more than a week"), "{lost}");
    let [one, two] = &upload[0].tags[..] else { panic!("two parts") };
    let list =
        format!("<BlockList><Uncommitted>{one}</Uncommitted><Uncommitted>{two}</Uncommitted></BlockList>");
    assert!(served.asked()[2].ends_with(&list), "{}", served.asked()[2]);
    assert_eq!((bucket.uploads("x/"), bucket.abort(&upload)), (Ok(Vec::new()), Ok(())));
    assert!(script.is_over());
}

#[test]
fn what_is_told_of_a_store_is_checked() {
    let open = |address: &str, given: &[(&str, &str)]| {
        let place = ObjectPlace::parse(address).unwrap().unwrap();
        let given = given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Objects::open(&Os::real(), &place, &given).err().map(|error| error.message).unwrap_or_default()
    };
    assert!(open("gs://orders/x", &[("google.endpont", "x")]).contains("did you mean 'google.endpoint'?"));
    assert!(open("gs://orders/x", &[("google.endpoint", "http://far")]).contains("without TLS"));
    assert!(
        open("abfss://orders@shop.dfs.core.windows.net", &[("azure.account", "other")])
            .contains("leave it out")
    );
    assert_eq!(open("abfss://orders@shop.dfs.core.windows.net/a", &[("azure.account-key", KEY)]), "");
    // Whoever has that host would be told who we are.
    assert!(
        open("abfss://orders@shop.dfs.core.evil.example/a", &[("azure.account-key", KEY)])
            .contains("none of Azure's clouds")
    );
    let two = [("azure.account", "shop"), ("azure.account-key", KEY), ("azure.sas-token", "sv=1&sig=a")];
    assert!(open("az://orders/x", &two).contains("exclude one another"));
    let two = [("google.access-token", "a"), ("google.service-account-key-file", "b")];
    assert!(open("gs://orders/x", &two).contains("exclude one another"));
    assert!(open("s3://orders/x", &[("aws.credentials.basic.accesskeyid", "a")]).contains("belong together"));
}
