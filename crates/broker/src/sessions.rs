//! Incremental fetch sessions (KIP-227): a client names its partitions once, then only what changed.
//!
//! A session holds the partitions with their fetch parameters and what was last told about each, so
//! that a response can leave out partitions that have nothing new. It is its opener's alone, and its id
//! is random. Sessions are limited in number, and so are their partitions; as in Kafka a new session
//! takes the place of one that was not used for two minutes, or of an old one with fewer partitions.

use kafka_wire::error_code::ErrorCode;
use os::Random;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A session that was used so recently is not evicted as stale, nor one that is so new for its size (Kafka's value).
const EVICTION_AFTER_MS: i64 = 120_000;

/// A client with more partitions sends full requests; so does one that comes when all sessions together have too many.
pub(crate) const SESSION_PARTITIONS_MAX: usize = 50_000;
pub(crate) const PARTITIONS_MAX: usize = 500_000;

/// What a client asks of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchSpec {
    pub topic: TopicRef,
    pub partition: i32,
    pub fetch_offset: i64,
    pub partition_max_bytes: i32,
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
}

impl FetchSpec {
    fn key(&self) -> Key {
        (self.topic.clone(), self.partition)
    }
}

/// Up to version 12 a topic is named, from 13 on it is identified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicRef {
    Name(Arc<str>),
    Id([u8; 16]),
}

pub type Key = (TopicRef, i32);

/// What a request says of its session.
pub struct Asked<'a> {
    /// The client's principal.
    pub owner: &'a str,
    pub id: i32,
    pub epoch: i32,
    /// Whether its topics are identified, not named.
    pub by_id: bool,
    pub specs: Vec<FetchSpec>,
    pub forgotten: &'a [Key],
    /// Whether the client may read any of it; for one that may not there is nothing to remember.
    pub permitted: bool,
}

/// What the last response said of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub high_watermark: i64,
    pub log_start: i64,
}

#[derive(Debug)]
struct Session {
    /// The principal that opened it.
    owner: Box<str>,
    by_id: bool,
    /// The next epoch that the client has to send.
    epoch: i32,
    /// In the order in which they are fetched, by a number that only grows.
    partitions: BTreeMap<u64, (FetchSpec, Option<Told>)>,
    places: HashMap<Key, u64>,
    next_place: u64,
    created_at_ms: i64,
    used_at_ms: i64,
}

impl Session {
    fn put(&mut self, spec: FetchSpec) {
        match self.places.get(&spec.key()).and_then(|place| self.partitions.get_mut(place)) {
            Some(known) => known.0 = spec,
            None => {
                self.places.insert(spec.key(), self.next_place);
                self.partitions.insert(self.next_place, (spec, None));
                self.next_place += 1;
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.partitions.remove(&place);
        }
    }

    fn move_to_end(&mut self, key: &Key) {
        if let Some(place) = self.places.get_mut(key)
            && let Some(partition) = self.partitions.remove(place)
        {
            *place = self.next_place;
            self.partitions.insert(self.next_place, partition);
            self.next_place += 1;
        }
    }

    /// Whether a larger session may take its place.
    fn is_settled(&self) -> bool {
        self.used_at_ms.saturating_sub(self.created_at_ms) > EVICTION_AFTER_MS
    }
}

pub struct Sessions {
    sessions: HashMap<i32, Session>,
    sessions_max: usize,
    /// Of all sessions together.
    partitions: usize,
    /// (last use, id): the one idle for longest comes first.
    by_use: BTreeSet<(i64, i32)>,
    /// (partitions, id) of those that a larger session may replace.
    by_size: BTreeSet<(usize, i32)>,
    random: Arc<dyn Random>,
}

/// How a fetch is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionContext {
    /// The session id for the response; 0 = none.
    pub id: i32,
    /// Leave out partitions without news.
    pub incremental: bool,
}

