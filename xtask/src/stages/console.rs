//! The stage that opens the console in a real browser: a newcomer who has run the README's first command, a tour of all
//! pages over the flights as they happen, and a node with users and ten thousand topics.
//!
//! What the browser does is in `tests/console`, which says in lines what went well and what did not. The tour's pictures
//! are those of the guide: with `CONSOLE_PICTURES=write` they are written to `docs/images`, otherwise to a folder that is
//! thrown away, as are the others unless `CONSOLE_OTHER_PICTURES` names a folder. While the page is being written,
//! `PAGES=console` has the browser take its files from there instead of from the binary.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use kafka_client::{Client, ClientOptions, OffsetToCommit, Security};
use kafka_wire::messages::create_acls_request::{AclCreation, CreateAclsRequest};
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_wire::messages::{CreateAclsResponse, CreateTopicsResponse};
use kafka_wire::partitioner::partition_of_key;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use os::http::{Request, exchange};
use serde_json::{Value, json};

use crate::counts::Counts;
use crate::process::{self, Server};
use crate::queue::Queue;
use crate::{example, node, peers, places};

const SQL: &str = "examples/flights/live.sql";
const VIEWS: &str = "tests/console/views.sql";
const EVENTS: &str = "examples/flights/data/events.json.gz";
const PICTURES: &str = "docs/images";
const START_LIMIT: Duration = Duration::from_secs(60);
const TOUR_LIMIT: Duration = Duration::from_secs(600);
const WAIT: Duration = Duration::from_secs(30);
/// No picture of the guide is larger.
const PICTURE_BYTES_MAX: u64 = 150_000;

const PARTITIONS: u32 = 3;
/// The events that are there when the browser comes; the rest come while it looks.
const EVENTS_BEFORE: usize = 30_000;
/// So few that they last for as long as the tour may take.
const EVENTS_PER_SECOND: &str = "80";
/// An event that is the reason of an alert, as the README shows it.
const EVENT_OF_AN_ALERT: &str = "0131-B6515-EWR-D";
/// Minutes from which on a departure is in the view `long_waits`.
const LONG_WAIT: i64 = 120;
/// The event that the tour looks for: the first one behind this in partition 0.
const EVENT_SOUGHT_AFTER: usize = 12_345;

const TOPICS: usize = 10_000;
const TOPICS_AT_ONCE: usize = 1_000;
const PASSWORD: &str = "a password of the tests";

/// Records that would harm a page that takes them for its own words.
fn hostile() -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs: [(&[u8], Vec<u8>); 9] = [
        (b"<script>window.harmed = 1</script>", b"<script>window.harmed = 1</script>".to_vec()),
        (
            b"\"><img src=x onerror=\"window.harmed = 1\">",
            b"{\"a\": \"\\\"><img src=x onerror='window.harmed = 1'>\"}".to_vec(),
        ),
        (b"'-alert(1)-'", b"javascript:window.harmed = 1".to_vec()),
        ("\u{202e}gnp.exe".as_bytes(), "{\"name\": \"\u{2066}\u{202e}fdp.exe\u{200b}\"}".as_bytes().to_vec()),
        (b"\xff\xfe\x00", vec![0xc3, 0x28, 0xa0, 0xa1, 0xf0, 0x28, 0x8c, 0xbc]),
        (b"large", vec![b'A'; 900_000]),
        (b"deep", [vec![b'['; 20_000], vec![b']'; 20_000]].concat()),
        (
            b"__proto__",
            b"{\"__proto__\": {\"harmed\": 1}, \"constructor\": {\"prototype\": {\"harmed\": 1}}}".to_vec(),
        ),
        (b"{{7*7}}${7*7}", b"</textarea><style>*{display:none}</style><base href=//evil.example>".to_vec()),
    ];
    pairs.map(|(key, value)| (key.to_vec(), value)).into()
}

/// Name, partitions, configuration.
type NewTopic = (&'static str, u32, &'static [(&'static str, &'static str)]);

type Look = fn(&Path, &Pictures, &mut Counts) -> Result<()>;

/// Where pictures go: those of the guide, and those that are only for whoever writes the page.
struct Pictures {
    guide: PathBuf,
    others: PathBuf,
}

