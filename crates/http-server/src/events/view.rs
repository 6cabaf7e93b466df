//! A view as it is followed: its rows as they are in memory, and from there the topic of its changes.
//!
//! A view knows up to which record of its topic it is, so that rows and changes fit together. A position is good for as
//! long as the topic is the same one and compaction has not passed it: behind it a deletion may be missing. Otherwise
//! all rows come again.

use super::feed::Feed;
use super::position::{From, Position};
use super::{Events, Rights, shown};
use crate::reply::Reply;
use base::PartitionId;
use eventlog::Topic;
use hyper::StatusCode;
use std::sync::Arc;
use views::{Place, RowWriter, View};

/// Rows of a view that are still to be told.
pub(super) struct RowsLeft {
    view: View,
    behind: Option<Place>,
    writer: RowWriter,
}

impl RowsLeft {
    fn new(view: View) -> Result<RowsLeft, String> {
        let writer = RowWriter::new(view.definition())?;
        Ok(RowsLeft { view, behind: None, writer })
    }

    /// All rows of the view.
    pub(super) fn count(&self) -> usize {
        self.view.rows()
    }

    /// Some rows; none at the end.
    pub(super) fn next(&mut self, rows_max: usize) -> Result<Vec<String>, String> {
        let mut rows =
            self.view.scan_behind(self.behind.as_ref(), rows_max).map_err(|error| error.to_string())?;
        let Some(batch) = rows.next() else { return Ok(Vec::new()) };
        let batch = batch.map_err(|error| error.to_string())?;
        self.behind = rows.place();
        let mut jsons = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let json = self.writer.write(&batch, row)?;
            jsons.push(format!("{{\"row\":{json}}}"));
        }
        Ok(jsons)
    }
}

/// Where a follower says that it is.
enum Asked {
    /// All rows first.
    Rows,
    /// What changes from now on.
    Latest,
    /// Behind a position of the topic with this tag.
    At(i64, String),
}

impl Asked {
    fn parse(text: Option<&str>) -> Result<Asked, String> {
        let wrong = || {
            "'from' is 'earliest' (all rows, and then the changes), 'latest', or what an answer had as 'next'"
                .to_owned()
        };
        match text {
            None | Some("earliest") => Ok(Asked::Rows),
            Some("latest") => Ok(Asked::Latest),
            Some(text) => {
                let (position, tag) = text.split_once('@').ok_or_else(wrong)?;
                let From::Position(offsets) = From::parse(position, 1).map_err(|_| wrong())? else {
                    return Err(wrong());
                };
                let offset = offsets.first().copied().flatten().ok_or_else(wrong)?;
                Ok(Asked::At(offset, tag.to_owned()))
            }
        }
    }
}

/// Tells a topic from others of its name.
fn tag_of(topic: &Topic) -> String {
    let digits = topic.id.to_string();
    digits.chars().filter(char::is_ascii_alphanumeric).take(TAG_CHARS).collect()
}

const TAG_CHARS: usize = 10;

impl Events {
    /// The feed of a view.
    pub(super) fn view_feed(
        self: &Arc<Self>,
        name: &str,
        from: Option<&str>,
        rights: Rights,
    ) -> Result<Feed, Reply> {
        let refuse = |status, words: String| Reply::error(status, words);
        let asked = Asked::parse(from).map_err(|words| refuse(StatusCode::BAD_REQUEST, words))?;
        let snapshot = self.views.as_ref().map(views::Views::snapshot);
        let shown_name: String = name.chars().take(80).flat_map(char::escape_default).collect();
        let missing = || refuse(StatusCode::NOT_FOUND, format!("view '{shown_name}' does not exist"));
        let view = snapshot.as_ref().and_then(|snapshot| snapshot.view(name).ok()).ok_or_else(missing)?;
        if let Some(reason) = view.broken() {
            let words = format!("view '{shown_name}' is given up: {reason}");
            return Err(refuse(StatusCode::CONFLICT, words));
        }
        let topic = self.log.topic(&view.definition().topic).ok_or_else(missing)?;
        let partition = *topic.partitions.first().ok_or_else(missing)?;
        let failed = |error: eventlog::LogError| refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        let tag = tag_of(&topic);
        let resumed = match asked {
            Asked::Rows => None,
            Asked::Latest => Some(self.log.bounds(partition).map_err(failed)?.high_watermark.0),
            Asked::At(offset, of) => {
                let is_good = of == tag && self.is_whole_behind(partition, offset).map_err(failed)?;
                is_good.then_some(offset)
            }
        };
        view.note_read();
        let position = Position(vec![resumed.unwrap_or_else(|| view.position())]);
        let mut feed = Feed::new(self.clone(), topic, position, shown::change, rights);
        if resumed.is_none() {
            let rows = RowsLeft::new(view.clone());
            feed.rows = Some(rows.map_err(|words| refuse(StatusCode::INTERNAL_SERVER_ERROR, words))?);
        }
        (feed.tag, feed.right) = (Some(tag), name.to_owned());
        Ok(feed)
    }

    /// Whether nothing is missing of what came behind an offset.
    fn is_whole_behind(&self, partition: PartitionId, offset: i64) -> Result<bool, eventlog::LogError> {
        let bounds = self.log.bounds(partition)?;
        let first = bounds.log_start.0.max(bounds.clean_to.0);
        Ok((first..=bounds.high_watermark.0).contains(&offset))
    }
}
