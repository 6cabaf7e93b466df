//! Incremental fetch sessions (KIP-227): a client names its partitions once, then only what changed.
//!
//! A session holds the partitions with their fetch parameters and what was last told about each, so
//! that a response can leave out partitions that have nothing new. The number of sessions is
//! limited; the one idle for longest makes room, but not within two minutes of its use.

use kafka_wire::error_code::ErrorCode;
use std::collections::HashMap;

/// A session that was used so recently is not evicted (Kafka's value).
const EVICTION_AFTER_MS: i64 = 120_000;

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

/// Up to version 12 a topic is named, from 13 on it is identified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicRef {
    Name(String),
    Id([u8; 16]),
}

/// What the last response said of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    log_start: i64,
}

#[derive(Debug)]
struct Session {
    /// The principal that opened it.
    owner: Box<str>,
    /// The next epoch that the client has to send.
    epoch: i32,
    /// In the order in which the client named them.
    partitions: Vec<(FetchSpec, Option<Told>)>,
    used_at_ms: i64,
}

#[derive(Debug)]
pub struct Sessions {
    sessions: HashMap<i32, Session>,
    sessions_max: usize,
    last_id: i32,
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
    pub fn new(sessions_max: usize) -> Sessions {
        Sessions { sessions: HashMap::new(), sessions_max, last_id: 0 }
    }

    /// Takes the request's partitions into account and returns all that are to be fetched.
    pub fn begin(
        &mut self,
        owner: &str,
        id: i32,
        epoch: i32,
        specs: Vec<FetchSpec>,
        forgotten: &[(TopicRef, i32)],
        now: i64,
    ) -> Result<(SessionContext, Vec<FetchSpec>), ErrorCode> {
        if epoch <= 0 {
            // A full request: it ends the session it names; epoch 0 opens another.
            if self.sessions.get(&id).is_some_and(|session| *session.owner == *owner) {
                self.sessions.remove(&id);
            }
            let id = if epoch == 0 { self.open(owner, &specs, now) } else { 0 };
            return Ok((SessionContext { id, incremental: false }, specs));
        }
        // Of another client there is no session: its topics are nobody else's business.
        let own = self.sessions.get_mut(&id).filter(|session| *session.owner == *owner);
        let session = own.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.epoch = next_epoch(epoch);
        session.used_at_ms = now;
        if !forgotten.is_empty() {
            session.partitions.retain(|(spec, _)| {
                !forgotten
                    .iter()
                    .any(|(topic, partition)| *topic == spec.topic && *partition == spec.partition)
            });
        }
        for spec in specs {
            let same = |known: &&mut (FetchSpec, Option<Told>)| {
                known.0.topic == spec.topic && known.0.partition == spec.partition
            };
            match session.partitions.iter_mut().find(same) {
                Some(known) => known.0 = spec,
                None => session.partitions.push((spec, None)),
            }
        }
        let all = session.partitions.iter().map(|(spec, _)| spec.clone()).collect();
        Ok((SessionContext { id, incremental: true }, all))
    }

    /// Notes what the response says of a partition; whether that is news to the client.
    pub fn tell(
        &mut self,
        id: i32,
        topic: &TopicRef,
        partition: i32,
        high_watermark: i64,
        log_start: i64,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return true };
        let told = Some(Told { high_watermark, log_start });
        let known = session
            .partitions
            .iter_mut()
            .find(|(spec, _)| spec.topic == *topic && spec.partition == partition);
        match known {
            Some((_, last)) => std::mem::replace(last, told) != told,
            None => true,
        }
    }

    /// Partitions that were just given records come last next time, so that none starves the others.
    pub fn move_to_end(&mut self, id: i32, given: &[(TopicRef, i32)]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            // A stable sort keeps the order of the rest.
            session.partitions.sort_by_key(|(spec, _)| {
                given.iter().any(|(topic, partition)| *topic == spec.topic && *partition == spec.partition)
            });
        }
    }

    /// A new session, or 0 when there is no room for one: the client then sends full requests.
    fn open(&mut self, owner: &str, specs: &[FetchSpec], now: i64) -> i32 {
        if self.sessions.len() >= self.sessions_max {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used_at_ms);
            match oldest.map(|(id, session)| (*id, session.used_at_ms)) {
                Some((id, used)) if now.saturating_sub(used) > EVICTION_AFTER_MS => {
                    self.sessions.remove(&id);
                }
                _ => return 0,
            }
        }
        loop {
            self.last_id = next_epoch(self.last_id);
            if !self.sessions.contains_key(&self.last_id) {
                break;
            }
        }
        let partitions = specs.iter().map(|spec| (spec.clone(), None)).collect();
        self.sessions
            .insert(self.last_id, Session { owner: owner.into(), epoch: 1, partitions, used_at_ms: now });
        self.last_id
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }
}

