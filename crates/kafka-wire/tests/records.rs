//! Record batches: a batch written down byte by byte, damage of every bit, bombs, lies, and random records.

use bytes::Bytes;
use kafka_wire::ErrorCode;
use kafka_wire::records::{
    Batch, BatchBuilder, BatchHeader, Batches, Compression, ControlKind, RecordsError, control_batch,
    set_base_offset, set_log_append_time, set_partition_leader_epoch,
};
use proptest::prelude::*;

const LIMIT_BYTES: usize = 1 << 20;

/// Two records at offset 1000, made by a separate program from the description of the format.
#[rustfmt::skip]
const KNOWN_BATCH: [u8; 89] = [
    0, 0, 0, 0, 0, 0, 0x03, 0xe8, 0, 0, 0, 0x4d, 0, 0, 0, 5, 2, 0x71, 0x2a, 0x56, 0xc2,
    0, 0, 0, 0, 0, 1, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x69, 0x2c,
    0, 0, 0, 0, 0, 0, 0, 0x2a, 0, 3, 0, 0, 0, 0x11, 0, 0, 0, 2,
    0x18, 0, 0, 0, 2, b'k', 0x0a, b'v', b'a', b'l', b'u', b'e', 0,
    0x1c, 0, 0xd8, 0x04, 2, 1, 0, 4, 2, b'h', 2, b'1', 2, b'h', 1,
];

fn known() -> BatchBuilder {
    let mut builder =
        BatchBuilder::new(Compression::None).base_offset(1000).partition_leader_epoch(5).producer(42, 3, 17);
    builder.append(1_700_000_000_000, Some(b"k"), Some(b"value"), &[]).expect("it fits");
    let headers: [(&str, Option<&[u8]>); 2] = [("h", Some(b"1")), ("h", None)];
    builder.append(1_700_000_000_300, None, Some(b""), &headers).expect("it fits");
    builder
}

fn parse(bytes: &[u8]) -> Result<Batch, RecordsError> {
    Batch::parse(&Bytes::copy_from_slice(bytes))
}

/// One record of so many bytes.
fn single(compression: Compression, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.append(1, None, Some(&vec![7; value_bytes]), &[]).expect("it fits");
    builder.build().expect("it has a record")
}

#[test]
fn the_known_batch_is_built_and_read() {
    assert_eq!(known().build().expect("it has records"), &KNOWN_BATCH[..]);
    let batch = parse(&KNOWN_BATCH).expect("it is whole");
    assert_eq!(batch.check_produced(), Ok(()));
    assert_eq!(batch.check_records(LIMIT_BYTES), Ok(()));
    assert_eq!((batch.header.last_offset(), batch.header.last_sequence()), (1001, 18));
    let records = batch.records(LIMIT_BYTES).expect("not compressed");
    let read: Vec<_> = records.iter().collect::<Result<_, _>>().expect("well-formed");
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].offset, read[0].timestamp), (1000, 1_700_000_000_000));
    assert_eq!((read[0].key, read[0].value), (Some(&b"k"[..]), Some(&b"value"[..])));
    assert!(read[0].headers.is_empty());
    assert_eq!((read[1].offset, read[1].timestamp), (1001, 1_700_000_000_300));
    assert_eq!((read[1].key, read[1].value), (None, Some(&b""[..])));
    let headers: Vec<_> = read[1].headers.map(|header| (header.key, header.value)).collect();
    assert_eq!(headers, [(&b"h"[..], Some(&b"1"[..])), (&b"h"[..], None)], "duplicate keys stay");
    assert_eq!(records.share(read[0].value.expect("a value")), &b"value"[..]);
}

#[test]
fn a_flip_of_any_bit_behind_the_crc_is_noticed() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        builder.append(5, Some(b"key"), Some(b"some value, some value"), &[]).expect("it fits");
        let bytes = builder.build().expect("it has a record");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let checked = parse(&damaged).and_then(|batch| batch.check_produced());
            // The CRC covers neither the base offset nor the leader epoch: the broker writes both.
            let covered = !(0..8).contains(&(bit / 8)) && !(12..16).contains(&(bit / 8));
            assert_eq!(checked.is_err(), covered, "{compression:?} bit={bit} {checked:?}");
        }
    }
}

#[test]
fn a_cut_off_batch_is_an_error_at_every_length() {
    for length in 0..KNOWN_BATCH.len() {
        let error = parse(&KNOWN_BATCH[..length]).expect_err("it is cut off");
        assert!(matches!(error, RecordsError::Truncated { .. }), "{length} {error}");
    }
}

