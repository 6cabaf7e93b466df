//! An Iceberg table as a sink's target: each commit is a snapshot that adds a manifest of its files to those before it.
//!
//! 1. The files are whole. A manifest names them, and a list names all manifests of the snapshot: both are new files.
//! 2. The catalog makes the snapshot the last one, if the one before it still is. This decides.
//!
//! The snapshot and a property of the table say the outbox offset behind the rows, so whoever opens the table goes on there.
//! Where another writer came first, the list is made anew behind its snapshot; where our own offset has moved, another
//! life has written the rows, and we are told so. Small manifests of ours are joined when there are many.

use super::catalog::{Catalog, Committed, Loaded};
use super::manifests::{self, ADDED, EXISTING, Entry, Manifest};
use super::metadata::{self, Added, Addition, DELETES_OLD, Metadata, NewTable};
use super::schema::{self, Columns, id_of};
use super::spec::{Spec, bytes_of};
use crate::filesystem::avro::MARK_BYTES;
use crate::lake::storage::{Stores, below};
use crate::lake::values::{self, Value, shortened_max, shortened_max_bytes, shortened_min};
use crate::lake::{DataFile, LakeTable, Layout, Opened, Unanswered, changed, columns, corrupt, fenced, uuid};
use crate::service::{Done, ServiceError};
use arrow_schema::Fields;
use base::ErrorKind;
use parquet::basic::Compression;
use serde_json::json;
use std::collections::BTreeSet;

/// How often others may come first before a commit is given up for now.
const TRIES_MAX: u32 = 50;
const LIST_BYTES_MAX: u64 = 64 << 20;
/// Of a manifest whose files are counted.
const COUNTED_BYTES_MAX: u64 = 64 << 20;
/// So many small manifests are joined, where the table says nothing else.
const JOINED_MIN: usize = 100;
const JOINED_MIN_KEY: &str = "commit.manifest.min-count-to-merge";
const JOINS_KEY: &str = "commit.manifest-merge.enabled";
/// A manifest of this size is small no more.
const MANIFEST_BYTES: i64 = 8 << 20;
/// Letters and bytes of bounds.
const BOUND_LENGTH: usize = 16;

/// What the table is declared as here.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub fields: Fields,
    pub partition_keys: Vec<String>,
    pub creates: bool,
    pub compression: Compression,
    pub row_group_bytes: usize,
    /// The properties of a table that is made.
    pub properties: Vec<(String, String)>,
}

pub(super) struct IcebergTable<C> {
    catalog: C,
    identity: String,
    declared: Declared,
    open: Option<Open>,
    /// The snapshots of commits without an answer.
    unanswered: Unanswered<i64>,
}

/// Small manifests, and the one that they became.
struct Joined {
    paths: BTreeSet<String>,
    one: Manifest,
}

struct Open {
    loaded: Loaded,
    spec: Spec,
    fields: Fields,
    next_offset: i64,
}

/// What a snapshot has of the files that are added.
struct NewFiles {
    snapshot_id: i64,
    manifest: Manifest,
    added: Added,
}

impl<C: Catalog> IcebergTable<C> {
    pub(super) fn new(catalog: C, identity: &str, declared: Declared) -> IcebergTable<C> {
        IcebergTable {
            catalog,
            identity: identity.to_string(),
            declared,
            open: None,
            unanswered: Unanswered::default(),
        }
    }

    /// Reads the table and looks whether the columns fit; none where there is none.
    pub(super) fn look(&mut self, stores: &mut Stores) -> Done<Option<(Loaded, Spec, Layout)>> {
        let Some(loaded) = self.catalog.load(stores)? else { return Ok(None) };
        let (spec, layout) = self.layout(&loaded.metadata)?;
        for folder in [&layout.folder, &self.metadata_folder(&loaded.metadata)?] {
            stores.place(folder)?;
        }
        Ok(Some((loaded, spec, layout)))
    }

