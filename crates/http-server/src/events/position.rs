//! Where somebody is in a topic: `0:12,1:5`, the offset that it wants next of each partition.

use eventlog::Bounds;
use std::fmt;

/// By partition; none of those that are not named, which begin where the follower begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Earliest,
    Latest,
    Position(Vec<Option<i64>>),
}

impl From {
    /// `partitions` is how many there are.
    pub(super) fn parse(text: &str, partitions: usize) -> Result<From, String> {
        match text {
            "earliest" => return Ok(From::Earliest),
            "latest" => return Ok(From::Latest),
            _ => {}
        }
        let mut offsets = vec![None; partitions];
        for part in text.split(',') {
            let pair = part.split_once(':').and_then(|(partition, offset)| {
                Some((
                    partition.parse::<usize>().ok()?,
                    offset.parse::<i64>().ok().filter(|offset| *offset >= 0)?,
                ))
            });
            let Some((partition, offset)) = pair else {
                return Err(
                    "'from' is 'earliest', 'latest', or a position such as 0:12,1:5: a partition and the \
                            offset that is wanted next"
                        .to_owned(),
                );
            };
            let count = offsets.len();
            let Some(place) = offsets.get_mut(partition) else {
                return Err(format!("there is no partition {partition}; the topic has {count}"));
            };
            *place = Some(offset);
        }
        Ok(From::Position(offsets))
    }

    /// The offset to begin with. A position that is no longer there begins with what is, and so does one that the topic
    /// has not come to: it is that of an earlier topic of the name.
    pub(super) fn start(&self, partition: usize, bounds: &Bounds) -> i64 {
        match self {
            From::Earliest => bounds.log_start.0,
            From::Latest => bounds.high_watermark.0,
            From::Position(offsets) => match offsets.get(partition).copied().flatten() {
                Some(offset) if offset > bounds.high_watermark.0 => bounds.log_start.0,
                Some(offset) => offset.max(bounds.log_start.0),
                None => bounds.log_start.0,
            },
        }
    }
}

/// The offsets that are wanted next, by partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position(pub Vec<i64>);

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (partition, offset) in self.0.iter().enumerate() {
            let comma = if partition == 0 { "" } else { "," };
            write!(out, "{comma}{partition}:{offset}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Offset;

    #[test]
    fn positions_are_read_as_they_are_written() {
        let bounds = |log_start, high_watermark| Bounds {
            log_start: Offset(log_start),
            high_watermark: Offset(high_watermark),
            end: Offset(high_watermark),
            clean_to: Offset(0),
        };
        let from = From::parse(&Position(vec![12, 5]).to_string(), 3).unwrap();
        let starts: Vec<i64> = (0..3).map(|partition| from.start(partition, &bounds(7, 20))).collect();
        assert_eq!(starts, [12, 7, 7], "what was deleted meanwhile is passed over");
        let ahead = From::parse("0:21", 1).unwrap();
        assert_eq!(ahead.start(0, &bounds(7, 20)), 7, "it is another topic's");
        assert_eq!(From::parse("earliest", 1).unwrap().start(0, &bounds(7, 20)), 7);
        assert_eq!(From::parse("latest", 1).unwrap().start(0, &bounds(7, 20)), 20);
        for wrong in ["", "0", "0:", ":1", "0:-1", "1:1", "x:1", "0:1,"] {
            assert!(From::parse(wrong, 1).is_err(), "{wrong}");
        }
    }
}