#[test]
fn several_batches_lie_one_after_the_other() {
    let mut blob = KNOWN_BATCH.to_vec();
    blob.extend_from_slice(&single(Compression::Zstd, 10));
    let whole = blob.len();
    blob.extend_from_slice(&KNOWN_BATCH[..80]);
    let counts: Vec<_> = Batches::new(Bytes::copy_from_slice(&blob[..whole]))
        .map(|batch| batch.map(|batch| batch.header.records_count))
        .collect();
    assert_eq!(counts, [Ok(2), Ok(1)]);
    let with_tail: Vec<_> = Batches::new(Bytes::from(blob)).collect();
    assert_eq!(with_tail.len(), 3);
    assert_eq!(with_tail[2], Err(RecordsError::Truncated { needed: 89, remaining: 80 }));
}

#[test]
fn patches_in_place_keep_the_batch_valid() {
    let mut bytes = KNOWN_BATCH.to_vec();
    set_base_offset(&mut bytes, 1 << 40).expect("it is long enough");
    set_partition_leader_epoch(&mut bytes, 77).expect("it is long enough");
    let batch = parse(&bytes).expect("it is whole");
    assert_eq!(batch.check_crc(), Ok(()));
    assert_eq!((batch.header.base_offset, batch.header.partition_leader_epoch), (1 << 40, 77));
    set_log_append_time(&mut bytes, 99).expect("it is one batch");
    let batch = parse(&bytes).expect("it is whole");
    assert_eq!(batch.check_crc(), Ok(()));
    let records = batch.records(LIMIT_BYTES).expect("not compressed");
    assert!(records.iter().all(|record| record.expect("well-formed").timestamp == 99));
    assert!(set_base_offset(&mut [0; 60], 1).is_err());
    assert!(set_log_append_time(&mut bytes[..80], 1).is_err());
}

#[test]
fn old_formats_and_an_empty_header_are_refused() {
    for magic in [0u8, 1, 3, 0xff] {
        let mut bytes = KNOWN_BATCH;
        bytes[16] = magic;
        assert_eq!(parse(&bytes), Err(RecordsError::Magic { magic: magic as i8 }));
        // A message of an old format may be shorter than the header of today's.
        assert_eq!(parse(&bytes[..40]), Err(RecordsError::Magic { magic: magic as i8 }));
    }
    assert_eq!(parse(&[0; 200]), Err(RecordsError::Magic { magic: 0 }));
    for length in [-1, 0, 48, i32::MIN] {
        let mut bytes = KNOWN_BATCH;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(parse(&bytes), Err(RecordsError::Length { length }));
    }
    let mut bytes = KNOWN_BATCH;
    bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(parse(&bytes), Err(RecordsError::Truncated { .. })));
}

