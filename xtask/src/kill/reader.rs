//! A consumer of every topic of a run, which the node's death only interrupts.
//!
//! It keeps a hash of each record by offset. After each reconnection it reads the last records again: an offset that
//! holds another record than before, one that is left out, and an end that lies before what was seen are errors. At the
//! end of a run everything is read once more from the first offset.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kafka_client::{Client, ClientOptions, OffsetSpec};
use kafka_wire::ErrorCode;

/// Records that are read again after a reconnection.
const AGAIN_MAX: usize = 2000;
const FETCH_BYTES_MAX: i32 = 4 * 1024 * 1024;
/// Between two looks at a node that is down, or at topics without news.
const PAUSE: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_secs(20);

/// A consumer at work.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

impl Reader {
    pub fn start(address: &str, topics: &[String]) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let mut seen = Seen::new(topics);
        let (address, stopped) = (address.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                match seen.follow(&address, &stopped) {
                    Ok(()) => {}
                    // The node is down, or went down.
                    Err(Interrupted::ByNode) => std::thread::sleep(PAUSE),
                    Err(Interrupted::ByViolation(error)) => return Err(error),
                }
            }
            Ok(seen)
        });
        Reader { stop, thread }
    }

    /// Ends the consumer and returns what it saw.
    pub fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| bail!("the consumer's thread panicked"))
    }
}

/// Hashes of the records of each topic, by offset.
pub struct Seen {
    topics: Vec<(String, Vec<u64>)>,
    pub connections: u64,
}

enum Interrupted {
    ByNode,
    ByViolation(anyhow::Error),
}

impl Seen {
    fn new(topics: &[String]) -> Seen {
        Seen { topics: topics.iter().map(|topic| (topic.clone(), Vec::new())).collect(), connections: 0 }
    }

    /// Connects and reads what is new until stopped or interrupted.
    fn follow(&mut self, address: &str, stopped: &AtomicBool) -> Result<(), Interrupted> {
        let mut client = connect(address).map_err(|_| Interrupted::ByNode)?;
        self.connections += 1;
        let mut positions: Vec<usize> =
            self.topics.iter().map(|(_, records)| records.len().saturating_sub(AGAIN_MAX)).collect();
        while !stopped.load(Ordering::Acquire) {
            let mut news = false;
            for (place, position) in positions.iter_mut().enumerate() {
                news |= self.read(&mut client, place, position)?;
            }
            if !news {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Reads one topic on from a position; returns whether there was something.
    fn read(&mut self, client: &mut Client, place: usize, position: &mut usize) -> Result<bool, Interrupted> {
        let (topic, records) = &mut self.topics[place];
        let fetched = match client.fetch(topic, 0, *position as i64, FETCH_BYTES_MAX, Duration::ZERO) {
            Ok(fetched) => fetched,
            Err(error) => match error.code() {
                // The job has not made the topic yet.
                Some(ErrorCode::UnknownTopicOrPartition) if records.is_empty() => return Ok(false),
                Some(code) => {
                    let violation = anyhow::anyhow!("topic={topic} offset={position}: code={code}");
                    return Err(Interrupted::ByViolation(violation));
                }
                None => return Err(Interrupted::ByNode),
            },
        };
        let before = *position;
        for record in fetched {
            let record = record.map_err(|error| Interrupted::ByViolation(error.into()))?;
            compare(records, *position, record.offset, hash(&(record.key, record.value)))
                .with_context(|| format!("topic={topic}"))
                .map_err(Interrupted::ByViolation)?;
            *position += 1;
        }
        Ok(*position > before)
    }

    /// Reads all topics from their first offset to their ends; returns the number of records.
    pub fn check_all(&mut self, address: &str) -> Result<u64> {
        let mut client = connect(address)?;
        let mut total = 0;
        for place in 0..self.topics.len() {
            let topic = self.topics[place].0.clone();
            let end = client.list_offsets(&topic, 0, OffsetSpec::Latest)?.offset;
            let mut position = 0;
            while (position as i64) < end {
                match self.read(&mut client, place, &mut position) {
                    Ok(true) => {}
                    Ok(false) => {
                        bail!("topic={topic} gives nothing at offset={position} before its end={end}")
                    }
                    Err(Interrupted::ByNode) => bail!("the node went away"),
                    Err(Interrupted::ByViolation(error)) => return Err(error),
                }
            }
            let seen = self.topics[place].1.len();
            ensure!(seen == position, "topic={topic} ends at {position}, but records={seen} were seen");
            total += position as u64;
        }
        Ok(total)
    }
}

/// What is read at a position must be the record of that offset, and what was read there before.
fn compare(records: &mut Vec<u64>, position: usize, offset: i64, hash: u64) -> Result<()> {
    ensure!(offset == position as i64, "offset={offset} came where offset={position} was due");
    match records.get(position) {
        Some(known) => ensure!(*known == hash, "offset={offset} holds another record than before"),
        None => records.push(hash),
    }
    Ok(())
}

fn connect(address: &str) -> Result<Client> {
    let mut options = ClientOptions::new("kill-test");
    options.connect_timeout = TIMEOUT;
    options.request_timeout = TIMEOUT;
    Ok(Client::connect_with(address, options)?)
}

fn hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn an_offset_keeps_its_record_and_none_is_left_out() {
        let mut records = vec![];
        compare(&mut records, 0, 0, 7).unwrap();
        compare(&mut records, 1, 1, 8).unwrap();
        compare(&mut records, 0, 0, 7).unwrap();
        assert!(compare(&mut records, 1, 1, 9).is_err());
        assert!(compare(&mut records, 2, 3, 9).is_err());
        assert_eq!(records, [7, 8]);
    }
}
