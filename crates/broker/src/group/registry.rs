//! Which groups there are, and which protocol each of them follows.
//!
//! A group is a consumer group (or a share group) if the state that is folded from the log says so. All others are
//! classic: those with members in the coordinator, and those that are known by their committed offsets only.

use super::{GroupState, GroupType};
use crate::broker::Broker;
use crate::sync::lock;
use std::collections::BTreeMap;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedGroup {
    pub(crate) group_type: GroupType,
    /// Kafka's name of the state.
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
}

impl Broker {
    /// The type of a group; `None` if there is no such group.
    pub(crate) fn group_type(&self, group: &str) -> Option<GroupType> {
        let coordinator = lock(&self.coordinator);
        let state = lock(&self.state.0);
        let classic = || coordinator.state(group).map(|_| GroupType::Classic);
        state.logged_group_type(group).or_else(classic).or_else(|| {
            // Not among the groups of the coordinator: nobody has joined since the start.
            state.offsets.group(group).map(|_| GroupType::Classic)
        })
    }

    /// Every group, by name.
    pub(crate) fn list_groups(&self) -> BTreeMap<String, ListedGroup> {
        let mut groups = BTreeMap::new();
        let coordinator = lock(&self.coordinator);
        let state = lock(&self.state.0);
        let classic = |state: GroupState, protocol_type: &str| ListedGroup {
            group_type: GroupType::Classic,
            state: state.name(),
            protocol_type: protocol_type.to_string(),
        };
        for (name, offsets) in state.offsets.groups() {
            groups.insert(name.to_string(), classic(GroupState::Empty, &offsets.protocol_type));
        }
        for name in coordinator.names() {
            if let Some((state, protocol_type)) = coordinator.state(name) {
                groups.insert(name.to_string(), classic(state, &protocol_type));
            }
        }
        for (name, group) in state.groups.consumers() {
            let listed = ListedGroup {
                group_type: GroupType::Consumer,
                state: group.state(),
                protocol_type: super::consumer::CONSUMER.to_string(),
            };
            groups.insert(name.to_string(), listed);
        }
        let (members, shared) = (lock(&self.share_members), lock(&self.share.0));
        for name in shared.groups.names() {
            let state = members.group(name).map_or("Empty", |group| group.state());
            // Tools tell a share group by its protocol type as well.
            let protocol_type = GroupType::Share.name().to_string();
            let listed = ListedGroup { group_type: GroupType::Share, state, protocol_type };
            groups.insert(name.to_string(), listed);
        }
        groups
    }
}
