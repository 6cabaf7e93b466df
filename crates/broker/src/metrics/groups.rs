//! Groups in the page: their states and members, how far they are behind in records and in time, and what share groups
//! have done with their records.

use super::counters::ShareCounts;
use crate::broker::Broker;
use crate::call::Now;
use crate::sync::lock;
use crate::views::{PartitionLag, ShareView};
use metrics::{Family, Page, Table, Value, counter, gauge, gauge_of_max, gauge_of_sum};
use std::collections::BTreeMap;

const STATES: Table<u64> = Table {
    labels: &["type", "state"],
    rows: &[gauge("eventwright_groups", "Groups, by type and state.", |count| Some((*count).into()))],
};

const GROUPS: Table<usize> = Table {
    labels: &["group"],
    rows: &[gauge_of_sum("eventwright_group_members", "Members of the group.", |members| {
        Some((*members).into())
    })],
};

const GROUPS_AS_KAFKA: Table<usize> = Table {
    labels: &["consumergroup"],
    rows: &[gauge_of_sum("kafka_consumergroup_members", "Members of the group.", |members| {
        Some((*members).into())
    })],
};

/// How far a group is behind in a partition.
struct Behind {
    committed_offset: i64,
    lag: i64,
    /// The age of the first batch that it has not committed all of.
    lag_ms: i64,
}

impl Behind {
    fn committed(&self) -> Option<Value> {
        u64::try_from(self.committed_offset).ok().map(Value::Count)
    }

    fn records(&self) -> Option<Value> {
        u64::try_from(self.lag).ok().map(Value::Count)
    }
}

const LAGS: Table<Behind> = Table {
    labels: &["group", "topic", "partition"],
    rows: &[
        gauge(
            "eventwright_group_committed_offset",
            "The offset that the group has committed.",
            Behind::committed,
        ),
        gauge_of_sum(
            "eventwright_group_lag_records",
            "Records between the committed offset and the high watermark.",
            Behind::records,
        ),
        gauge_of_max(
            "eventwright_group_lag_seconds",
            "How long ago the first batch was written that the group has not committed, by its greatest timestamp; \
             0 if it has committed all.",
            |behind| Some(Value::Real(behind.lag_ms as f64 / 1e3)),
        ),
    ],
};

const LAGS_AS_KAFKA: Table<Behind> = Table {
    labels: &["consumergroup", "topic", "partition"],
    rows: &[
        gauge("kafka_consumergroup_current_offset", "The committed offset.", Behind::committed),
        gauge_of_sum("kafka_consumergroup_lag", "Records behind the high watermark.", Behind::records),
    ],
};

const LAG_SUMS: Table<u64> = Table {
    labels: &["consumergroup", "topic"],
    rows: &[gauge_of_sum("kafka_consumergroup_lag_sum", "Records behind, in all partitions.", |lag| {
        Some((*lag).into())
    })],
};

const SHARES: Table<ShareView> = Table {
    labels: &["group", "topic", "partition"],
    rows: &[
        gauge("eventwright_share_group_start_offset", "All records before it are done.", |shared| {
            u64::try_from(shared.start).ok().map(Value::Count)
        }),
        gauge("eventwright_share_group_end_offset", "The first record that was never delivered.", |shared| {
            u64::try_from(shared.end).ok().map(Value::Count)
        }),
        gauge_of_sum(
            "eventwright_share_group_locked_records",
            "Records that a member works on now.",
            |shared| Some(shared.locked.into()),
        ),
        gauge_of_sum(
            "eventwright_share_group_held_back_records",
            "Records that are to be delivered at a later time.",
            |shared| Some(shared.held_back.into()),
        ),
        gauge_of_sum(
            "eventwright_share_group_dead_records",
            "Records given up that wait for their dead-letter topic to take them.",
            |shared| Some(shared.dead.into()),
        ),
        gauge_of_sum(
            "eventwright_share_group_lag_records",
            "Records that are not done: delivered and not acknowledged, and all behind them.",
            |shared| Some(shared.lag().into()),
        ),
    ],
};

