//! Values as MariaDB 10.11 logs them, and the texts that it shows for them.

use super::*;

fn column(kind: u8, meta: u16) -> ReadColumn {
    ReadColumn { kind, meta, is_unsigned: false, is_binary: false, is_latin1: false, values: Vec::new() }
}

fn text(kind: u8, meta: u16, raw: &[u8]) -> Option<String> {
    column(kind, meta).text(raw, &DataType::Utf8)
}

#[test]
fn numbers_have_a_sign_or_none() {
    assert_eq!(text(kind::INT24, 0, &[0xff, 0xff, 0xff]).as_deref(), Some("-1"));
    assert_eq!(text(kind::TINY, 0, &[0x80]).as_deref(), Some("-128"));
    let unsigned = ReadColumn { is_unsigned: true, ..column(kind::LONGLONG, 0) };
    assert_eq!(unsigned.text(&[0xff; 8], &DataType::Utf8).as_deref(), Some("18446744073709551615"));
    assert_eq!(column(kind::TINY, 0).text(&[1], &DataType::Boolean).as_deref(), Some("t"));
    assert_eq!(text(kind::FLOAT, 4, &0.1f32.to_le_bytes()).as_deref(), Some("0.1"));
    assert_eq!(text(kind::BIT, 0x0102, &[1, 2]).as_deref(), Some("258"));
    assert_eq!(text(kind::YEAR, 0, &[124]).as_deref(), Some("2024"));
}

#[test]
fn decimals_have_all_their_digits() {
    let shown = |raw: &[u8], precision, scale| decimal(raw, precision, scale);
    // The manual's own example, 1234567890.1234.
    let raw = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
    assert_eq!(shown(&raw, 14, 4).as_deref(), Some("1234567890.1234"));
    let negative: Vec<u8> = raw.iter().map(|byte| !byte).collect();
    assert_eq!(shown(&negative, 14, 4).as_deref(), Some("-1234567890.1234"));
    assert_eq!(shown(&[0x80, 0x05], 3, 2).as_deref(), Some("0.05"));
    assert_eq!(shown(&[0x80], 1, 0).as_deref(), Some("0"));
    assert_eq!(decimal_bytes(14, 4), Some(7));
    assert_eq!(decimal_bytes(2, 3), None);
    assert_eq!(shown(&[0x80], 14, 4), None);
}

#[test]
fn times_are_shown_as_the_server_shows_them() {
    assert_eq!(text(kind::DATE, 0, &[0x21, 0xd0, 0x0f]).as_deref(), Some("2024-01-01"));
    // 2024-02-29 13:14:15.120000 as DATETIME(2).
    let months = 2024 * 13 + 2;
    let bits: u64 = 0x80_0000_0000 + ((months << 5 | 29) << 17 | 13 << 12 | 14 << 6 | 15);
    let raw = [&bits.to_be_bytes()[3..], &[12]].concat();
    assert_eq!(text(kind::DATETIME2, 2, &raw).as_deref(), Some("2024-02-29 13:14:15.12"));
    let raw = [&1_700_000_000u32.to_be_bytes()[..], &[0x01, 0xe2, 0x40]].concat();
    assert_eq!(text(kind::TIMESTAMP2, 6, &raw).as_deref(), Some("2023-11-14 22:13:20.123456"));
    assert_eq!(text(kind::TIMESTAMP2, 0, &[0; 4]).as_deref(), Some("0000-00-00 00:00:00"));
    let packed = |time: i64| (0x80_0000 + time).to_be_bytes()[5..].to_vec();
    assert_eq!(text(kind::TIME2, 0, &packed(838 << 12 | 59 << 6 | 59)).as_deref(), Some("838:59:59"));
    assert_eq!(text(kind::TIME2, 0, &packed(-(1 << 12))).as_deref(), Some("-01:00:00"));
    // -00:00:01.5 is one and a half second below zero.
    let negative = (0x80_0000i64 << 8) - (1 << 8 | 50);
    assert_eq!(text(kind::TIME2, 2, &negative.to_be_bytes()[4..]).as_deref(), Some("-00:00:01.50"));
}

#[test]
fn texts_and_bytes_are_what_they_were() {
    let latin = ReadColumn { is_latin1: true, ..column(kind::VARCHAR, 80) };
    assert_eq!(latin.text(b"\x80 gr\xfc\xdf", &DataType::Utf8).as_deref(), Some("€ grüß"));
    assert_eq!(text(kind::BLOB, 2, b"\xff"), None);
    let binary = ReadColumn { is_binary: true, ..column(kind::STRING, 4) };
    assert_eq!(binary.text(b"\x01\x02", &DataType::Binary).as_deref(), Some("\\x01020000"));
    let named = |kind, whole| ReadColumn { values: listed(whole), ..column(kind, 1) };
    let letters = named(kind::ENUM, "enum('a','it''s, (b)','c')");
    assert_eq!(letters.text(&[2], &DataType::Utf8).as_deref(), Some("it's, (b)"));
    assert_eq!(letters.text(&[0], &DataType::Utf8).as_deref(), Some(""));
    assert_eq!(letters.text(&[9], &DataType::Utf8), None);
    assert_eq!(named(kind::SET, "set('a','b','c')").text(&[5], &DataType::Utf8).as_deref(), Some("a,c"));
}

#[test]
fn a_row_that_ends_too_early_is_none() {
    let columns = [(kind::LONG, 0), (kind::VARCHAR, 300), (kind::BLOB, 1), (kind::TINY, 0)];
    let whole = [&[0b0100][..], &7u32.to_le_bytes(), &[2, 0, b'h', b'i'], &[9]].concat();
    let read = |bytes: &[u8]| row(&mut Rest(bytes), columns.into_iter(), &[0b1111]).map(|row| row.len());
    assert_eq!(read(&whole), Some(4));
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]), None, "{length}");
    }
    let cells = row(&mut Rest(&[0, 5]), columns.into_iter(), &[0b1000]).unwrap();
    assert_eq!(cells, [Cell::Absent, Cell::Absent, Cell::Absent, Cell::Raw(&[5])]);
}
