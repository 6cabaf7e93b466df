//! The shards of a stream, and how far each is read.
//!
//! A shard that is split, or merged with another, ends, and its children begin. What a key's children have came after what its
//! parents have, so a child is read when all of its parents are read to their end, or are gone.

use super::call;
use super::options::StreamName;
use super::record::StreamRecord;
use crate::service::{Client, Done, ServiceError};
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

/// A stream has no more than this, those that have ended and are kept for a while too.
const SHARDS_MAX: usize = 20_000;

/// A shard as the service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub id: String,
    pub parents: Vec<String>,
    /// Its part of the hashes of partition keys, both ends belong to it.
    pub hashes: (u128, u128),
    /// More may come to it.
    pub is_open: bool,
}

impl Listed {
    fn of(shard: &Value) -> Option<Listed> {
        let text = |name: &str| shard.get(name).and_then(Value::as_str).map(str::to_string);
        let hash = |name: &str| shard["HashKeyRange"][name].as_str()?.parse().ok();
        Some(Listed {
            id: text("ShardId")?,
            parents: text("ParentShardId").into_iter().chain(text("AdjacentParentShardId")).collect(),
            hashes: (hash("StartingHashKey")?, hash("EndingHashKey")?),
            is_open: shard["SequenceNumberRange"]["EndingSequenceNumber"].as_str().is_none(),
        })
    }
}

/// All shards of a stream.
pub(super) fn list(client: &mut Client, stream: &StreamName) -> Done<Vec<Listed>> {
    let malformed = || ServiceError::malformed("the list of shards");
    let mut found = Vec::new();
    let mut request = call("ListShards", stream.fields(), &[]);
    loop {
        let answer = client.call(&request)?;
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        let shards = answer["Shards"].as_array().ok_or_else(malformed)?;
        for shard in shards {
            found.push(Listed::of(shard).ok_or_else(malformed)?);
        }
        if found.len() > SHARDS_MAX {
            return Err(ServiceError::invalid(format!("the stream has more than {SHARDS_MAX} shards")));
        }
        match answer["NextToken"].as_str().filter(|token| !token.is_empty()) {
            Some(token) if !shards.is_empty() => {
                request = call("ListShards", json!({"NextToken": token}), &[]);
            }
            _ => return Ok(found),
        }
    }
}

/// Where reading a shard goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Oldest,
    AtMs(i64),
    Behind(String),
    /// All of it was read, and no more comes.
    End,
}

impl Next {
    /// As the service wants it of a new iterator.
    pub(super) fn iterator(&self, stream: &StreamName, shard: &str) -> crate::service::Call {
        let mut fields = vec![("ShardId", Value::from(shard))];
        let kind = match self {
            Next::Oldest | Next::End => "TRIM_HORIZON",
            Next::AtMs(ms) => {
                fields.push(("Timestamp", json!(*ms as f64 / 1000.0)));
                "AT_TIMESTAMP"
            }
            Next::Behind(sequence) => {
                fields.push(("StartingSequenceNumber", sequence.as_str().into()));
                "AFTER_SEQUENCE_NUMBER"
            }
        };
        fields.push(("ShardIteratorType", kind.into()));
        call("GetShardIterator", stream.fields(), &fields)
    }

    fn write(&self, out: &mut FieldWriter) {
        match self {
            Next::Oldest => out.u8(0),
            Next::AtMs(ms) => out.u8(1).i64(*ms),
            Next::Behind(sequence) => out.u8(2).text(sequence),
            Next::End => out.u8(3),
        };
    }

    fn read(reader: &mut FieldReader<'_>) -> Result<Next, CodecError> {
        Ok(match reader.u8()? {
            0 => Next::Oldest,
            1 => Next::AtMs(reader.i64()?),
            2 => Next::Behind(reader.text()?),
            3 => Next::End,
            _ => return Err(CodecError { what: "an unknown place in a shard" }),
        })
    }
}

/// A shard that is read, or was.
pub(super) struct Shard {
    pub next: Next,
    pub parents: Vec<String>,
    pub hashes: (u128, u128),
    pub iterator: Option<String>,
    /// The service has no more than what waits.
    pub is_fetched: bool,
    /// Fetched and not given to the log.
    pub waiting: VecDeque<StreamRecord>,
    /// When the next call may be made, by the monotonic clock.
    pub due: Duration,
    /// How long it is left alone next where too much is asked for.
    pub pause: Duration,
}

impl Shard {
    fn new(next: Next) -> Shard {
        Shard {
            next,
            parents: Vec::new(),
            hashes: (0, u128::MAX),
            iterator: None,
            is_fetched: false,
            waiting: VecDeque::new(),
            due: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }
}

/// The shards that there are, by id.
#[derive(Default)]
pub(super) struct Shards {
    pub all: BTreeMap<String, Shard>,
    /// What [`Shards::encode`] gives has changed.
    pub has_changed: bool,
}

impl Shards {
    /// Takes a new list; shards that are not known begin at `next`. Of one that is gone and was not read to its end, that is
    /// an error, unless such ones are skipped.
    pub(super) fn update(&mut self, listed: Vec<Listed>, next: &Next, skips_lost: bool) -> Done<()> {
        let there: HashSet<&str> = listed.iter().map(|shard| shard.id.as_str()).collect();
        // What waits was fetched before it was gone.
        let is_lost = |shard: &Shard| shard.next != Next::End && !shard.is_fetched;
        let lost = self.all.iter().find(|(id, shard)| !there.contains(id.as_str()) && is_lost(shard));
        if let Some((id, _)) = lost.filter(|_| !skips_lost) {
            return Err(ServiceError::invalid(format!(
                "shard={id} is gone, and not all of it was read: its records were kept for too short a time, or the stream was made \
                 anew; with '{}' = 'skip' the job goes on without them",
                super::options::LOST_SHARDS
            )));
        }
        let before = self.all.len();
        self.all.retain(|id, shard| there.contains(id.as_str()) || !shard.waiting.is_empty());
        self.has_changed |= self.all.len() < before;
        for shard in listed {
            let known = self.all.entry(shard.id).or_insert_with(|| {
                self.has_changed = true;
                Shard::new(next.clone())
            });
            (known.parents, known.hashes) = (shard.parents, shard.hashes);
        }
        Ok(())
    }

