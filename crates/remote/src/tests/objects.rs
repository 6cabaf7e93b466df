//! The bytes of an object.

use crate::object::{Base, Extent, Header, SideFile, Stretch, decode, decode_header, number_of};
use crate::{Address, RemoteError};
use std::path::PathBuf;

fn header() -> Header {
    let side = SideFile { path: "state/a/1.run".into(), key: "side/ab/1".into(), bytes: 3, crc: 4 };
    let stretch = Stretch { file: 1, generation: u64::MAX, position: 0, bytes: 9, crc: 5 };
    let base = Base {
        in_objects: vec![(2, 7)],
        stretches: vec![stretch],
        side: vec![side.clone()],
        gone: vec!["side/ab/0".into(), "files/1-2-0-a".into()],
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
    let outside =
        ["../a", "/etc/a", "state/../../a", "a//b", "", "state/../1.run", "state/a/../1.run", "state//1.run"];
    let others = [
        "remote.json",
        "log/format",
        "log/0000000000000001.log",
        "state/a/b/1.run",
        "state/a/1.log",
        "log/..segment",
    ];
    for path in outside.into_iter().chain(others) {
        let mut evil = header();
        if let Some(extent) = &mut evil.extent {
            extent.added[0].path = path.into();
        }
        let refused = decode_header("k", &evil.encode(b"bytes"));
        assert!(matches!(refused, Err(RemoteError::Corrupt { .. })), "{path}");
    }
}

#[test]
fn objects_name_no_keys_but_those_of_files() {
    for key in [
        "../x",
        "/etc/x",
        "side/../x",
        "side/ab/../x",
        "log/00000000000000000001",
        "files/1-2",
        "files/../1-2-3-4",
        "side/ab",
    ] {
        let (mut named, mut gone) = (header(), header());
        let extent = |header: &mut Header| header.extent.take().unwrap();
        let mut of_named = extent(&mut named);
        of_named.added[0].key = key.into();
        named.extent = Some(of_named);
        let mut of_gone = extent(&mut gone);
        of_gone.base.as_mut().unwrap().gone[0] = key.into();
        gone.extent = Some(of_gone);
        for evil in [named, gone] {
            let refused = decode_header("k", &evil.encode(b"bytes"));
            assert!(matches!(refused, Err(RemoteError::Corrupt { .. })), "{key}");
        }
    }
}

#[test]
fn numbers_are_bounded() {
    let of = |change: fn(&mut Extent)| {
        let mut evil = header();
        change(evil.extent.as_mut().unwrap());
        decode_header("k", &evil.encode(b"bytes"))
    };
    let changes: [fn(&mut Extent); 4] = [
        |extent| extent.position = u64::MAX,
        |extent| extent.bytes = u64::MAX,
        |extent| extent.base.as_mut().unwrap().stretches[0].position = u64::MAX,
        |extent| extent.added[0].bytes = u64::MAX,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert!(matches!(of(change), Err(RemoteError::Corrupt { .. })), "at={at}");
    }
    assert!(of(|_| {}).is_ok());
    assert_eq!(number_of("log/00000000000000000042", "log/"), Some(42));
    for key in ["log/42", "log/+0000000000000000042", "log/18446744073709551615", "log/000000000000000000042"]
    {
        assert_eq!(number_of(key, "log/"), None, "{key}");
    }
}

#[test]
fn stores_have_addresses() {
    let of = |text: &str| match Address::parse(text) {
        Ok(Address::Bucket(place)) => place.to_string(),
        other => panic!("{text}: {other:?}"),
    };
    for (text, place) in [
        ("s3://abc/b/c/", "s3://abc/b/c"),
        ("s3://abc", "s3://abc/"),
        ("gs://abc/b", "gs://abc/b"),
        ("az://abc/b", "az://abc/b"),
        ("abfss://abc@shop.dfs.core.windows.net/b", "abfss://abc@shop.dfs.core.windows.net/b"),
    ] {
        assert_eq!(of(text), place);
    }
    assert_eq!(Address::parse("file:///a/b").unwrap(), Address::Directory(PathBuf::from("/a/b")));
    assert_eq!(Address::parse("a/b").unwrap(), Address::Directory(PathBuf::from("a/b")));
    for (text, words) in [("", "no address"), ("s3://a/b", "names no bucket"), ("ftp://a", "is no store")] {
        let refused = Address::parse(text).err().unwrap().to_string();
        assert!(refused.contains(words), "{text}: {refused}");
    }
}
