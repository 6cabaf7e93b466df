//! Share groups (KIP-932): queues on the log. Members share a partition; each record is delivered to one of them at a
//! time, under a lock, until it is acknowledged.
//!
//! 1. `partition` decides, `state` is what the log keeps of it, `take` delivers, `settle` ends what was delivered.
//! 2. A delivery is in the log before its records are sent: a count of deliveries never goes back, and a record that
//!    kills its consumers runs out of attempts even if it takes the node along.
//! 3. Beyond Kafka: records may be held back until a time, failed ones wait longer each time, and those that are given
//!    up go to a dead-letter topic in the frame that archives them.

pub(crate) mod bell;
mod contents;
mod letters;
pub(crate) mod members;
pub mod options;
pub(crate) mod partition;
pub(crate) mod session;
mod settle;
mod state;
mod take;

#[cfg(test)]
mod model;

pub(crate) use members::{Beat, ShareMembers};
pub(crate) use settle::Settle;
pub(crate) use state::{SHARE_LAYER, ShareChange, ShareGroups, SharedShareGroups};
pub(crate) use take::{Limits, Place, Taken};

use crate::broker::Broker;
use crate::call::Now;
use crate::sync::lock;
use options::ShareGroupConfig;

impl Broker {
    /// The configuration of a share group as it is in force now.
    pub(crate) fn share_config(&self, group: &str) -> ShareGroupConfig {
        ShareGroupConfig::of(lock(&self.state.0).groups.config(group), &self.config)
    }

    /// Time has passed for the share groups; when to come next, in monotonic time.
    pub(crate) fn tick_share_groups(&self, now: Now) -> Option<i64> {
        let (gone, next_member) = lock(&self.share_members).tick(now.monotonic_ms);
        for (group, member) in gone {
            self.let_go(&group, &member, now);
        }
        let next_lock = self.end_locks(now);
        next_member.into_iter().chain(next_lock).min()
    }

    /// A member has left: its session ends, and what it holds is free.
    pub(crate) fn let_go(&self, group: &str, member: &str, now: Now) {
        lock(&self.share.0).sessions.close(group, member);
        // An error is for the operator of a broken disk; the locks end by themselves then.
        let _ = self.settle_all(group, Settle::Release { member }, now);
    }

    /// A connection has ended: what its consumers hold is free at once.
    pub fn disconnected(&self, connection: u64) {
        let gone = lock(&self.share.0).sessions.disconnect(connection);
        if gone.is_empty() {
            return;
        }
        let now = Now::of(&*self.os.clock);
        for (group, member) in gone {
            self.let_go(&group, &member, now);
        }
    }
}
