//! Consumer groups and the log: every decision is made under the append lock, written as one frame, and then applied.
//!
//! Here, too, is where the two protocols meet. A group is a consumer group as long as the state says so; whoever speaks
//! the classic protocol to it is served as a member of it, and a group goes over from one protocol to the other when
//! its members do (`group.consumer.migration.policy`). Lock order: append lock, coordinator, state.
//!
//! `scene` is what a decision sees and how it is written, `member` what members of the consumer protocol ask for,
//! `classic` those of the classic one, `deadlines` whose time is up, `offsets` who may commit and read offsets.

mod classic;
mod deadlines;
mod member;
mod offsets;
mod scene;

pub(crate) use classic::Classic;

use crate::broker::Broker;
use crate::group::consumer::Assignor;
use crate::group::options;
use crate::state::BrokerState;

impl Broker {
    /// The first of those that the node offers.
    pub(crate) fn default_assignor(&self) -> Assignor {
        let names = self.config.text("group.consumer.assignors").unwrap_or_default();
        names.split(',').find_map(|name| Assignor::named(name.trim())).unwrap_or(Assignor::Uniform)
    }

    fn may_upgrade(&self) -> bool {
        matches!(self.config.text("group.consumer.migration.policy"), Some("bidirectional" | "upgrade"))
    }

    fn may_downgrade(&self) -> bool {
        matches!(self.config.text("group.consumer.migration.policy"), Some("bidirectional" | "downgrade"))
    }

    fn number(&self, key: &str) -> i64 {
        self.config.text(key).and_then(|value| value.trim().parse().ok()).unwrap_or(i64::from(i32::MAX))
    }
}

/// A whole number of the group's configuration.
fn setting(broker: &Broker, state: &BrokerState, name: &str, key: &str) -> i32 {
    let value = options::integer(&broker.config, state.groups.config(name), key);
    value.and_then(|value| i32::try_from(value).ok()).unwrap_or(i32::MAX)
}
