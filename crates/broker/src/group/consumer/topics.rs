//! What groups see of the topics: names, ids, numbers of partitions; and which topics match a pattern.

use super::model::ConsumerGroup;
use crate::errors::ApiError;
use base::TopicId;
use eventlog::EventLog;
use kafka_wire::error_code::ErrorCode;
use regex::Regex;
use std::collections::BTreeSet;

pub trait Topics {
    /// The topic's id and its number of partitions.
    fn find(&self, name: &str) -> Option<(TopicId, u32)>;
    fn name_of(&self, id: TopicId) -> Option<String>;
    fn names(&self) -> Vec<String>;
    /// Another number whenever topics or partitions have come or gone.
    fn version(&self) -> u64;
}

impl Topics for EventLog {
    fn find(&self, name: &str) -> Option<(TopicId, u32)> {
        let topic = self.topic(name)?;
        Some((topic.id, u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)))
    }

    fn name_of(&self, id: TopicId) -> Option<String> {
        self.topic_by_id(id).map(|topic| topic.name.clone())
    }

    fn names(&self) -> Vec<String> {
        self.topics().iter().map(|topic| topic.name.clone()).collect()
    }

    fn version(&self) -> u64 {
        self.topics_version()
    }
}

/// Patterns are as RE2 has them, and match whole names.
pub fn compile(pattern: &str) -> Result<Regex, ApiError> {
    const COMPILED_BYTES_MAX: usize = 1 << 20;
    let whole = format!("^(?:{pattern})$");
    // The pattern by itself first: a bracket that closes ours would make something else of it.
    let checked = regex::RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
    checked.and_then(|_| regex::RegexBuilder::new(&whole).size_limit(COMPILED_BYTES_MAX).build()).map_err(
        |error| {
            // The last line says what is wrong; the others show the pattern.
            let words = error.to_string();
            let words = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message =
                format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {words}.");
            ApiError::new(ErrorCode::InvalidRegularExpression, message)
        },
    )
}

/// The topics that match, of those that the client may see.
pub fn matching(pattern: &Regex, topics: &dyn Topics, may_see: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    topics.names().into_iter().filter(|name| pattern.is_match(name) && may_see(name)).collect()
}

/// A hash over all that members are subscribed to: names, ids and numbers of partitions. It is logged, so it has to be
/// the same in every version of the program: FNV-1a.
pub fn hash(group: &ConsumerGroup, topics: &dyn Topics) -> u64 {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for member in group.members.values() {
        names.extend(group.subscription(&member.about));
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for name in names {
        // A topic that does not exist counts for nothing: when it comes, the hash changes.
        let Some((id, partitions)) = topics.find(name) else { continue };
        add(&(name.len() as u64).to_be_bytes());
        add(name.as_bytes());
        add(&id.0);
        add(&partitions.to_be_bytes());
    }
    hash
}
