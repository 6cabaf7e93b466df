//! Records as text in a stream that cannot be read twice, such as a pipe: where each ends, how long it may be, which formats
//! have such a form.

use crate::arrivals::{Arrivals, Framed};
use crate::option_problem;
use crate::table_format::Checked;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use formats::RecordSplitter;
use std::io::{self, Read};

/// Formats whose records are lines.
pub(crate) const FORMATS: &[&str] =
    &["json", "csv", "raw", "debezium-json", "canal-json", "maxwell-json", "ogg-json"];

/// What is read at once, and no more than that waits beside the queue.
const READ_BYTES: usize = 64 << 10;
/// What is kept of a record that is too long.
const SHOWN_BYTES: usize = 1024;

const RECORD_BYTES: &str = "max-record-size";

pub(crate) const RECORD_BYTES_SPEC: OptionSpec = crate::optional(
    RECORD_BYTES,
    OptionKind::Size,
    Some("1mb"),
    "Of a record that is longer the beginning is a dead letter. 16 MB at most.",
    "64kb",
);

pub(crate) fn record_bytes_max(options: &Options) -> usize {
    let bytes = options.bytes(RECORD_BYTES).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.unwrap_or(0).clamp(1, dataflow::feed::RECORD_BYTES_MAX)
}

/// What is wrong with a table whose format has no text.
pub(crate) fn format_problem(table: &TableDefinition, checked: &Checked) -> Option<ConnectorError> {
    let format = table.options.get("format").map_or("", String::as_str);
    (!FORMATS.contains(&format)).then(|| {
        let message =
            format!("'{format}' has no lines of text; the formats here are '{}'", FORMATS.join("', '"));
        option_problem(table, checked.value.option(), message)
    })
}

/// Where the records of a table end, and how long they may be.
pub(crate) fn form(
    table: &TableDefinition,
    checked: &Checked,
) -> Result<(RecordSplitter, usize), ConnectorError> {
    let all: Vec<usize> = (0..table.schema.fields().len()).collect();
    let decoder = checked.value.decoder(&table.schema, &all);
    let decoder = decoder.map_err(|message| option_problem(table, checked.value.option(), message))?;
    Ok((decoder.splitter(), record_bytes_max(&checked.options)))
}

/// What is wrong with a row that the format's readers would not read as one.
pub(crate) const NO_RECORD: &str = "a line end in it would be read as the end of a row; write it as 'json'";

/// Whether a row is one record to whoever reads it, with the line end that is put behind it.
pub(crate) fn is_record(splitter: &RecordSplitter, row: &[u8]) -> bool {
    !row.contains(&b'\n') || splitter.clone().find_end(&[row, b"\n"].concat()) == Some(row.len() + 1)
}

/// Finds records in what comes in pieces.
pub(crate) struct Records {
    /// As it is at the beginning of a record.
    fresh: RecordSplitter,
    splitter: RecordSplitter,
    bytes_max: usize,
    buffer: Vec<u8>,
    /// The length of a record that is too long so far, of which the beginning lies in the buffer.
    passed: Option<usize>,
}

impl Records {
    pub(crate) fn new(splitter: RecordSplitter, bytes_max: usize) -> Records {
        Records { fresh: splitter.clone(), splitter, bytes_max, buffer: Vec::new(), passed: None }
    }

    /// Takes what has come; each record goes to `each`, which says whether to go on.
    pub(crate) fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(Framed) -> bool) -> bool {
        let mut bytes = bytes;
        if let Some(length) = self.passed {
            // Whatever opened quotes is of no account any more.
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.passed = Some(length + bytes.len());
                return true;
            };
            self.passed = Some(length + end);
            bytes = &bytes[end + 1..];
            if !self.hand_over_passed(each) {
                return false;
            }
        }
        self.buffer.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(length) = self.splitter.find_end(&self.buffer[start..]) {
            let record = start..start + length;
            start += length;
            if !self.hand_over(record, each) {
                return false;
            }
        }
        self.buffer.drain(..start);
        // Beyond it there is the end of a line at most.
        if self.buffer.len() > self.bytes_max + 2 {
            self.passed = Some(self.buffer.len());
            self.buffer.truncate(SHOWN_BYTES.min(self.bytes_max));
            self.splitter = self.fresh.clone();
        }
        true
    }

    /// Nothing follows: what has no end ends here.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(Framed) -> bool) {
        if self.passed.is_some() {
            self.hand_over_passed(each);
        } else if !self.buffer.is_empty() {
            self.hand_over(0..self.buffer.len(), each);
            self.buffer.clear();
        }
    }

    fn hand_over(&self, range: std::ops::Range<usize>, each: &mut dyn FnMut(Framed) -> bool) -> bool {
        let record = &self.buffer[range];
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        if record.len() > self.bytes_max {
            return each(self.too_long(record.len(), &record[..SHOWN_BYTES.min(self.bytes_max)]));
        }
        // An empty line is no record.
        record.is_empty() || each(Framed { bytes: record.to_vec(), problem: None })
    }

    fn hand_over_passed(&mut self, each: &mut dyn FnMut(Framed) -> bool) -> bool {
        let shown = std::mem::take(&mut self.buffer);
        let length = self.passed.take().unwrap_or(shown.len());
        each(self.too_long(length, &shown))
    }

    fn too_long(&self, length: usize, shown: &[u8]) -> Framed {
        let problem = format!(
            "a record has bytes={length}, and limit={} ('{RECORD_BYTES}'); here are the first {}",
            self.bytes_max,
            shown.len()
        );
        Framed { bytes: shown.to_vec(), problem: Some(problem) }
    }
}

