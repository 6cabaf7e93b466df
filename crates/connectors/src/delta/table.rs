//! A Delta table as a sink's target: a version of its log is put on the condition that there is none of its number.
//!
//! A commit adds files and a transaction (`txn`) of our application, whose version is the outbox offset behind the rows.
//! Whoever opens the table goes on there. Where the number is taken, the version of that number is read: one of others is
//! passed by, for rows that are added conflict with nothing but other columns; one of ours, put by another life, fences us.

use super::checkpoint;
use super::features::{self, Protocol};
use super::log::{self, State, version_address};
use super::schema::{self, Columns};
use super::stats;
use crate::lake::storage::{Stores, below};
use crate::lake::transforms::Transform;
use crate::lake::{DataFile, LakeTable, Layout, Opened, Part, Unanswered, changed, columns, corrupt, fenced};
use crate::percent::percent_encoded;
use crate::service::{Done, ServiceError};
use arrow_schema::Fields;
use base::ErrorKind;
use parquet::basic::Compression;
use serde_json::{Value, json};

/// How often others may take the number behind the last one before a commit is given up for now.
const TRIES_MAX: u32 = 100;
/// A checkpoint comes after so many versions where the table says nothing else.
const CHECKPOINT_INTERVAL: i64 = 10;
const ROW_GROUP_BYTES: usize = 128 << 20;

/// What the table is declared as here.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub fields: Fields,
    pub partition_keys: Vec<String>,
    pub creates: bool,
    pub compression: Compression,
    /// The properties of a table that is made.
    pub properties: Vec<(String, String)>,
}

pub(super) struct DeltaTable {
    /// Its address.
    root: String,
    /// Our application: the job's sink.
    application: String,
    declared: Declared,
    /// What is known of it, once it is open.
    version: i64,
    /// Of that version, and the table's id.
    digest: Option<log::Digest>,
    id: Value,
    layout: Option<Layout>,
    /// How many columns have bounds.
    indexed_columns: usize,
    checkpoint_interval: i64,
    writes_checkpoints: bool,
    wants_checkpoint: bool,
    /// The ids of commits without an answer.
    unanswered: Unanswered<String>,
}

impl DeltaTable {
    pub(super) fn new(root: String, identity: &str, declared: Declared) -> DeltaTable {
        DeltaTable {
            root,
            application: format!("eventwright-{identity}"),
            declared,
            version: -1,
            digest: None,
            id: Value::Null,
            layout: None,
            indexed_columns: 0,
            checkpoint_interval: CHECKPOINT_INTERVAL,
            writes_checkpoints: false,
            wants_checkpoint: false,
            unanswered: Unanswered::default(),
        }
    }

    /// Reads the log and looks whether the columns fit; none where there is no table.
    pub(super) fn look(&self, stores: &mut Stores) -> Done<Option<(State, Layout)>> {
        let state = State::read(stores, &self.root, false)?;
        if state.version < 0 {
            return Ok(None);
        }
        let layout = self.layout(&state)?;
        Ok(Some((state, layout)))
    }

    fn layout(&self, state: &State) -> Done<Layout> {
        let text = state.metadata["schemaString"].as_str().ok_or_else(|| corrupt("it has no schema"))?;
        features::check(state, text).map_err(ServiceError::invalid)?;
        let Columns { fields, unknown } =
            schema::columns(text).map_err(|reason| corrupt(format!("its schema: {reason}")))?;
        let written = columns::written(&self.declared.fields, &fields, &unknown);
        let written = written.map_err(ServiceError::invalid)?;
        let names = state.metadata["partitionColumns"].as_array().map_or(&[][..], Vec::as_slice);
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        let keys = &self.declared.partition_keys;
        if !keys.is_empty() && *keys != names {
            return Err(ServiceError::invalid(format!(
                "it is partitioned by ({}), and declared as PARTITIONED BY ({})",
                names.join(", "),
                keys.join(", ")
            )));
        }
        let part = |name: &&str| {
            let field = fields.iter().find(|field| field.name() == name);
            let field = field.ok_or_else(|| {
                ServiceError::invalid(format!("it is partitioned by '{name}', whose type cannot be written"))
            })?;
            Ok(Part { name: name.to_string(), field: field.as_ref().clone(), transform: Transform::Identity })
        };
        let parts = names.iter().map(part).collect::<Done<Vec<Part>>>()?;
        // Columns of partitions stand in the log, not in files.
        let in_files = written.iter().filter(|field| !names.contains(&field.name().as_str()));
        let in_files: Fields = in_files.cloned().collect();
        if in_files.is_empty() {
            return Err(ServiceError::invalid("no column is left for its files: partition it by fewer"));
        }
        Ok(Layout {
            fields: in_files,
            parts,
            folder: self.root.clone(),
            compression: self.declared.compression,
            row_group_bytes: ROW_GROUP_BYTES,
        })
    }