    fn layout(&self, metadata: &Metadata) -> Done<(Spec, Layout)> {
        metadata.check()?;
        let found = schema::columns(metadata.schema()?);
        let Columns { fields, unknown } = found.map_err(|reason| corrupt(format!("its schema: {reason}")))?;
        let written = columns::written(&self.declared.fields, &fields, &unknown);
        let written = written.map_err(ServiceError::invalid)?;
        let spec = Spec::of(metadata.spec()?, &fields).map_err(ServiceError::invalid)?;
        let keys: Vec<&str> = self.declared.partition_keys.iter().map(String::as_str).collect();
        if !keys.is_empty() && keys != spec.columns() {
            return Err(ServiceError::invalid(format!(
                "it is partitioned by ({}), and declared as PARTITIONED BY ({})",
                spec.columns().join(", "),
                keys.join(", ")
            )));
        }
        let folder = match metadata.property("write.data.path") {
            Some(folder) => folder.to_string(),
            None => below(metadata.text("location")?, "data"),
        };
        let layout = Layout {
            fields: written,
            parts: spec.fields.iter().map(|field| field.part.clone()).collect(),
            folder,
            compression: self.declared.compression,
            row_group_bytes: self.declared.row_group_bytes,
        };
        Ok((spec, layout))
    }

    fn create(&mut self, stores: &mut Stores) -> Done<()> {
        let Declared { fields, partition_keys, properties, .. } = &self.declared;
        let (schema, last_column) = schema::schema_of(fields).map_err(ServiceError::invalid)?;
        let spec = Spec::of_columns(&schema, partition_keys);
        // A table with a commit each minute would have its metadata a thousand times a day.
        let mut all = vec![
            ("write.format.default".to_string(), "parquet".to_string()),
            (DELETES_OLD.to_string(), "true".to_string()),
        ];
        all.extend(properties.iter().cloned());
        let table = NewTable { schema, last_column, spec, properties: all };
        self.catalog.create(stores, &table)
    }

    /// Writes the manifest of the files.
    fn new_files(&self, stores: &mut Stores, open: &Open, files: &[DataFile]) -> Done<NewFiles> {
        let snapshot_id = (stores.os().random.next_u64() >> 1) as i64;
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let entries: Vec<Entry> = files.iter().map(|file| entry(&open.fields, file, snapshot_id)).collect();
        let rows: i64 = entries.iter().map(|entry| entry.rows).sum();
        let partitions: BTreeSet<&Vec<Value>> = files.iter().map(|file| &file.partition).collect();
        let added = Added {
            files: count(files.len() as u64),
            rows,
            bytes: files.iter().map(|file| count(file.bytes)).sum(),
            partitions: count(partitions.len() as u64),
        };
        let mut manifest = self.write_manifest(stores, open, &entries)?;
        manifest.snapshot_id = snapshot_id;
        manifest.files = [added.files, 0, 0];
        manifest.rows = [rows, 0, 0];
        Ok(NewFiles { snapshot_id, manifest, added })
    }

    fn metadata_folder(&self, metadata: &Metadata) -> Done<String> {
        match metadata.property("write.metadata.path") {
            Some(folder) => Ok(folder.to_string()),
            None => Ok(below(metadata.text("location")?, "metadata")),
        }
    }

    fn write_manifest(&self, stores: &mut Stores, open: &Open, entries: &[Entry]) -> Done<Manifest> {
        let (block_mark, id) = (mark(stores), uuid(mark(stores)));
        let schema = open.loaded.metadata.schema()?;
        let (bytes, summaries) = manifests::manifest(&open.spec, schema, entries, block_mark)?;
        let name = format!("eventwright-{}-{id}-m0.avro", self.identity);
        let path = below(&self.metadata_folder(&open.loaded.metadata)?, &name);
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        // Nobody else gives this name: one that is there is ours, and its answer was lost.
        stores.put_new(&path, bytes)?;
        let partitions = Some(summaries).filter(|summaries| !summaries.is_empty());
        Ok(Manifest { path, bytes: length, spec_id: open.spec.id, partitions, ..Manifest::default() })
    }

