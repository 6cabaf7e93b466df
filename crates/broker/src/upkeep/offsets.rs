//! Committed offsets that nobody needs any more (KIP-211, KIP-496): after `offsets.retention.minutes`, counted from the
//! commit, or from when the group lost its last member if that was later. Of a group with members those go whose topics
//! no member subscribes to. A group without members and offsets goes too.
//!
//! Members of classic groups are not in the log, so since when a group is empty is written down when it is found to be.

use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::group::{Coordinator, Occupancy};
use crate::state::BrokerState;
use crate::state::groups::GroupChange;
use crate::state::offsets::{CommittedOffset, GroupOffsets, OffsetChange, TopicPartition};
use crate::sync::lock;
use eventlog::{Frame, Layer};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// How many groups and offsets are looked at while the append lock is held, but for those of one group.
const LOOKED_AT_ONCE: usize = 10_000;

/// The settings.
#[derive(Debug, Clone)]
pub struct OffsetsConfig {
    pub retention_ms: i64,
    pub check_every_ms: i64,
    /// Of the topic that is shown in their stead.
    pub topic_partitions: u32,
}

/// Which offsets of a group may go, and from when on their time runs.
enum Rule<'a> {
    /// All stay.
    Keep,
    /// Those of topics that are not subscribed to, from their commit or this time on.
    Expire { from_ms: i64, subscribed: Box<dyn Fn(&str) -> bool + 'a> },
}

/// What is written of a group, and applied when nothing can fail any more.
#[derive(Default)]
struct Changes {
    offsets: Vec<OffsetChange>,
    consumer_gone: bool,
    coordinator_forgets: bool,
}

impl Broker {
    pub(super) fn forget_old_offsets(&self, now: Now) {
        let wall_ms = self.explained_wall_ms(now);
        let mut from = Bound::Unbounded;
        // An error is no harm: the next round finds the same ones.
        while let Ok((Some(last), _)) =
            self.log.append(|frame| self.forget_some_offsets(frame, from.as_ref(), wall_ms))
        {
            from = Bound::Excluded(last);
        }
    }

    /// Looks at the next groups; answers the last of them, or `None` when there are no more.
    fn forget_some_offsets(
        &self,
        frame: &mut Frame<'_>,
        from: Bound<&String>,
        wall_ms: i64,
    ) -> Result<Option<String>, ApiError> {
        let mut coordinator = lock(&self.coordinator);
        let mut state = lock(&self.state.0);
        let names = next_groups(&coordinator, &state, from);
        let (mut looked, mut last) = (0, None);
        let mut changes: Vec<(String, Changes)> = Vec::new();
        for name in names {
            looked += 1 + state.offsets.group(&name).map_or(0, |group| group.offsets.len());
            let of_group = self.changes_of(&name, &mut coordinator, &state, wall_ms);
            for change in &of_group.offsets {
                frame.layer(Layer::GROUP_OFFSETS, &change.encode())?;
            }
            if of_group.consumer_gone {
                let change = GroupChange::ConsumerGone { group: name.clone() };
                frame.layer(Layer::GROUPS, &change.encode())?;
            }
            changes.push((name.clone(), of_group));
            last = Some(name);
            if looked >= LOOKED_AT_ONCE {
                break;
            }
        }
        for (group, of_group) in changes {
            of_group.offsets.into_iter().for_each(|change| state.offsets.apply(change));
            if of_group.coordinator_forgets {
                // It has no members, which is all that could be in the way.
                let _ = coordinator.delete(&group);
            }
            if of_group.consumer_gone {
                coordinator.consumers.forget_group(&group);
                state.groups.apply(GroupChange::ConsumerGone { group });
            }
        }
        Ok(last)
    }