    fn create(&self, stores: &mut Stores) -> Done<()> {
        let Declared { fields, partition_keys, properties, .. } = &self.declared;
        let schema = schema::schema_string(fields).map_err(ServiceError::invalid)?;
        let now_ms = stores.os().clock.now_ms();
        let id = uuid(stores);
        let properties = properties.iter().map(|(key, value)| (key.clone(), Value::from(value.clone())));
        let actions = [
            json!({"commitInfo": {"timestamp": now_ms, "operation": "CREATE TABLE", "operationParameters": {},
                "isBlindAppend": true, "engineInfo": ENGINE, "txnId": uuid(stores)}}),
            json!({"protocol": Protocol::of(fields).action()}),
            json!({"metaData": {
                "id": id, "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
                "partitionColumns": partition_keys,
                "configuration": Value::Object(properties.collect()), "createdTime": now_ms,
            }}),
        ];
        // Where another has made it, that one counts.
        stores.put_new(&version_address(&self.root, 0), lines(&actions)).map(drop)
    }

    /// The actions of a commit; `id` tells it from all others.
    fn commit_actions(
        &self,
        layout: &Layout,
        files: &[DataFile],
        next_offset: i64,
        now_ms: i64,
        id: &str,
    ) -> Done<Vec<Value>> {
        let mut actions = vec![
            json!({"commitInfo": {"timestamp": now_ms, "operation": "STREAMING UPDATE",
                "operationParameters": {"outputMode": "Append", "queryId": self.application, "epochId": next_offset.to_string()},
                "isBlindAppend": true, "engineInfo": ENGINE, "txnId": id}}),
            json!({"txn": {"appId": self.application, "version": next_offset, "lastUpdated": now_ms}}),
        ];
        for file in files {
            let path = file.address.strip_prefix(&below(&self.root, ""));
            let path = path.ok_or_else(|| corrupt("a file does not lie in the table"))?;
            let values = layout.parts.iter().zip(&file.partition);
            let values = values.map(|(part, value)| {
                (part.name.clone(), Value::from(stats::partition_text(value, part.field.data_type())))
            });
            actions.push(json!({"add": {
                "path": percent_encoded(path, true), "partitionValues": Value::Object(values.collect()),
                "size": file.bytes, "modificationTime": now_ms, "dataChange": true,
                "stats": stats::of(&layout.fields, file, self.indexed_columns).to_string(),
            }}));
        }
        Ok(actions)
    }

    fn committed(&mut self, version: i64) {
        self.wants_checkpoint |= version % self.checkpoint_interval == 0;
    }

    /// Whose a version is that comes before a commit's.
    fn look_at(&self, taken: &[Value], id: &str) -> Done<Taken> {
        let said = |kind: &'static str| taken.iter().filter_map(move |action| action.get(kind));
        if said("commitInfo").any(|info| info["txnId"] == id) {
            return Ok(Taken::Ours);
        }
        if said("txn").any(|txn| txn["appId"] == self.application.as_str()) {
            // One of ours that came late says where to go on.
            let is_late =
                said("commitInfo").any(|info| self.unanswered.any(|late| info["txnId"] == late.as_str()));
            return Err(if is_late { changed(&self.place()) } else { fenced(&self.place()) });
        }
        if said("protocol").next().is_some() || said("metaData").next().is_some() {
            return Err(changed(&self.place()));
        }
        Ok(Taken::Others)
    }
}

/// Whose a version is.
enum Taken {
    /// Its answer was lost.
    Ours,
    Others,
}

const ENGINE: &str = concat!("eventwright/", env!("CARGO_PKG_VERSION"));

fn lines(actions: &[Value]) -> Vec<u8> {
    actions.iter().flat_map(|action| (action.to_string() + "\n").into_bytes()).collect()
}

/// A random one.
fn uuid(stores: &Stores) -> String {
    let mut bytes = [0; 16];
    stores.os().random.fill(&mut bytes);
    crate::lake::uuid(bytes)
}

impl LakeTable for DeltaTable {
    fn place(&self) -> String {
        self.root.clone()
    }

