//! What a node reads from those around it besides Kafka's messages: HTTP requests, frames of WebSockets, and settings.

use crate::log::{DIRECTORY, small_log};
use broker::{Broker, BrokerConfig, Recovered};
use eventlog::{Committer, Recovery};
use http_server::{Front, ServerConfig};
use kafka_client::Security;
use os::sim::SimOs;
use registry::SchemaRegistry;
use runtime::{Journal, Runtime};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HTTP: u8 = 0;

/// One that can be followed.
const TOPIC: &str = "t";

/// A client's pipe.
const PIPE_BYTES: usize = 1 << 20;
/// No connection that has ended is served longer.
const SERVED_MAX: Duration = Duration::from_secs(20);

/// The first byte says whether a client's bytes follow or a file of properties.
pub fn read(data: &[u8]) {
    let Some((kind, rest)) = crate::choice(data) else { return };
    if kind == HTTP { serve(rest) } else { settings(rest) }
}

fn settings(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    // Those are others' words: of files and of the environment of this machine nothing is read.
    if text.contains("${") || text.contains("file") || text.contains("location") {
        return;
    }
    let Ok(given) = kafka_client::parse_properties(&text) else { return };
    if let Ok(config) = BrokerConfig::check(&given) {
        for (key, value) in &given {
            assert_eq!(config.text(key), Some(value.as_str()), "{key}");
        }
    }
    let _ = Security::from_properties(&given);
}

/// A node without jobs, made for each input: what one asks for must not change what the next one finds.
fn front() -> Front {
    let os = SimOs::new(1).os();
    let mut recovery = Recovery::open(&os, small_log(Committer::Thread)).expect("an empty disk");
    recovery.replay(&mut |_, _| Ok(())).expect("nothing to replay");
    let recovered = Recovered::from_checkpoint(&recovery).expect("no checkpoint");
    let journal = Journal::restore(None).expect("no checkpoint");
    let log = recovery.start(recovered.folds()).expect("a log");
    let made = log.append(|frame| frame.create_topic(TOPIC, 1, BTreeMap::new()).map(drop));
    let ((), lsn) = made.expect("a topic");
    log.wait_durable(lsn).expect("it is durable");
    let broker = Broker::new(log.clone(), recovered, BrokerConfig::default(), os.clone()).expect("a broker");
    let registry = SchemaRegistry::new(log.clone(), os.clone(), "cluster".into(), "0.1".into());
    let runtime = Runtime::new(log, os.clone(), PathBuf::from(DIRECTORY), journal);
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
    config.broker = Some(Arc::new(broker));
    config.schemas = Some(Arc::new(registry));
    Front::new(config, Arc::new(runtime), os).expect("no TLS, no error")
}

fn serve(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let front = front();
    let answered = runtime.block_on(async {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let (mut answers, mut requests) = tokio::io::split(client);
        let talk = async {
            // A server that has heard enough closes the pipe.
            let _ = requests.write_all(bytes).await;
            let _ = requests.shutdown().await;
            let mut answered = Vec::new();
            let _ = answers.read_to_end(&mut answered).await;
            answered
        };
        let both = async { tokio::join!(front.serve(server), talk).1 };
        tokio::time::timeout(SERVED_MAX, both).await.expect("a connection that ended is served to its end")
    });
    let is_http = answered.is_empty() || answered.starts_with(b"HTTP/1.");
    assert!(is_http, "{}", answered.escape_ascii());
    let blames_itself = answered.windows(14).any(|window| window == b"HTTP/1.1 500 I");
    assert!(!blames_itself, "{}", answered.escape_ascii());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let requests = [
        "GET /jobs/overview HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /jobs/a%20b/exceptions?maxExceptions=5 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic dTpw\r\n\r\n",
        "POST /jobs/a/savepoints HTTP/1.1\r\nHost: localhost\r\nContent-Length: 27\r\n\r\n{\"target-directory\": \"/tmp\"}",
        "PATCH /jobs/a?mode=cancel HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a.b.c\r\n\r\n",
        "POST /subjects/a/versions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         16\r\n{\"schema\":\"\\\"string\\\"\"}\r\n0\r\n\r\n",
        "POST /topics/a?key=k HTTP/1.1\r\nHost: localhost\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: %2Fs\r\nce-type: t\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "POST /topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents-batch+json\r\n\
         Content-Length: 78\r\n\r\n[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data_base64\":\"AAE=\"}]   ",
        "GET /topics/__schemas?from=0:0&max=5&wait_ms=50 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /topics/__schemas HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: 0:0\r\n\r\n",
        "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 68\r\n\r\n\
         {\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"traceId\":\"00\"}]}]}]}",
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: 6\r\n\r\n\
         \u{a}\u{4}\u{12}\u{2}\u{12}\u{0}",
        "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
         Content-Length: 12\r\n\r\n\u{a}\u{24}\u{a}\u{8}\u{a}\u{6}\u{a}\u{1}a\u{12}\u{1}b",
        "HEAD /schemas/types HTTP/1.0\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n",
    ];
    let settings = [
        "# a node\nnum.partitions=3\nnode.id = 1\nauto.create.topics.enable=false\n",
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config=org.apache.kafka.common.security.\
         scram.ScramLoginModule required username=\"u\" password=\"p\";\n",
    ];
    let of = |kind: u8| move |text: &&str| [&[kind], text.as_bytes()].concat();
    let upgrade = "GET /topics/t?from=earliest HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: eventwright.json, base64url.basic.authorization.eventwright.dTpw\r\n\r\n";
    // Masked by zeros: a ping, a text in two pieces, a length that is too large, a close with a code.
    let frames: [&[u8]; 4] = [
        &[0x89, 0x82, 0, 0, 0, 0, b'h', b'i', 0x8a, 0x80, 0, 0, 0, 0],
        &[0x01, 0x81, 0, 0, 0, 0, b'a', 0x80, 0x81, 0, 0, 0, 0, b'b'],
        &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        &[0x88, 0x85, 0, 0, 0, 0, 0x03, 0xe8, b'b', b'y', b'e'],
    ];
    let talks = frames.iter().map(|frames| [&[HTTP], upgrade.as_bytes(), frames].concat());
    requests.iter().map(of(HTTP)).chain(settings.iter().map(of(HTTP + 1))).chain(talks).collect()
}