/// Changes the header and seals the batch again, so that only the lie is wrong with it.
fn resealed(change: impl FnOnce(&mut [u8])) -> Result<Batch, RecordsError> {
    let mut bytes = KNOWN_BATCH.to_vec();
    change(&mut bytes);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::parse(&Bytes::from(bytes))
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

#[test]
fn a_producers_lies_in_the_header_are_refused() {
    type Change = fn(&mut [u8]);
    let cases: [(&str, Change, ErrorCode); 12] = [
        ("no records", |b| put(b, 57, &0i32.to_be_bytes()), ErrorCode::InvalidRecord),
        ("a negative count", |b| put(b, 57, &(-2i32).to_be_bytes()), ErrorCode::InvalidRecord),
        ("another delta", |b| put(b, 23, &5i32.to_be_bytes()), ErrorCode::InvalidRecord),
        (
            "more records than bytes",
            |b| {
                put(b, 57, &i32::MAX.to_be_bytes());
                put(b, 23, &(i32::MAX - 1).to_be_bytes());
            },
            ErrorCode::InvalidRecord,
        ),
        ("a negative base timestamp", |b| put(b, 27, &(-2i64).to_be_bytes()), ErrorCode::InvalidRecord),
        ("a max timestamp below the base", |b| put(b, 35, &5i64.to_be_bytes()), ErrorCode::InvalidRecord),
        ("a control batch", |b| b[22] |= 0x20, ErrorCode::InvalidRecord),
        ("log append time", |b| b[22] |= 0x08, ErrorCode::InvalidTimestamp),
        ("compression 5", |b| b[22] |= 5, ErrorCode::UnsupportedCompressionType),
        ("a producer without a sequence", |b| put(b, 53, &(-1i32).to_be_bytes()), ErrorCode::InvalidRecord),
        ("a negative producer", |b| put(b, 43, &(-7i64).to_be_bytes()), ErrorCode::InvalidRecord),
        (
            "a transaction of nobody",
            |b| {
                b[22] |= 0x10;
                put(b, 43, &(-1i64).to_be_bytes());
            },
            ErrorCode::InvalidRecord,
        ),
    ];
    for (what, change, code) in cases {
        let batch = resealed(change).expect("it is whole");
        let error = batch.check_produced().expect_err(what);
        assert_eq!(error.error_code(), code, "{what}: {error}");
    }
    let untold = resealed(|b| put(b, 35, &(-1i64).to_be_bytes())).expect("it is whole");
    assert_eq!(untold.check_produced(), Ok(()), "some clients leave the max timestamp out");
    assert_eq!(parse(&KNOWN_BATCH).map(|batch| batch.check_produced()), Ok(Ok(())));
}

#[test]
fn malformed_records_end_the_iteration_with_an_error() {
    type Change = fn(&mut [u8]);
    let cases: [(&str, Change); 10] = [
        ("the first record's length runs over the second", |b| b[61] = 0x1a),
        ("its length is too small", |b| b[61] = 0x16),
        ("its length is negative", |b| b[61] = 0x01),
        ("its length is huge", |b| put(b, 61, &[0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("a negative offset delta", |b| b[64] = 0x01),
        ("an offset delta above the last", |b| b[64] = 0x04),
        ("a key longer than the record", |b| b[65] = 0x7e),
        ("a value of length -2", |b| b[67] = 0x03),
        ("a negative count of headers", |b| b[73] = 0x01),
        ("too many headers", |b| b[73] = 0x7e),
    ];
    for (what, change) in cases {
        let records = resealed(change).expect("it is whole").records(LIMIT_BYTES).expect("not compressed");
        let results: Vec<_> = records.iter().collect();
        let error = results.last().expect("something").as_ref().expect_err(what);
        assert_eq!(error.error_code(), ErrorCode::InvalidRecord, "{what}: {error}");
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1, "{what}");
    }
    for (count, records_read) in [(1i32, 1), (3, 2)] {
        let batch = resealed(|b| put(b, 57, &count.to_be_bytes())).expect("it is whole");
        let records = batch.records(LIMIT_BYTES).expect("not compressed");
        assert_eq!(records.iter().filter(|result| result.is_ok()).count(), records_read);
        assert!(records.iter().any(|result| result.is_err()), "count={count}");
    }
    // The second record at the offset of the first: readers may accept it, a broker that looks may not.
    let batch = resealed(|b| b[78] = 0).expect("it is whole");
    assert!(matches!(batch.check_records(LIMIT_BYTES), Err(RecordsError::Record { index: 1, .. })));
}

#[test]
fn bombs_stop_at_the_limit() {
    for compression in Compression::ALL {
        let bytes = single(compression, 10_000_000);
        let batch = Batch::parse(&bytes).expect("it is whole");
        let error = batch.records(1_000_000).expect_err("it is larger");
        assert_eq!(error, RecordsError::TooLarge { limit_bytes: 1_000_000 }, "{compression:?}");
        assert_eq!(error.error_code(), ErrorCode::MessageTooLarge);
        let records = batch.records(11_000_000).expect("it is small enough");
        assert_eq!(records.iter().count(), 1);
        // The limit itself still fits.
        assert!(batch.records(records.size_bytes()).is_ok(), "{compression:?}");
        assert!(batch.records(records.size_bytes() - 1).is_err(), "{compression:?}");
    }
    // A raw snappy block that claims 4 GiB in five bytes.
    let claim = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(
        Compression::Snappy.decompress(claim.clone(), 1 << 30),
        Err(RecordsError::TooLarge { .. })
    ));
    assert!(matches!(
        Compression::Snappy.decompress(claim, usize::MAX),
        Err(RecordsError::Compressed { .. })
    ));
}

#[test]
fn snappy_comes_raw_and_framed() {
    let plain = b"the same text, the same text, the same text".repeat(3000);
    let raw = snap::raw::Encoder::new().compress_vec(&plain).expect("it can be compressed");
    assert_eq!(Compression::Snappy.decompress(raw.into(), LIMIT_BYTES).expect("raw"), plain);
    let framed = Compression::Snappy.compress(&plain).expect("it can be compressed");
    assert_eq!(&framed[..16], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    for length in 0..framed.len().min(300) {
        // At the end of a block the framing cannot tell that more was to come; the record count can.
        let cut = Compression::Snappy.decompress(Bytes::copy_from_slice(&framed[..length]), LIMIT_BYTES);
        assert!(cut.is_err() || length == 16, "length={length}");
    }
    assert_eq!(Compression::Snappy.decompress(framed.into(), LIMIT_BYTES).expect("framed"), plain);
}

#[test]
fn control_batches_name_the_end_of_a_transaction() {
    for kind in [ControlKind::Abort, ControlKind::Commit] {
        let bytes = control_batch(kind, 9, 1, 4, 1000).expect("it can be built");
        let batch = Batch::parse(&bytes).expect("it is whole");
        assert_eq!(batch.check_crc(), Ok(()));
        assert!(batch.header.is_control() && batch.header.is_transactional());
        assert_eq!(batch.check_produced(), Err(RecordsError::ControlBatch));
        let records = batch.records(LIMIT_BYTES).expect("not compressed");
        let record = records.iter().next().expect("one record").expect("well-formed");
        assert_eq!(record.key.and_then(ControlKind::from_key), Some(kind));
        assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 4][..]));
    }
}

