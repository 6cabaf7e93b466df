//! The job of `docs/guide/streams.md`: it follows a topic of another node over Server-Sent Events. What it makes of the events
//! goes back to that node by remote-write.

mod guide;

use guide::{Started, blocks, run, shell};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/streams.md");
/// The address that the page uses.
const ADDRESS: &str = "127.0.0.1:18081";
const EVENTS: usize = 3;
/// Each of which waits for a second.
const LOOKS: usize = 60;

const BACK: &str = "
CREATE TABLE prices (price DOUBLE, moment BIGINT) WITH (
  'connector' = 'prometheus', 'metric.endpoint-url' = 'http://127.0.0.1:18081/api/v1/write', 'metric.name.fixed' = 'price',
  'metric.sample.key' = 'price', 'metric.sample.timestamp' = 'moment', 'sink.flush-buffer.timeout' = '10 ms'
);
INSERT INTO prices SELECT CAST(`value`.price AS DOUBLE), `offset` FROM sales WHERE id = CONCAT('0:', CAST(`offset` + 1 AS STRING));
";

#[test]
fn a_job_follows_a_topic_of_another_node() {
    let folder = tempfile::tempdir().unwrap();
    let script = "exec eventwright start --data shop --http 127.0.0.1:0 --kafka 127.0.0.1:0";
    let mut child = shell(folder.path(), script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.strip_prefix("http listening on ")?.to_string()));
    let address = address.expect("the node says where it listens");
    let _node = Started(child);
    std::thread::spawn(move || lines.for_each(drop));
    let publish = |n: usize| {
        let request = format!(
            "curl -sf {address}/topics/sales -H 'Content-Type: application/json' -d '{{\"price\": {n}.50}}'"
        );
        run(folder.path(), &request);
    };
    publish(0);
    let job = blocks(GUIDE, "sql").remove(0);
    let (tables, _) = job.split_once("\nSELECT").expect("the page shows a query");
    std::fs::write(folder.path().join("job.sql"), format!("{tables}{BACK}").replace(ADDRESS, &address))
        .unwrap();
    let script =
        "exec eventwright run job.sql --data other --http 127.0.0.1:0 --kafka 127.0.0.1:0 --keep-running";
    let _job = Started(shell(folder.path(), script).stdout(Stdio::null()).spawn().unwrap());
    (1..EVENTS).for_each(publish);
    let follow = format!("curl -s '{address}/topics/prometheus_samples?from=earliest&max=10&wait_ms=1000'");
    let mut answer = String::new();
    let is_there = (0..LOOKS).any(|_| {
        answer = run(folder.path(), &follow);
        answer.matches("\"name\":\"price\"").count() == EVENTS
    });
    assert!(is_there, "{answer}");
    for (n, value) in ["0.5", "1.5", "2.5"].iter().enumerate() {
        let time = format!("1970-01-01T00:00:00.00{n}");
        assert!(answer.contains(&format!("\"value\":\"{value}\"")), "{value}: {answer}");
        assert!(answer.contains(&time) || n == 0, "{time}: {answer}");
    }
}
