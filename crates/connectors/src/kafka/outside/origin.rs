//! Where a landed batch came from: the offset that it had on its cluster.
//!
//! A landed batch is of no producer, so what a batch says of its producer is free: the epoch and the sequence hold the
//! cluster's base offset, of which 48 bits are kept.

use kafka_wire::records::{BatchHeader, RecordsError, set_producer};

const NO_PRODUCER: i64 = -1;

/// Notes the base offset that the batch has now, and takes its producer away.
pub(super) fn land(batch: &mut [u8]) -> Result<(), RecordsError> {
    let offset = BatchHeader::parse(batch)?.base_offset;
    set_producer(batch, NO_PRODUCER, (offset >> 32) as i16, offset as i32)
}

/// The offset on its cluster of a record of a landed batch, whose header and offset in the log are given.
pub(in crate::kafka) fn offset_of(header: &BatchHeader, offset: i64) -> i64 {
    let base = i64::from(header.producer_epoch as u16) << 32 | i64::from(header.base_sequence as u32);
    base + (offset - header.base_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kafka_wire::records::{Batch, BatchBuilder, Compression, set_base_offset};

    #[test]
    fn a_landed_batch_knows_the_offsets_that_it_had() {
        for base in [0, 7, i64::from(u32::MAX) + 5, (1 << 47) + 3] {
            let builder = BatchBuilder::new(Compression::Lz4).producer(77, 3, 12).transactional();
            let mut builder = builder;
            for value in ["a", "b", "c"] {
                builder.append(1, None, Some(value.as_bytes()), &[]).unwrap();
            }
            let mut bytes = builder.build().unwrap().to_vec();
            set_base_offset(&mut bytes, base).unwrap();
            land(&mut bytes).unwrap();
            set_base_offset(&mut bytes, 100).unwrap();
            let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
            batch.check_crc().unwrap();
            assert!(!batch.header.has_producer_id() && !batch.header.is_transactional());
            let records = batch.records(1 << 20).unwrap();
            let offsets: Vec<i64> =
                records.iter().map(|record| offset_of(&batch.header, record.unwrap().offset)).collect();
            assert_eq!(offsets, [base, base + 1, base + 2]);
        }
    }
}