    /// Whether a manifest of the table is a small one of ours.
    fn is_small(&self, manifest: &Manifest, spec: &Spec) -> bool {
        let name = manifest.path.rsplit('/').next().unwrap_or_default();
        manifest.content == 0
            && manifest.spec_id == spec.id
            && !manifest.is_uncounted
            && manifest.files[2] == 0
            && manifest.key_metadata.is_none()
            && (0..MANIFEST_BYTES).contains(&manifest.bytes)
            && name.starts_with("eventwright-")
    }

    /// Joins small manifests where there are many.
    fn joined(&self, stores: &mut Stores, open: &Open, all: &[Manifest]) -> Done<Option<Joined>> {
        let metadata = &open.loaded.metadata;
        let least = metadata.count_property(JOINED_MIN_KEY).unwrap_or(JOINED_MIN).max(2);
        let small = all.iter().filter(|manifest| self.is_small(manifest, &open.spec));
        let small: Vec<&Manifest> = small.collect();
        if small.len() < least || metadata.property(JOINS_KEY) == Some("false") {
            return Ok(None);
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for manifest in small {
            if bytes + manifest.bytes <= MANIFEST_BYTES {
                bytes += manifest.bytes;
                taken.push(manifest);
            }
        }
        let mut entries = Vec::new();
        for manifest in &taken {
            let bytes = stores.read(&manifest.path, LIST_BYTES_MAX)?;
            let bytes = bytes.ok_or_else(|| corrupt(format!("the manifest {} is gone", manifest.path)))?;
            for entry in manifests::entries(&bytes, &open.spec)? {
                entries.push(Entry {
                    status: EXISTING,
                    snapshot_id: entry.snapshot_id.or(Some(manifest.snapshot_id)),
                    sequence: entry.sequence.or(Some(manifest.sequence)),
                    file_sequence: entry.file_sequence.or(Some(manifest.sequence)),
                    ..entry
                });
            }
        }
        let mut one = self.write_manifest(stores, open, &entries)?;
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        one.files = [0, count, 0];
        one.rows = [0, entries.iter().map(|entry| entry.rows).sum(), 0];
        one.sequence_min = entries.iter().filter_map(|entry| entry.sequence).min().unwrap_or(0);
        // Its own numbers are those of the snapshot that has it first.
        (one.sequence, one.snapshot_id) = (-1, -1);
        Ok(Some(Joined { paths: taken.into_iter().map(|manifest| manifest.path.clone()).collect(), one }))
    }

    /// The manifests of the last snapshot.
    fn manifests(&self, stores: &mut Stores, metadata: &Metadata) -> Done<Vec<Manifest>> {
        let Some(current) = metadata.current()? else { return Ok(Vec::new()) };
        let place = current["manifest-list"].as_str();
        let place = place.ok_or_else(|| corrupt("a snapshot has no list of manifests"))?;
        let bytes = stores.read(place, LIST_BYTES_MAX)?;
        let gone = || ServiceError::unavailable(format!("{place} is gone"));
        manifests::listed(&bytes.ok_or_else(gone)?)
    }

    /// The snapshot behind the last one, with its list of manifests.
    fn addition(
        &self,
        stores: &mut Stores,
        open: &Open,
        mut all: Vec<Manifest>,
        new: &NewFiles,
        joined: Option<&Joined>,
        next_offset: i64,
    ) -> Done<Addition> {
        let metadata = &open.loaded.metadata;
        let before = metadata.current()?;
        let parent = match before {
            Some(before) => {
                let id = before["snapshot-id"].as_i64();
                Some(id.ok_or_else(|| corrupt("a snapshot has no id"))?)
            }
            None => None,
        };
        let sequence = metadata.number("last-sequence-number")?.checked_add(1);
        let sequence = sequence.ok_or_else(|| corrupt("its numbers are used up"))?;
        for manifest in all.iter_mut().filter(|manifest| manifest.is_uncounted) {
            let bytes = stores.read(&manifest.path, COUNTED_BYTES_MAX)?;
            let gone = || corrupt(format!("the manifest {} is gone", manifest.path));
            manifest.count(&bytes.ok_or_else(gone)?)?;
        }
        // Another writer may have joined or rewritten some of them meanwhile.
        if let Some(Joined { paths, one }) = joined
            && all.iter().filter(|manifest| paths.contains(&manifest.path)).count() == paths.len()
        {
            all.retain(|manifest| !paths.contains(&manifest.path));
            all.push(one.clone());
        }
        for manifest in all.iter_mut().filter(|manifest| manifest.sequence == -1) {
            (manifest.sequence, manifest.snapshot_id) = (sequence, new.snapshot_id);
        }
        // By itself: what a snapshot adds is looked for in manifests of its own.
        all.push(Manifest { sequence, sequence_min: sequence, ..new.manifest.clone() });
        let (id, parent_text, sequence_text) =
            (new.snapshot_id.to_string(), parent.map(|id| id.to_string()), sequence.to_string());
        let mut head =
            vec![("snapshot-id", id.as_str()), ("sequence-number", &sequence_text), ("format-version", "2")];
        head.extend(parent_text.as_deref().map(|text| ("parent-snapshot-id", text)));
        let bytes = manifests::list(&all, &head, mark(stores))?;
        let name = format!("snap-{id}-1-{}.avro", uuid(mark(stores)));
        let list = below(&self.metadata_folder(metadata)?, &name);
        stores.put_new(&list, bytes)?;
        let now_ms = stores.os().clock.now_ms().max(metadata.number("last-updated-ms")?);
        let mut snapshot = json!({
            "snapshot-id": new.snapshot_id, "sequence-number": sequence, "timestamp-ms": now_ms,
            "manifest-list": list, "schema-id": metadata.number("current-schema-id")?,
            "summary": metadata::summary(before, new.added, &self.identity, next_offset),
        });
        if let Some(parent) = parent {
            snapshot["parent-snapshot-id"] = parent.into();
        }
        let properties = vec![metadata::property(&self.identity, next_offset)];
        Ok(Addition { snapshot, parent, properties })
    }

    /// Reads the table again, behind another's commit; none where ours is in it.
    fn reload(&mut self, stores: &mut Stores, open: &mut Open, snapshot_id: i64) -> Done<bool> {
        let loaded = self.catalog.load(stores)?.ok_or_else(|| changed(&self.catalog.place()))?;
        let before = &open.loaded.metadata;
        let now = &loaded.metadata;
        if now.has_snapshot(snapshot_id) {
            open.loaded = loaded;
            return Ok(true);
        }
        let is_same = |key: &str| now.0[key] == before.0[key];
        if !["table-uuid", "format-version", "current-schema-id", "default-spec-id"].into_iter().all(is_same)
        {
            return Err(changed(&self.catalog.place()));
        }
        if now.next_offset(&self.identity)? != open.next_offset {
            // One of ours that came late says where to go on.
            let is_late = self.unanswered.any(|id| now.has_snapshot(*id));
            let place = self.catalog.place();
            return Err(if is_late { changed(&place) } else { fenced(&place) });
        }
        open.loaded = loaded;
        Ok(false)
    }

    fn add(
        &mut self,
        stores: &mut Stores,
        open: &mut Open,
        files: &[DataFile],
        next_offset: i64,
    ) -> Done<()> {
        let new = self.new_files(stores, open, files)?;
        let mut all = self.manifests(stores, &open.loaded.metadata)?;
        // It makes reading quicker and nothing else: without it the small ones stay.
        let joined = self.joined(stores, open, &all).unwrap_or_default();
        for _ in 0..TRIES_MAX {
            let addition = self.addition(stores, open, all, &new, joined.as_ref(), next_offset)?;
            match self.catalog.commit(stores, &open.loaded, &addition) {
                Ok(Committed::Done(loaded)) => {
                    open.loaded = loaded;
                    return Ok(());
                }
                // Its answer may have been lost, and the same been sent again. The list that was written for it stays: a
                // commit that seems refused may be done yet.
                Ok(Committed::Conflict) => {
                    if self.reload(stores, open, new.snapshot_id)? {
                        return Ok(());
                    }
                    all = self.manifests(stores, &open.loaded.metadata)?;
                }
                Err(error) => {
                    self.unanswered.push(new.snapshot_id);
                    return Err(error);
                }
            }
        }
        self.unanswered.push(new.snapshot_id);
        Err(ServiceError::new(ErrorKind::Retry, "others commit to it all the time"))
    }
}

fn mark(stores: &Stores) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    stores.os().random.fill(&mut mark);
    mark
}

