//! Share sessions: which partitions a member fetches, and the epoch that tells a request from its repetition.
//!
//! A session is opened by epoch 0, used with rising epochs and closed by −1. It ends with the connection over which
//! the member last spoke, too: what a dead consumer holds is free at once. Sessions are limited in number, and so are
//! their partitions, as those of plain fetches are.

use crate::sessions::{PARTITIONS_MAX, SESSION_PARTITIONS_MAX};
use base::TopicId;
use kafka_wire::error_code::ErrorCode;
use std::collections::{HashMap, HashSet};

/// The epoch that opens a session, and the one that closes it.
pub const INITIAL_EPOCH: i32 = 0;
pub const FINAL_EPOCH: i32 = -1;

/// A partition as a member names it.
pub type Place = (TopicId, i32);

#[derive(Debug)]
struct Session {
    /// The next epoch that the member has to send.
    epoch: i32,
    places: Places,
    connection: u64,
    /// How often it has been used, by which the first partition of an answer is chosen.
    turns: usize,
}

/// Partitions in the order in which they were named, each once.
#[derive(Debug, Default)]
struct Places {
    ordered: Vec<Place>,
    known: HashSet<Place>,
}

impl Places {
    fn add(&mut self, named: Vec<Place>) {
        for place in named {
            if self.known.insert(place) {
                self.ordered.push(place);
            }
        }
    }

    fn remove(&mut self, forgotten: &HashSet<Place>) {
        if !forgotten.is_empty() {
            self.ordered.retain(|place| !forgotten.contains(place));
            self.known.retain(|place| !forgotten.contains(place));
        }
    }

    fn len(&self) -> usize {
        self.ordered.len()
    }
}

#[derive(Debug, Default)]
pub struct ShareSessions {
    /// By group and member.
    sessions: HashMap<(String, String), Session>,
    /// Of all sessions together.
    partitions: usize,
}

/// What a member wants to fetch now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub places: Vec<Place>,
    /// The session was opened by this request: its answer names all partitions.
    pub is_new: bool,
}

