//! One case of one connector: a job between the outside system and a topic of our node, and what is done to both.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kafka_client::{Client, ClientError, FetchedRecord, Isolation, OffsetSpec};
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use os::http::{Request, exchange};
use rustix::process::Signal;
use serde_json::Value;

use super::outside::{Direction, FIRST_PASSWORD, KEYS, Outside, Place, json};
use crate::process::Group;
use crate::{kafka, node};

/// Within which everything that is waited for has come.
pub const LIMIT: Duration = Duration::from_secs(300);
/// Between two looks.
pub const PAUSE: Duration = Duration::from_millis(25);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const FETCH_BYTES_MAX: i32 = 4 << 20;
const ACKS_ALL: i16 = -1;

/// The node's topics.
const NUMBERS: &str = "numbers";
const LANDED: &str = "landed";
pub const LETTERS: &str = "letters";

/// Numbers are missing, or there more often than is promised. No other try makes up for it.
#[derive(Debug)]
pub struct WrongNumbers(String);

impl std::fmt::Display for WrongNumbers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for WrongNumbers {}

pub struct Trial<'a> {
    pub outside: &'a mut dyn Outside,
    pub direction: Direction,
    pub place: Place,
    pub seed: u64,
    /// How often the node is killed where that is the case.
    pub kills: u64,
    /// How often the server is killed and started again, where that is the case.
    pub restarts: u64,
    /// `SET` statements before the job's.
    pub settings: String,
    /// More options of the outside table, each with a comma in front.
    pub options: String,
    /// In place of the statement that copies the numbers.
    job: Option<String>,
    node: Option<Group>,
    has_started: bool,
    port: u16,
    /// The next number that is put.
    next: u64,
    /// Numbers that wait for the node to be up.
    waiting: Option<Range<u64>>,
}

