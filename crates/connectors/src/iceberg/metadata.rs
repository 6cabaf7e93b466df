//! The metadata of an Iceberg table: JSON that says its columns, its partitions and its snapshots.
//!
//! What is not understood is kept as it stands, for others do.

use super::spec::LAST_ID_BEFORE;
use crate::lake::corrupt;
use crate::service::{Done, ServiceError};
use serde_json::{Map, Value, json};

/// The version of the specification that tables have.
const VERSION: i64 = 2;
/// What we note with each snapshot, and of the last one in the table's properties: snapshots expire.
const SINK: &str = "eventwright.sink";
const NEXT_OFFSET: &str = "eventwright.next-offset";
/// How many metadata files before the last are named, where the table says nothing else.
const PREVIOUS_MAX: usize = 100;
const PREVIOUS: &str = "write.metadata.previous-versions-max";
pub(super) const DELETES_OLD: &str = "write.metadata.delete-after-commit.enabled";

/// A table's metadata as they were read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metadata(pub Value);

/// What a commit adds.
#[derive(Debug, Clone)]
pub(super) struct Addition {
    pub snapshot: Value,
    pub parent: Option<i64>,
    /// Properties of the table that are set with it.
    pub properties: Vec<(String, String)>,
}

/// What a table is made with.
#[derive(Debug, Clone)]
pub(super) struct NewTable {
    pub schema: Value,
    pub last_column: i32,
    pub spec: Value,
    pub properties: Vec<(String, String)>,
}

fn property_of(identity: &str) -> String {
    format!("{NEXT_OFFSET}.{identity}")
}

impl Metadata {
    pub(super) fn parse(bytes: &[u8]) -> Done<Metadata> {
        let parsed: Result<Value, _> = serde_json::from_slice(bytes);
        parsed.map(Metadata).map_err(|error| corrupt(format!("its metadata are no JSON: {error}")))
    }

