//! The write-ahead log: one totally ordered, durable log that everything else is derived from.
