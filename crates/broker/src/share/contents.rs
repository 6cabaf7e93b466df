//! Looking into batches for share groups: which offsets hold a record, until when it is held back, and what a
//! dead letter copies.

use super::partition::Fresh;
use bytes::Bytes;
use kafka_wire::records::{Batch, BatchHeader, Header, Records};

/// The header that holds a record back: milliseconds since 1970, as decimal text or as a big-endian int64.
pub const DELIVERY_TIME: &[u8] = b"delivery-time";

/// The records of a batch; none of a batch of markers, or of one that nobody can read.
pub fn records_of(bytes: &Bytes) -> Option<Records> {
    let batch = Batch::parse(bytes).ok()?;
    if batch.header.is_control() {
        return None;
    }
    crate::batches::records_of(&batch).ok()
}

/// The records of a batch from an offset on, at most `count`, and the offset at which to go on.
pub fn fresh_from(bytes: &Bytes, from: i64, count: usize) -> (Vec<Fresh>, i64) {
    let Ok(header) = BatchHeader::parse(bytes) else { return (Vec::new(), from) };
    let end = header.next_offset();
    let mut found = Vec::new();
    for record in records_of(bytes).iter().flatten() {
        // What lies behind a damaged record can be read by nobody.
        let Ok(record) = record else { break };
        if record.offset < from {
            continue;
        }
        if found.len() >= count {
            return (found, record.offset);
        }
        let mut headers = record.headers;
        let not_before_ms =
            headers.find(|header| header.key == DELIVERY_TIME).and_then(|header| time(&header));
        found.push(Fresh { offset: record.offset, not_before_ms });
    }
    (found, end)
}

fn time(header: &Header<'_>) -> Option<i64> {
    let value = header.value?;
    let is_text = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let time = match is_text {
        true => std::str::from_utf8(value).ok()?.parse().ok()?,
        false => i64::from_be_bytes(value.try_into().ok()?),
    };
    (time > 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_wire::records::{BatchBuilder, Compression, ControlKind, control_batch};

    fn batch(headers: &[Option<&[u8]>]) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::Lz4).base_offset(10);
        for header in headers {
            match header {
                None => builder.append(1, None, Some(b"x"), &[]).unwrap(),
                Some(value) => {
                    builder.append(1, None, Some(b"x"), &[("delivery-time", Some(value))]).unwrap();
                }
            }
        }
        builder.build().unwrap()
    }

    #[test]
    fn both_forms_of_a_delivery_time_are_read_and_nonsense_is_none() {
        let time = 1_800_000_000_000_i64;
        let binary = time.to_be_bytes();
        let bytes = batch(&[None, Some(b"1800000000000"), Some(&binary), Some(b"soon"), Some(b"")]);
        let (fresh, end) = fresh_from(&bytes, 0, 100);
        let times: Vec<Option<i64>> = fresh.iter().map(|one| one.not_before_ms).collect();
        assert_eq!((times, end), (vec![None, Some(time), Some(time), None, None], 15));
    }

    #[test]
    fn a_batch_is_taken_in_parts_and_markers_are_no_records() {
        let bytes = batch(&[None, None, None]);
        let (fresh, next) = fresh_from(&bytes, 11, 1);
        assert_eq!((fresh, next), (vec![Fresh { offset: 11, not_before_ms: None }], 12));
        let marker = control_batch(ControlKind::Commit, 1, 0, 0, 5).unwrap();
        assert_eq!(fresh_from(&marker, 0, 9), (vec![], 1));
    }
}