    /// Whether rows can be added by what we know.
    pub(super) fn check(&self) -> Done<()> {
        match self.0["format-version"].as_i64() {
            Some(VERSION) => Ok(()),
            Some(version) => Err(ServiceError::invalid(format!(
                "it has the format version {version}, and version {VERSION} alone can be written here: create it with \
                 'format-version' = '{VERSION}', or upgrade it"
            ))),
            None => Err(corrupt("its metadata have no format version")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Done<&str> {
        self.0[key].as_str().ok_or_else(|| corrupt(format!("its metadata have no '{key}'")))
    }

    pub(super) fn number(&self, key: &str) -> Done<i64> {
        self.0[key].as_i64().ok_or_else(|| corrupt(format!("its metadata have no '{key}'")))
    }

    pub(super) fn property(&self, key: &str) -> Option<&str> {
        self.0["properties"][key].as_str()
    }

    pub(super) fn count_property(&self, key: &str) -> Option<usize> {
        self.property(key)?.parse().ok()
    }

    fn of_id(&self, list: &str, id_key: &str, current: &str) -> Done<&Value> {
        let id = self.number(current)?;
        let found = self.0[list].as_array().and_then(|all| all.iter().find(|one| one[id_key] == id));
        found.ok_or_else(|| corrupt(format!("its metadata have no {id_key} {id}")))
    }

    pub(super) fn schema(&self) -> Done<&Value> {
        self.of_id("schemas", "schema-id", "current-schema-id")
    }

    pub(super) fn spec(&self) -> Done<&Value> {
        self.of_id("partition-specs", "spec-id", "default-spec-id")
    }

    fn snapshots(&self) -> &[Value] {
        self.0["snapshots"].as_array().map_or(&[], Vec::as_slice)
    }

    pub(super) fn has_snapshot(&self, id: i64) -> bool {
        self.snapshots().iter().any(|snapshot| snapshot["snapshot-id"] == id)
    }

    /// The last snapshot of the main branch; none of a table without rows.
    pub(super) fn current(&self) -> Done<Option<&Value>> {
        let id = self.0["refs"]["main"]["snapshot-id"].as_i64().or(self.0["current-snapshot-id"].as_i64());
        let Some(id) = id.filter(|id| *id != -1) else { return Ok(None) };
        let found = self.snapshots().iter().find(|snapshot| snapshot["snapshot-id"] == id);
        found.map(Some).ok_or_else(|| corrupt(format!("its metadata have no snapshot {id}")))
    }

    /// Up to where the rows of a sink are in the table: by its properties, and by the snapshots that there still are.
    pub(super) fn next_offset(&self, identity: &str) -> Done<i64> {
        let number = |text: &str| {
            let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
            number.ok_or_else(|| {
                corrupt(format!("it says no offset for {identity}: '{}'", text.escape_debug()))
            })
        };
        let mut next = self.property(&property_of(identity)).map_or(Ok(0), number)?;
        for snapshot in self.snapshots() {
            let summary = &snapshot["summary"];
            if summary[SINK] == identity
                && let Some(text) = summary[NEXT_OFFSET].as_str()
            {
                next = next.max(number(text)?);
            }
        }
        Ok(next)
    }

    /// Metadata of a new table.
    pub(super) fn new_table(table: &NewTable, location: &str, uuid: &str, now_ms: i64) -> Metadata {
        let properties: Map<String, Value> =
            table.properties.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        let fields = table.spec["fields"].as_array().map_or(0, Vec::len) as i64;
        Metadata(json!({
            "format-version": VERSION,
            "table-uuid": uuid,
            "location": location,
            "last-sequence-number": 0,
            "last-updated-ms": now_ms,
            "last-column-id": table.last_column,
            "current-schema-id": 0,
            "schemas": [table.schema],
            "default-spec-id": 0,
            "partition-specs": [table.spec],
            "last-partition-id": LAST_ID_BEFORE + fields,
            "default-sort-order-id": 0,
            "sort-orders": [{"order-id": 0, "fields": []}],
            "properties": properties,
            "current-snapshot-id": -1,
            "refs": {},
            "snapshots": [],
            "statistics": [],
            "snapshot-log": [],
            "metadata-log": [],
        }))
    }

    /// The metadata behind a commit; `previous` is where these lie. Answers also which older ones are named no more.
    pub(super) fn with(&self, addition: &Addition, previous: &str) -> Done<(Metadata, Vec<String>)> {
        let Addition { snapshot, properties, .. } = addition;
        let mut next = self.0.clone();
        let of = || corrupt("its metadata are no object");
        let updated_ms = self.number("last-updated-ms")?;
        let fields = next.as_object_mut().ok_or_else(of)?;
        let (id, time_ms) = (snapshot["snapshot-id"].clone(), snapshot["timestamp-ms"].clone());
        fields.insert("last-sequence-number".into(), snapshot["sequence-number"].clone());
        fields.insert("last-updated-ms".into(), time_ms.clone());
        fields.insert("current-snapshot-id".into(), id.clone());
        set_object(fields, "properties")
            .ok_or_else(of)?
            .extend(properties.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))));
        let main = set_object(fields, "refs").ok_or_else(of)?;
        let main = main.entry("main").or_insert_with(|| json!({"type": "branch"}));
        main["snapshot-id"] = id.clone();
        push(fields, "snapshots", snapshot.clone()).ok_or_else(of)?;
        push(fields, "snapshot-log", json!({"timestamp-ms": time_ms, "snapshot-id": id})).ok_or_else(of)?;
        push(fields, "metadata-log", json!({"timestamp-ms": updated_ms, "metadata-file": previous}))
            .ok_or_else(of)?;
        let kept = self.count_property(PREVIOUS).unwrap_or(PREVIOUS_MAX).max(1);
        let log = fields.get_mut("metadata-log").and_then(Value::as_array_mut).ok_or_else(of)?;
        let gone = log.drain(..log.len().saturating_sub(kept));
        let gone = gone.filter_map(|entry| entry["metadata-file"].as_str().map(str::to_string)).collect();
        Ok((Metadata(next), gone))
    }
}

fn set_object<'a>(fields: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = fields.entry(key.to_string()).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