#[test]
fn sequences_wrap() {
    let bytes = KNOWN_BATCH;
    let header = BatchHeader { base_sequence: i32::MAX, ..BatchHeader::parse(&bytes).expect("whole") };
    assert_eq!(header.last_sequence(), 0);
    assert!(BatchBuilder::new(Compression::None).build().is_err(), "an empty batch cannot be built");
}

type OwnedRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn any_record() -> impl Strategy<Value = OwnedRecord> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
    let headers = proptest::collection::vec(("\\PC{0,10}", bytes()), 0..4);
    (-1i64..4_102_444_800_000, bytes(), bytes(), headers)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_survive_a_round_trip(
        records in proptest::collection::vec(any_record(), 1..40),
        compression in 0i16..5,
        base_offset in 0i64..1 << 50,
    ) {
        let compression = Compression::from_attribute(compression).expect("below five");
        let mut builder = BatchBuilder::new(compression).base_offset(base_offset);
        for (timestamp, key, value, headers) in &records {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            builder.append(*timestamp, key.as_deref(), value.as_deref(), &headers).expect("it fits");
        }
        let bytes = builder.build().expect("it has records");
        let batch = Batch::parse(&bytes).expect("it is whole");
        prop_assert_eq!(batch.check_crc(), Ok(()));
        prop_assert_eq!(batch.check_records(LIMIT_BYTES), Ok(()));
        let max = records.iter().map(|record| record.0).max();
        prop_assert_eq!(Some(batch.header.max_timestamp), max);
        let inside = batch.records(LIMIT_BYTES).expect("it decompresses");
        prop_assert_eq!(inside.iter().count(), records.len());
        for (index, (read, written)) in inside.iter().zip(&records).enumerate() {
            let read = read.expect("well-formed");
            prop_assert_eq!(read.offset, base_offset + index as i64);
            prop_assert_eq!(read.timestamp, written.0);
            prop_assert_eq!(read.key, written.1.as_deref());
            prop_assert_eq!(read.value, written.2.as_deref());
            let headers: Vec<_> = read.headers.map(|header| (header.key, header.value)).collect();
            let expected: Vec<_> =
                written.3.iter().map(|(name, value)| (name.as_bytes(), value.as_deref())).collect();
            prop_assert_eq!(headers, expected);
        }
    }

    /// Damage behind the header with a right CRC: only errors, never a panic.
    #[test]
    fn damaged_insides_are_errors_or_records(
        compression in 0i16..5,
        damage in proptest::collection::vec((61usize..400, any::<u8>()), 1..6),
        cut in 0usize..300,
    ) {
        let compression = Compression::from_attribute(compression).expect("below five");
        let mut builder = BatchBuilder::new(compression);
        for index in 0..8u8 {
            let header: [(&str, Option<&[u8]>); 1] = [("name", Some(&[index]))];
            builder.append(i64::from(index), Some(&[index; 9]), Some(&[index; 30]), &header).expect("it fits");
        }
        let mut bytes = builder.build().expect("it has records").to_vec();
        let keep = bytes.len().saturating_sub(cut).max(61);
        bytes.truncate(keep);
        let length = bytes.len() as i32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let batch = Batch::parse(&Bytes::from(bytes)).expect("the header is whole");
        if let Ok(records) = batch.records(LIMIT_BYTES) {
            prop_assert!(records.iter().count() <= 9);
        }
    }

    #[test]
    fn any_bytes_are_a_batch_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes;
        if let Some(magic) = bytes.get_mut(16) {
            *magic = 2;
        }
        for batch in Batches::new(Bytes::from(bytes)).flatten() {
            let _ = batch.check_records(LIMIT_BYTES);
            prop_assert!(batch.check_produced().is_err(), "no random bytes have the right CRC");
        }
    }
}