/// Epochs and ids go from 1 to the largest number, and on from 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "User:alice";

    #[test]
    fn a_session_is_its_owners_alone() {
        let mut sessions = Sessions::new(10);
        let id = sessions.begin(OWNER, 0, 0, vec![spec("secret", 0, 0)], &[], 0).unwrap().0.id;
        let stranger = "User:mallory";
        assert_eq!(sessions.begin(stranger, id, 1, vec![], &[], 0), Err(ErrorCode::FetchSessionIdNotFound));
        sessions.begin(stranger, id, -1, vec![], &[], 0).unwrap();
        assert_eq!(sessions.begin(OWNER, id, 1, vec![], &[], 0).unwrap().1, [spec("secret", 0, 0)]);
    }

    fn spec(topic: &str, partition: i32, fetch_offset: i64) -> FetchSpec {
        FetchSpec {
            topic: TopicRef::Name(topic.into()),
            partition,
            fetch_offset,
            partition_max_bytes: 1,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }

    #[test]
    fn a_session_remembers_what_the_client_left_out() {
        let mut sessions = Sessions::new(10);
        let (context, all) = sessions
            .begin(OWNER, 0, 0, vec![spec("a", 0, 0), spec("a", 1, 0), spec("b", 0, 0)], &[], 0)
            .unwrap();
        assert!(context.id > 0 && !context.incremental);
        assert_eq!(all.len(), 3);
        let forgotten = [(TopicRef::Name("b".into()), 0)];
        let (again, all) = sessions
            .begin(OWNER, context.id, 1, vec![spec("a", 1, 7), spec("c", 0, 0)], &forgotten, 0)
            .unwrap();
        assert_eq!(again, SessionContext { id: context.id, incremental: true });
        assert_eq!(all, [spec("a", 0, 0), spec("a", 1, 7), spec("c", 0, 0)]);
        assert_eq!(
            sessions.begin(OWNER, context.id, 1, vec![], &[], 0),
            Err(ErrorCode::InvalidFetchSessionEpoch)
        );
        assert_eq!(sessions.begin(OWNER, 99, 1, vec![], &[], 0), Err(ErrorCode::FetchSessionIdNotFound));
        // The final request closes it.
        sessions.begin(OWNER, context.id, -1, vec![], &[], 0).unwrap();
        assert_eq!(
            sessions.begin(OWNER, context.id, 2, vec![], &[], 0),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
    }

    #[test]
    fn only_news_is_told_again() {
        let mut sessions = Sessions::new(10);
        let (context, _) = sessions.begin(OWNER, 0, 0, vec![spec("a", 0, 0)], &[], 0).unwrap();
        let topic = TopicRef::Name("a".into());
        assert!(sessions.tell(context.id, &topic, 0, 10, 0));
        assert!(!sessions.tell(context.id, &topic, 0, 10, 0));
        assert!(sessions.tell(context.id, &topic, 0, 10, 1));
        assert!(sessions.tell(context.id, &topic, 0, 11, 1));
    }

    #[test]
    fn the_session_idle_for_longest_makes_room_but_not_at_once() {
        let mut sessions = Sessions::new(2);
        let first = sessions.begin(OWNER, 0, 0, vec![], &[], 0).unwrap().0.id;
        let second = sessions.begin(OWNER, 0, 0, vec![], &[], 10).unwrap().0.id;
        assert_eq!(sessions.begin(OWNER, 0, 0, vec![], &[], 1_000).unwrap().0.id, 0);
        sessions.begin(OWNER, first, 1, vec![], &[], 100_000).unwrap();
        let third = sessions.begin(OWNER, 0, 0, vec![], &[], 121_000).unwrap().0.id;
        assert!(third > 0);
        assert_eq!(
            sessions.begin(OWNER, second, 1, vec![], &[], 121_000),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
        assert_eq!(sessions.len(), 2);
    }
}
