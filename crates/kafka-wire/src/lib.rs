//! Bytes to Kafka messages and record batches, and back.