/// Counts one check for each line of the browser, and one for each picture.
pub fn run() -> Result<Counts> {
    peers::install(&["browser".to_owned()])?;
    let mut counts = Counts::default();
    let folder = tempfile::Builder::new().prefix("console-").tempdir()?;
    let writes = std::env::var_os("CONSOLE_PICTURES").is_some_and(|what| what == "write");
    let guide = if writes { places::root().join(PICTURES) } else { folder.path().join("pictures") };
    let others = std::env::var_os("CONSOLE_OTHER_PICTURES");
    let pictures =
        Pictures { guide, others: others.map_or_else(|| folder.path().join("others"), PathBuf::from) };
    fs::create_dir_all(&pictures.guide)?;
    for (name, look) in [("newcomer", newcomer as Look), ("tour", tour), ("users", with_users)] {
        let folder = folder.path().join(name);
        fs::create_dir_all(&folder)?;
        let log = || fs::read_to_string(folder.join("node.log")).unwrap_or_default();
        look(&folder, &pictures, &mut counts)
            .with_context(|| format!("{name}: the node says:\n{}", log()))?;
    }
    for entry in fs::read_dir(&pictures.guide)? {
        let entry = entry?;
        match entry.metadata()?.len() {
            bytes if bytes > PICTURE_BYTES_MAX => {
                counts.fail(format!("console: {} has bytes={bytes}", entry.path().display()));
            }
            _ => counts.pass(),
        }
    }
    Ok(counts)
}

/// The README's first command, and who opens the console for the first time.
fn newcomer(folder: &Path, pictures: &Pictures, counts: &mut Counts) -> Result<()> {
    places::link(folder, &["examples/flights/data", example::FILE])?;
    let site = Site::start(folder, &["run", example::FILE, "--keep-running"])?;
    browse("newcomer.mjs", &json!({ "http": site.http, "event": EVENT_OF_AN_ALERT }), pictures, counts)
}

fn tour(folder: &Path, pictures: &Pictures, counts: &mut Counts) -> Result<()> {
    places::link(folder, &["examples/flights/data", SQL, VIEWS])?;
    // The job would make its topic with one partition.
    let node = node::start(&folder.join("data"), &folder.join("start.log"))?;
    let partitions = i32::try_from(PARTITIONS)?;
    Client::connect(&node.bootstrap, "console")?.create_topic(example::INPUT_TOPIC, partitions, 1, &[])?;
    node.stop()?;
    let site = Site::start(folder, &["run", SQL, "--init", VIEWS])?;
    let mut client = Client::connect(&site.kafka, "console")?;
    let mut wanted = prepare(&mut client, &site, folder)?;
    let mut feed = node::command()?;
    feed.args([
        "topic",
        "produce",
        example::INPUT_TOPIC,
        "--rate",
        EVENTS_PER_SECOND,
        "--key-separator",
        "\t",
    ]);
    feed.args(["-b", &site.kafka, "--file"]).arg(folder.join("events.txt"));
    let _feed = process::Group::spawn(&mut feed)?;
    wanted["http"] = site.http.clone().into();
    browse("tour.mjs", &wanted, pictures, counts)
}