impl ShareSessions {
    /// Opens a session in place of the one that the member has, if any.
    pub fn open(
        &mut self,
        group: &str,
        member: &str,
        places: Vec<Place>,
        connection: u64,
        sessions_max: usize,
    ) -> Result<Wanted, ErrorCode> {
        let key = (group.to_string(), member.to_string());
        if !self.sessions.contains_key(&key) && self.sessions.len() >= sessions_max {
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        let mut known = Places::default();
        known.add(places);
        self.close(group, member);
        if !self.has_room_for(known.len()) {
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        let wanted = Wanted { places: known.ordered.clone(), is_new: true };
        self.partitions += known.len();
        self.sessions.insert(key, Session { epoch: INITIAL_EPOCH + 1, places: known, connection, turns: 1 });
        Ok(wanted)
    }

    /// Goes on with a session; what is named joins it, what is forgotten leaves it.
    pub fn go_on(
        &mut self,
        group: &str,
        member: &str,
        epoch: i32,
        named: Vec<Place>,
        forgotten: &HashSet<Place>,
        connection: u64,
    ) -> Result<Wanted, ErrorCode> {
        let session = self.use_with(group, member, epoch)?;
        session.connection = connection;
        let before = session.places.len();
        session.places.add(named);
        session.places.remove(forgotten);
        let after = session.places.len();
        // Each partition comes first in its turn, so that none starves the others.
        let mut places = session.places.ordered.clone();
        if !places.is_empty() {
            let first = session.turns % places.len();
            places.rotate_left(first);
        }
        session.turns = session.turns.wrapping_add(1);
        self.partitions = self.partitions - before + after;
        if after > before && !self.has_room_for(0) || after > SESSION_PARTITIONS_MAX {
            self.close(group, member);
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        Ok(Wanted { places, is_new: false })
    }

    /// The member acknowledges without fetching.
    pub fn acknowledge(&mut self, group: &str, member: &str, epoch: i32) -> Result<(), ErrorCode> {
        match epoch {
            INITIAL_EPOCH => Err(ErrorCode::InvalidShareSessionEpoch),
            FINAL_EPOCH => self.exists(group, member),
            _ => self.use_with(group, member, epoch).map(|_| ()),
        }
    }

    /// Whether the member has a session that it may close.
    pub fn exists(&self, group: &str, member: &str) -> Result<(), ErrorCode> {
        let known = self.sessions.contains_key(&(group.to_string(), member.to_string()));
        if known { Ok(()) } else { Err(ErrorCode::ShareSessionNotFound) }
    }

    fn use_with(&mut self, group: &str, member: &str, epoch: i32) -> Result<&mut Session, ErrorCode> {
        let key = (group.to_string(), member.to_string());
        let session = self.sessions.get_mut(&key).ok_or(ErrorCode::ShareSessionNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        session.epoch = epoch.checked_add(1).unwrap_or(INITIAL_EPOCH + 1);
        Ok(session)
    }

    fn has_room_for(&self, partitions: usize) -> bool {
        partitions <= SESSION_PARTITIONS_MAX && self.partitions + partitions <= PARTITIONS_MAX
    }

    pub fn close(&mut self, group: &str, member: &str) {
        self.take_out(&(group.to_string(), member.to_string()));
    }

    fn take_out(&mut self, key: &(String, String)) {
        if let Some(session) = self.sessions.remove(key) {
            self.partitions -= session.places.len();
        }
    }

    /// Closes the sessions of a connection that is gone; whose they were.
    pub fn disconnect(&mut self, connection: u64) -> Vec<(String, String)> {
        let gone = self.sessions.iter().filter(|(_, session)| session.connection == connection);
        let gone: Vec<(String, String)> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.take_out(key));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(topic: u8, range: std::ops::Range<i32>) -> Vec<Place> {
        range.map(|index| (TopicId([topic; 16]), index)).collect()
    }

    #[test]
    fn partitions_of_a_session_and_of_all_sessions_are_limited() {
        let mut sessions = ShareSessions::default();
        let most = SESSION_PARTITIONS_MAX as i32;
        let none = HashSet::new();
        let open = |sessions: &mut ShareSessions, member: &str, places| {
            sessions.open("g", member, places, 1, 100).map(|wanted| wanted.places.len())
        };
        let refused = Err(ErrorCode::ShareSessionLimitReached);
        assert_eq!(open(&mut sessions, "a", places(1, 0..most + 1)), refused);
        assert_eq!(open(&mut sessions, "a", places(1, 0..most)), Ok(SESSION_PARTITIONS_MAX));
        // What is named again is no more than it was.
        assert!(sessions.go_on("g", "a", 1, places(1, 0..most), &none, 1).is_ok());
        let grown = sessions.go_on("g", "a", 2, places(2, 0..1), &none, 1);
        assert_eq!(grown.unwrap_err(), ErrorCode::ShareSessionLimitReached);
        assert_eq!(sessions.exists("g", "a"), Err(ErrorCode::ShareSessionNotFound));
        assert_eq!(sessions.partitions, 0);
        let members: Vec<String> = (0..10).map(|member| member.to_string()).collect();
        for member in &members {
            open(&mut sessions, member, places(1, 0..most)).unwrap();
        }
        assert_eq!(open(&mut sessions, "late", places(1, 0..1)), refused);
        // One that is opened anew takes the place of its own.
        assert_eq!(open(&mut sessions, "3", places(2, 0..most)), Ok(SESSION_PARTITIONS_MAX));
        sessions.close("g", "4");
        assert_eq!(open(&mut sessions, "late", places(1, 0..1)), Ok(1));
        sessions.disconnect(1);
        assert_eq!(sessions.partitions, 0);
    }

    /// 50,000 partitions, named twice and forgotten: in time that grows with their number, not with its square.
    #[test]
    fn many_partitions_are_named_and_forgotten_at_once() {
        let mut sessions = ShareSessions::default();
        let most = SESSION_PARTITIONS_MAX as i32;
        let clock = os::Os::real().clock;
        let begun_ns = clock.monotonic_ns();
        let all = places(1, 0..most);
        sessions.open("g", "a", all.clone(), 1, 1).unwrap();
        let forgotten: HashSet<Place> = all.iter().copied().skip(1).collect();
        let left = sessions.go_on("g", "a", 1, all, &forgotten, 1).unwrap().places;
        assert_eq!(left, places(1, 0..1));
        assert_eq!(sessions.partitions, 1);
        // The square of it takes minutes without optimisation.
        let took_ms = (clock.monotonic_ns() - begun_ns) / 1_000_000;
        assert!(took_ms < 10_000, "{took_ms} ms");
    }
}
