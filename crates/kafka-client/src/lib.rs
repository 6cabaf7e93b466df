//! A small blocking Kafka client for the command line, the tests and the benches.