/// What compaction takes away is gone, what stays keeps its offsets, times, headers and compression.
#[test]
fn a_filtered_batch_keeps_offsets_times_and_compression() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression).base_offset(100).producer(7, 3, 40);
        for index in 0..6u8 {
            let value = [index; 30];
            let header: [(&str, Option<&[u8]>); 2] = [("name", Some(&[index])), ("name", None)];
            let value = (index != 4).then_some(&value[..]);
            builder.append(1_000 + i64::from(index), Some(&[index]), value, &header).expect("it fits");
        }
        let whole = Batch::parse(&builder.build().expect("it has records")).expect("whole");
        assert_eq!(whole.header.delete_horizon_ms(), None);
        for horizon_ms in [None, Some(9_000_000)] {
            let some =
                whole.filter(LIMIT_BYTES, horizon_ms, |record| record.offset % 2 == 0).expect("filtered");
            assert_eq!((some.count, some.max_timestamp), (3, 1_004));
            let batch = Batch::parse(&some.bytes).expect("whole");
            assert_eq!(batch.bytes.len(), some.bytes.len());
            assert_eq!(batch.check_crc(), Ok(()));
            let header = batch.header;
            assert_eq!((header.base_offset, header.last_offset()), (100, 105));
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 40));
            assert_eq!(header.compression(), Ok(compression));
            assert_eq!((header.records_count, header.max_timestamp), (3, 1_004));
            assert_eq!(header.delete_horizon_ms(), horizon_ms);
            let records = batch.records(LIMIT_BYTES).expect("it decompresses");
            let read: Vec<_> = records.iter().map(|record| record.expect("well-formed")).collect();
            let places: Vec<_> = read.iter().map(|record| (record.offset, record.timestamp)).collect();
            assert_eq!(places, [(100, 1_000), (102, 1_002), (104, 1_004)]);
            assert_eq!(read[1].key, Some(&[2u8][..]));
            assert_eq!(read[1].value, Some(&[2u8; 30][..]));
            assert_eq!(read[2].value, None);
            let headers: Vec<_> = read[1].headers.map(|header| (header.key, header.value)).collect();
            assert_eq!(headers, [(&b"name"[..], Some(&[2u8][..])), (&b"name"[..], None)]);
            // Once more: the horizon stays.
            let again = batch.filter(LIMIT_BYTES, None, |_| true).expect("filtered");
            assert_eq!(Batch::parse(&again.bytes).expect("whole").header.delete_horizon_ms(), horizon_ms);
        }
        let none = whole.filter(LIMIT_BYTES, None, |_| false).expect("filtered");
        assert_eq!((none.count, none.max_timestamp, none.bytes.len()), (0, -1, 61));
        let empty = Batch::parse(&none.bytes).expect("whole");
        assert_eq!(empty.check_crc(), Ok(()));
        assert_eq!(empty.header.last_offset(), 105);
        assert_eq!(empty.records(LIMIT_BYTES).expect("nothing in it").iter().count(), 0);
    }
}

/// With the broker's time, all records have it before and after.
#[test]
fn a_filtered_batch_keeps_the_brokers_time() {
    let mut builder = BatchBuilder::new(Compression::None).log_append_time(5_000);
    for index in 0..3u8 {
        builder.append(i64::from(index), Some(&[index]), None, &[]).expect("it fits");
    }
    let whole = Batch::parse(&builder.build().expect("it has records")).expect("whole");
    let some = whole.filter(LIMIT_BYTES, Some(77_000), |record| record.offset > 0).expect("filtered");
    let batch = Batch::parse(&some.bytes).expect("whole");
    let records = batch.records(LIMIT_BYTES).expect("whole");
    let times: Vec<_> = records.iter().map(|record| record.expect("well-formed").timestamp).collect();
    assert_eq!(times, [5_000, 5_000]);
    assert_eq!(batch.header.delete_horizon_ms(), Some(77_000));
}
