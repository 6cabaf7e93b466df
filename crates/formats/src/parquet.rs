//! `parquet`: a format of whole files, not of records; its options stand here, reading and writing is the files' own.

use base::options::{OptionKind, OptionSpec};

pub(crate) const SPECS: &[OptionSpec] = &[
    OptionSpec {
        key: "compression",
        kind: OptionKind::OneOf(&["UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"]),
        required: false,
        default: Some("SNAPPY"),
        doc: "How the pages of what is written are compressed; all of these are read.",
        example: "ZSTD",
    },
    OptionSpec {
        key: "block.size",
        kind: OptionKind::Integer { min: 1 << 20, max: 1 << 30 },
        required: false,
        default: Some("134217728"),
        doc: "A row group is ended when it has grown to so many bytes.",
        example: "67108864",
    },
    OptionSpec {
        key: "timestamp.time.unit",
        kind: OptionKind::OneOf(&["millis", "micros", "nanos"]),
        required: false,
        default: Some("micros"),
        doc: "The unit of the time stamps that are written; finer digits are cut off.",
        example: "millis",
    },
    OptionSpec {
        key: "write.int64.timestamp",
        kind: OptionKind::OneOf(&["true"]),
        required: false,
        default: None,
        doc: "Time stamps are always written as INT64; INT96, Flink's default, is read.",
        example: "true",
    },
    OptionSpec {
        key: "utc-timezone",
        kind: OptionKind::OneOf(&["true"]),
        required: false,
        default: None,
        doc: "Time stamps are always in UTC, whatever the machine's time zone is.",
        example: "true",
    },
];
