//! The producers: each writes numbered records to the node that writes, wherever that is, and keeps what it was told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kafka_client::{Client, ClientError, ClientOptions, ProducerId};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Clock;
use os::clock::RealClock;

use super::jobs;

pub const REMOTE: &str = "remote";
pub const PLAIN: &str = "plain";
pub const PRODUCERS: usize = 2;
/// Of writers: not longer than it takes to find that a node does not answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Of whoever reads everything back from a node that is there.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// An acknowledged record of the topic without `durability=remote`.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub number: u64,
    pub at: Instant,
    /// Of its batch.
    pub bytes: u64,
}

/// What the producers were told.
#[derive(Debug, Default)]
pub struct Written {
    /// By producer, how many records are acknowledged, from 0 on.
    pub remote: Vec<u64>,
    pub plain: Vec<Vec<Acknowledged>>,
}

/// Shared by a run's producers.
struct Common {
    address: Mutex<String>,
    stop: AtomicBool,
    gives_up: AtomicBool,
    plain: Vec<Mutex<Vec<Acknowledged>>>,
}

pub struct Writers {
    common: Arc<Common>,
    remote: Vec<JoinHandle<Result<u64>>>,
    plain: Vec<JoinHandle<Result<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value names its producer and its place there.
pub fn value(producer: usize, number: u64) -> String {
    format!("{producer}:{number}:{}", "x".repeat((number % 300) as usize))
}

pub fn connect(address: &str, timeout: Duration) -> Result<Client, ClientError> {
    let mut options = ClientOptions::new("kill-remote");
    (options.connect_timeout, options.request_timeout) = (timeout, timeout);
    Client::connect_with(address, options)
}

pub fn create_topics(address: &str) -> Result<()> {
    let mut client = connect(address, TIMEOUT)?;
    client.create_topic(REMOTE, 1, 1, &[("durability", "remote")])?;
    client.create_topic(PLAIN, 1, 1, &[])?;
    jobs::create_topics(&mut client)
}

impl Writers {
    pub fn start(address: &str) -> Result<Writers> {
        let common = Arc::new(Common {
            address: Mutex::new(address.to_owned()),
            stop: AtomicBool::new(false),
            gives_up: AtomicBool::new(false),
            plain: (0..PRODUCERS).map(|_| Mutex::default()).collect(),
        });
        let remote = (0..PRODUCERS).map(|number| {
            let common = Arc::clone(&common);
            std::thread::spawn(move || write_remote(&common, number))
        });
        let remote = remote.collect();
        let plain = (0..PRODUCERS).map(|number| {
            let common = Arc::clone(&common);
            std::thread::spawn(move || write_plain(&common, number))
        });
        let plain = plain.collect();
        Ok(Writers { common, remote, plain })
    }

    /// Another node writes now.
    pub fn go_to(&self, address: &str) {
        *lock(&self.common.address) = address.to_owned();
    }

    /// What was acknowledged so far of the topic without `durability=remote`, by producer.
    pub fn plain(&self) -> Vec<Vec<Acknowledged>> {
        self.common.plain.iter().map(|acknowledged| lock(acknowledged).clone()).collect()
    }

    /// What is found missing and may be: nobody looks for it again.
    pub fn forget(&self, producer: usize, numbers: &[u64]) {
        lock(&self.common.plain[producer]).retain(|one| !numbers.contains(&one.number));
    }

