//! Runs the commands of `docs/guide/queues.md` in their order, with a consumer that rejects what it is given.

mod guide;

use guide::{Started, blocks, run, shell};
use kafka_client::Client;
use kafka_wire::messages::share_fetch_request::{
    AcknowledgementBatch, FetchPartition, FetchTopic, ShareFetchRequest,
};
use kafka_wire::messages::share_fetch_response::ShareFetchResponse;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/queues.md");
/// The address that the page uses.
const ADDRESS: &str = "19093";

/// Fetches as a member of the group, and says of each acknowledged offset that it was no good.
fn fetch(client: &mut Client, epoch: i32, rejected: Vec<i64>) -> Vec<(i64, i16)> {
    let topic_id = client.metadata(Some(&["orders"])).unwrap().topics[0].topic_id;
    let batches = rejected.into_iter().map(|offset| AcknowledgementBatch {
        first_offset: offset,
        last_offset: offset,
        acknowledge_types: vec![3],
    });
    let partition = FetchPartition { partition_index: 0, acknowledgement_batches: batches.collect() };
    let request = ShareFetchRequest {
        group_id: Some("workers".into()),
        member_id: Some("worker".into()),
        share_session_epoch: epoch,
        max_wait_ms: 10_000,
        min_bytes: 1,
        max_bytes: 1 << 20,
        max_records: 10,
        batch_size: 10,
        topics: vec![FetchTopic { topic_id, partitions: vec![partition] }],
        ..Default::default()
    };
    let answer: ShareFetchResponse = client.call(&request).unwrap();
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let parts = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let runs = parts.flat_map(|part| {
        assert_eq!((part.error_code, part.acknowledge_error_code), (0, 0));
        &part.acquired_records
    });
    runs.flat_map(|run| (run.first_offset..=run.last_offset).map(|at| (at, run.delivery_count))).collect()
}

#[test]
fn the_pages_commands_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    // A free port in place of the page's, which another test run may have.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let blocks: Vec<String> = blocks(GUIDE, "sh").iter().map(|block| block.replace(ADDRESS, &port)).collect();
    let [start, prepare, letters] = &blocks[..] else { panic!("the page has three blocks: {blocks:?}") };
    // Another node of this machine may have the HTTP port.
    let script = format!("exec {} --http 127.0.0.1:0", start.trim());
    let mut child = shell(folder.path(), &script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _node = Started(child);
    let configured = run(folder.path(), prepare);
    assert!(configured.contains("dlq.orders"), "{configured}");

    let address = format!("127.0.0.1:{port}");
    let mut client = Client::connect(&address, "worker").unwrap();
    assert_eq!(fetch(&mut client, 0, vec![]), [(0, 1)]);
    assert_eq!(fetch(&mut client, 1, vec![0]), []);
    let shown = run(folder.path(), letters);
    assert!(shown.contains("dlq.orders") && shown.contains("orders-0@0"), "{shown}");
    assert!(shown.contains("Offset rejected by client."), "{shown}");
    // What was redriven is there again, and a second run has nothing to do.
    assert_eq!(fetch(&mut client, 2, vec![]), [(1, 1)]);
    let dlq =
        |arguments: &str| run(folder.path(), &format!("eventwright dlq {arguments} -b {address} -o json"));
    assert_eq!(dlq("redrive dlq.orders"), "[]\n");
    assert!(dlq("redrive dlq.orders --partition 0 --offset 0").contains("\"to_topic\":\"orders\""));
    assert!(dlq("show dlq.orders").contains("\"value\":{\"id\":1}"), "{}", dlq("show dlq.orders"));
    assert_eq!(fetch(&mut client, 3, vec![1]).len() + fetch(&mut client, 4, vec![]).len(), 1);
    assert!(dlq("list").contains("\"letters\":2"), "{}", dlq("list"));
    let refused =
        shell(folder.path(), &format!("eventwright dlq show orders -b {address}")).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is no dead letter"), "{refused:?}");
}
