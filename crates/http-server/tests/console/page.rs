//! What the page is served with, and who may change something.

use crate::site::Site;
use crate::{API, JSON, OWN};
use serde_json::json;

#[test]
fn the_page_is_served_with_headers_under_which_nothing_else_runs() {
    let site = Site::new();
    let (status, head, body) = site.whole("GET", "/console/", &[], "");
    assert!(status == 200 && body.starts_with("<!doctype html>"), "{head}");
    for wanted in [
        "script-src 'self'",
        "frame-ancestors 'none'",
        "nosniff",
        "content-type: text/html",
        "cache-control: no-cache",
    ] {
        assert!(head.contains(wanted), "{wanted}: {head}");
    }
    assert!(!body.contains("style=") && !body.contains("<style") && !body.contains("onload"), "{body}");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_string();
    assert_eq!(site.whole("GET", "/console/", &[("If-None-Match", &tag)], "").0, 304);
    assert_eq!(site.whole("GET", "/console/index.html", &[("If-None-Match", "\"other\"")], "").0, 200);
    for (path, kind) in
        [("app.js", "text/javascript"), ("console.css", "text/css"), ("pages/topic.js", "text/javascript")]
    {
        let (status, head, _) = site.whole("GET", &format!("/console/{path}"), &[], "");
        assert!(status == 200 && head.contains(kind), "{path}: {head}");
    }
    for path in [
        "/console/none.js",
        "/console/../Cargo.toml",
        "/console/%2e%2e/app.js",
        "/console/api/none",
        "/console/api/topics/a/b/c/d",
    ] {
        assert_eq!(site.whole("GET", path, &[], "").0, 404, "{path}");
    }
    assert_eq!(site.whole("POST", "/console/app.js", &[], "").0, 405);
    // A browser is led there; a client of the schema registry is not.
    let (status, head, _) = site.whole("GET", "/", &[("Accept", "text/html,application/xhtml+xml")], "");
    assert!(status == 302 && head.contains("location: /console/"), "{head}");
    assert_ne!(site.whole("GET", "/", &[("Accept", "application/vnd.schemaregistry.v1+json")], "").0, 302);
    site.end();
}

#[test]
fn what_changes_something_comes_from_the_page_alone() {
    let site = Site::new();
    let target = format!("{API}/topics");
    for (headers, why) in [
        (&[JSON][..], "has the header"),
        (&[OWN, ("Content-Type", "text/plain")], "is JSON"),
        (&[OWN, JSON, ("Sec-Fetch-Site", "cross-site")], "another origin"),
        (&[OWN, JSON, ("Sec-Fetch-Site", "same-site")], "another origin"),
        (&[OWN, JSON, ("Origin", "http://evil.example")], "another origin"),
        (&[OWN, JSON, ("Host", "evil.example")], ""),
    ] {
        let (status, words) = site.refused("POST", &target, headers, r#"{"name": "forged"}"#);
        assert!(matches!(status, 400 | 403) && words.contains(why), "{headers:?}: {status} {words}");
    }
    let (status, _) = site.refused("GET", &target, &[("Sec-Fetch-Site", "cross-site")], "");
    assert_eq!(status, 403);
    // The same holds where another part of the server answers.
    let (status, _) = site.refused("PATCH", &format!("{API}/flink/jobs/x?mode=cancel"), &[], "");
    assert_eq!(status, 403);
    assert!(site.log.topic("forged").is_none());
    site.change("topics", &json!({ "name": "made", "partitions": 2 }));
    assert_eq!(site.log.topic("made").expect("it is made").partitions.len(), 2);
    for (body, why) in [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no 'name'"),
        (r#"{"name": "a b"}"#, "is not valid"),
    ] {
        let (status, words) = site.refused("POST", &target, &[OWN, JSON], body);
        assert!(status == 400 && words.contains(why), "{body}: {status} {words}");
    }
    site.end();
}