impl Sessions {
    pub fn new(sessions_max: usize, random: Arc<dyn Random>) -> Sessions {
        Sessions {
            sessions: HashMap::new(),
            sessions_max,
            partitions: 0,
            by_use: BTreeSet::new(),
            by_size: BTreeSet::new(),
            random,
        }
    }

    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Takes the request's partitions into account and returns all that are to be fetched.
    pub fn begin(
        &mut self,
        asked: Asked<'_>,
        now_ms: i64,
    ) -> Result<(SessionContext, Vec<FetchSpec>), ErrorCode> {
        let Asked { owner, id, epoch, by_id, specs, forgotten, permitted } = asked;
        // Of another client there is no session: its topics are nobody else's business.
        let is_own = self.sessions.get(&id).is_some_and(|session| *session.owner == *owner);
        if epoch <= 0 {
            // A full request: it ends the session it names; epoch 0 opens another.
            if is_own {
                self.take_out(id);
            }
            let opens = epoch == 0 && permitted && !specs.is_empty();
            let id = if opens { self.open(owner, by_id, &specs, now_ms) } else { 0 };
            return Ok((SessionContext { id, incremental: false }, specs));
        }
        if !is_own {
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        match self.sessions.get(&id) {
            None => return Err(ErrorCode::FetchSessionIdNotFound),
            Some(session) if session.epoch != epoch => return Err(ErrorCode::InvalidFetchSessionEpoch),
            Some(session) if session.by_id != by_id => return Err(ErrorCode::FetchSessionTopicIdError),
            Some(_) => {}
        }
        let Some(mut session) = self.take_out(id) else { return Err(ErrorCode::FetchSessionIdNotFound) };
        session.epoch = next_epoch(epoch);
        session.used_at_ms = now_ms;
        forgotten.iter().for_each(|key| session.forget(key));
        specs.into_iter().for_each(|spec| session.put(spec));
        let all = session.partitions.values().map(|(spec, _)| spec.clone()).collect();
        if session.places.is_empty() {
            // As in Kafka it ends with its last partition.
            return Ok((SessionContext { id: 0, incremental: true }, all));
        }
        if !self.has_room_for(session.places.len()) {
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        self.put_in(id, session);
        Ok((SessionContext { id, incremental: true }, all))
    }

    /// Notes what the response says of partitions; for each whether that is news to the client.
    pub fn tell(&mut self, id: i32, told: impl Iterator<Item = (Key, Told)>) -> Vec<bool> {
        let Some(session) = self.sessions.get_mut(&id) else { return told.map(|_| true).collect() };
        let news = told.map(|(key, told)| {
            let known = session.places.get(&key).and_then(|place| session.partitions.get_mut(place));
            known.is_none_or(|(_, last)| last.replace(told) != Some(told))
        });
        news.collect()
    }

    /// Ends a session of which the client was not told.
    pub fn close(&mut self, id: i32) {
        self.take_out(id);
    }

    /// Partitions that were just given records come last next time, so that none starves the others.
    pub fn move_to_end(&mut self, id: i32, given: &[Key]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            given.iter().for_each(|key| session.move_to_end(key));
        }
    }

    /// A new session, or 0 when there is no room for one: the client then sends full requests.
    fn open(&mut self, owner: &str, by_id: bool, specs: &[FetchSpec], now_ms: i64) -> i32 {
        if specs.len() > SESSION_PARTITIONS_MAX || self.sessions_max == 0 {
            return 0;
        }
        if self.sessions.len() >= self.sessions_max && !self.evict(specs.len(), now_ms) {
            return 0;
        }
        if !self.has_room_for(specs.len()) {
            return 0;
        }
        let mut session = Session {
            owner: owner.into(),
            by_id,
            epoch: 1,
            partitions: BTreeMap::new(),
            places: HashMap::with_capacity(specs.len()),
            next_place: 0,
            created_at_ms: now_ms,
            used_at_ms: now_ms,
        };
        specs.iter().for_each(|spec| session.put(spec.clone()));
        let id = loop {
            let id = (self.random.next_u64() >> 33) as i32;
            if id > 0 && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        self.put_in(id, session);
        id
    }

    fn has_room_for(&self, partitions: usize) -> bool {
        partitions <= SESSION_PARTITIONS_MAX && self.partitions + partitions <= PARTITIONS_MAX
    }

    /// Makes room for a session with so many partitions: the one idle for longest goes if it is stale, else the
    /// smallest that has been there for a while, if it is smaller than the new one.
    fn evict(&mut self, partitions: usize, now_ms: i64) -> bool {
        let stale = self.by_use.first().filter(|(used, _)| now_ms.saturating_sub(*used) > EVICTION_AFTER_MS);
        let smaller = || self.by_size.first().filter(|(size, _)| *size < partitions);
        let goes = stale.map(|(_, id)| *id).or_else(|| smaller().map(|(_, id)| *id));
        goes.is_some_and(|id| self.take_out(id).is_some())
    }

    fn put_in(&mut self, id: i32, session: Session) {
        self.partitions += session.places.len();
        self.by_use.insert((session.used_at_ms, id));
        if session.is_settled() {
            self.by_size.insert((session.places.len(), id));
        }
        self.sessions.insert(id, session);
    }

    fn take_out(&mut self, id: i32) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.partitions -= session.places.len();
        self.by_use.remove(&(session.used_at_ms, id));
        self.by_size.remove(&(session.places.len(), id));
        Some(session)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }
}

/// Epochs go from 1 to the largest number, and on from 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests;
