//! What somebody follows, part after part: records of a topic as they become durable, or the rows of a view and then its
//! changes. How the parts reach a client is another's business.

use super::follow::{Found, RECORDS_MAX, Shape};
use super::position::Position;
use super::view::RowsLeft;
use super::{Events, Rights};
use crate::desk::NotDone;
use broker::security::{Operation, ResourceType};
use eventlog::Topic;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A part without records comes after so long, so that nobody on the way takes the connection for dead, and so that a
/// client that is gone is found out.
pub(super) const BEAT: Duration = Duration::from_secs(15);
/// The right to read may go while nothing comes.
const RIGHTS_EVERY: Duration = Duration::from_secs(1);
/// Then a feed ends, and its client comes again.
const LIFE_MAX: Duration = Duration::from_secs(600);
const RECORDS_AT_ONCE: usize = 1_000;
const _: () = assert!(RECORDS_AT_ONCE <= RECORDS_MAX);

/// A record, a row or a key that has none any more, as JSON, and the position behind it. Rows of a view have none before
/// all of them were told: who is cut off then begins again.
pub(super) struct Message {
    pub json: String,
    pub next: Option<String>,
}

pub(super) enum Part {
    /// So many rows of a view follow, in the place of all that its follower had.
    Rows(usize),
    /// What follows comes behind this position.
    Place(String),
    Messages(Vec<Message>),
    Quiet,
    Ended(Ended),
}

/// Why a feed ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its time is up.
    Time,
    /// The topic is another one now, or has got partitions.
    Changed,
    Stopping,
    /// The right to read it is gone.
    Denied,
    Failed(String),
}

/// What is followed, and how far.
pub(super) struct Feed {
    pub events: Arc<Events>,
    pub topic: Arc<Topic>,
    pub position: Position,
    pub shape: Shape,
    /// What tells positions of this topic from those of another one of its name; of views.
    pub tag: Option<String>,
    /// Rows that are told before.
    pub rows: Option<RowsLeft>,
    pub rights: Rights,
    /// The topic on which the right to read is asked for.
    pub right: String,
    ends: Option<Instant>,
}

impl Feed {
    pub(super) fn new(
        events: Arc<Events>,
        topic: Arc<Topic>,
        position: Position,
        shape: Shape,
        rights: Rights,
    ) -> Feed {
        let right = topic.name.clone();
        Feed { events, topic, position, shape, tag: None, rows: None, rights, right, ends: None }
    }

    /// The next part. Nothing follows the end; who drops this half way may miss rows of a view.
    pub(super) async fn next(&mut self) -> Part {
        let begun = Instant::now();
        let Some(ends) = self.ends else {
            self.ends = Some(begun + LIFE_MAX);
            return match &self.rows {
                Some(rows) => Part::Rows(rows.count()),
                None => Part::Place(self.mark()),
            };
        };
        let mut now = begun;
        loop {
            if let Some(why) = self.over(now, ends) {
                return Part::Ended(why);
            }
            if let Some(rows) = self.rows.take() {
                return self.next_rows(rows).await;
            }
            let end = (now + RIGHTS_EVERY).min(begun + BEAT);
            let asked = (RECORDS_AT_ONCE, self.shape);
            let found = self.events.await_records(&self.topic, self.position.clone(), asked, end).await;
            let found = match found {
                Ok(_) if *self.events.stopping.borrow() => return Part::Ended(Ended::Stopping),
                Ok(found) => found,
                Err(error) => return Part::Ended(Ended::Failed(error.message)),
            };
            if !found.records.is_empty() {
                return Part::Messages(self.messages(found));
            }
            self.position = found.next;
            now = Instant::now();
            if now >= begun + BEAT {
                return Part::Quiet;
            }
        }
    }

    fn messages(&mut self, found: Found) -> Vec<Message> {
        let mut messages = Vec::with_capacity(found.records.len());
        for taken in found.records {
            if let Some(place) = self.position.0.get_mut(taken.partition) {
                *place = taken.offset + 1;
            }
            messages.push(Message { json: taken.json, next: Some(self.mark()) });
        }
        self.position = found.next;
        messages
    }

    /// A position, and which topic it is one of.
    pub(super) fn mark(&self) -> String {
        match &self.tag {
            None => self.position.to_string(),
            Some(tag) => format!("{}@{tag}", self.position),
        }
    }

    fn over(&self, now: Instant, ends: Instant) -> Option<Ended> {
        if *self.events.stopping.borrow() {
            return Some(Ended::Stopping);
        }
        if now >= ends {
            return Some(Ended::Time);
        }
        if !self.events.is_as_it_was(&self.topic) {
            return Some(Ended::Changed);
        }
        let visitor = self.rights.as_ref().map(|visitor| self.events.broker.rights_now(visitor));
        let may = visitor.is_none_or(|now| now.may(Operation::Read, ResourceType::Topic, &self.right));
        (!may).then_some(Ended::Denied)
    }

    async fn next_rows(&mut self, mut rows: RowsLeft) -> Part {
        let read = self.events.readers.run(move || (rows.next(RECORDS_AT_ONCE), rows)).await;
        let (found, rows) = match read {
            Ok(read) => read,
            Err(why @ (NotDone::Full | NotDone::Panicked)) => {
                return Part::Ended(Ended::Failed(why.told().1.to_owned()));
            }
        };
        match found {
            Ok(jsons) if jsons.is_empty() => Part::Place(self.mark()),
            Ok(jsons) => {
                self.rows = Some(rows);
                Part::Messages(jsons.into_iter().map(|json| Message { json, next: None }).collect())
            }
            Err(words) => Part::Ended(Ended::Failed(words)),
        }
    }
}