    fn open(&mut self, stores: &mut Stores) -> Done<Opened> {
        let mut found = self.look(stores)?;
        if found.is_none() && self.declared.creates {
            self.create(stores)?;
            found = self.look(stores)?;
        }
        let missing = || {
            let hint = format!("create it, or leave out '{}'", crate::lake::options::CREATE);
            ServiceError::new(ErrorKind::NotFound, format!("there is no such table: {hint}"))
        };
        let (state, layout) = found.ok_or_else(missing)?;
        let configuration = &state.metadata["configuration"];
        let number = |key: &str| configuration[key].as_str().and_then(|text| text.parse::<i64>().ok());
        self.checkpoint_interval =
            number("delta.checkpointInterval").filter(|every| *every > 0).unwrap_or(CHECKPOINT_INTERVAL);
        self.indexed_columns = match number("delta.dataSkippingNumIndexedCols") {
            Some(-1) => usize::MAX,
            Some(count) => usize::try_from(count).unwrap_or(stats::INDEXED_COLUMNS),
            None => stats::INDEXED_COLUMNS,
        };
        self.writes_checkpoints = features::can_checkpoint(&state);
        self.version = state.version;
        self.digest = state.digest;
        self.id = state.metadata["id"].clone();
        self.layout = Some(layout.clone());
        let last = state.applications.get(&self.application).map(|said| said["version"].as_i64());
        let next_offset = match last {
            None => 0,
            Some(offset) => offset.ok_or_else(|| corrupt("a transaction has no version"))?,
        };
        Ok(Opened { next_offset, layout })
    }

    fn commit(&mut self, stores: &mut Stores, files: &[DataFile], next_offset: i64) -> Done<()> {
        let Some(layout) = self.layout.clone() else {
            return Err(ServiceError::unavailable("the table is not open"));
        };
        let (id, now_ms) = (uuid(stores), stores.os().clock.now_ms());
        let bytes = lines(&self.commit_actions(&layout, files, next_offset, now_ms, &id)?);
        // A table that was removed and made again has the same numbers, and rows of ours would lie behind none of its own.
        let seen = (self.digest, &self.id);
        let last = log::last_from(stores, &self.root, self.version)?;
        if last.is_none() || !log::is_same(stores, &self.root, self.version, seen)? {
            return Err(changed(&self.place()));
        }
        for _ in 0..TRIES_MAX {
            // Behind a version that is gone the log is another one, or cleaned up far beyond us: nothing would be behind it.
            let last = log::last_from(stores, &self.root, self.version)?;
            let last = last.ok_or_else(|| changed(&self.place()))?;
            while self.version < last {
                let version = self.version + 1;
                let taken = log::version(stores, &self.root, version)?;
                let (taken, digest) = taken.ok_or_else(|| changed(&self.place()))?;
                let taken = self.look_at(&taken, &id)?;
                (self.version, self.digest) = (version, Some(digest));
                if let Taken::Ours = taken {
                    self.committed(version);
                    return Ok(());
                }
            }
            let version = last + 1;
            match stores.put_new(&version_address(&self.root, version), bytes.clone()) {
                Ok(true) => {
                    (self.version, self.digest) = (version, Some(log::digest(&bytes)));
                    self.committed(version);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => {
                    self.unanswered.push(id);
                    return Err(error);
                }
            }
        }
        // The last answer may have been that of a second put of ours.
        self.unanswered.push(id);
        Err(ServiceError::new(ErrorKind::Retry, "others commit to it all the time"))
    }

    fn tidy(&mut self, stores: &mut Stores) {
        if std::mem::take(&mut self.wants_checkpoint) && self.writes_checkpoints {
            // It makes reading quicker and nothing else: the next one may be written instead.
            let _ = checkpoint::write(stores, &self.root, self.version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_commit_of_ours_is_no_other_node() {
        let declared = Declared {
            fields: Fields::empty(),
            partition_keys: Vec::new(),
            creates: false,
            compression: Compression::UNCOMPRESSED,
            properties: Vec::new(),
        };
        let mut table = DeltaTable::new("/t".into(), "me", declared);
        table.unanswered.push("late".into());
        let kind = |id: &str, application: &str| {
            let version =
                [json!({"commitInfo": {"txnId": id}}), json!({"txn": {"appId": application, "version": 1}})];
            table
                .look_at(&version, "now")
                .map(|taken| matches!(taken, Taken::Ours))
                .map_err(|error| error.kind)
        };
        assert_eq!(kind("now", "eventwright-me"), Ok(true));
        assert_eq!(kind("late", "eventwright-me"), Err(ErrorKind::Retry));
        assert_eq!(kind("other", "eventwright-me"), Err(ErrorKind::Fenced));
        assert_eq!(kind("other", "another"), Ok(false));
    }
}
