//! Each route over a real socket, in front of a runtime with real jobs on a simulated disk.

#[path = "../../runtime/tests/pipe/mod.rs"]
#[allow(dead_code, reason = "the tests of the runtime use the rest of the fixture")]
mod pipe;
#[path = "../../runtime/tests/world/mod.rs"]
mod world;

use eventlog::{EventLog, LogError};
use http_server::{HttpError, SavepointFolders, ServerConfig, ServerHandle};
use os::sim::SimOs;
use pipe::{AWAY, GOOD, Pipe};
use registry::SchemaRegistry;
use runtime::{JobHandle, RestartStrategy, Runtime, Savepoint, Submitted};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use world::{Input, Life};

/// A node's jobs and the server in front of them.
struct Site {
    world: SimOs,
    log: EventLog,
    runtime: Arc<Runtime>,
    pipe: Pipe,
    server: ServerHandle,
}

impl Site {
    /// With a job that passes numbers on, from a topic that has 1 to 3.
    fn begin(bounded: bool) -> Site {
        let world = SimOs::new(31);
        let life = Life::begin(&world, &Input::default());
        let pipe = Pipe::new(&world, &life.log, bounded);
        pipe.feed(&[1, 2, 3], 1);
        let (log, runtime) = (life.log.clone(), Arc::new(life.runtime));
        let config = ServerConfig {
            savepoints: SavepointFolders::new("/data/savepoints".into(), vec!["/backup".into()]),
            schemas: Some(Arc::new(SchemaRegistry::new(log.clone(), world.os(), "c".into(), "0".into()))),
            ..ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
        };
        let server = http_server::start(config, runtime.clone(), world.os()).expect("a port is free");
        Site { world, log, runtime, pipe, server }
    }

    fn submit(&self, sinks: &[&str], restart: RestartStrategy) -> JobHandle {
        let mut request = self.pipe.request(pipe::plan(sinks));
        request.options.restart = restart;
        match self.runtime.submit(request).expect("the job is taken") {
            Submitted::Running(handle) => handle,
            Submitted::FinishedBefore(_) => panic!("the job had not finished"),
        }
    }

    fn send(&self, text: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.server.local_addr()).expect("the server listens");
        // A refusal may come before all of a long request is sent.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).expect("the answer is a text");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
        if !body.is_empty() {
            // Bad input 25: whatever stands in a name, it is data.
            let head = head.to_lowercase();
            assert!(head.contains("x-content-type-options: nosniff") && head.contains("json"), "{head}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_string())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"));
        (status, body)
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn refused(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let (status, answer) = self.ask(method, path, body);
        let errors = answer["errors"].as_array().expect("errors in Flink's form");
        assert_eq!(errors.len(), 1);
        (status, errors[0].as_str().expect("a text").to_string())
    }

    fn id(&self) -> String {
        self.get("/jobs")["jobs"][0]["id"].as_str().expect("an id").to_string()
    }

