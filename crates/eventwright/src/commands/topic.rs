//! `topic`: list, create, describe, delete topics; produce to them and consume from them.

use crate::cli::{ClientArguments, Codec, ConsumeArguments, Form, ProduceArguments, TopicVerb};
use crate::output::{print_table, thousands, timestamp};
use crate::signals::Interrupt;
use anyhow::{Context, bail};
use base::ErrorKind;
use kafka_client::{Client, ClientOptions, ConfigResource, FetchedRecord, OffsetSpec, Security};
use kafka_wire::messages::metadata_response::MetadataResponseTopic;
use kafka_wire::partitioner::partition_of_key;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::time::Duration;

/// A batch is sent when it has grown to this size …
const BATCH_BYTES: usize = 256 << 10;
/// … and so many may wait for their acknowledgement.
const BATCHES_PENDING_MAX: usize = 4;
const FETCH_BYTES_MAX: i32 = 4 << 20;
const LEADERS_WAIT: Duration = Duration::from_secs(30);
const LEADERS_LOOK_MS: u64 = 100;
const FETCH_WAIT: Duration = Duration::from_millis(250);

pub fn topic(verb: &TopicVerb) -> anyhow::Result<()> {
    match verb {
        TopicVerb::List { internal, client } => list(*internal, client),
        TopicVerb::Create { topic, partitions, configs, client } => {
            create(topic, *partitions, configs, client)
        }
        TopicVerb::Describe { topic, client } => describe(topic, client),
        TopicVerb::Delete { topic, client } => {
            connect(client)?.delete_topics(&[topic])?;
            eprintln!("topic {topic} is deleted");
            Ok(())
        }
        TopicVerb::Produce(arguments) => produce(arguments),
        TopicVerb::Consume(arguments) => consume(arguments),
    }
}

pub fn connect(arguments: &ClientArguments) -> anyhow::Result<Client> {
    let mut options = ClientOptions::new("eventwright");
    if let Some(file) = &arguments.command_config {
        options.security = Security::from_file(file)?;
    }
    Ok(Client::connect_with(&arguments.bootstrap, options)?)
}

/// A topic's description; an error when there is none, without creating it.
pub fn find_topic(client: &mut Client, topic: &str) -> anyhow::Result<MetadataResponseTopic> {
    let all = client.metadata(None)?.topics;
    let names: Vec<String> = all.iter().filter_map(|found| found.name.clone()).collect();
    match all.into_iter().find(|found| found.name.as_deref() == Some(topic)) {
        Some(found) => Ok(found),
        None => {
            let near = base::nearest(topic, names.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            bail!("there is no topic '{topic}'{hint}")
        }
    }
}

pub fn partitions_of(topic: &MetadataResponseTopic) -> Vec<i32> {
    let mut partitions: Vec<i32> =
        topic.partitions.iter().map(|partition| partition.partition_index).collect();
    partitions.sort_unstable();
    partitions
}

fn list(internal: bool, arguments: &ClientArguments) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let mut topics = client.metadata(None)?.topics;
    topics.retain(|topic| internal || !topic.is_internal);
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rows = Vec::new();
    for topic in &topics {
        let name = topic.name.clone().unwrap_or_default();
        let mut records = 0;
        for partition in partitions_of(topic) {
            let (first, end) = bounds(&mut client, &name, partition)?;
            records += end - first;
        }
        rows.push((name, topic.partitions.len(), records));
    }
    match arguments.output {
        Form::Json => print_json(rows.iter().map(|(name, partitions, records)| {
            json!({"topic": name, "partitions": partitions, "records": records})
        })),
        Form::Text => {
            let rows: Vec<Vec<String>> = rows
                .into_iter()
                .map(|(name, partitions, records)| vec![name, partitions.to_string(), thousands(records.max(0) as u64)])
                .collect();
            Ok(print_table(&mut std::io::stdout(), &["TOPIC", "PARTITIONS", "RECORDS"], &rows)?)
        }
    }
}

