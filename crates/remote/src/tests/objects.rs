//! The bytes of an object.

use crate::object::{Base, Extent, Header, SideFile, Stretch, decode, decode_header};
use crate::{Address, RemoteError};
use std::path::PathBuf;

fn header() -> Header {
    let side = SideFile { path: "state/a/1.run".into(), key: "side/x/1".into(), bytes: 3, crc: 4 };
    let stretch = Stretch { file: 1, generation: u64::MAX, position: 0, bytes: 9, crc: 5 };
    let base = Base {
        in_objects: vec![(2, 7)],
        stretches: vec![stretch],
        side: vec![side.clone()],
        gone: vec!["side/x/0".into()],
        epochs: vec![1],
    };
    let extent = Extent {
        file: 2,
        generation: 8,
        position: 0,
        bytes: 5,
        crc: crc32c::crc32c(b"bytes"),
        appended_ms: -1,
        added: vec![side],
        base: Some(base),
    };
    let (node, writer) = ("n".to_string(), "w".to_string());
    Header { epoch: 3, node, writer, time_ms: 6, last_lsn: 10, extent: Some(extent) }
}

#[test]
fn an_object_is_read_as_it_was_written() {
    let object = header().encode(b"bytes");
    assert!(object.starts_with(b"eventwright-remote 1 "));
    assert_eq!(decode("k", &object).unwrap(), (header(), &b"bytes"[..]));
    let epoch = Header { extent: None, ..header() };
    assert_eq!(decode("k", &epoch.encode(b"")).unwrap().0, epoch);
}

#[test]
fn whatever_is_damaged_is_found() {
    let object = header().encode(b"bytes");
    for at in 0..object.len() {
        let mut damaged = object.clone();
        damaged[at] ^= 0x10;
        // Spaces at the end of the line mean nothing.
        let differs =
            decode("k", &damaged).map_or(true, |(read, bytes)| (read, bytes) == (header(), &b"bytes"[..]));
        assert!(differs, "at={at}");
        assert!(decode("k", &object[..at]).is_err(), "at={at}");
    }
}

#[test]
fn files_stay_below_the_data_directory() {
    for path in ["../a", "/etc/a", "state/../../a", "a//b", ""] {
        let mut evil = header();
        if let Some(extent) = &mut evil.extent {
            extent.added[0].path = path.into();
        }
        let refused = decode_header("k", &evil.encode(b"bytes"));
        assert!(matches!(refused, Err(RemoteError::Corrupt { .. })), "{path}");
    }
}

#[test]
fn stores_have_addresses() {
    let bucket =
        |bucket: &str, prefix: &str| Address::Bucket { bucket: bucket.into(), prefix: prefix.into() };
    assert_eq!(Address::parse("s3://a/b/c/").unwrap(), bucket("a", "b/c/"));
    assert_eq!(Address::parse("s3://a").unwrap(), bucket("a", ""));
    assert_eq!(Address::parse("file:///a/b").unwrap(), Address::Directory(PathBuf::from("/a/b")));
    assert_eq!(Address::parse("a/b").unwrap(), Address::Directory(PathBuf::from("a/b")));
    for (text, words) in [("", "no address"), ("azure://a/b", "Azure"), ("ftp://a", "is no store")] {
        let refused = Address::parse(text).err().unwrap().to_string();
        assert!(refused.contains(words), "{text}: {refused}");
    }
}
