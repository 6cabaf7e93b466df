//! The Kafka APIs on top of the log: topics, produce, fetch, groups.
