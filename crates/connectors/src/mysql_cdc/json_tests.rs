//! Values as MySQL's manual and its source describe their bytes, and the texts that the server shows for them.

use super::*;

/// An array or an object of the small form: entries of values, and what lies behind all entries.
fn array(entries: &[(u8, u16)], behind: &[u8]) -> Vec<u8> {
    let size = 4 + 3 * entries.len() + behind.len();
    let mut out = vec![SMALL_ARRAY];
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((size as u16).to_le_bytes());
    for (kind, value) in entries {
        out.push(*kind);
        out.extend(value.to_le_bytes());
    }
    out.extend(behind);
    out
}

fn object(keys: &[&str], entries: &[(u8, u16)], behind: &[u8]) -> Vec<u8> {
    let names: String = keys.concat();
    let mut place = 4 + 7 * entries.len();
    let mut out = vec![SMALL_OBJECT];
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend(((place + names.len() + behind.len()) as u16).to_le_bytes());
    for key in keys {
        out.extend((place as u16).to_le_bytes());
        out.extend((key.len() as u16).to_le_bytes());
        place += key.len();
    }
    for (kind, value) in entries {
        out.push(*kind);
        out.extend(value.to_le_bytes());
    }
    out.extend(names.bytes());
    out.extend(behind);
    out
}

fn shown(raw: &[u8]) -> String {
    text(raw).unwrap_or_else(|| panic!("{raw:?}"))
}

#[test]
fn scalars_are_shown_as_the_server_does() {
    let cases: &[(&[u8], &str)] = &[
        (&[], "null"),
        (&[LITERAL, 0], "null"),
        (&[LITERAL, 1], "true"),
        (&[LITERAL, 2], "false"),
        (&[INT16, 0xfe, 0xff], "-2"),
        (&[UINT16, 0xff, 0xff], "65535"),
        (&[INT32, 0, 0, 0, 0x80], "-2147483648"),
        (&[UINT32, 0xff, 0xff, 0xff, 0xff], "4294967295"),
        (&[INT64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "-1"),
        (&[UINT64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615"),
        (&[STRING, 3, b'a', b'"', b'\n'], "\"a\\\"\\n\""),
        (&[STRING, 3, 1, 0xc3, 0xbc], "\"\\u0001ü\""),
        // DECIMAL(4, 2).
        (&[OPAQUE, DECIMAL, 4, 4, 2, 0x8c, 0x32], "12.50"),
        (&[OPAQUE, 252, 2, 0, 0xff], "\"base64:type252:AP8=\""),
    ];
    for (raw, expected) in cases {
        assert_eq!(shown(raw), *expected);
    }
    let doubles = [
        (1.0, "1.0"),
        (-0.5, "-0.5"),
        (1e14, "100000000000000.0"),
        (1e15, "1e15"),
        (1.5e17, "1.5e17"),
        (1_234_567_890_123_456.5, "1234567890123456.5"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (1.5e300, "1.5e300"),
    ];
    for (value, expected) in doubles {
        assert_eq!(shown(&[&[DOUBLE][..], &f64::to_bits(value).to_le_bytes()].concat()), expected);
    }
    // Ten groups of seven bits would be no length.
    assert_eq!(text(&[STRING, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), None);
    let long = [&[STRING, 0x80, 0x01][..], &[b'x'; 128]].concat();
    assert_eq!(shown(&long).len(), 130);
}

#[test]
fn dates_and_times_are_texts() {
    let packed = |kind, value: i64| shown(&[&[OPAQUE, kind, 8][..], &value.to_le_bytes()].concat());
    let time = 13 << 12 | 14 << 6 | 15;
    let date = (2024 * 13 + 2) << 5 | 29;
    assert_eq!(packed(DATETIME, (date << 17 | time) << 24 | 120_000), "\"2024-02-29 13:14:15.120000\"");
    assert_eq!(packed(DATE, date << 41), "\"2024-02-29\"");
    assert_eq!(packed(TIME, time << 24), "\"13:14:15.000000\"");
    assert_eq!(packed(TIME, -((838 << 12) << 24 | 5)), "\"-838:00:00.000005\"");
    assert_eq!(text(&[OPAQUE, TIME, 7, 0, 0, 0, 0, 0, 0, 0]), None);
}

#[test]
fn arrays_and_objects_hold_values_within_and_behind_their_entries() {
    assert_eq!(shown(&array(&[], &[])), "[]");
    assert_eq!(shown(&object(&[], &[], &[])), "{}");
    let inner = object(&["b"], &[(LITERAL, 2)], &[]);
    let behind = [&[2, b'h', b'i'][..], &inner[1..]].concat();
    let outer = array(&[(INT16, 7), (STRING, 13), (SMALL_OBJECT, 16)], &behind);
    assert_eq!(shown(&outer), "[7, \"hi\", {\"b\": false}]");
    let mixed = object(&["a", "bc"], &[(STRING, 4 + 14 + 3), (LITERAL, 0)], &[1, b'x']);
    assert_eq!(shown(&mixed), "{\"a\": \"x\", \"bc\": null}");
    // A number of four bytes is its own entry in a large one.
    let mut large = vec![LARGE_ARRAY, 1, 0, 0, 0, 13, 0, 0, 0, INT32];
    large.extend((-70_000i32).to_le_bytes());
    assert_eq!(shown(&large), "[-70000]");
    // In a small one it lies behind.
    assert_eq!(shown(&array(&[(INT32, 7)], &(-70_000i32).to_le_bytes())), "[-70000]");
}

#[test]
fn what_is_cut_off_or_points_elsewhere_is_none() {
    let inner = object(&["b"], &[(LITERAL, 2)], &[]);
    let whole = array(&[(INT16, 7), (SMALL_OBJECT, 10)], &inner[1..]);
    assert_eq!(shown(&whole), "[7, {\"b\": false}]");
    for length in 1..whole.len() {
        assert_eq!(text(&whole[..length]), None, "{length}");
    }
    assert_eq!(text(&array(&[(STRING, 9_999)], &[])), None);
    assert_eq!(text(&[99]), None);
    assert_eq!(text(&[LITERAL, 3]), None);
    assert_eq!(text(&[LARGE_ARRAY, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    // It lies within itself.
    assert_eq!(text(&array(&[(SMALL_ARRAY, 0)], &[])), None);
}

/// Each array holds the next one twice: what is written would have 2^60 parts.
#[test]
fn values_that_share_their_bytes_do_not_grow() {
    let mut bytes: Vec<u8> = Vec::new();
    for _ in 0..60 {
        let behind = bytes.get(1..).unwrap_or_default().to_vec();
        let kind = if bytes.is_empty() { LITERAL } else { SMALL_ARRAY };
        bytes = array(&[(kind, 10), (kind, 10)], &behind);
        if kind == LITERAL {
            bytes = array(&[(LITERAL, 1), (LITERAL, 1)], &[]);
        }
    }
    assert_eq!(text(&bytes), None);
    // So do strings.
    let many = vec![(STRING, 4 + 3 * 100); 100];
    let behind = [&[100][..], &[b'x'; 100]].concat();
    assert_eq!(text(&array(&many, &behind)), None);
}