/// A file as a manifest has it.
fn entry(fields: &Fields, file: &DataFile, snapshot_id: i64) -> Entry {
    let (mut column_bytes, mut value_counts, mut null_counts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lower, mut upper) = (Vec::new(), Vec::new());
    for bounds in values::bounds(fields, &file.metadata) {
        let Some(id) = id_of(bounds.field) else { continue };
        column_bytes.push((id, bounds.compressed_bytes));
        value_counts.push((id, bounds.values));
        null_counts.extend(bounds.nulls.map(|nulls| (id, nulls)));
        lower.extend(bounds.min.as_ref().and_then(|value| bound(value, false)).map(|bound| (id, bound)));
        upper.extend(bounds.max.as_ref().and_then(|value| bound(value, true)).map(|bound| (id, bound)));
    }
    let offsets = file.metadata.row_groups().iter().map(|group| group.file_offset());
    Entry {
        status: ADDED,
        snapshot_id: Some(snapshot_id),
        sequence: None,
        file_sequence: None,
        path: file.address.clone(),
        partition: file.partition.clone(),
        rows: file.rows,
        bytes: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        column_bytes,
        value_counts,
        null_counts,
        lower,
        upper,
        split_offsets: offsets.collect::<Option<Vec<i64>>>().unwrap_or_default(),
    }
}

