//! What a Delta table asks of those that write it, and whether we keep that.
//!
//! Adding rows needs little of what writers may have to do. What a table has that rows would have to fulfil (constraints,
//! generated columns), or that names things otherwise (column mapping), is refused with its name.

use super::log::State;
use super::schema::{has_local_time, metadata_of};
use arrow_schema::Fields;
use serde_json::{Value, json};

/// Features that do not matter to rows that are added, or only where the table makes use of them, which is looked at.
const FITTING: &[&str] = &[
    "appendOnly",
    "changeDataFeed",
    "checkConstraints",
    "columnMapping",
    "deletionVectors",
    "domainMetadata",
    "generatedColumns",
    "identityColumns",
    "invariants",
    "timestampNtz",
    "vacuumProtocolCheck",
];
/// Those whose actions our checkpoints do not hold: others write them then.
const BEYOND_CHECKPOINTS: &[&str] = &["deletionVectors", "domainMetadata"];

/// With it, other writers take our offset out of the table when it is old.
const TXN_RETENTION: &str = "delta.setTransactionRetentionDuration";

/// What a table that is made asks of others.
pub(super) struct Protocol {
    has_local_time: bool,
}

impl Protocol {
    pub(super) fn of(fields: &Fields) -> Protocol {
        Protocol { has_local_time: has_local_time(fields) }
    }

    /// As little as there is, so that all readers can read it.
    pub(super) fn action(&self) -> Value {
        match self.has_local_time {
            false => json!({"minReaderVersion": 1, "minWriterVersion": 2}),
            true => json!({
                "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["timestampNtz"],
                "writerFeatures": ["timestampNtz", "appendOnly", "invariants"],
            }),
        }
    }
}

fn features<'a>(state: &'a State, key: &str) -> Vec<&'a str> {
    state.protocol[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Why rows cannot be added to the table, if so.
pub(super) fn check(state: &State, schema: &str) -> Result<(), String> {
    let version = |key: &str| state.protocol[key].as_i64().unwrap_or(i64::MAX);
    if version("minReaderVersion") > 3 || version("minWriterVersion") > 7 {
        return Err("it is of a newer protocol than readers 3 and writers 7, which are not known here".into());
    }
    let all = [features(state, "readerFeatures"), features(state, "writerFeatures")].concat();
    if let Some(other) = all.iter().find(|feature| !FITTING.contains(feature)) {
        return Err(format!("it has the table feature '{other}', which cannot be written here"));
    }
    let configuration = &state.metadata["configuration"];
    if configuration["delta.columnMapping.mode"].as_str().is_some_and(|mode| mode != "none") {
        return Err("it maps its columns ('delta.columnMapping.mode'), which cannot be written here".into());
    }
    if !configuration[TXN_RETENTION].is_null() {
        return Err(format!(
            "it forgets transactions ('{TXN_RETENTION}'), by which rows are told that are there already: unset it"
        ));
    }
    let names = configuration.as_object().into_iter().flatten().map(|(key, _)| key);
    if let Some(constraint) = names.filter_map(|key| key.strip_prefix("delta.constraints.")).next() {
        return Err(format!("it has the constraint '{constraint}', which cannot be checked here"));
    }
    for noted in metadata_of(schema) {
        for (key, what) in [
            ("delta.generationExpression", "generated columns"),
            ("delta.identity.start", "identity columns"),
            ("delta.invariants", "invariants of columns"),
        ] {
            if noted.contains_key(key) {
                return Err(format!("it has {what}, which cannot be written here"));
            }
        }
    }
    Ok(())
}

/// Whether our checkpoints say all that the log says.
pub(super) fn can_checkpoint(state: &State) -> bool {
    !features(state, "writerFeatures").iter().any(|feature| BEYOND_CHECKPOINTS.contains(feature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(protocol: Value, configuration: Value, noted: &str) -> Option<String> {
        let schema =
            format!(r#"{{"type":"struct","fields":[{{"name":"a","type":"long","metadata":{{{noted}}}}}]}}"#);
        let metadata = json!({ "configuration": configuration });
        check(&State { protocol, metadata, ..State::default() }, &schema).err()
    }

    #[test]
    fn what_rows_would_have_to_fulfil_is_refused() {
        let old = json!({"minReaderVersion": 1, "minWriterVersion": 4});
        let new = |feature: &str| json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [feature], "writerFeatures": [feature]});
        for (protocol, configuration, noted) in [
            (old.clone(), json!({}), ""),
            (new("deletionVectors"), json!({"delta.columnMapping.mode": "none"}), "\"x\":1"),
        ] {
            assert_eq!(refused(protocol, configuration, noted), None);
        }
        for (protocol, configuration, noted, words) in [
            (json!({"minReaderVersion": 4, "minWriterVersion": 8}), json!({}), "", "newer protocol"),
            (json!({}), json!({}), "", "newer protocol"),
            (new("rowTracking"), json!({}), "", "'rowTracking'"),
            (old.clone(), json!({"delta.constraints.many": "a > 1"}), "", "the constraint 'many'"),
            (old.clone(), json!({"delta.columnMapping.mode": "name"}), "", "maps its columns"),
            (old.clone(), json!({TXN_RETENTION: "interval 7 days"}), "", TXN_RETENTION),
            (old.clone(), json!({}), "\"delta.generationExpression\":\"b\"", "generated columns"),
            (old, json!({}), "\"delta.invariants\":\"{}\"", "invariants"),
        ] {
            let told = refused(protocol, configuration, noted).unwrap();
            assert!(told.contains(words), "{told}");
        }
    }
}
