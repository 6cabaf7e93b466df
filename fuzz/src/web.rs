//! What servers of HTTP answer to lookups: one row, or an array of them.

use crate::{choice, queues, script, tables};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use connectors::Connectors;
use dataflow::lookup::{Found, LookupRequest};
use dataflow::source::SourceError;
use std::sync::Arc;

const RESULTS: [&str; 2] = ["single-value", "array"];

/// Data that begins with a smaller byte, and with none of a queue's, is an answer.
pub const KINDS_END: u8 = queues::PROTOCOLS + RESULTS.len() as u8;

/// The first byte chooses what the table takes for an answer.
pub fn answers(data: &[u8]) {
    let Some((first, said)) = choice(data) else { return };
    if let Ok(Found { rows, counts }) = find(first.wrapping_sub(queues::PROTOCOLS), said) {
        assert_eq!(counts.len(), 2);
        assert_eq!(counts.iter().sum::<u32>() as usize, rows.num_rows());
        assert!(rows.num_rows() <= said.len(), "{} rows of {} bytes", rows.num_rows(), said.len());
    }
}

/// Two keys are asked for, one after the other.
fn find(kind: u8, said: &[u8]) -> Result<Found, SourceError> {
    let result = RESULTS[usize::from(kind) % RESULTS.len()];
    let connectors = connectors::table(Connectors { os: script::os(said), log: None });
    let options = [
        ("connector", "http"),
        ("url", "http://server/rows"),
        ("format", "json"),
        ("http.source.lookup.request.thread-pool.size", "1"),
        ("http.source.lookup.result-type", result),
    ];
    let table = tables::table(&options);
    let projection = tables::all_columns(&table);
    let request = LookupRequest { table, projection, keys: vec![0], timeout_ms: 1000 };
    let lookup = connectors.find("http").expect("a connector").lookup(request);
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let keys = RecordBatch::try_from_iter([("id", ids)]).expect("one column");
    lookup.expect("a table that is right").find(&keys)
}

/// The script says the same to each connection: both keys get the first answer where the connection is not kept.
const SEEDS: [(u8, &str); 4] = [
    (0, "HTTP/1.1 200 OK\r\nContent-Length: 18\r\nConnection: close\r\n\r\n{\"id\":1,\"name\":\"\"}"),
    (
        1,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\n[{},\r\n7\r\n{\"a\":1}\r\n1\r\n]\r\n0\r\n\r\n",
    ),
    (0, "HTTP/1.1 429 No\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno"),
    (0, "HTTP/1.1 301 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"),
];

pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |(kind, said): (u8, &str)| [&[queues::PROTOCOLS + kind], said.as_bytes()].concat();
    SEEDS.into_iter().map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are not understood would try nothing.
    #[test]
    fn seeds_are_answers() {
        let counts = |index: usize| {
            let (kind, said) = SEEDS[index];
            find(kind, said.as_bytes()).map(|found| found.counts).map_err(|error| error.message)
        };
        assert_eq!(counts(0), Ok(vec![1, 1]));
        assert_eq!(counts(1), Ok(vec![2, 2]));
        assert!(
            counts(2).unwrap_err().contains("answers 429") && counts(3).unwrap_err().contains("to /there")
        );
    }
}