    /// Asks until the answer is as it should be; a bound that is never reached unless it fails.
    fn eventually(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..2000 {
            last = self.get(path);
            if is_so(&last) {
                return last;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("{path} never came to be as it should: {last}");
    }

    fn end(self) {
        self.server.shutdown();
        self.log.shutdown().expect("the log closes");
    }
}

const SLOW: RestartStrategy = RestartStrategy::FixedDelay { attempts: 1000, delay_ms: 3_600_000 };

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_running_job_is_shown_as_flink_shows_one() {
    let site = Site::begin(false);
    let handle = site.submit(&["topic", "outbox"], RestartStrategy::default());
    let job = site.eventually("/jobs/pipe", |job| {
        let read = &job["vertices"][0]["metrics"]["write-records"];
        let written = &job["vertices"][1]["metrics"]["read-records"];
        *read == 3 && *written == 3 && job["state"] == "RUNNING"
    });
    let id = site.id();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!((&job["jid"], &job["name"]), (&json!(id), &json!("pipe")));
    let now_ms = 1_700_000_000_000_i64;
    assert_eq!(
        (&job["start-time"], &job["end-time"], &job["now"]),
        (&json!(now_ms), &json!(-1), &json!(now_ms))
    );
    assert_eq!(job["timestamps"]["RUNNING"], now_ms);
    assert_eq!(job["timestamps"]["FINISHED"], 0);
    assert_eq!(job["status-counts"]["RUNNING"], 3);
    assert_eq!((&job["restarts"], &job["lag-records"]), (&json!(0), &json!(0)));
    let splits = json!([{
        "node": 0, "split": "in/0", "position": 3, "end": null, "finished": false, "watermark": null, "idle": false,
    }]);
    assert_eq!(job["splits"], splits);
    let vertices = job["vertices"].as_array().unwrap();
    let names: Vec<_> = vertices.iter().map(|vertex| vertex["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Scan(`in`, bounded)", "Sink(`topic`)", "Sink(`outbox`)"]);
    let keys_of_vertex = [
        "duration",
        "end-time",
        "id",
        "maxParallelism",
        "metrics",
        "name",
        "parallelism",
        "slotSharingGroupId",
        "start-time",
        "status",
        "tasks",
    ];
    assert_eq!(keys(&vertices[0]), keys_of_vertex);
    assert_eq!(job["plan"]["nodes"][1]["inputs"][0]["id"], vertices[0]["id"]);

    assert_eq!(site.get("/jobs"), json!({"jobs": [{"id": id, "status": "RUNNING"}]}));
    let row = &site.get("/jobs/overview")["jobs"][0];
    // Flink's own client refuses an answer that lacks one of them.
    let keys_of_row = [
        "duration",
        "end-time",
        "jid",
        "jobType",
        "last-modification",
        "name",
        "pending-operators",
        "schedulerType",
        "start-time",
        "state",
        "tasks",
    ];
    assert_eq!(keys(row), keys_of_row);
    assert_eq!(
        (&row["tasks"]["total"], &row["tasks"]["running"], &row["tasks"]["failed"]),
        (&json!(3), &json!(3), &json!(0))
    );
    let overview = site.get("/overview");
    assert_eq!((&overview["taskmanagers"], &overview["jobs-running"]), (&json!(1), &json!(1)));
    assert_eq!((&overview["jobs-finished"], &overview["jobs-failed"]), (&json!(0), &json!(0)));
    assert_eq!(site.get("/v1/config")["features"]["web-cancel"], true);
    let config = site.get(&format!("/jobs/{id}/config"));
    assert_eq!(config["execution-config"]["restart-strategy"], "exponential-delay");
    assert_eq!(config["execution-config"]["job-parallelism"], 1);
    assert_eq!(site.get(&format!("/jobs/{id}/status")), json!({"status": "RUNNING"}));
    assert_eq!(site.get(&format!("/jobs/{id}/plan"))["plan"], job["plan"]);
    // Flink's own clients name the version, and ids are asked for in any case.
    assert_eq!(site.get(&format!("/v1/jobs/{}", id.to_uppercase()))["jid"], json!(id));
    handle.stop();
    assert!(!handle.join().unwrap());
    site.end();
}

#[test]
fn failures_are_told_with_their_reasons_the_last_one_first() {
    let site = Site::begin(false);
    site.pipe.source.store(AWAY, Ordering::SeqCst);
    let handle = site.submit(&["outbox"], SLOW);
    let row = site.eventually("/jobs/overview", |answer| answer["jobs"][0]["state"] == "RESTARTING");
    assert_eq!(row["jobs"][0]["tasks"]["created"], 2);
    let exceptions = site.get("/jobs/pipe/exceptions");
    assert_eq!(exceptions["root-exception"], "the input is away");
    assert_eq!(exceptions["exceptionHistory"]["truncated"], false);
    let entries = exceptions["exceptionHistory"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["exceptionName"], "eventwright.unavailable");
    assert_eq!(entries[0]["stacktrace"], "the input is away");
    assert_eq!(entries[0]["timestamp"], 1_700_000_000_000_i64);
    assert_eq!(site.get("/jobs/pipe")["next-attempt"], 1_700_003_600_000_i64);
    // It fails once more, later.
    site.world.clock.advance_ms(3_600_000);
    let path = "/jobs/pipe/exceptions?maxExceptions=1";
    let last = site.eventually(path, |answer| answer["timestamp"] == 1_700_003_600_000_i64);
    assert_eq!(last["exceptionHistory"]["truncated"], true);
    assert_eq!(last["exceptionHistory"]["entries"].as_array().unwrap().len(), 1);
    let both = site.get("/jobs/pipe/exceptions");
    let times: Vec<_> =
        both["exceptionHistory"]["entries"].as_array().unwrap().iter().map(|e| &e["timestamp"]).collect();
    assert_eq!(times, [&json!(1_700_003_600_000_i64), &json!(1_700_000_000_000_i64)]);
    assert_eq!(site.refused("GET", "/jobs/pipe/exceptions?maxExceptions=all", "").0, 400);
    handle.stop();
    assert!(!handle.join().unwrap());
    site.end();
}

#[test]
fn a_job_is_cancelled_and_what_has_ended_cannot_be() {
    let site = Site::begin(false);
    let handle = site.submit(&["topic"], RestartStrategy::default());
    assert_eq!(site.refused("PATCH", "/jobs/pipe?mode=stop", "").0, 400);
    assert_eq!(site.refused("DELETE", "/jobs/pipe", ""), (409, "job 'pipe' runs; stop it first".into()));
    assert_eq!(site.ask("PATCH", &format!("/jobs/{}?mode=cancel", site.id()), ""), (202, json!({})));
    assert!(!handle.join().unwrap(), "it was stopped before its end");
    assert_eq!(site.get("/jobs/pipe/status"), json!({"status": "CANCELED"}));
    assert_eq!(site.ask("PATCH", "/jobs/pipe", "").0, 202, "it is as was asked for");
    assert_eq!(site.get("/overview")["jobs-cancelled"], 1);
    assert_eq!(site.refused("DELETE", "/jobs/none", "").0, 404);
    let delete = || site.log.append::<_, LogError>(|frame| frame.delete_topic(pipe::INPUT));
    assert!(matches!(delete(), Err(LogError::Pinned { .. })), "it can be taken up again");
    assert_eq!(site.ask("DELETE", &format!("/jobs/{}", site.id()), ""), (202, json!({})));
    delete().unwrap();
    site.end();

    let site = Site::begin(true);
    assert!(site.submit(&["topic"], RestartStrategy::default()).join().unwrap());
    let (status, error) = site.refused("PATCH", "/jobs/pipe", "");
    assert_eq!((status, error.as_str()), (409, "the job 'pipe' does not run: it is FINISHED"));
    assert_eq!(site.refused("POST", "/jobs/pipe/savepoints", "").0, 409);
    assert_eq!(site.refused("POST", "/jobs/pipe/stop", "").0, 409);
    assert_eq!(site.get("/overview")["jobs-finished"], 1);
    site.end();
}

#[test]
fn a_savepoint_is_triggered_once_and_its_outcome_can_be_asked_for() {
    let site = Site::begin(false);
    let handle = site.submit(&["topic"], RestartStrategy::default());
    let trigger = "00112233445566778899aabbccddeeff";
    let body = json!({"target-directory": "/backup", "triggerId": trigger.to_uppercase()}).to_string();
    for _ in 0..2 {
        let answer = site.ask("POST", "/jobs/pipe/savepoints", &body);
        assert_eq!(answer, (202, json!({"request-id": trigger})));
    }
    let path = format!("/jobs/{}/savepoints/{trigger}", site.id());
    let done = site.eventually(&path, |answer| answer["status"]["id"] == "COMPLETED");
    let location = done["operation"]["location"].as_str().expect("a location");
    assert!(location.starts_with("/backup/savepoint-pipe-"), "{location}");
    assert_eq!(Savepoint::open(&site.world.os(), Path::new(location)).unwrap().info.job, "pipe");
    assert_eq!(
        Savepoint::list(&site.world.os(), Path::new("/backup")).unwrap().len(),
        1,
        "asked for twice, taken once"
    );

    // Without a body: an id of the server's, and the node's own place.
    let (status, answer) = site.ask("POST", "/jobs/pipe/savepoints", "");
    assert_eq!(status, 202);
    let path = format!("/jobs/pipe/savepoints/{}", answer["request-id"].as_str().unwrap());
    let done = site.eventually(&path, |answer| answer["status"]["id"] == "COMPLETED");
    assert!(done["operation"]["location"].as_str().unwrap().starts_with("/data/savepoints/"));
    assert_eq!(site.refused("GET", "/jobs/pipe/savepoints/ff", "").0, 404);
    for (body, expected) in [
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        (r#"{"target-directory": 7}"#, "'target-directory' is not a text"),
        (r#"{"cancel-job": "yes"}"#, "'cancel-job' is not true or false"),
        (r#"{"triggerId": "x"}"#, "32 hexadecimal digits"),
        (r#"{"target-directory": "s3://bucket/x"}"#, "not a path of this machine"),
        (r#"{"target-directory": "/backup/../elsewhere"}"#, "not in a folder for savepoints"),
        (r#"{"target-directory": "file:///data/log"}"#, "/data/savepoints, /backup"),
    ] {
        let (status, error) = site.refused("POST", "/jobs/pipe/savepoints", body);
        assert!(status == 400 && error.contains(expected), "{body}: {status} {error}");
    }
    assert_eq!(site.get("/jobs/pipe/status"), json!({"status": "RUNNING"}), "the job went on");
    handle.stop();
    assert!(!handle.join().unwrap());
    site.end();
}

#[test]
fn a_savepoint_that_never_comes_is_told_as_a_failure() {
    let site = Site::begin(false);
    site.pipe.source.store(AWAY, Ordering::SeqCst);
    let handle = site.submit(&["outbox"], SLOW);
    site.eventually("/jobs/pipe/status", |answer| answer["status"] == "RESTARTING");
    let (_, answer) = site.ask("POST", "/jobs/pipe/savepoints", "");
    let path = format!("/jobs/pipe/savepoints/{}", answer["request-id"].as_str().unwrap());
    assert_eq!(site.get(&path), json!({"status": {"id": "IN_PROGRESS"}, "operation": null}));
    handle.stop();
    assert!(!handle.join().unwrap());
    let done = site.get(&path);
    assert_eq!(done["status"]["id"], "COMPLETED");
    let reason = done["operation"]["failure-cause"]["stack-trace"].as_str().expect("a reason");
    assert!(reason.contains("the job ended before"), "{reason}");
    site.end();
}

#[test]
fn a_job_that_stops_with_a_savepoint_does_nothing_after_it() {
    for (path, body) in [
        ("/jobs/pipe/stop", r#"{"targetDirectory": "file:///backup", "drain": false}"#),
        ("/jobs/pipe/savepoints", r#"{"target-directory": "/backup", "cancel-job": true}"#),
    ] {
        let site = Site::begin(false);
        let handle = site.submit(&["topic", "outbox"], RestartStrategy::default());
        site.eventually("/jobs/pipe", |job| job["vertices"][0]["metrics"]["write-records"] == 3);
        // More than a step takes, so that others wait behind the one that the savepoint covers.
        site.pipe.feed(&(4..=500).collect::<Vec<_>>(), 1);
        let (status, answer) = site.ask("POST", path, body);
        assert_eq!(status, 202, "{answer}");
        assert!(!handle.join().unwrap(), "{path}: it was stopped");
        let outcome = format!("/jobs/pipe/savepoints/{}", answer["request-id"].as_str().unwrap());
        let done = site.eventually(&outcome, |answer| answer["status"]["id"] == "COMPLETED");
        let location = done["operation"]["location"].as_str().expect("a location");
        let savepoint = Savepoint::open(&site.world.os(), Path::new(location)).unwrap();
        let journalled = site.runtime.journal().job(pipe::JOB).unwrap();
        assert_eq!(savepoint.info.step, journalled.last_step, "{path}");
        // The outside target has exactly what the savepoint says was read.
        let position = savepoint.info.cursors[0].position.0;
        assert_eq!(site.pipe.target(), (1..=position).collect::<Vec<_>>(), "{path}");
        assert_eq!(site.pipe.topic("topic"), (1..=position).collect::<Vec<_>>(), "{path}");
        assert_eq!(site.get("/jobs/pipe/status"), json!({"status": "CANCELED"}), "{path}");
        // It can be taken up again, and loses nothing.
        let handle = site.submit(&["topic", "outbox"], RestartStrategy::default());
        let last = json!(500);
        site.eventually("/jobs/pipe", |job| job["vertices"][2]["metrics"]["read-records"] == last);
        handle.stop();
        handle.join().unwrap();
        assert_eq!(site.pipe.topic("topic"), (1..=500).collect::<Vec<_>>(), "{path}");
        site.end();
    }
    let site = Site::begin(false);
    let handle = site.submit(&["topic"], RestartStrategy::default());
    let (status, error) = site.refused("POST", "/jobs/pipe/stop", r#"{"drain": true}"#);
    assert!(status == 400 && error.contains("'drain'"), "{error}");
    handle.stop();
    handle.join().unwrap();
    site.end();
}

#[test]
fn jobs_that_only_the_journal_knows_are_shown() {
    let site = Site::begin(true);
    assert!(site.submit(&["topic"], RestartStrategy::default()).join().unwrap());
    let id = site.id();
    let world = site.world.clone();
    site.end();
    let life = Life::begin(&world, &Input::default());
    let log = life.log.clone();
    let config = ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let runtime = Arc::new(life.runtime);
    let server = http_server::start(config, runtime.clone(), world.os()).unwrap();
    let pipe = Pipe::new(&world, &log, true);
    let site = Site { world, log, runtime, pipe, server };
    let row = &site.get("/jobs/overview")["jobs"][0];
    assert_eq!((&row["jid"], &row["state"]), (&json!(id), &json!("FINISHED")));
    assert_eq!(
        (&row["start-time"], &row["duration"], &row["tasks"]["total"]),
        (&json!(-1), &json!(0), &json!(0))
    );
    let job = site.get("/jobs/pipe");
    assert_eq!(job["tables-in"], json!([{"node": 0, "table": "", "rows": 3}]));
    assert_eq!(job["vertices"], json!([]));
    site.end();
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_in_flinks_form() {
    let site = Site::begin(false);
    let (status, error) = site.refused("GET", "/nowhere", "");
    assert_eq!((status, error.as_str()), (404, "Not found: /nowhere"));
    let (status, error) = site.refused("GET", "/jobs/nobody", "");
    assert_eq!((status, error.as_str()), (404, "there is no job 'nobody'; GET /jobs lists them"));
    for path in ["exceptions", "config", "status", "plan", "savepoints/00"] {
        assert_eq!(site.refused("GET", &format!("/jobs/nobody/{path}"), "").0, 404, "{path}");
    }
    assert_eq!(site.refused("PATCH", "/jobs/nobody", "").0, 404);
    assert_eq!(site.refused("POST", "/jobs/nobody/stop", "").0, 404);
    for (method, path) in
        [("POST", "/jobs"), ("DELETE", "/jobs"), ("GET", "/jobs/x/stop"), ("PUT", "/v1/config")]
    {
        assert_eq!(site.refused(method, path, "").0, 405, "{method} {path}");
    }
    assert_eq!(site.refused("GET", "/jobs/%ff", "").0, 400);
    site.end();
}

#[test]
fn requests_that_are_too_large_or_come_from_elsewhere_are_refused() {
    let site = Site::begin(false);
    let handle = site.submit(&["topic"], RestartStrategy::default());
    assert_eq!(site.refused("POST", "/jobs/pipe/savepoints", &" ".repeat(700_000)).0, 413);
    // Without a length, in chunks.
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let (status, _) = site.send(&format!(
        "POST /jobs/pipe/savepoints HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    ));
    assert_eq!(status, 413);
    let (status, _) =
        site.send(&format!("GET /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {}\r\n\r\n", "x".repeat(40_000)));
    assert_eq!(status, 431);
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    let (status, _) = site.send(&format!("GET /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n{many}\r\n"));
    assert_eq!(status, 431);
    for header in ["Host: evil.example", "Host: 127.0.0.1\r\nOrigin: http://evil.example"] {
        let (status, body) =
            site.send(&format!("PATCH /jobs/pipe HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n"));
        assert_eq!(status, 403, "{header}: {body}");
    }
    let (status, _) = site.send("nonsense\r\n\r\n");
    assert_eq!(status, 400);
    assert_eq!(site.get("/jobs/pipe/status"), json!({"status": "RUNNING"}), "nothing has stopped the job");
    assert_eq!(
        site.send("HEAD /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        (200, String::new())
    );
    site.pipe.outbox.store(GOOD, Ordering::SeqCst);
    handle.stop();
    handle.join().unwrap();
    site.end();
}

#[test]
fn an_open_address_needs_a_word_and_a_taken_one_is_said() {
    let site = Site::begin(false);
    let start = |listen: SocketAddr| {
        http_server::start(ServerConfig::new(listen), site.runtime.clone(), site.world.os())
    };
    let open = start(SocketAddr::from(([0, 0, 0, 0], 0))).err().expect("it is refused");
    assert!(matches!(open, HttpError::NotLoopback { .. }), "{open}");
    assert!(open.to_string().contains("pass --insecure-http only"), "{open}");
    let taken = start(site.server.local_addr()).err().expect("it is refused");
    assert!(matches!(taken, HttpError::Listen { in_use: true, .. }), "{taken}");
    site.end();
}

#[test]
fn the_server_ends_although_a_client_stays() {
    let site = Site::begin(false);
    let mut stays = TcpStream::connect(site.server.local_addr()).unwrap();
    stays.write_all(b"GET /overview HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut first = [0; 15];
    stays.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    site.end();
    let mut rest = Vec::new();
    stays.read_to_end(&mut rest).expect("the connection was closed in good order");
}

#[test]
fn vertices_have_details_and_metrics() {
    let site = Site::begin(true);
    let job = site.submit(&["topic"], SLOW);
    assert!(job.join().expect("it ends"));
    let details = site.eventually("/jobs/pipe", |job| job["operators"][1]["rows-in"] == 3);
    assert_eq!(details["operators"][0]["rows-out"], 3);
    assert_eq!(details["operators"][1]["inputs"], json!([0]));
    let vertex = details["vertices"][1]["id"].as_str().unwrap();
    let path = format!("/jobs/pipe/vertices/{vertex}");
    assert_eq!(site.get(&path)["subtasks"][0]["metrics"]["read-records"], 3);
    assert_eq!(site.get(&format!("{path}/watermarks")), json!([]));
    assert_eq!(site.get(&format!("{path}/backpressure"))["backpressure-level"], "ok");
    assert_eq!(site.get(&format!("{path}/accumulators"))["user-accumulators"], json!([]));
    let names = site.get(&format!("{path}/metrics"));
    assert!(names.as_array().unwrap().contains(&json!({"id": "0.numRecordsIn"})), "{names}");
    let values = site.get(&format!("{path}/metrics?get=0.numRecordsIn,0.nothing"));
    assert_eq!(values, json!([{"id": "0.numRecordsIn", "value": "3"}]));
    let sums = site.get(&format!("{path}/subtasks/metrics?get=numRecordsIn"));
    assert_eq!(sums, json!([{"id": "numRecordsIn", "min": 3.0, "max": 3.0, "avg": 3.0, "sum": 3.0}]));
    assert_eq!(site.get("/jobs/pipe/metrics?get=numRestarts"), json!([{"id": "numRestarts", "value": "0"}]));
    assert_eq!(site.get("/jobs/pipe/accumulators")["job-accumulators"], json!([]));
    let (status, message) = site.refused("GET", "/jobs/pipe/vertices/zz", "");
    assert!(status == 404 && message.contains("zz"), "{message}");
    assert_eq!(site.refused("POST", &format!("{path}/metrics"), "").0, 405);
    site.end();
}

#[test]
fn the_schema_registry_is_served_beside_flinks_api() {
    let site = Site::begin(false);
    assert_eq!(site.get("/"), json!({}));
    assert_eq!(site.get("/config"), json!({"compatibilityLevel": "BACKWARD"}));
    assert_eq!(site.get("/v1/metadata/id")["scope"]["clusters"]["kafka-cluster"], "c");
    let body = json!({"schema": "\"string\""}).to_string();
    assert_eq!(
        site.ask("POST", "/subjects/a%2Fb%20c/versions?normalize=False", &body),
        (200, json!({"id": 1}))
    );
    assert_eq!(site.get("/subjects"), json!(["a/b c"]));
    assert_eq!(site.get("/subjects?subjectPrefix=a%2F"), json!(["a/b c"]));
    assert_eq!(site.get("/subjects?subjectPrefix=b"), json!([]));
    let missing = json!({"error_code": 40401, "message": "there is no subject x"});
    assert_eq!(site.ask("GET", "/subjects/x/versions", ""), (404, missing));
    let (status, text) = site.send("HEAD /subjects HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    assert_eq!((status, text.as_str()), (200, ""));
    let request = |headers: &str| {
        format!("GET /subjects HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n")
    };
    assert_eq!(site.send(&request("Accept: text/html\r\n")).0, 406);
    assert_eq!(site.send(&request("Origin: http://evil.example\r\n")).0, 403);
    // Schemas may be longer than what Flink's API takes, up to a limit.
    let long = json!({"schema": json!({"type": "int", "doc": "x".repeat(500_000)}).to_string()}).to_string();
    assert_eq!(site.ask("POST", "/subjects/long/versions", &long).0, 200);
    assert_eq!(site.ask("POST", "/subjects/long/versions", &" ".repeat(4_000_001)).0, 413);
    site.end();
}
