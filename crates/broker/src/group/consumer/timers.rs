//! When members of consumer groups are out: sessions, and the time they have to give up partitions, to join, to sync.
//!
//! Nothing of it is logged. An entry of the queue may be early, never late: who keeps a member alive only moves a
//! deadline away, and what is due is found out when the entry comes up.

use std::collections::{BTreeMap, BTreeSet};

/// What a member is out for, if it does not come about in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    Session,
    /// To give up what is to be revoked, at this epoch.
    Rebalance {
        epoch: i32,
    },
    /// A classic member has been told to join again.
    Join,
    /// A classic member has joined, and has not fetched its assignment.
    Sync,
    /// Of a group without members, and of no member: it is forgotten unless it has offsets.
    Vacant,
}

/// The member that timers of the whole group are set for: no member has an empty id.
pub const WHOLE_GROUP: &str = "";

impl Timer {
    fn place(self) -> usize {
        match self {
            Timer::Session => 0,
            Timer::Rebalance { .. } => 1,
            Timer::Join => 2,
            Timer::Sync => 3,
            Timer::Vacant => 4,
        }
    }
}

#[derive(Debug, Default)]
pub struct Timers {
    groups: BTreeMap<String, GroupTimers>,
    queue: BTreeSet<(i64, String)>,
}

#[derive(Debug, Default)]
struct GroupTimers {
    members: BTreeMap<String, [Option<(i64, Timer)>; 5]>,
    armed_ms: Option<i64>,
    /// The version of the topics at which the group was looked at last, and when.
    seen: Option<(u64, i64)>,
    /// When the target assignment was computed last.
    assigned_at_ms: Option<i64>,
}

impl Timers {
    pub fn set(&mut self, group: &str, member: &str, timer: Timer, at_ms: i64) {
        let timers = self.groups.entry(group.to_string()).or_default();
        if !timers.members.contains_key(member) {
            timers.members.insert(member.to_string(), Default::default());
        }
        if let Some(slots) = timers.members.get_mut(member) {
            slots[timer.place()] = Some((at_ms, timer));
        }
        self.arm(group, at_ms);
    }

    /// Sets a timer that does not run yet.
    pub fn set_if_absent(&mut self, group: &str, member: &str, timer: Timer, at_ms: i64) {
        let slots = self.groups.get(group).and_then(|timers| timers.members.get(member));
        if slots.is_none_or(|slots| slots[timer.place()].is_none()) {
            self.set(group, member, timer, at_ms);
        }
    }

    pub fn cancel(&mut self, group: &str, member: &str, timer: Timer) {
        if let Some(slots) = self.groups.get_mut(group).and_then(|timers| timers.members.get_mut(member)) {
            slots[timer.place()] = None;
        }
    }

    /// Whether the timer runs: one that has run out does not, unless it was set again since.
    pub fn runs(&self, group: &str, member: &str, timer: Timer) -> bool {
        let slots = self.groups.get(group).and_then(|timers| timers.members.get(member));
        slots.is_some_and(|slots| slots[timer.place()].is_some())
    }

    pub fn forget_member(&mut self, group: &str, member: &str) {
        if let Some(timers) = self.groups.get_mut(group) {
            timers.members.remove(member);
        }
    }

    pub fn forget_group(&mut self, group: &str) {
        if let Some(armed) = self.groups.remove(group).and_then(|timers| timers.armed_ms) {
            self.queue.remove(&(armed, group.to_string()));
        }
    }

    /// Whether the topics were the same when the group was looked at last, and when that was.
    pub fn seen(&self, group: &str) -> Option<(u64, i64)> {
        self.groups.get(group)?.seen
    }

    pub fn see(&mut self, group: &str, version: u64, now_ms: i64) {
        self.groups.entry(group.to_string()).or_default().seen = Some((version, now_ms));
    }

    pub fn assigned_at_ms(&self, group: &str) -> Option<i64> {
        self.groups.get(group)?.assigned_at_ms
    }

    pub fn assigned(&mut self, group: &str, now_ms: i64) {
        self.groups.entry(group.to_string()).or_default().assigned_at_ms = Some(now_ms);
    }

    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The timers of one group that have run out; `None` when no group has any. A timer that has run out is gone.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<(String, Vec<(String, Timer)>)> {
        loop {
            let (at, group) = self.queue.first().filter(|(at, _)| *at <= now_ms)?.clone();
            self.queue.remove(&(at, group.clone()));
            let Some(timers) = self.groups.get_mut(&group) else { continue };
            timers.armed_ms = None;
            let mut due = Vec::new();
            let mut next: Option<i64> = None;
            for (member, slots) in &mut timers.members {
                for slot in slots {
                    match *slot {
                        Some((at, timer)) if at <= now_ms => {
                            due.push((member.clone(), timer));
                            *slot = None;
                        }
                        Some((at, _)) => next = Some(next.map_or(at, |next| next.min(at))),
                        None => {}
                    }
                }
            }
            if let Some(next) = next {
                self.arm(&group, next);
            }
            if !due.is_empty() {
                return Some((group, due));
            }
        }
    }

    fn arm(&mut self, group: &str, at_ms: i64) {
        let Some(timers) = self.groups.get_mut(group) else { return };
        if timers.armed_ms.is_some_and(|armed| armed <= at_ms) {
            return;
        }
        if let Some(armed) = timers.armed_ms.replace(at_ms) {
            self.queue.remove(&(armed, group.to_string()));
        }
        self.queue.insert((at_ms, group.to_string()));
    }
}