    /// Whether all of a shard's parents were read to their end, or are gone.
    fn follows(&self, shard: &Shard) -> bool {
        shard.parents.iter().all(|id| self.all.get(id).is_none_or(|parent| parent.next == Next::End))
    }

    /// The shards of which something may be fetched, those first that have waited longest.
    pub(super) fn readable(&self) -> Vec<(Duration, String)> {
        let mut found: Vec<(Duration, String)> = (self.all.iter())
            .filter(|(_, shard)| shard.next != Next::End && !shard.is_fetched && shard.waiting.is_empty())
            .filter(|(_, shard)| self.follows(shard))
            .map(|(id, shard)| (shard.due, id.clone()))
            .collect();
        found.sort();
        found
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(1).u32(self.all.len() as u32);
        for (id, shard) in &self.all {
            out.text(id);
            shard.next.write(&mut out);
        }
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Done<Shards> {
        let read = || -> Result<Shards, CodecError> {
            let mut reader = FieldReader::new(bytes);
            if reader.u8()? != 1 {
                return Err(CodecError { what: "a position of another version" });
            }
            let count = reader.count(5)?;
            let mut all = BTreeMap::new();
            for _ in 0..count {
                all.insert(reader.text()?, Shard::new(Next::read(&mut reader)?));
            }
            reader.finish()?;
            Ok(Shards { all, has_changed: false })
        };
        read().map_err(|error| {
            ServiceError::new(ErrorKind::Corrupt, format!("the position of the stream: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, parents: &[&str]) -> Listed {
        let parents = parents.iter().map(|id| id.to_string()).collect();
        Listed { id: id.into(), parents, hashes: (0, 9), is_open: true }
    }

    fn readable(shards: &Shards) -> Vec<String> {
        shards.readable().into_iter().map(|(_, id)| id).collect()
    }

    fn end(shards: &mut Shards, id: &str) {
        shards.all.get_mut(id).unwrap().next = Next::End;
    }

    #[test]
    fn children_are_read_when_all_parents_are_at_their_end_or_gone() {
        let mut shards = Shards::default();
        let all = || {
            vec![
                listed("a", &[]),
                listed("b", &[]),
                listed("c", &["a", "b"]),
                listed("d", &["c"]),
                listed("e", &["gone"]),
            ]
        };
        shards.update(all(), &Next::Oldest, false).unwrap();
        assert_eq!(readable(&shards), ["a", "b", "e"]);
        end(&mut shards, "a");
        assert_eq!(readable(&shards), ["b", "e"]);
        end(&mut shards, "b");
        assert_eq!(readable(&shards), ["c", "e"]);
        // Parents that were read are not listed for ever.
        shards.update(all().split_off(2), &Next::Oldest, false).unwrap();
        assert_eq!((readable(&shards), shards.all.len()), (vec!["c".to_string(), "e".to_string()], 3));
        // Those that are listed still are not begun again.
        end(&mut shards, "c");
        shards.update(all().split_off(2), &Next::Oldest, false).unwrap();
        assert_eq!(readable(&shards), ["d", "e"]);
    }

    #[test]
    fn a_shard_that_is_gone_before_its_end_was_read_is_said() {
        let mut shards = Shards::default();
        shards.update(vec![listed("a", &[]), listed("b", &["a"])], &Next::Oldest, false).unwrap();
        let error = shards.update(vec![listed("b", &["a"])], &Next::Oldest, false).unwrap_err();
        assert!(error.message.contains("shard=a is gone"), "{}", error.message);
        shards.update(vec![listed("b", &["a"])], &Next::Oldest, true).unwrap();
        assert_eq!(readable(&shards), ["b"]);
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let mut shards = Shards::default();
        let all = ["a", "b", "c", "d"].map(|id| listed(id, &[]));
        shards.update(all.to_vec(), &Next::AtMs(7), false).unwrap();
        shards.all.get_mut("b").unwrap().next = Next::Behind("49".into());
        shards.all.get_mut("c").unwrap().next = Next::Oldest;
        end(&mut shards, "d");
        let bytes = shards.encode();
        let read = Shards::decode(&bytes).unwrap();
        let places = |shards: &Shards| -> Vec<(String, Next)> {
            shards.all.iter().map(|(id, shard)| (id.clone(), shard.next.clone())).collect()
        };
        assert_eq!(places(&read), places(&shards));
        for length in 0..bytes.len() {
            assert!(Shards::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
    }
}