    /// Ends them; with `gives_up` whatever is under way.
    pub fn stop(self, gives_up: bool) -> Result<Written> {
        self.common.gives_up.store(gives_up, Ordering::Release);
        self.common.stop.store(true, Ordering::Release);
        let joined = |panicked: &str| anyhow::anyhow!("a producer's thread panicked: {panicked}");
        let mut written = Written::default();
        for thread in self.remote {
            written.remote.push(thread.join().map_err(|_| joined(REMOTE))??);
        }
        for thread in self.plain {
            thread.join().map_err(|_| joined(PLAIN))??;
        }
        written.plain = self.common.plain.iter().map(|acknowledged| lock(acknowledged).clone()).collect();
        Ok(written)
    }
}

fn now_ms() -> i64 {
    RealClock::new().now_ms()
}

/// A connection to the node that writes; it is made anew when that is another one.
struct Route {
    client: Option<(String, Client)>,
}

impl Route {
    fn client(&mut self, common: &Common) -> Option<&mut Client> {
        let address = lock(&common.address).clone();
        if self.client.as_ref().is_none_or(|(to, _)| *to != address) {
            self.client = connect(&address, TIMEOUT).ok().map(|client| (address, client));
        }
        if self.client.is_none() {
            std::thread::sleep(PAUSE);
        }
        self.client.as_mut().map(|(_, client)| client)
    }
}

/// What a producer makes of an error: it goes on elsewhere, or later. An answer that no node gives that can be lost is a violation.
fn passes(error: &ClientError) -> Result<()> {
    let may_be =
        [ErrorCode::RequestTimedOut, ErrorCode::KafkaStorageError, ErrorCode::CoordinatorNotAvailable];
    match error.code() {
        Some(code) if !may_be.contains(&code) => bail!("the node answered a producer: {error}"),
        _ => Ok(()),
    }
}

/// Sends each record until it is acknowledged.
fn write_remote(common: &Common, producer: usize) -> Result<u64> {
    let mut route = Route { client: None };
    let (mut identity, mut number): (Option<ProducerId>, u64) = (None, 0);
    while !common.gives_up.load(Ordering::Acquire) {
        let Some(client) = route.client(common) else { continue };
        let Some(known) = identity else {
            match client.init_producer_id(None, Duration::from_secs(600)) {
                Ok(known) => identity = Some(known),
                Err(error) => {
                    passes(&error)?;
                    route.client = None;
                }
            }
            continue;
        };
        let mut builder = BatchBuilder::new(Compression::None).producer(known.id, known.epoch, number as i32);
        builder.append(now_ms(), None, Some(value(producer, number).as_bytes()), &[])?;
        match client.produce(REMOTE, 0, builder.build()?, -1) {
            Ok(_) => {
                number += 1;
                if common.stop.load(Ordering::Acquire) {
                    break;
                }
            }
            Err(error) => {
                // What the identity was made with may be lost with the machine: it is not of the topic.
                if number == 0 && error.code().is_some() {
                    identity = None;
                } else {
                    passes(&error)?;
                }
                route.client = None;
                std::thread::sleep(PAUSE);
            }
        }
    }
    Ok(number)
}

/// Sends each record once, and notes what was acknowledged.
fn write_plain(common: &Common, producer: usize) -> Result<()> {
    let mut route = Route { client: None };
    let mut number = 0u64;
    while !common.stop.load(Ordering::Acquire) {
        let Some(client) = route.client(common) else { continue };
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(now_ms(), None, Some(value(producer, number).as_bytes()), &[])?;
        let batch = builder.build()?;
        let bytes = batch.len() as u64;
        match client.produce(PLAIN, 0, batch, -1) {
            Ok(_) => lock(&common.plain[producer]).push(Acknowledged { number, at: Instant::now(), bytes }),
            Err(error) => {
                passes(&error)?;
                route.client = None;
            }
        }
        number += 1;
    }
    Ok(())
}

/// Whether a node acknowledges a record of the topic with `durability=remote`, which a fenced one must not.
pub fn try_remote(address: &str) -> bool {
    for _ in 0..3 {
        let mut builder = BatchBuilder::new(Compression::None);
        let built = builder.append(0, None, Some(b"fenced"), &[]).and_then(|_| builder.build());
        let Ok(batch) = built else { continue };
        if connect(address, TIMEOUT).is_ok_and(|mut client| client.produce(REMOTE, 0, batch, -1).is_ok()) {
            return true;
        }
    }
    false
}