impl<'a> Trial<'a> {
    pub fn new(
        outside: &'a mut dyn Outside,
        direction: Direction,
        place: Place,
        (kills, restarts, seed): (u64, u64, u64),
    ) -> Result<Trial<'a>> {
        std::fs::create_dir_all(&place.folder)?;
        std::fs::write(place.password_file(), outside.password(FIRST_PASSWORD))?;
        Ok(Trial {
            outside,
            direction,
            place,
            seed,
            kills,
            restarts,
            // Edges are tried again soon, so that a trial is short.
            settings: "SET 'restart-strategy.exponential-delay.initial-backoff' = '100 ms';\n\
                       SET 'restart-strategy.exponential-delay.max-backoff' = '500 ms';\n"
                .to_owned(),
            options: String::new(),
            job: None,
            node: None,
            has_started: false,
            port: kafka::lasting_port()?,
            next: 0,
            waiting: None,
        })
    }

    /// Makes the place; to be done before anything is put.
    pub fn prepare(&mut self) -> Result<()> {
        self.outside.prepare(&self.place, self.direction)
    }

    fn write_job(&self) -> Result<()> {
        let Trial { settings, options, .. } = self;
        let key = match self.direction {
            Direction::Sink => self.outside.key(),
            Direction::Source => self.outside.source_columns(),
        };
        let outside = self.outside.options(&self.place, self.direction);
        let format = if self.outside.has_changes() { "debezium-json" } else { "json" };
        let topic = |name: &str, options: &str| {
            format!("'connector' = 'kafka', 'topic' = '{name}', 'format' = '{format}'{options}")
        };
        let (tables, job) = match self.direction {
            Direction::Source => (
                format!("CREATE TABLE {LANDED} (k BIGINT, n BIGINT) WITH ({});\n", topic(LANDED, "")),
                format!("INSERT INTO {LANDED} SELECT k, n FROM outside;\n"),
            ),
            Direction::Sink => {
                let earliest = ", 'scan.startup.mode' = 'earliest-offset'";
                (
                    format!(
                        "CREATE TABLE {NUMBERS} (k BIGINT, n BIGINT) WITH ({});\n",
                        topic(NUMBERS, earliest)
                    ),
                    format!("INSERT INTO outside SELECT k, n FROM {NUMBERS};\n"),
                )
            }
        };
        let job = self.job.clone().unwrap_or(job);
        let text = format!(
            "{settings}CREATE TABLE outside (k BIGINT, n BIGINT{key}) WITH ({outside}{options});\n{tables}{job}"
        );
        Ok(std::fs::write(self.place.folder.join("job.sql"), text)?)
    }

    fn log(&self) -> PathBuf {
        self.place.folder.join("node.log")
    }

    /// What the node has said since it was started last.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts the node with the job, on the data that it has; what has waited for it is put.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])?;
        self.put_waiting()
    }

    /// Starts a job that must fail, which may be before the node has taken what waits for it.
    pub fn start_to_fail(&mut self) -> Result<()> {
        self.start_with(&[])?;
        let Err(error) = self.put_waiting() else { return Ok(()) };
        let ended = self.wait_for("the job has failed", |trial| {
            let node = trial.node.as_mut().context("the node is not there")?;
            Ok(node.ended()?.map(drop))
        });
        ended.with_context(|| format!("{error:#}"))
    }

    /// The same with more options, one of which may be to be killed at a point; nothing is put.
    pub fn start_with(&mut self, options: &[&str]) -> Result<()> {
        self.write_job()?;
        let mut command = node::command()?;
        command.current_dir(&self.place.folder).args(["run", "job.sql", "--data", "data", "--keep-running"]);
        command.args(["--kafka", &self.address(), "--http", "127.0.0.1:0"]).args(options);
        let log = std::fs::File::create(self.log())?;
        self.node = Some(Group::spawn(command.stdout(Stdio::null()).stderr(log))?);
        self.has_started = true;
        Ok(())
    }

    /// Asks the node to stop, which it must do in good order.
    pub fn stop(&mut self) -> Result<()> {
        let mut node = self.node.take().context("the node is not there")?;
        let status = node.stop(LIMIT)?;
        ensure!(status.success(), "the node ended with {status} when asked to stop\n{}", self.said());
        Ok(())
    }

    /// Kills the node as it stands.
    pub fn kill(&mut self) {
        // Dropped, it is killed.
        drop(self.node.take());
    }

    /// Lets the node live so long, or until it has killed itself.
    pub fn live(&mut self, time: Duration) -> Result<()> {
        self.live_until(time, |_| Ok(false)).map(drop)
    }

    /// The same, or until it is so; answers whether it is.
    pub fn live_until(
        &mut self,
        time: Duration,
        is_so: impl Fn(&dyn Outside) -> Result<bool>,
    ) -> Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.has_ended()? {
            if is_so(self.outside)? {
                return Ok(true);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(false)
    }

    /// Whether the node was started and has killed itself, as it was told to. One that ended in another way has failed.
    pub fn has_ended(&mut self) -> Result<bool> {
        let Some(node) = &mut self.node else { return Ok(false) };
        match node.ended()? {
            None => Ok(false),
            Some(status) if status.signal() == Some(Signal::KILL.as_raw()) => Ok(true),
            Some(status) => bail!("the node ended by itself with {status}; it said\n{}", self.said()),
        }
    }

    /// Waits until the node has ended by itself.
    pub fn wait_ended(&mut self) -> Result<bool> {
        let mut node = self.node.take().context("the node is not there")?;
        let status = node.wait(LIMIT).with_context(|| format!("it said\n{}", self.said()))?;
        Ok(status.success())
    }

    /// Waits until the node has ended with an error that says this.
    pub fn wait_refused(&mut self, part: &str) -> Result<()> {
        let succeeded = self.wait_ended()?;
        let said = self.said();
        ensure!(
            !succeeded && said.contains(part),
            "it should have ended and said '{part}', and said\n{said}"
        );
        Ok(())
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client of the node, once it is up.
    fn client(&mut self) -> Result<Client> {
        let address = self.address();
        self.wait_for("the node takes clients", |_| match Client::connect(&address, "conformance") {
            Ok(client) => Ok(Some(client)),
            Err(error) if passes(&error) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Looks until there is something, or the node ends, or the time is over.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Trial<'a>) -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if let Some(node) = &mut self.node
                && let Some(status) = node.ended()?
            {
                bail!("the node ended with {status} before {what}; it said\n{}", self.said());
            }
            ensure!(begun.elapsed() < LIMIT, "not in {LIMIT:?}: {what}; the node said\n{}", self.said());
            std::thread::sleep(PAUSE);
        }
    }

    /// Puts the next numbers where the job reads. What cannot be put now is put when the node starts; a source that
    /// reads only what is there at its start gets nothing later.
    pub fn put(&mut self, count: u64) -> Result<()> {
        self.have_wait(count)?;
        if self.node.is_some() { self.put_waiting() } else { Ok(()) }
    }

    /// The same while the node may die over it: then what it has not taken waits on.
    pub fn put_while_it_lives(&mut self, count: u64) -> Result<()> {
        const END_LIMIT: Duration = Duration::from_secs(30);
        self.have_wait(count)?;
        let put = self.put_waiting();
        if put.is_err() {
            self.live(END_LIMIT)?;
            if self.has_ended()? {
                return Ok(());
            }
        }
        put
    }

    fn have_wait(&mut self, count: u64) -> Result<()> {
        match self.direction {
            Direction::Source if self.outside.is_bounded() && self.has_started => return Ok(()),
            Direction::Source if count == 0 => {}
            Direction::Source => self.outside.put(&self.place, self.next..self.next + count)?,
            Direction::Sink => {
                let from = self.waiting.as_ref().map_or(self.next, |waiting| waiting.start);
                self.waiting = Some(from..self.next + count);
            }
        }
        self.next += count;
        Ok(())
    }

    /// How many numbers the job is to have.
    pub fn put_so_far(&self) -> u64 {
        self.next
    }

    fn put_waiting(&mut self) -> Result<()> {
        let Some(mut numbers) = self.waiting.clone() else { return Ok(()) };
        let mut client = self.client()?;
        // The job makes it too, whoever comes first.
        let _ = client.create_topic(NUMBERS, 1, 1, &[]);
        // What a node took before it died lies there: a number is its offset.
        let there = client.list_offsets(NUMBERS, 0, OffsetSpec::Latest)?.offset;
        let there = u64::try_from(there)?;
        // What was acknowledged is not among those that wait.
        ensure!(
            there >= numbers.start,
            "the node has lost what it acknowledged: {there} of {}",
            numbers.start
        );
        numbers.start = there;
        // Nobody has pinned them before the job has begun: with old times retention may take them first.
        let now_ms = Os::real().clock.now_ms();
        let mut batch = BatchBuilder::new(Compression::None);
        for n in numbers {
            batch.append(now_ms, None, Some(json(n).as_bytes()), &[])?;
        }
        if !batch.is_empty() {
            client.produce(NUMBERS, 0, batch.build()?, ACKS_ALL)?;
        }
        self.waiting = None;
        Ok(())
    }

    /// The numbers that have come, as far as the node is up to tell.
    pub fn arrived(&mut self) -> Result<Vec<u64>> {
        if self.direction == Direction::Sink {
            return self.outside.read(&self.place);
        }
        let mut client = self.client()?;
        match records(&mut client, LANDED, 1) {
            Ok(records) => {
                records.iter().map(|record| number(record.value.as_deref().unwrap_or_default())).collect()
            }
            Err(error) if passes(&error) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until so many different numbers have come.
    pub fn wait_some(&mut self, count: u64) -> Result<()> {
        let mut there = 0;
        let waited = self.wait_for(&format!("{count} numbers come"), |trial| {
            let mut arrived = trial.arrived()?;
            arrived.sort();
            arrived.dedup();
            there = arrived.len() as u64;
            Ok((there >= count).then_some(()))
        });
        waited.with_context(|| format!("{there} of {count} numbers are there"))
    }

    /// Waits until all that was put has come, and looks at it.
    pub fn wait_all(&mut self) -> Result<()> {
        self.wait_all_but(&[])
    }

    /// The same without some numbers, which must not have come.
    pub fn wait_all_but(&mut self, missing: &[u64]) -> Result<()> {
        let next = self.next;
        self.wait_some(next - missing.len() as u64)?;
        let arrived = self.arrived()?;
        self.check(&arrived, missing)
    }

    /// Every number once, those of a key in their order; more than once, or in another order, where no more is promised.
    fn check(&self, arrived: &[u64], missing: &[u64]) -> Result<()> {
        self.compare(arrived, missing).map_err(|error| WrongNumbers(error.to_string()).into())
    }

    fn compare(&self, arrived: &[u64], missing: &[u64]) -> Result<()> {
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
        let once = !self.outside.may_repeat(self.direction);
        let in_order = once && self.outside.keeps_order(self.direction);
        for n in arrived {
            let times = times.entry(*n).or_default();
            *times += 1;
            ensure!(*times == 1 || !once, "the number {n} came {times} times");
            let newest = newest.entry(n % KEYS).or_default();
            ensure!(*newest <= *n || !in_order, "{n} came after {newest}, which has the same key");
            *newest = *n;
        }
        let is_wanted = |n: &u64| *n < self.next && !missing.contains(n);
        let lost: Vec<u64> =
            (0..self.next).filter(|n| is_wanted(n) && !times.contains_key(n)).take(5).collect();
        let added: Vec<u64> = times.into_keys().filter(|n| !is_wanted(n)).take(5).collect();
        ensure!(lost.is_empty() && added.is_empty(), "lost: {lost:?}…, came from nowhere: {added:?}…");
        Ok(())
    }

    /// The records of the dead-letter topic.
    pub fn letters(&mut self) -> Result<Vec<Letter>> {
        let mut client = self.client()?;
        match records(&mut client, LETTERS, 1) {
            Ok(records) => Ok(records.into_iter().map(Letter::of).collect()),
            Err(error) if passes(&error) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The sum of a metric of the job; none while the node does not tell.
    pub fn metric(&self, name: &str) -> Result<Option<f64>> {
        let page = self.get("/metrics")?;
        let values = page.lines().filter_map(|line| {
            let (metric, value) = line.rsplit_once(' ')?;
            (metric.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        });
        let values: Vec<f64> = values.collect();
        Ok((!values.is_empty()).then(|| values.iter().sum()))
    }

    /// Asks the node over HTTP.
    pub fn get(&self, path: &str) -> Result<String> {
        let Ok(text) = std::fs::read_to_string(self.place.folder.join("data/node.json")) else {
            return Ok(String::new());
        };
        let addresses: Value = serde_json::from_str(&text)?;
        let address = addresses["http"].as_str().unwrap_or_default();
        let request = Request { method: "GET", address, path, headers: &[], body: &[] };
        match exchange(Os::real().network.as_ref(), &request, ANSWER_LIMIT) {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            // It has not come up yet, or the file is of its last life.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the job says that the outside fails, and goes on.
    pub fn wait_failing(&mut self) -> Result<()> {
        let name = match self.direction {
            Direction::Source => "eventwright_job_feed_failing",
            Direction::Sink => "eventwright_job_outbox_failing",
        };
        self.wait_for("the job says that the outside fails", |trial| {
            Ok(trial.metric(name)?.filter(|failing| *failing > 0.0).map(drop))
        })
    }

    /// Has the job write to a database as well, which somebody else holds until what is answered goes.
    pub fn block(&mut self) -> Result<rusqlite::Connection> {
        let database = rusqlite::Connection::open(self.place.folder.join("blocked.db"))?;
        database.execute_batch("CREATE TABLE blocked (k INTEGER, n INTEGER PRIMARY KEY); BEGIN EXCLUSIVE")?;
        self.job = Some(format!(
            "CREATE TABLE blocked (k BIGINT, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:blocked.db',
  'table-name' = 'blocked', 'sink.max-retries' = '0');
EXECUTE STATEMENT SET BEGIN
INSERT INTO {LANDED} SELECT k, n FROM outside;
INSERT INTO blocked SELECT k, n FROM outside;
END;
"
        ));
        Ok(database)
    }

    /// Waits until the job has taken all that was put, or takes no more; answers whether it left something.
    pub fn holds_back(&mut self) -> Result<bool> {
        // So often it is looked at without a change before that counts as no more.
        const LOOKS: u32 = 40;
        let name = match self.direction {
            Direction::Source => "eventwright_job_feed_records_total",
            Direction::Sink => "eventwright_job_rows_in_total",
        };
        let (mut before, mut looks) = (-1.0, 0);
        self.wait_for("the job takes some or no more", |trial| {
            let taken = trial.metric(name)?.unwrap_or_default();
            looks = if taken == before { looks + 1 } else { 0 };
            before = taken;
            if taken >= trial.next as f64 {
                return Ok(Some(false));
            }
            Ok((taken > 0.0 && looks >= LOOKS).then_some(true))
        })
    }

    /// Takes a record of another topic, and answers within a bounded time: the node is well, whatever the outside does.
    pub fn node_works(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut client = self.client()?;
        let _ = client.create_topic("beside", 1, 1, &[]);
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(0, None, Some(b"well"), &[])?;
        client.produce("beside", 0, batch.build()?, ACKS_ALL)?;
        ensure!(!self.get("/jobs/overview")?.is_empty(), "the node does not tell of its jobs");
        ensure!(begun.elapsed() < ANSWER_LIMIT, "the node took {:?} for a record", begun.elapsed());
        Ok(())
    }
}

/// Whether the node may yet do it.
fn passes(error: &ClientError) -> bool {
    use base::ErrorKind::{NotFound, Retry, Unavailable};
    matches!(error.kind(), Unavailable | Retry | NotFound)
}

/// The number in a row as the suite writes it.
pub fn number(row: &[u8]) -> Result<u64> {
    let row: Value = serde_json::from_slice(row)?;
    // Of a change, the row that it leaves.
    let values = row.get("after").unwrap_or(&row);
    values["n"].as_u64().with_context(|| format!("no number in {row}"))
}

/// A dead letter.
pub struct Letter {
    pub value: Vec<u8>,
    pub reason: String,
    pub origin: String,
}

impl Letter {
    fn of(record: FetchedRecord) -> Letter {
        let header = |name: &str| {
            let found = record.headers.iter().find(|(key, _)| key == name.as_bytes());
            let value = found.and_then(|(_, value)| value.as_deref()).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        Letter {
            reason: header("reason"),
            origin: header("origin"),
            value: record.value.as_deref().unwrap_or_default().to_vec(),
        }
    }
}

/// The committed records of a topic, partition by partition.
pub fn records(client: &mut Client, topic: &str, partitions: i32) -> Result<Vec<FetchedRecord>, ClientError> {
    let mut found = Vec::new();
    for partition in 0..partitions {
        let mut next = 0;
        loop {
            let mut fetched = client.fetch_isolated(
                topic,
                partition,
                next,
                FETCH_BYTES_MAX,
                Duration::ZERO,
                Isolation::ReadCommitted,
            )?;
            for record in fetched.by_ref() {
                found.push(record?);
            }
            if fetched.next_offset() >= fetched.last_stable_offset {
                break;
            }
            next = fetched.next_offset();
        }
    }
    Ok(found)
}