pub fn bounds(client: &mut Client, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
    let first = client.list_offsets(topic, partition, OffsetSpec::Earliest)?.offset;
    let end = client.list_offsets(topic, partition, OffsetSpec::Latest)?.offset;
    Ok((first, end))
}

fn create(
    topic: &str,
    partitions: i32,
    configs: &[String],
    arguments: &ClientArguments,
) -> anyhow::Result<()> {
    let mut pairs = Vec::new();
    for config in configs {
        let Some(pair) = config.split_once('=') else {
            bail!("--config '{config}' has no '=': write --config retention.ms=86400000");
        };
        pairs.push(pair);
    }
    connect(arguments)?.create_topic(topic, partitions, 1, &pairs)?;
    eprintln!(
        "topic {topic} is created with {partitions} {}",
        if partitions == 1 { "partition" } else { "partitions" }
    );
    Ok(())
}

fn describe(topic: &str, arguments: &ClientArguments) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let found = find_topic(&mut client, topic)?;
    let mut partitions = Vec::new();
    for partition in partitions_of(&found) {
        let (first, end) = bounds(&mut client, topic, partition)?;
        partitions.push((partition, first, end));
    }
    // 1 is the source of what was set on the topic itself; the rest are defaults.
    let configs = client.describe_configs(ConfigResource::Topic(topic))?;
    let configs: Vec<(String, String, bool)> = configs
        .into_iter()
        .map(|config| (config.name, config.value.unwrap_or_default(), config.config_source == 1))
        .collect();
    if arguments.output == Form::Json {
        let partitions: Vec<Value> = partitions
            .iter()
            .map(|(partition, first, end)| json!({"partition": partition, "first_offset": first, "end_offset": end}))
            .collect();
        let configs: serde_json::Map<String, Value> =
            configs.iter().map(|(name, value, _)| (name.clone(), json!(value))).collect();
        println!("{}", json!({"topic": topic, "partitions": partitions, "config": configs}));
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    let rows: Vec<Vec<String>> = partitions
        .iter()
        .map(|(partition, first, end)| {
            let records = thousands((end - first).max(0) as u64);
            vec![partition.to_string(), first.to_string(), end.to_string(), records]
        })
        .collect();
    print_table(&mut out, &["PARTITION", "FIRST OFFSET", "END OFFSET", "RECORDS"], &rows)?;
    writeln!(out)?;
    let rows: Vec<Vec<String>> = configs
        .into_iter()
        .map(|(name, value, set)| vec![name, value, if set { "topic" } else { "default" }.to_string()])
        .collect();
    print_table(&mut out, &["CONFIG", "VALUE", "FROM"], &rows)?;
    Ok(())
}

