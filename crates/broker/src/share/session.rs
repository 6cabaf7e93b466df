//! Share sessions: which partitions a member fetches, and the epoch that tells a request from its repetition.
//!
//! A session is opened by epoch 0, used with rising epochs and closed by −1. It ends with the connection over which
//! the member last spoke, too: what a dead consumer holds is free at once.

use base::TopicId;
use kafka_wire::error_code::ErrorCode;
use std::collections::HashMap;

/// The epoch that opens a session, and the one that closes it.
pub const INITIAL_EPOCH: i32 = 0;
pub const FINAL_EPOCH: i32 = -1;

/// A partition as a member names it.
pub type Place = (TopicId, i32);

#[derive(Debug)]
struct Session {
    /// The next epoch that the member has to send.
    epoch: i32,
    /// In the order in which they were named.
    places: Vec<Place>,
    connection: u64,
    /// How often it has been used, by which the first partition of an answer is chosen.
    turns: usize,
}

#[derive(Debug, Default)]
pub struct ShareSessions {
    /// By group and member.
    sessions: HashMap<(String, String), Session>,
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
        let mut known: Vec<Place> = Vec::with_capacity(places.len());
        add(&mut known, places);
        let session = Session { epoch: INITIAL_EPOCH + 1, places: known.clone(), connection, turns: 1 };
        self.sessions.insert(key, session);
        Ok(Wanted { places: known, is_new: true })
    }

    /// Goes on with a session; what is named joins it, what is forgotten leaves it.
    pub fn go_on(
        &mut self,
        group: &str,
        member: &str,
        epoch: i32,
        named: Vec<Place>,
        forgotten: &[Place],
        connection: u64,
    ) -> Result<Wanted, ErrorCode> {
        let session = self.use_with(group, member, epoch)?;
        session.connection = connection;
        add(&mut session.places, named);
        session.places.retain(|place| !forgotten.contains(place));
        // Each partition comes first in its turn, so that none starves the others.
        let mut places = session.places.clone();
        if !places.is_empty() {
            let first = session.turns % places.len();
            places.rotate_left(first);
        }
        session.turns = session.turns.wrapping_add(1);
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

    pub fn close(&mut self, group: &str, member: &str) {
        self.sessions.remove(&(group.to_string(), member.to_string()));
    }

    /// Closes the sessions of a connection that is gone; whose they were.
    pub fn disconnect(&mut self, connection: u64) -> Vec<(String, String)> {
        let gone = self.sessions.iter().filter(|(_, session)| session.connection == connection);
        let gone: Vec<(String, String)> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| drop(self.sessions.remove(key)));
        gone
    }
}

fn add(places: &mut Vec<Place>, named: Vec<Place>) {
    for place in named {
        if !places.contains(&place) {
            places.push(place);
        }
    }
}
