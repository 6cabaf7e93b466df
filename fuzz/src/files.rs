//! Files of other writers that a table reads: container files of Avro, Parquet, and records in lines; and documents.

use crate::tables::{all_columns, table};
use crate::{documents, lakes};
use connectors::Connectors;
use dataflow::connector::SourceRequest;
use dataflow::source::{Position, ReadLimits};
use os::Os;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

const FORMATS: [&str; 4] = ["avro", "parquet", "csv", "json"];
const READS_MAX: usize = 64;
const ROWS_MAX: usize = 100;

/// Files are read from the machine's own disk.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

thread_local! {
    /// Targets may run in several threads.
    static PATH: std::path::PathBuf = FOLDER.path().join(format!("{:?}", std::thread::current().id()));
}

/// The first byte is the format, or says that a document of AsyncAPI or a file of a lake follows; what can be read once can be read again, in
/// other pieces.
pub fn read(data: &[u8]) {
    let Some((number, bytes)) = crate::choice(data) else { return };
    match number {
        documents::FIRST => return documents::read(bytes),
        lakes::FIRST => return lakes::read(bytes),
        _ => {}
    }
    let format = FORMATS[usize::from(number) % FORMATS.len()];
    PATH.with(|path| {
        std::fs::create_dir_all(path).expect("a folder");
        std::fs::write(path.join("part"), bytes).expect("a file");
        let whole = rows(path, format, ROWS_MAX);
        let pieces = rows(path, format, 1);
        if let (Some(whole), Some(pieces)) = (whole, pieces) {
            assert_eq!(whole, pieces, "{format}");
        }
    });
}

/// How many rows there are; none after an error, or when it takes too many reads.
fn rows(folder: &Path, format: &str, rows_max: usize) -> Option<usize> {
    let connectors = connectors::table(Connectors { os: Os::real(), log: None });
    let path = folder.to_str()?;
    let mut options = vec![("connector", "filesystem"), ("path", path), ("format", format)];
    if format == "json" {
        options.push(("json.ignore-parse-errors", "true"));
    }
    let table = table(&options);
    let projection = all_columns(&table);
    let request = SourceRequest { table, projection, metadata: Vec::new() };
    let mut source = connectors.find("filesystem")?.source(request).ok()?;
    let split = source.splits().ok()?.pop()?;
    let (mut position, mut count) = (Position(0), 0);
    for _ in 0..READS_MAX {
        let read = source.read(&split, position, None, ReadLimits { rows_max, clock_ms: 1_000_000 }).ok()?;
        assert!(read.next >= position, "{format}: a read that goes back");
        assert!(read.rows.num_rows() <= rows_max || format == "json" || format == "csv");
        count += read.rows.num_rows();
        if read.finished || read.next == position {
            return Some(count);
        }
        position = read.next;
    }
    None
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = [documents::seeds(), lakes::seeds()].concat();
    seeds.extend([
        [&[0], &include_bytes!("../seeds/rows.avro")[..]].concat(),
        [&[0], &include_bytes!("../seeds/rows.zstandard.avro")[..]].concat(),
        [&[1], &include_bytes!("../seeds/rows.parquet")[..]].concat(),
        [&[1], &include_bytes!("../seeds/rows.zstd.parquet")[..]].concat(),
        b"\x021,\"a\n\"\"b\",1.20,2024-01-01 00:00:00.5\n# no row\n2,,,\n".to_vec(),
        b"\x03{\"id\":1,\"name\":\"a\",\"price\":\"1.20\",\"at_time\":\"2024-01-01 00:00:00.5\"}\n\n{}\nno json\n".to_vec(),
    ]);
    seeds
}