/// Fills the node with what the tour looks at; what the browser has to know of it.
fn prepare(client: &mut Client, site: &Site, folder: &Path) -> Result<Value> {
    let topics: [NewTopic; 6] = [
        ("flights", 1, &[]),
        ("tasks", 1, &[]),
        ("dlq.tasks", 1, &[("errors.deadletterqueue.group.enable", "true")]),
        ("hostile", 1, &[]),
        ("demo", 2, &[]),
        ("empty", 6, &[("cleanup.policy", "compact")]),
    ];
    for (topic, partitions, config) in topics {
        client.create_topic(topic, i32::try_from(partitions)?, 1, config)?;
    }
    let played = play_events(client, folder)?;
    let commit =
        |partition, offset| OffsetToCommit { topic: example::INPUT_TOPIC.to_owned(), partition, offset };
    client.offset_commit("billing", &[commit(0, 1_000)])?;
    let mut batch = BatchBuilder::new(Compression::None);
    let harm = hostile();
    for (key, value) in &harm {
        batch.append(now_ms(), Some(key), Some(value), &[("<b>", Some(b"<img src=x onerror=alert(1)>"))])?;
    }
    client.produce("hostile", 0, batch.build()?, -1)?;
    let queue = Queue { group: "mail", topic: "tasks" };
    queue.configure(
        client,
        &[
            ("share.auto.offset.reset", "earliest"),
            ("errors.deadletterqueue.topic.name", "dlq.tasks"),
            ("errors.deadletterqueue.copy.record.enable", "true"),
        ],
    )?;
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(now_ms(), None, Some(b"{\"to\": \"jfk\", \"what\": \"a task\"}"), &[])?;
    // What fields of a page would change.
    let broken: &[u8] = b"{\"to\": \"lga\",\r\n \"what\": \"broken task\"}";
    let headers: [(&str, Option<&[u8]>); 3] =
        [("note", Some(b" x ")), ("none", None), ("raw", Some(b"\xfe"))];
    batch.append(now_ms(), Some(b"\xff\x00"), Some(broken), &headers)?;
    batch.append(now_ms(), None, Some(b"{\"to\": \"ewr\", \"what\": \"a task\"}"), &[])?;
    client.produce("tasks", 0, batch.build()?, -1)?;
    let delivered = queue.fetch(client)?;
    if delivered != 3 {
        bail!("the share group is given {delivered} records instead of 3");
    }
    // Accepted, rejected; the third stays locked.
    queue.acknowledge(client, 1, &[1, 3])?;
    for fields in [
        r#"{"name": "flight", "type": "int"}"#,
        r#"{"name": "flight", "type": "int"}, {"name": "gate", "type": "string", "default": ""}"#,
    ] {
        let schema = format!(r#"{{"type": "record", "name": "Flight", "fields": [{fields}]}}"#);
        site.post("/subjects/flights-value/versions", &json!({ "schema": schema }))?;
    }
    // As serializers write it: a zero, the schema's number, and Avro: 17, "B7".
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(now_ms(), None, Some(&[0, 0, 0, 0, 2, 34, 4, b'B', b'7']), &[])?;
    client.produce("flights", 0, batch.build()?, -1)?;
    await_letter(client)?;
    Ok(json!({
        "event": played.event,
        "offset": played.offset,
        "late": { "event": played.late.0, "offset": played.late.1 },
        "hostile": harm.len(),
    }))
}

/// The letter is written behind the rejection.
fn await_letter(client: &mut Client) -> Result<()> {
    let mut fetched = client.fetch("dlq.tasks", 0, 0, 1 << 20, WAIT)?;
    fetched.next().context("the rejected record has no letter")??;
    Ok(())
}

/// Events in partition 0, by their ids and offsets.
struct Played {
    event: String,
    offset: i64,
    /// One that the view `long_waits` keeps.
    late: (String, i64),
}

/// Produces the first events, and leaves the rest in a file of lines.
fn play_events(client: &mut Client, folder: &Path) -> Result<Played> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(places::root().join(EVENTS))?).read_to_string(&mut text)?;
    let key_of = |line: &str| -> Result<String> {
        let event: Value = serde_json::from_str(line)?;
        Ok(format!("{}{}", event["carrier"].as_str().unwrap_or_default(), event["flight"]))
    };
    let mut batches: Vec<BatchBuilder> =
        (0..PARTITIONS).map(|_| BatchBuilder::new(Compression::Lz4)).collect();
    let mut ends = vec![0_i64; PARTITIONS as usize];
    let (mut sought, mut late) = (None, None);
    let begun_ms = now_ms() - 60_000;
    for (index, line) in text.lines().take(EVENTS_BEFORE).enumerate() {
        let key = key_of(line)?;
        let partition = partition_of_key(key.as_bytes(), PARTITIONS) as usize;
        if partition == 0 && index > EVENT_SOUGHT_AFTER && sought.is_none() {
            let event: Value = serde_json::from_str(line)?;
            sought = Some((event["event_id"].as_str().context("an event's id")?.to_owned(), ends[0]));
        }
        if partition == 0 && late.is_none() {
            let event: Value = serde_json::from_str(line)?;
            let waits = event["dep_delay"].as_i64().is_some_and(|minutes| minutes >= LONG_WAIT);
            if event["event_type"] == "departed" && waits {
                late = Some((event["event_id"].as_str().context("an event's id")?.to_owned(), ends[0]));
            }
        }
        ends[partition] += 1;
        let headers: [(&str, Option<&[u8]>); 1] = [("source", Some(b"towers"))];
        batches[partition].append(
            begun_ms + index as i64,
            Some(key.as_bytes()),
            Some(line.as_bytes()),
            &headers,
        )?;
        if batches[partition].size_bytes() > 200_000 {
            let full = std::mem::replace(&mut batches[partition], BatchBuilder::new(Compression::Lz4));
            client.produce(example::INPUT_TOPIC, i32::try_from(partition)?, full.build()?, -1)?;
        }
    }
    for (partition, batch) in (0..).zip(batches) {
        client.produce(example::INPUT_TOPIC, partition, batch.build()?, -1)?;
    }
    let rest = text.lines().skip(EVENTS_BEFORE).map(|line| Ok(format!("{}\t{line}\n", key_of(line)?)));
    fs::write(folder.join("events.txt"), rest.collect::<Result<String>>()?)?;
    let (event, offset) = sought.context("no event lies in partition 0")?;
    Ok(Played { event, offset, late: late.context("no flight of partition 0 waits long")? })
}