fn push(fields: &mut Map<String, Value>, key: &str, item: Value) -> Option<()> {
    let value = fields.entry(key.to_string()).or_insert_with(|| json!([]));
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut()?.push(item);
    Some(())
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    pub files: i64,
    pub rows: i64,
    pub bytes: i64,
    pub partitions: i64,
}

/// The summary of a snapshot that adds files behind another one.
pub(super) fn summary(parent: Option<&Value>, added: Added, identity: &str, next_offset: i64) -> Value {
    let mut summary = Map::new();
    let mut put = |key: &str, value: String| drop(summary.insert(key.to_string(), value.into()));
    put("operation", "append".into());
    put("added-data-files", added.files.to_string());
    put("added-records", added.rows.to_string());
    put("added-files-size", added.bytes.to_string());
    put("changed-partition-count", added.partitions.to_string());
    for (key, more) in [
        ("total-records", added.rows),
        ("total-files-size", added.bytes),
        ("total-data-files", added.files),
        ("total-delete-files", 0),
        ("total-position-deletes", 0),
        ("total-equality-deletes", 0),
    ] {
        let before = match parent {
            None => Some(0),
            Some(parent) => parent["summary"][key].as_str().and_then(|text| text.parse::<i64>().ok()),
        };
        // A total that was not kept is not begun again.
        if let Some(total) = before.and_then(|before| before.checked_add(more)) {
            put(key, total.to_string());
        }
    }
    put("engine-name", "eventwright".into());
    put("engine-version", env!("CARGO_PKG_VERSION").into());
    put(SINK, identity.into());
    put(NEXT_OFFSET, next_offset.to_string());
    Value::Object(summary)
}

/// The property that says the same as the summary of the last snapshot.
pub(super) fn property(identity: &str, next_offset: i64) -> (String, String) {
    (property_of(identity), next_offset.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Metadata {
        let table = NewTable {
            schema: json!({"type": "struct", "schema-id": 0, "fields": []}),
            last_column: 0,
            spec: json!({"spec-id": 0, "fields": []}),
            properties: vec![(PREVIOUS.into(), "2".into())],
        };
        Metadata::new_table(&table, "file:///t", "u", 5)
    }

    #[test]
    fn snapshots_and_what_they_say_come_behind_each_other() {
        let mut metadata = table();
        assert_eq!((metadata.current().unwrap(), metadata.next_offset("me").unwrap()), (None, 0));
        let mut gone = Vec::new();
        for number in 1..=4 {
            let parent = metadata.current().unwrap().cloned();
            let added = Added { files: 1, rows: 10, bytes: 100, partitions: 1 };
            let snapshot = json!({"snapshot-id": number, "sequence-number": number, "timestamp-ms": number,
                "summary": summary(parent.as_ref(), added, "me", number * 10)});
            let addition = Addition { snapshot, parent: None, properties: vec![property("me", number * 10)] };
            let (next, dropped) = metadata.with(&addition, &format!("v{number}")).unwrap();
            gone.extend(dropped);
            metadata = next;
        }
        assert_eq!(gone, ["v1", "v2"]);
        assert_eq!(metadata.current().unwrap().unwrap()["summary"]["total-records"], "40");
        assert_eq!((metadata.next_offset("me").unwrap(), metadata.next_offset("you").unwrap()), (40, 0));
        // Snapshots expire, and the property stays.
        metadata.0["snapshots"] = json!([]);
        assert_eq!(metadata.next_offset("me").unwrap(), 40);
        assert!(metadata.current().is_err());
        metadata.0["properties"][property_of("me")] = "x".into();
        assert!(metadata.next_offset("me").is_err());
    }

    #[test]
    fn another_version_is_told() {
        let mut metadata = table();
        metadata.check().unwrap();
        metadata.0["format-version"] = 3.into();
        assert!(metadata.check().unwrap_err().message.contains("format version 3"));
        assert!(Metadata::parse(b"{}").unwrap().check().is_err() && Metadata::parse(b"{").is_err());
        assert!(
            Metadata(json!([]))
                .with(&Addition { snapshot: json!({}), parent: None, properties: vec![] }, "")
                .is_err()
        );
    }
}
