//! Functions that Flink 2 documents and that are not here yet, so that a message can say which it is: unknown, or
//! known and missing.

pub(super) const NAMES: &[&str] = &["EXPLODE", "ML_PREDICT", "OBJECT_OF", "OBJECT_UPDATE"];