const SHARE_COUNTS: Table<ShareCounts> = Table {
    labels: &["group"],
    rows: &[
        counter("eventwright_share_group_delivered_records_total", "Deliveries of records.", |counts| {
            Some(counts.delivered.into())
        }),
        counter(
            "eventwright_share_group_accepted_records_total",
            "Records that members accepted.",
            |counts| Some(counts.accepted.into()),
        ),
        counter(
            "eventwright_share_group_released_records_total",
            "Records that members gave back, and those of members that went away.",
            |counts| Some(counts.released.into()),
        ),
        counter(
            "eventwright_share_group_rejected_records_total",
            "Records that members rejected.",
            |counts| Some(counts.rejected.into()),
        ),
        counter("eventwright_share_group_expired_locks_total", "Locks on records that ran out.", |counts| {
            Some(counts.expired.into())
        }),
        counter(
            "eventwright_share_group_over_limit_records_total",
            "Records given up because they had been delivered as often as they may.",
            |counts| Some(counts.over_limit.into()),
        ),
        counter(
            "eventwright_share_group_dead_letters_total",
            "Records copied to the group's dead-letter topic.",
            |counts| Some(counts.dead_letters.into()),
        ),
    ],
};

pub(super) fn families() -> Vec<Family> {
    let mut families: Vec<Family> = STATES.families().chain(GROUPS.families()).collect();
    families.extend(GROUPS_AS_KAFKA.families().chain(LAGS.families()));
    families.extend(LAGS_AS_KAFKA.families().chain(LAG_SUMS.families()));
    families.extend(SHARES.families().chain(SHARE_COUNTS.families()));
    families
}

impl Broker {
    pub(super) fn write_group_metrics(&self, page: &mut Page, now: Now) {
        let groups = self.groups();
        let mut states: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for group in &groups {
            *states.entry((group.group_type.name(), group.state)).or_default() += 1;
        }
        let states: Vec<(Vec<String>, u64)> = states
            .into_iter()
            .map(|((kind, state), count)| (vec![kind.to_string(), state.to_string()], count))
            .collect();
        page.table(&STATES, &states);
        let members: Vec<(Vec<String>, usize)> = groups
            .iter()
            .map(|group| {
                let members = self.group(&group.name).map_or(0, |group| group.members.len());
                (vec![group.name.clone()], members)
            })
            .collect();
        page.table(&GROUPS, &members);
        page.table(&GROUPS_AS_KAFKA, &members);
        let mut lags = Vec::new();
        let mut sums: Vec<(Vec<String>, u64)> = Vec::new();
        for group in &groups {
            for lag in self.group_lag(&group.name) {
                let sum = u64::try_from(lag.lag).unwrap_or(0);
                match sums
                    .last_mut()
                    .filter(|(names, _)| names[..] == [group.name.clone(), lag.topic.clone()])
                {
                    Some((_, known)) => *known += sum,
                    None => sums.push((vec![group.name.clone(), lag.topic.clone()], sum)),
                }
                let names = vec![group.name.clone(), lag.topic.clone(), lag.partition.to_string()];
                lags.push((names, self.behind(&lag, now)));
            }
        }
        page.table(&LAGS, &lags);
        page.table(&LAGS_AS_KAFKA, &lags);
        page.table(&LAG_SUMS, &sums);
        self.write_share_metrics(page);
    }

    fn behind(&self, lag: &PartitionLag, now: Now) -> Behind {
        Behind {
            committed_offset: lag.committed_offset,
            lag: lag.lag,
            lag_ms: self.behind_ms(lag, now.wall_ms),
        }
    }

    fn write_share_metrics(&self, page: &mut Page) {
        let shares = self.share_views(None).into_iter();
        let shares: Vec<(Vec<String>, ShareView)> = shares
            .map(|(group, one)| (vec![group, one.topic.clone(), one.partition.to_string()], one))
            .collect();
        page.table(&SHARES, &shares);
        let counts: Vec<(Vec<String>, ShareCounts)> = {
            let shared = lock(&self.share.0);
            shared.groups.names().map(|name| (vec![name.to_string()], shared.counts_of(name))).collect()
        };
        page.table(&SHARE_COUNTS, &counts);
    }
}
