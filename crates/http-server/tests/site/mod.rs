//! A broker on a simulated disk with the HTTP server in front of it, asked over a real socket.

use broker::security::Visitor;
use broker::{Broker, BrokerConfig, Recovered};
use bytes::Bytes;
use eventlog::{EventLog, LogOptions, Recovery};
use http_server::{Asking, Limits, Queries, ServerConfig, ServerHandle, Webhooks};
use os::sim::SimOs;
use runtime::{Journal, Runtime};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use traces::{Collected, Sampler, Tracer};
use views::{Fold, Views};

/// Nothing takes so long unless it never ends.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Site {
    pub world: SimOs,
    pub log: EventLog,
    pub broker: Arc<Broker>,
    pub views: Views,
    pub server: ServerHandle,
}

/// Says who asked what.
struct Echo;

impl Queries for Echo {
    fn ask(&self, asking: Asking) -> mpsc::Receiver<Bytes> {
        let Asking { visitor, text, at, explains, rows_max } = asking;
        let (sender, lines) = mpsc::channel(2);
        let asked = json!({"asked": [visitor.shown(), text, at, explains, rows_max]});
        for line in [asked, json!({"ended": "all"})] {
            sender.try_send(Bytes::from(format!("{line}\n"))).expect("it has room for two");
        }
        lines
    }

    fn named(&self, _: &Visitor, names: Vec<String>, max: usize) -> Value {
        json!({"named": names, "max": max})
    }

    fn beginning(&self, _: &Visitor, prefix: String, max: usize) -> Value {
        json!({"beginning": prefix, "max": max})
    }
}

impl Site {
    pub fn new() -> Site {
        Site::on(SimOs::new(5), &[("num.partitions", "3")])
    }

    /// One with spans for what others have sampled.
    pub fn traced() -> (Site, Collected) {
        let world = SimOs::new(5);
        let sampler = Sampler { ratio: 0.0, follows_parent: true };
        let (tracer, spans) = Tracer::collecting(&world.os(), sampler);
        (Site::with(world, &[("num.partitions", "3")], tracer, Limits::default()), spans)
    }

    /// One with limits of its own.
    pub fn limited(limits: Limits) -> Site {
        Site::with(SimOs::new(5), &[], Tracer::off(), limits)
    }

    pub fn on(world: SimOs, settings: &[(&str, &str)]) -> Site {
        Site::with(world, settings, Tracer::off(), Limits::default())
    }

    fn with(world: SimOs, settings: &[(&str, &str)], tracer: Tracer, limits: Limits) -> Site {
        let os = world.os();
        let options = LogOptions {
            file_bytes: 4 << 20,
            first_file_bytes: 64 << 10,
            retention_check_ms: 0,
            ..LogOptions::new("/data/log")
        };
        let given = settings.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string()));
        let config = BrokerConfig::check(&given.collect::<BTreeMap<_, _>>()).expect("good settings");
        let mut recovery = Recovery::open(&os, options).expect("the log opens");
        let journal =
            Journal::restore(recovery.checkpoint(runtime::journal::CHECKPOINT)).expect("the journal reads");
        let recovered = Recovered::from_checkpoint(&recovery).expect("the broker's state reads");
        recovery
            .replay(&mut |lsn, entry| {
                recovered.apply(lsn, &entry).expect("an entry reads");
                journal.fold(&entry)
            })
            .expect("the log replays");
        let mut folds = recovered.folds();
        folds.push((runtime::journal::CHECKPOINT, journal.clone()));
        let log = recovery.start(folds).expect("the log starts");
        let broker = Broker::new(log.clone(), recovered, config, os.clone()).expect("a broker");
        let broker = Arc::new(broker.traced(tracer));
        let runtime = Arc::new(Runtime::new(log.clone(), os.clone(), PathBuf::from("/data"), journal));
        let webhooks = [("pushes.signature", "github"), ("pushes.secret", "It's a Secret to Everybody")];
        let webhooks = webhooks.map(|(key, value)| (key.to_string(), value.to_string()));
        let views = Views::new(os.clone(), Fold::default());
        let config = ServerConfig {
            broker: Some(broker.clone()),
            views: Some(views.clone()),
            queries: Some(Arc::new(Echo)),
            webhooks: Webhooks::parse(&webhooks.into()).expect("good webhooks"),
            limits,
            ..ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
        };
        let server = http_server::start(config, runtime, os).expect("a port is free");
        Site { world, log, broker, views, server }
    }

    /// What the disk had not synced is lost.
    pub fn power_cut(self) -> Site {
        let Site { world, log, broker, server, .. } = self;
        server.shutdown();
        drop((log, broker));
        world.disk.power_cut(3);
        Site::on(world, &[("num.partitions", "3")])
    }

    pub fn connect(&self, request: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.server.local_addr()).expect("the server listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
        stream.write_all(request.as_bytes()).expect("the server reads");
        BufReader::new(stream)
    }

    /// Status and body.
    pub fn text(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut answer = self.connect(&format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let mut text = String::new();
        answer.read_to_string(&mut text).expect("a text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_string())
    }

    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let (status, body) = self.text(method, target, headers, body);
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// Posts bytes; the status, the headers as they came, and the body.
    pub fn post_bytes(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Vec<u8>) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = self.connect(&head);
        answer.get_mut().write_all(body).expect("the server reads");
        let mut bytes = Vec::new();
        answer.read_to_end(&mut bytes).expect("an answer");
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head, bytes.split_off(end + 4))
    }

    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Value {
        let (status, answer) = self.ask("POST", target, headers, body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub fn refused(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let (status, answer) = self.ask(method, target, headers, body);
        let words = answer["errors"][0].as_str().unwrap_or_else(|| panic!("no error: {answer}"));
        (status, words.to_string())
    }

    pub fn get(&self, target: &str) -> Value {
        let (status, answer) = self.ask("GET", target, &[], "");
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub fn values(&self, topic: &str) -> Vec<Value> {
        let records = self.get(&format!("/topics/{topic}?from=earliest&max=10000"))["records"].take();
        let mut values: Vec<Value> =
            records.as_array().expect("a list").iter().map(|record| record["value"].clone()).collect();
        values.sort_by_key(Value::to_string);
        values
    }

    pub fn end(self) {
        self.server.shutdown();
        self.log.shutdown().expect("the log closes");
    }
}