fn compression(codec: Codec) -> Compression {
    match codec {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

/// Waits until a topic that has just been made takes records, and answers how many partitions it has: a cluster tells of it before
/// every leader knows.
fn wait_for_leaders(client: &mut Client, topic: &str, interrupt: &Interrupt) -> anyhow::Result<u32> {
    let clock = Os::real().clock;
    let begun_ns = clock.monotonic_ns();
    loop {
        let ready = find_topic(client, topic).and_then(|found| {
            for partition in partitions_of(&found) {
                client.list_offsets(topic, partition, OffsetSpec::Latest)?;
            }
            Ok(found.partitions.len() as u32)
        });
        let waited_ns = u128::from(clock.monotonic_ns() - begun_ns);
        if ready.is_ok() || waited_ns > LEADERS_WAIT.as_nanos() || interrupt.wait_timeout(LEADERS_LOOK_MS) {
            return ready;
        }
    }
}

/// Lines become records; batches are pipelined, and every acknowledgement is waited for.
fn produce(arguments: &ProduceArguments) -> anyhow::Result<()> {
    let os = Os::real();
    let interrupt = Interrupt::listen()?;
    let mut client = connect(&arguments.client)?;
    let partitions = match find_topic(&mut client, &arguments.topic) {
        Ok(found) => found.partitions.len() as u32,
        Err(_) => {
            // As Kafka's own producers: a topic that is missing is made, with the node's default partitions.
            match client.create_topic(&arguments.topic, -1, -1, &[]) {
                Ok(_) => eprintln!("topic {} did not exist: it is created", arguments.topic),
                // Somebody else was faster.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
            wait_for_leaders(&mut client, &arguments.topic, &interrupt)?
        }
    };
    let partitions = partitions.max(1);
    let input: Box<dyn BufRead> = match &arguments.file {
        Some(file) => {
            let opened =
                std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            Box::new(BufReader::new(opened))
        }
        None => {
            if std::io::stdin().is_terminal() {
                eprintln!("each line becomes a record; end with Ctrl-D");
            }
            Box::new(BufReader::new(std::io::stdin()))
        }
    };
    let mut producer = Producer {
        client,
        topic: &arguments.topic,
        compression: compression(arguments.compression),
        open: BTreeMap::new(),
        pending: Default::default(),
        acknowledged: 0,
    };
    // Lines typed by hand, and lines at a rate, are sent one by one; a file goes in full batches.
    let is_slow = arguments.rate.is_some() || (arguments.file.is_none() && std::io::stdin().is_terminal());
    let begun_ns = os.clock.monotonic_ns();
    for (number, line) in (0u64..).zip(input.split(b'\n')) {
        if interrupt.is_set() {
            break;
        }
        let line = line.context("cannot read the input")?;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (key, value) = match arguments.key_separator.as_deref().filter(|separator| !separator.is_empty())
        {
            None => (None, line),
            Some(separator) => match find(line, separator.as_bytes()) {
                Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
                None => bail!("line {} has no key separator '{separator}'", number + 1),
            },
        };
        let partition = match (arguments.partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, partitions) as i32,
            (None, None) => (number % u64::from(partitions)) as i32,
        };
        producer.push(partition, os.clock.now_ms(), key, value)?;
        if is_slow {
            producer.send_all()?;
        }
        if let Some(rate) = arguments.rate {
            let due_ns = begun_ns + (number + 1) * 1_000_000_000 / u64::from(rate);
            let wait_ms = due_ns.saturating_sub(os.clock.monotonic_ns()) / 1_000_000;
            interrupt.wait_timeout(wait_ms);
        }
    }
    producer.send_all()?;
    producer.wait(0)?;
    eprintln!("{} records are durable in {}", thousands(producer.acknowledged), arguments.topic);
    Ok(())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

struct Producer<'a> {
    client: Client,
    topic: &'a str,
    compression: Compression,
    open: BTreeMap<i32, BatchBuilder>,
    pending: std::collections::VecDeque<(kafka_client::ProduceTicket, u64)>,
    acknowledged: u64,
}

impl Producer<'_> {
    fn push(&mut self, partition: i32, now_ms: i64, key: Option<&[u8]>, value: &[u8]) -> anyhow::Result<()> {
        let builder = self.open.entry(partition).or_insert_with(|| BatchBuilder::new(self.compression));
        builder.append(now_ms, key, Some(value), &[])?;
        if builder.size_bytes() >= BATCH_BYTES {
            self.send(partition)?;
        }
        Ok(())
    }

    fn send(&mut self, partition: i32) -> anyhow::Result<()> {
        let Some(builder) = self.open.remove(&partition) else { return Ok(()) };
        let records = builder.count() as u64;
        let ticket = self.client.send_produce(self.topic, partition, builder.build()?, -1)?;
        self.pending.push_back((ticket, records));
        self.wait(BATCHES_PENDING_MAX)
    }

    fn send_all(&mut self) -> anyhow::Result<()> {
        while let Some(partition) = self.open.keys().next().copied() {
            self.send(partition)?;
        }
        Ok(())
    }

    /// Waits until at most `pending_max` batches are not acknowledged.
    fn wait(&mut self, pending_max: usize) -> anyhow::Result<()> {
        while self.pending.len() > pending_max {
            let Some((ticket, records)) = self.pending.pop_front() else { break };
            self.client.receive_produce(ticket)?;
            self.acknowledged += records;
        }
        Ok(())
    }
}

fn consume(arguments: &ConsumeArguments) -> anyhow::Result<()> {
    let interrupt = Interrupt::listen()?;
    let mut client = connect(&arguments.client)?;
    let topic = arguments.topic.as_str();
    let mut partitions = partitions_of(&find_topic(&mut client, topic)?);
    if let Some(wanted) = arguments.partition {
        if !partitions.contains(&wanted) {
            bail!("topic '{topic}' has no partition {wanted}; it has {} partitions", partitions.len());
        }
        partitions = vec![wanted];
    }
    // Without --follow, reading ends where each partition ended at the start.
    let mut cursors = Vec::new();
    for partition in partitions {
        let (first, end) = bounds(&mut client, topic, partition)?;
        let start = match (arguments.offset, arguments.since) {
            (Some(offset), _) => offset.clamp(first, end),
            (None, Some(since)) => {
                let found = client.list_offsets(topic, partition, OffsetSpec::Timestamp(since))?.offset;
                if found < 0 { end } else { found }
            }
            (None, None) => first,
        };
        cursors.push((partition, start, end));
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut printed = 0;
    let wait = if cursors.len() == 1 { FETCH_WAIT } else { FETCH_WAIT / 5 };
    loop {
        let mut at_end = true;
        for (partition, next, end) in &mut cursors {
            if !arguments.follow && *next >= *end {
                continue;
            }
            at_end = false;
            let wait = if arguments.follow { wait } else { Duration::ZERO };
            let mut fetched = client.fetch(topic, *partition, *next, FETCH_BYTES_MAX, wait)?;
            for record in fetched.by_ref() {
                let record = record?;
                if !arguments.follow && record.offset >= *end {
                    break;
                }
                if !wanted(&record, arguments) {
                    continue;
                }
                print_record(&mut out, *partition, &record, arguments.client.output)?;
                printed += 1;
                if arguments.max.is_some_and(|max| printed >= max) {
                    return Ok(out.flush()?);
                }
            }
            *next = fetched.next_offset().max(*next);
        }
        out.flush()?;
        if interrupt.is_set() || (at_end && !arguments.follow) {
            return Ok(());
        }
    }
}

fn wanted(record: &FetchedRecord, arguments: &ConsumeArguments) -> bool {
    let key_fits = arguments.key.as_ref().is_none_or(|key| record.key.as_deref() == Some(key.as_bytes()));
    let value = record.value.as_deref().unwrap_or_default();
    key_fits
        && arguments
            .contains
            .as_ref()
            .is_none_or(|text| text.is_empty() || find(value, text.as_bytes()).is_some())
}

fn print_record(
    out: &mut impl Write,
    partition: i32,
    record: &FetchedRecord,
    form: Form,
) -> anyhow::Result<()> {
    match form {
        Form::Text => {
            if let Some(key) = &record.key {
                out.write_all(key)?;
                out.write_all(b"\t")?;
            }
            out.write_all(record.value.as_deref().unwrap_or(b"NULL"))?;
            out.write_all(b"\n")?;
        }
        Form::Json => {
            let headers: Vec<Value> = record
                .headers
                .iter()
                .map(|(key, value)| json!([text(Some(key)), text(value.as_deref())]))
                .collect();
            let line = json!({
                "partition": partition,
                "offset": record.offset,
                "timestamp_ms": record.timestamp,
                "time": timestamp(record.timestamp),
                "key": text(record.key.as_deref()),
                // A value that is JSON stays JSON, so that other tools can go on with it.
                "value": record.value.as_deref().map_or(Value::Null, |value| {
                    serde_json::from_slice(value).unwrap_or_else(|_| text(Some(value)))
                }),
                "headers": headers,
            });
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

pub fn text(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// One JSON array of all rows.
pub fn print_json(rows: impl Iterator<Item = Value>) -> anyhow::Result<()> {
    println!("{}", Value::Array(rows.collect()));
    Ok(())
}
