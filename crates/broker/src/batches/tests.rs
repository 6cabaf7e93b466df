//! What a produced batch may and may not be.

use super::*;
use crate::testing::{batch, sequenced_batch};
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::records::{BatchBuilder, Compression};
use std::collections::BTreeMap;

const NOW: i64 = 1_700_000_000_000;

fn config(pairs: &[(&str, &str)]) -> TopicConfig {
    let given: BTreeMap<String, String> =
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    TopicConfig::check(&given).unwrap()
}

/// The good batch with bytes replaced and the checksum made right again.
fn patched(at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = batch(Compression::None, &[(NOW, "a"), (NOW + 1, "b")]).to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    reseal(batch)
}

/// The checksum of the changed bytes.
fn reseal(mut batch: Vec<u8>) -> Bytes {
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

/// CRC-32C, bit by bit: slow, but a second opinion.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn a_good_batch_passes_and_tells_what_the_log_needs() {
    for compression in Compression::ALL {
        let bytes = batch(compression, &[(NOW + 5, "a"), (NOW, "b"), (NOW + 3, "c")]);
        let checked = check(bytes.clone(), &config(&[]), NOW).unwrap();
        assert_eq!((checked.records, checked.max_timestamp_ms), (3, NOW + 5));
        assert_eq!((checked.bytes, checked.sequenced), (bytes, None));
    }
    let checked = check(sequenced_batch(4_000, 2, 17, 3), &config(&[]), NOW).unwrap().sequenced.unwrap();
    assert_eq!((checked.producer_id, checked.epoch, checked.base_sequence), (4_000, 2, 17));
    assert_eq!(checked.last_offset_delta, 2);
}

#[test]
fn bad_batches_get_the_codes_on_which_clients_act() {
    let good = batch(Compression::None, &[(NOW, "a"), (NOW + 1, "b")]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let two = [good.clone(), good.clone()].concat();
    let cases: Vec<(&str, Bytes, E)> = vec![
        ("nothing", Bytes::new(), E::CorruptMessage),
        ("cut off in the header", good.slice(..40), E::CorruptMessage),
        ("cut off in the records", good.slice(..good.len() - 1), E::CorruptMessage),
        ("a flipped bit", flipped.into(), E::CorruptMessage),
        ("two batches", two.into(), E::InvalidRecord),
        ("an old format", patched(16, &[1]), E::InvalidRecord),
        ("a negative count", patched(57, &(-1i32).to_be_bytes()), E::InvalidRecord),
        ("a count that does not fit the offsets", patched(57, &3i32.to_be_bytes()), E::InvalidRecord),
        ("a huge count", patched(57, &i32::MAX.to_be_bytes()), E::InvalidRecord),
        ("a negative offset delta", patched(23, &(-5i32).to_be_bytes()), E::InvalidRecord),
        ("a negative timestamp", patched(27, &(-2i64).to_be_bytes()), E::InvalidRecord),
        ("a negative max timestamp", patched(35, &i64::MIN.to_be_bytes()), E::InvalidRecord),
        ("a control batch", patched(21, &0x20i16.to_be_bytes()), E::InvalidRecord),
        ("the node's timestamp type", patched(21, &0x08i16.to_be_bytes()), E::InvalidTimestamp),
        ("an unknown compression", patched(21, &7i16.to_be_bytes()), E::UnsupportedCompressionType),
        ("a producer without an epoch", patched(43, &9i64.to_be_bytes()), E::InvalidRecord),
    ];
    for (name, bytes, expected) in cases {
        let error = check(bytes, &config(&[]), NOW).expect_err(name);
        assert_eq!(error.code, expected, "{name}: {}", error.message);
        assert!(!error.message.is_empty(), "{name}");
    }
}

#[test]
fn the_topic_sets_limits() {
    let bytes = batch(Compression::None, &[(NOW, "a")]);
    let limit = (bytes.len() - 1).to_string();
    let error = check(bytes.clone(), &config(&[("max.message.bytes", &limit)]), NOW).unwrap_err();
    assert_eq!(error.code, E::MessageTooLarge);
    let limit = bytes.len().to_string();
    check(bytes.clone(), &config(&[("max.message.bytes", &limit)]), NOW).unwrap();

    let early = config(&[("message.timestamp.after.max.ms", "1000")]);
    assert_eq!(check(bytes.clone(), &early, NOW - 1_001).unwrap_err().code, E::InvalidTimestamp);
    check(bytes.clone(), &early, NOW - 1_000).unwrap();
    let late = config(&[("message.timestamp.before.max.ms", "1000")]);
    assert_eq!(check(bytes.clone(), &late, NOW + 1_001).unwrap_err().code, E::InvalidTimestamp);
    check(bytes, &late, NOW + 1_000).unwrap();
}

#[test]
fn a_compacted_topic_needs_keys_however_the_records_are_packed() {
    let compacted = config(&[("cleanup.policy", "compact")]);
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        builder.append(NOW, Some(b"k"), Some(b"v"), &[]).unwrap();
        builder.append(NOW, None, Some(b"v"), &[]).unwrap();
        builder.append(NOW, Some(b"k"), Some(b"v"), &[]).unwrap();
        builder.append(NOW, None, None, &[]).unwrap();
        let keyless = builder.build().unwrap();
        let error = check(keyless.clone(), &compacted, NOW).unwrap_err();
        assert_eq!(error.code, E::InvalidRecord);
        assert_eq!(error.records.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 3]);
        check(keyless, &config(&[]), NOW).unwrap();
        check(batch(compression, &[(NOW, "a")]), &compacted, NOW).unwrap();
    }
}

#[test]
fn a_bomb_is_refused_with_bounded_memory() {
    let compacted = config(&[("cleanup.policy", "compact"), ("max.message.bytes", "100000000")]);
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.append(NOW, Some(b"k"), Some(&vec![0; DECOMPRESSED_BYTES_MAX + 1]), &[]).unwrap();
    let bomb = builder.build().unwrap();
    assert!(bomb.len() * 1_000 < DECOMPRESSED_BYTES_MAX, "{}", bomb.len());
    assert_eq!(check(bomb, &compacted, NOW).unwrap_err().code, E::MessageTooLarge);
}

#[test]
fn a_stamped_batch_is_whole_and_carries_the_time() {
    let mut checked =
        check(batch(Compression::Lz4, &[(NOW - 9, "a"), (NOW - 8, "b")]), &config(&[]), NOW).unwrap();
    checked.stamp(NOW + 77).unwrap();
    assert_eq!(checked.max_timestamp_ms, NOW + 77);
    let parsed = Batch::parse(&checked.bytes).unwrap();
    parsed.check_crc().unwrap();
    let records = parsed.records(1 << 20).unwrap();
    let times: Vec<i64> = records.iter().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(times, [NOW + 77, NOW + 77]);
}

#[test]
fn the_first_record_at_a_time_is_found_inside() {
    for compression in Compression::ALL {
        let bytes = batch(compression, &[(10, "a"), (30, "b"), (20, "c"), (40, "d")]);
        assert_eq!(first_record_at(bytes.clone(), 5).unwrap(), Some((10, 0)));
        assert_eq!(first_record_at(bytes.clone(), 15).unwrap(), Some((30, 1)));
        assert_eq!(first_record_at(bytes.clone(), 31).unwrap(), Some((40, 3)));
        assert_eq!(first_record_at(bytes, 41).unwrap(), None);
    }
}