fn with_users(folder: &Path, pictures: &Pictures, counts: &mut Counts) -> Result<()> {
    let password = folder.join("password");
    fs::write(&password, PASSWORD)?;
    let data = folder.join("data");
    let mut add = node::command()?;
    add.args(["user", "add", "admin", "--admin", "--password-file"]).arg(&password).arg("--data").arg(&data);
    process::output(&mut add, START_LIMIT)?;
    let site = Site::start(folder, &["start", "--set", "security.protocol=SASL_PLAINTEXT"])?;
    let properties = folder.join("admin.properties");
    fs::write(
        &properties,
        format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=admin\nsasl.password=${{file:{}}}\n",
            password.display()
        ),
    )?;
    let mut add = node::command()?;
    add.args(["user", "add", "reader", "--password-file"]).arg(&password).args(["-b", &site.kafka]);
    process::output(add.arg("--command-config").arg(&properties), START_LIMIT)?;
    let options =
        ClientOptions { security: Security::from_file(&properties)?, ..ClientOptions::new("console") };
    let mut client = Client::connect_with(&site.kafka, options)?;
    for first in (0..TOPICS).step_by(TOPICS_AT_ONCE) {
        let topic = |number: usize| CreatableTopic {
            name: format!("topic-{number:05}"),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let topics = (first..first + TOPICS_AT_ONCE).map(topic).collect();
        let request = CreateTopicsRequest { topics, timeout_ms: 60_000, ..Default::default() };
        let answer: CreateTopicsResponse = client.call(&request)?;
        if let Some(refused) = answer.topics.iter().find(|topic| topic.error_code != 0) {
            bail!("topic={} is not created: {:?}", refused.name, refused.error_message);
        }
    }
    // Read on one topic: Kafka's numbers of a topic, a literal name, reading, and allowing.
    let rule = AclCreation {
        resource_type: 2,
        resource_name: "topic-00007".into(),
        resource_pattern_type: 3,
        principal: "User:reader".into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
    };
    let answer: CreateAclsResponse = client.call(&CreateAclsRequest { creations: vec![rule] })?;
    if answer.results.iter().any(|result| result.error_code != 0) {
        bail!("the rule is refused: {:?}", answer.results);
    }
    let wanted = json!({ "http": site.http, "password": PASSWORD });
    browse("users.mjs", &wanted, pictures, counts)
}

/// Runs a script in the browser and counts what it says.
fn browse(script: &str, site: &Value, pictures: &Pictures, counts: &mut Counts) -> Result<()> {
    let mut command = Command::new("node");
    command.arg(places::root().join("tests/console").join(script));
    command
        .env("SITE", site.to_string())
        .env("PICTURES", &pictures.guide)
        .env("OTHER_PICTURES", &pictures.others)
        .env("CHROMIUM", program("chromium")?);
    command.env("BROWSER_TOOLS", peers::browser_folder()?.join("node_modules"));
    let finished = process::capture_shown(&mut command, TOUR_LIMIT)?;
    let before = counts.passed + counts.failed();
    for line in finished.stdout.lines() {
        match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
            (Some(_), _) => counts.pass(),
            (_, Some(what)) => counts.fail(format!("console: {what}")),
            _ => {}
        }
    }
    if counts.passed + counts.failed() == before || (!finished.status.success() && counts.failed() == 0) {
        counts.fail(format!("console: {script} ended with {} and no check that failed", finished.status));
    }
    Ok(())
}

fn program(name: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("there is no program={name}"))
}

/// A node that is being looked at.
struct Site {
    _server: Server,
    kafka: String,
    http: String,
}

impl Site {
    fn start(folder: &Path, arguments: &[&str]) -> Result<Site> {
        let data = folder.join("data");
        let program = node::command()?.get_program().to_owned();
        let mut command = Command::new("sh");
        // The addresses are told on standard error.
        command.current_dir(folder).args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program).args(arguments);
        command.args(["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]).arg(&data);
        let address = |line: &str| line.strip_prefix("http listening on ").map(str::to_owned);
        let (server, http) = Server::start(&mut command, &folder.join("node.log"), START_LIMIT, address)?;
        let addresses: Value = serde_json::from_str(&fs::read_to_string(data.join("node.json"))?)?;
        let kafka = addresses["kafka"].as_str().context("the node's address")?.to_owned();
        Ok(Site { _server: server, kafka, http })
    }

    fn post(&self, path: &str, body: &Value) -> Result<()> {
        let body = body.to_string();
        let headers = [("Content-Type", "application/json")];
        let request =
            Request { method: "POST", address: &self.http, path, headers: &headers, body: body.as_bytes() };
        let answer = exchange(Os::real().network.as_ref(), &request, WAIT)?;
        match answer.status {
            200 => Ok(()),
            status => bail!("{path} gives status={status}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
