//! Lists: behind a key, page by page, and of services that list otherwise than they are asked to.

use super::*;

#[test]
fn google_lists_behind_a_key() {
    const LIST: &str = "GET /storage/v1/b/orders/o?prefix=x%2F&maxResults=";
    let script = Script::default()
        .then(&format!("{LIST}3&"), 200, &[], &items(&["x/a", "x/b"], "more"))
        .then(&format!("{LIST}4&"), 200, &[], &items(&["x/b", "x/c"], ""))
        // A server may give one more than is wanted, instead of a word for the next page.
        .then(&format!("{LIST}3&"), 200, &[], &items(&["x/a", "x/b", "x/c"], ""))
        .then(&format!("{LIST}3&"), 200, &[], r#"{"kind":"storage#objects"}"#)
        .then(&format!("{LIST}3&"), 200, &[], &items(&["x/b", "x/a"], ""))
        .then(&format!("{LIST}3&"), 404, &[], "Not Found");
    let served = script.serve();
    let mut objects = google(&served);
    assert_eq!(listed(objects.list("x/", "", 2)), ("x/a 7, x/b 7".into(), true));
    assert_eq!(listed(objects.list("x/", "x/b", 2)), ("x/c 7".into(), false));
    assert_eq!(listed(objects.list("x/", "", 2)), ("x/a 7, x/b 7".into(), true));
    assert_eq!(listed(objects.list("x/", "", 2)), (String::new(), false));
    assert!(objects.list("x/", "", 2).unwrap_err().message.contains("in the order of their keys"));
    assert!(objects.list("x/", "", 2).unwrap_err().message.contains("create the bucket"));
    assert!(served.asked()[1].contains("&startOffset=x%2Fb "), "{}", served.asked()[1]);
    assert!(script.is_over());
}

/// A claim is valid where nothing lies behind it: a page without an object is not nothing.
#[test]
fn pages_of_google_that_have_no_object_are_followed() {
    const LIST: &str = "GET /storage/v1/b/orders/o?prefix=x%2F&maxResults=3&";
    const ALL: &str = "GET /storage/v1/b/orders/o?prefix=x%2F&maxResults=100";
    let script = Script::default()
        .then(LIST, 200, &[], r#"{"nextPageToken":"p1"}"#)
        .then(LIST, 200, &[], &items(&["x/b"], "p2"))
        .then(LIST, 200, &[], &items(&["x/c"], ""))
        .then(LIST, 200, &[], &items(&["x/b"], "p1"))
        .then(LIST, 200, &[], r#"{"items":[]}"#)
        .then(LIST, 200, &[], r#"{"nextPageToken":"p1"}"#)
        .then(LIST, 200, &[], r#"{"nextPageToken":"p1"}"#)
        .then(ALL, 200, &[], r#"{"nextPageToken":"p1"}"#)
        .then(ALL, 200, &[], &items(&["x/a"], "p2"))
        .then(ALL, 200, &[], &items(&["x/a"], "p3"))
        .then(ALL, 200, &[], &items(&["x/b"], ""));
    let served = script.serve();
    let mut objects = google(&served);
    assert_eq!(listed(objects.list("x/", "x/b", 1)), ("x/c 7".into(), false));
    assert_eq!(listed(objects.list("x/", "x/b", 1)), (String::new(), false));
    // One that says the same again and again says nothing.
    assert_eq!(objects.list("x/", "x/b", 1).unwrap_err().kind, ErrorKind::Unavailable);
    let all: Vec<String> = objects.bucket.list_all("x/").unwrap().into_iter().map(|one| one.key).collect();
    assert_eq!(all, ["x/a", "x/b"]);
    let asked = served.asked();
    assert!(!asked[0].contains("pageToken") && asked[2].contains("&pageToken=p2 "), "{}", asked[2]);
    assert!(
        asked[9].contains("&startOffset=x%2Fa ") && asked[10].contains("&pageToken=p3 "),
        "{}",
        asked[10]
    );
    assert!(script.is_over());
}

#[test]
fn pages_of_s3_that_have_no_object_are_followed() {
    const LIST: &str = "GET /orders/?";
    let page = |key: &str, next: &str| {
        let contents = match key {
            "" => String::new(),
            key => format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-29T12:00:00.000Z</LastModified><ETag>t</ETag><Size>7</Size></Contents>"
            ),
        };
        let next = match next {
            "" => "<IsTruncated>false</IsTruncated>".to_string(),
            "?" => "<IsTruncated>true</IsTruncated>".to_string(),
            next => format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
            ),
        };
        format!("<ListBucketResult>{contents}{next}</ListBucketResult>")
    };
    let script = Script::default()
        .then(LIST, 200, &[], &page("", "p1"))
        .then(LIST, 200, &[], &page("x/c", "p2"))
        .then(LIST, 200, &[], &page("", "?"));
    let served = script.serve();
    let given = [
        ("s3.endpoint", served.url.as_str()),
        ("aws.region", "eu-west-1"),
        ("aws.credentials.basic.accesskeyid", "a"),
        ("aws.credentials.basic.secretkey", "b"),
    ];
    let mut objects = objects("s3://orders/x", &given);
    assert_eq!(listed(objects.list("x/", "x/b", 1)), ("x/c 7".into(), true));
    assert_eq!(objects.list("x/", "x/b", 1).unwrap_err().kind, ErrorKind::Unavailable);
    let asked = served.asked();
    assert!(!asked[0].contains("continuation-token=") && asked[1].contains("continuation-token=p1"));
    assert!(script.is_over());
}

const LIST: &str = "GET /shop/orders?restype=container&comp=list&prefix=x%2F&maxresults=";

#[test]
fn azure_lists_behind_a_key() {
    let script = Script::default()
        .then(&format!("{LIST}2 "), 200, &[], &blobs(&["x/a", "x/b"], "m1"))
        // The place behind a page is known by the service's own word, until something is put.
        .then(&format!("{LIST}2&marker=m1 "), 200, &[], &blobs(&["x/c", "x/d"], "m2"))
        .then("PUT /shop/orders/x/d1 ", 201, &[], "")
        .then(&format!("{LIST}3&startFrom=x%2Fd "), 200, &[], &blobs(&["x/d", "x/d1", "x/e/"], ""))
        // One that gives more than is wanted is asked by the name.
        .then(&format!("{LIST}1 "), 200, &[], &blobs(&["x/a", "x/b"], "m1"))
        .then(&format!("{LIST}2&startFrom=x%2Fa "), 200, &[], &blobs(&["x/a", "x/b"], "m3"));
    let served = script.serve();
    let mut objects = azure(&served);
    assert_eq!(listed(objects.list("x/", "", 2)), ("x/a 7, x/b 7".into(), true));
    assert_eq!(listed(objects.list("x/", "x/b", 2)), ("x/c 7, x/d 7".into(), true));
    assert_eq!(objects.put_new("x/d1", b"abc".to_vec()), Ok(true));
    assert_eq!(listed(objects.list("x/", "x/d", 2)), ("x/d1 7".into(), false));
    assert_eq!(listed(objects.list("x/", "", 1)), ("x/a 7".into(), true));
    assert_eq!(listed(objects.list("x/", "x/a", 1)), ("x/b 7".into(), true));
    assert!(script.is_over());
}

#[test]
fn azure_lists_behind_a_key_also_where_it_does_not_know_to() {
    let script = Script::default()
        // It lists from the first on, whatever is asked: what lies before is passed over in large pages.
        .then(&format!("{LIST}2&startFrom=x%2Fe "), 200, &[], &blobs(&["x/a", "x/b"], "m1"))
        .then(&format!("{LIST}5000&marker=m1 "), 200, &[], &blobs(&["x/c", "x/d"], "m2"))
        .then(&format!("{LIST}5000&marker=m2 "), 200, &[], &blobs(&["x/e", "x/f", "x/g"], "m3"))
        .then(&format!("{LIST}2&startFrom=x%2Fg "), 200, &[], &blobs(&["x/g"], "m3"))
        .then(&format!("{LIST}5000&marker=m3 "), 200, &[], &blobs(&[], "m4"))
        .then(&format!("{LIST}5000&marker=m4 "), 200, &[], &blobs(&[], ""))
        .then(&format!("{LIST}1 "), 200, &[], &blobs(&[], "m1"))
        .then(&format!("{LIST}5000&marker=m1 "), 200, &[], &blobs(&[], "m1"));
    let served = script.serve();
    let mut objects = azure(&served);
    assert_eq!(listed(objects.list("x/", "x/e", 1)), ("x/f 7".into(), true));
    assert_eq!(listed(objects.list("x/", "x/g", 1)), (String::new(), false));
    assert_eq!(objects.list("x/", "", 1).unwrap_err().kind, ErrorKind::Unavailable);
    assert!(script.is_over());
}

/// An account with a hierarchical namespace orders by the folder: what sorts lower and comes later would never be read.
#[test]
fn azure_is_refused_where_names_are_out_of_order() {
    let script = Script::default()
        // Within a page, over two lists, and over two pages of one.
        .then(&format!("{LIST}2 "), 200, &[], &blobs(&["x/a/b", "x/a-1"], ""))
        .then(&format!("{LIST}1 "), 200, &[], &blobs(&["x/a/b"], "m1"))
        .then(&format!("{LIST}1&marker=m1 "), 200, &[], &blobs(&["x/a-1"], "m2"))
        .then(&format!("{LIST}2&startFrom=x%2Fa%2Fb "), 200, &[], &blobs(&["x/a/", "x/a/b"], "m3"))
        .then(&format!("{LIST}5000&marker=m3 "), 200, &[], &blobs(&["x/a-1", "x/b"], ""));
    let served = script.serve();
    let mut objects = azure(&served);
    let refused = |found: Result<(Vec<ListedObject>, bool), ObjectError>| {
        let error = found.unwrap_err();
        assert!(error.message.contains("hierarchical namespace"), "{error}");
    };
    refused(objects.list("x/", "", 2));
    assert_eq!(listed(objects.list("x/", "", 1)), ("x/a/b 7".into(), true));
    refused(objects.list("x/", "x/a/b", 1));
    refused(objects.list("x/", "x/a/b", 1));
    assert!(script.is_over());
}
