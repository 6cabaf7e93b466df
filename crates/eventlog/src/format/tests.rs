//! What parses, and what never does.

use super::*;

fn frame() -> FrameHeader {
    FrameHeader {
        generation: 0x1122_3344_5566_7788,
        lsn: Lsn(42),
        position: 4096,
        durable: Lsn(40),
        appended_ms: -5,
        body_bytes: 1000,
        entries: 3,
        flags: FLAG_MARK,
    }
}

fn entry() -> EntryHeader {
    EntryHeader {
        kind: EntryKind::Layer(9),
        ordinal: 7,
        partition: PartitionId(3),
        length: 100,
        base_offset: 1 << 40,
        records: 12,
        max_timestamp_ms: -1,
        data_crc: 5,
    }
}

#[test]
fn headers_are_read_as_they_were_written() {
    let bytes = frame().encode();
    assert_eq!(FrameHeader::decode(&bytes, frame().generation, 4096), Some(frame()));
    let seed = entry_seed(1, 2, Lsn(3));
    for kind in [EntryKind::Batch, EntryKind::Catalog, EntryKind::Layer(200), EntryKind::Checkpoint] {
        let header = EntryHeader { kind, ..entry() };
        assert_eq!(EntryHeader::decode(&header.encode(seed), seed), Some(header));
    }
    let header =
        FileHeader { generation: 1, sequence: 2, base_lsn: Lsn(3), checkpoint_bytes: 4, created_ms: -5 };
    let block = header.encode();
    assert_eq!(block.len() as u64, FILE_HEADER_BYTES);
    assert_eq!(FileHeader::decode(&block), Some(header));
}

#[test]
fn no_flipped_bit_and_no_zeros_parse() {
    let bytes = frame().encode();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(FrameHeader::decode(&damaged, frame().generation, 4096), None, "bit={bit}");
    }
    let seed = entry_seed(1, 2, Lsn(3));
    let bytes = entry().encode(seed);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(EntryHeader::decode(&damaged, seed), None, "bit={bit}");
    }
    assert_eq!(FrameHeader::decode(&[0; 64], 0, 0), None);
    assert_eq!(FileHeader::decode(&[0; 4096]), None);
    for short in 0..64 {
        assert_eq!(FrameHeader::decode(&[0xff; 64][..short], 0, 0), None);
        assert_eq!(EntryHeader::decode(&[0xff; 64][..short.min(39)], 0), None);
        assert_eq!(FileHeader::decode(&[0xff; 64][..short]), None);
    }
}

/// Either copy of the file header serves; a bit in both does not.
#[test]
fn one_intact_copy_of_the_file_header_is_enough() {
    let header =
        FileHeader { generation: 1, sequence: 2, base_lsn: Lsn(3), checkpoint_bytes: 4, created_ms: 5 };
    for bit in 0..64 * 8 {
        for copies in [&[0][..], &[FILE_HEADER_COPY_AT][..], &[0, FILE_HEADER_COPY_AT][..]] {
            let mut block = header.encode();
            copies.iter().for_each(|copy| block[copy + bit / 8] ^= 1 << (bit % 8));
            assert_eq!(FileHeader::decode(&block), (copies.len() == 1).then_some(header), "bit={bit}");
        }
    }
}

/// A frame is bound to its file's life and its place, an entry to its frame: a copy elsewhere (a record that holds a
/// piece of a log file, a stale block) is not one.
#[test]
fn what_was_written_elsewhere_does_not_parse_here() {
    let bytes = frame().encode();
    assert_eq!(FrameHeader::decode(&bytes, frame().generation, 4104), None);
    assert_eq!(FrameHeader::decode(&bytes, frame().generation + 1, 4096), None);
    let bytes = entry().encode(entry_seed(1, 4096, Lsn(3)));
    for (generation, position, lsn) in [(2, 4096, 3), (1, 4104, 3), (1, 4096, 4)] {
        assert_eq!(EntryHeader::decode(&bytes, entry_seed(generation, position, Lsn(lsn))), None);
    }
}

/// The place of the first frame follows from the checkpoint's length alone, whatever a header claims.
#[test]
fn frames_start_behind_the_checkpoint() {
    let chunk = CHECKPOINT_CHUNK_BYTES as u64;
    let start = |checkpoint_bytes| {
        FileHeader { generation: 1, sequence: 2, base_lsn: Lsn(3), checkpoint_bytes, created_ms: 5 }
            .frames_start()
    };
    assert_eq!(start(0), 4096);
    assert_eq!(start(1), 4096 + 104 + 8);
    assert_eq!(start(chunk), 4096 + 104 + chunk);
    assert_eq!(start(chunk + 8), 4096 + 2 * 104 + chunk + 8);
    assert!(start(u64::MAX) > 1 << 60, "no overflow");
}

/// Changes get through to what lies behind the checksums once these are put right.
#[test]
fn mended_checksums_fit() {
    let file_header =
        FileHeader { generation: 1, sequence: 2, base_lsn: Lsn(3), checkpoint_bytes: 0, created_ms: 4 };
    let frame =
        FrameHeader { generation: 1, position: FILE_HEADER_BYTES, body_bytes: 144, entries: 1, ..frame() };
    let seed = entry_seed(1, frame.position, frame.lsn);
    let mut file = file_header.encode();
    file.extend(frame.encode());
    file.extend(EntryHeader { length: 100, ..entry() }.encode(seed));
    file.extend([7; 104]);
    let frame_at = FILE_HEADER_BYTES as usize;
    let entry_at = frame_at + FRAME_HEADER_BYTES;
    // The sequence, the time of the append, the number of records, and a byte of the data.
    for at in [24, frame_at + 40, entry_at + 24, entry_at + ENTRY_HEADER_BYTES] {
        file[at] ^= 1;
    }
    let parsed = |file: &[u8]| {
        let entry = EntryHeader::decode(&file[entry_at..], seed)?;
        let data = &file[entry_at + ENTRY_HEADER_BYTES..][..entry.length as usize];
        let fits = crc32c::crc32c(data) == entry.data_crc;
        fits.then_some((
            FileHeader::decode_copy(&file[..FILE_HEADER_LENGTH])?.sequence,
            FrameHeader::decode(&file[frame_at..], 1, frame.position)?.appended_ms,
            entry.records,
        ))
    };
    assert_eq!(parsed(&file), None);
    mend_checksums(&mut file);
    assert_eq!(parsed(&file), Some((3, frame.appended_ms ^ 1, entry().records ^ 1)));
    for end in 0..file.len() {
        mend_checksums(&mut file[..end]);
    }
}