/// A bound of few bytes.
fn bound(value: &Value, is_upper: bool) -> Option<Vec<u8>> {
    match value {
        Value::Text(text) if is_upper => Some(shortened_max(text, BOUND_LENGTH)?.into_bytes()),
        Value::Text(text) => Some(shortened_min(text, BOUND_LENGTH).as_bytes().to_vec()),
        Value::Bytes(bytes) if is_upper => shortened_max_bytes(bytes, BOUND_LENGTH),
        Value::Bytes(bytes) => Some(bytes[..bytes.len().min(BOUND_LENGTH)].to_vec()),
        value => bytes_of(value),
    }
}

impl<C: Catalog> LakeTable for IcebergTable<C> {
    fn pause_ms(&self) -> Option<u64> {
        self.catalog.pause_ms()
    }

    fn place(&self) -> String {
        self.catalog.place()
    }

    fn open(&mut self, stores: &mut Stores) -> Done<Opened> {
        self.open = None;
        let mut found = self.look(stores)?;
        if found.is_none() && self.declared.creates {
            self.create(stores)?;
            found = self.look(stores)?;
        }
        let missing = || {
            let hint = format!("create it, or leave out '{}'", crate::lake::options::CREATE);
            ServiceError::new(ErrorKind::NotFound, format!("there is no such table: {hint}"))
        };
        let (loaded, spec, layout) = found.ok_or_else(missing)?;
        self.catalog.opened(stores, &loaded);
        let next_offset = loaded.metadata.next_offset(&self.identity)?;
        self.open = Some(Open { loaded, spec, fields: layout.fields.clone(), next_offset });
        Ok(Opened { next_offset, layout })
    }

    fn commit(&mut self, stores: &mut Stores, files: &[DataFile], next_offset: i64) -> Done<()> {
        // With an error the table is opened anew.
        let Some(mut open) = self.open.take() else {
            return Err(ServiceError::unavailable("the table is not open"));
        };
        self.add(stores, &mut open, files, next_offset)?;
        open.next_offset = next_offset;
        self.open = Some(open);
        Ok(())
    }
}