/// What a thread has read.
pub(crate) enum Heard {
    Record(Framed),
    /// Nothing follows, for this reason if it is none of the other side's.
    End(Option<String>),
}

/// Reads to the end, into a queue.
pub(crate) fn read_all(input: &mut dyn Read, mut records: Records, arrivals: &Arrivals<Heard>) {
    let mut each = |framed: Framed| {
        let bytes = framed.bytes.len();
        arrivals.push(Heard::Record(framed), bytes)
    };
    let mut buffer = vec![0; READ_BYTES];
    let problem = loop {
        match input.read(&mut buffer) {
            Ok(0) => break None,
            Ok(count) => {
                if !records.take(&buffer[..count], &mut each) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Some(error.to_string()),
        }
    };
    records.finish(&mut each);
    arrivals.push(Heard::End(problem), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn split(splitter: RecordSplitter, said: &[u8], size: usize) -> Vec<Framed> {
        let mut records = Records::new(splitter, 10);
        let mut found = Vec::new();
        let mut each = |framed| {
            found.push(framed);
            true
        };
        for piece in said.chunks(size) {
            assert!(records.take(piece, &mut each));
        }
        records.finish(&mut each);
        found
    }

    fn texts(splitter: &RecordSplitter, said: &[u8]) -> Vec<String> {
        let whole = split(splitter.clone(), said, usize::MAX);
        for size in 1..said.len() {
            assert_eq!(split(splitter.clone(), said, size), whole, "pieces of {size}");
        }
        let told = |framed: &Framed| {
            let text = String::from_utf8_lossy(&framed.bytes).into_owned();
            framed.problem.as_ref().map_or(text.clone(), |problem| format!("{text} | {problem}"))
        };
        whole.iter().map(told).collect()
    }

    #[test]
    fn records_end_with_lines_or_with_what_the_format_says() {
        let lines = RecordSplitter::lines();
        assert_eq!(texts(&lines, b"a\r\n\nb\nc"), ["a", "b", "c"]);
        assert_eq!(texts(&lines, b""), [""; 0]);
        let quoted = RecordSplitter::quoted(b'"', b',', None, false);
        assert_eq!(texts(&quoted, b"1,\"a\nb\"\n2,c\n"), ["1,\"a\nb\"", "2,c"]);
    }

    #[test]
    fn a_row_is_one_record_where_it_says_that_a_line_end_is_its_own() {
        let (lines, quoted) = (RecordSplitter::lines(), RecordSplitter::quoted(b'"', b',', None, false));
        assert!(is_record(&lines, b"a") && is_record(&lines, b"") && !is_record(&lines, b"a\nb"));
        assert!(is_record(&quoted, b"1,\"a\nb\"") && !is_record(&quoted, b"1,a\nb"));
        assert!(!is_record(&quoted, b"1,\"a\nb"), "quotes that stay open take in the next row");
    }

    #[test]
    fn of_what_is_too_long_the_beginning_is_there_and_the_rest_goes_on() {
        let lines = RecordSplitter::lines();
        let told =
            "0123456789 | a record has bytes=14, and limit=10 ('max-record-size'); here are the first 10";
        assert_eq!(texts(&lines, b"0123456789abcd\nnext\n"), [told, "next"]);
        assert_eq!(texts(&lines, b"0123456789abcd"), [told]);
        assert_eq!(texts(&lines, b"0123456789\r\nb"), ["0123456789", "b"]);
        // Quotes that nobody closes do not swallow what follows for ever.
        let quoted = RecordSplitter::quoted(b'"', b',', None, false);
        let found = split(quoted, b"\"aaaaaaaaaaaaaa\nb\nc\nd\n", 4);
        assert_eq!(found.last().unwrap().bytes, b"d");
    }

    #[test]
    fn a_reader_that_fails_says_why() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let arrivals = Arrivals::new(1 << 20);
        read_all(&mut Fails, Records::new(RecordSplitter::lines(), 10), &arrivals);
        let Some(Heard::End(Some(reason))) = arrivals.take(Duration::ZERO) else { panic!("an end") };
        assert_eq!(reason, "gone");
    }
}