    fn changes_of(
        &self,
        name: &str,
        coordinator: &mut Coordinator,
        state: &BrokerState,
        wall_ms: i64,
    ) -> Changes {
        let nothing = GroupOffsets::default();
        let known = state.offsets.group(name);
        let offsets = known.unwrap_or(&nothing);
        let mut changes = Changes::default();
        let consumer = state.groups.consumer(name).map(|known| &known.group);
        let occupancy = coordinator.look(name);
        let is_empty = match consumer {
            Some(group) => group.members.is_empty(),
            None => !matches!(occupancy, Some(Occupancy::Members { .. })),
        };
        let rule = if let Some(group) = consumer {
            let subscribed = Box::new(|topic: &str| group.is_subscribed(topic));
            Rule::Expire { from_ms: i64::MIN, subscribed }
        } else if offsets.protocol_type.is_empty() && occupancy.is_none() {
            // Committed by somebody who assigns partitions himself.
            Rule::Expire { from_ms: i64::MIN, subscribed: Box::new(|_| false) }
        } else {
            match occupancy {
                Some(Occupancy::Members { subscribed }) => {
                    changes.offsets.extend(has_members(name, offsets));
                    subscribed.map_or(Rule::Keep, |topics| {
                        let subscribed = Box::new(move |topic: &str| topics.contains(topic));
                        Rule::Expire { from_ms: i64::MIN, subscribed }
                    })
                }
                other => {
                    let was_used = matches!(other, Some(Occupancy::Empty { was_used: true }));
                    let from_ms = match offsets.empty_since_ms {
                        Some(since_ms) if !was_used => since_ms,
                        _ => {
                            changes.offsets.extend(known.map(|_| emptied(name, Some(wall_ms))));
                            wall_ms
                        }
                    };
                    Rule::Expire { from_ms, subscribed: Box::new(|_| false) }
                }
            }
        };
        let gone = match rule {
            Rule::Keep => Vec::new(),
            Rule::Expire { from_ms, subscribed } => self.expired(offsets, wall_ms, from_ms, &*subscribed),
        };
        let none_left = gone.len() == offsets.offsets.len() && !offsets.has_pending();
        if is_empty && none_left {
            // What was to be said of the group before says nothing any more.
            let group = name.to_string();
            changes.offsets = known.map(|_| OffsetChange::DeleteGroup { group }).into_iter().collect();
            changes.consumer_gone = consumer.is_some();
            changes.coordinator_forgets = true;
        } else if !gone.is_empty() {
            changes.offsets.push(OffsetChange::Forget { group: name.to_string(), partitions: gone });
        }
        changes
    }

    fn expired(
        &self,
        group: &GroupOffsets,
        wall_ms: i64,
        from_ms: i64,
        subscribed: &dyn Fn(&str) -> bool,
    ) -> Vec<TopicPartition> {
        let retention_ms = self.config.offsets.retention_ms;
        let is_due = |committed: &CommittedOffset| match committed.expires_at_ms {
            Some(expires_at_ms) => expires_at_ms <= wall_ms,
            None => wall_ms.saturating_sub(committed.committed_at_ms.max(from_ms)) >= retention_ms,
        };
        // Topics lie one behind the other, and most offsets of most groups are young.
        let mut topics = BTreeMap::new();
        let mut may_go = |topic| {
            *topics.entry(topic).or_insert_with(|| {
                let topic = self.log.topic_by_id(topic);
                topic.is_none_or(|topic| !subscribed(&topic.name))
            })
        };
        let due = group.offsets.iter().filter(|(partition, committed)| {
            is_due(committed) && may_go(partition.0) && !group.is_pending(partition)
        });
        due.map(|(partition, _)| *partition).collect()
    }
}

fn emptied(group: &str, since_ms: Option<i64>) -> OffsetChange {
    OffsetChange::Emptied { group: group.to_string(), since_ms }
}

/// A group that was found to be empty has members again.
fn has_members(group: &str, offsets: &GroupOffsets) -> Option<OffsetChange> {
    offsets.empty_since_ms.map(|_| emptied(group, None))
}

/// The names of the next groups that may have something to be forgotten, in their order; not those of share groups.
fn next_groups(
    coordinator: &Coordinator,
    state: &BrokerState,
    from: Bound<&String>,
) -> impl Iterator<Item = String> + use<> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    names.extend(state.offsets.names_from(from).take(LOOKED_AT_ONCE));
    names.extend(state.groups.consumer_names_from(from).take(LOOKED_AT_ONCE));
    names.extend(coordinator.names_from(from).take(LOOKED_AT_ONCE));
    let names: Vec<String> = names.into_iter().take(LOOKED_AT_ONCE).map(str::to_string).collect();
    names.into_iter()
}
