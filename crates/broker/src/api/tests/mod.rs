//! The APIs through the broker's door, on a simulated machine.

mod admin;
mod compaction;
mod consumer_group_crashes;
mod consumer_groups;
mod group_migration;
mod groups;
mod idle_producers;
mod internal_topics;
mod metrics;
mod node_settings;
mod old_offsets;
mod one_node;
mod records;
mod remote;
mod share;
mod share_crashes;
mod traced;
mod transaction_crashes;
mod transactional;
mod transactions;
mod versions;
