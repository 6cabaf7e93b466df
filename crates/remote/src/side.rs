//! Puts the files beside the log into the store before the frames that name them: segments, and the snapshots of jobs.
//!
//! A snapshot is a manifest that names runs; only runs that a manifest names are put. What has gone is needed by the store until it
//! has the frame that says so: then its key is no longer named by bases.

use crate::error::RemoteError;
use crate::kept::{Found, KeptDisk};
use crate::object::{SideFile, Stretch};
use crate::store::{READ_BYTES, Store, StoreError};
use base::{ErrorKind, Lsn};
use eventlog::EventLog;
use os::{Disk, DiskFile};
use state::Manifest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Called again and again while files are put; an error breaks off.
pub(crate) type Between<'a> = dyn FnMut() -> Result<(), StoreError> + 'a;

const MANIFEST: &str = ".snapshot";
const SEGMENT: &str = ".segment";
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// What has gone here, and is needed by the store until it has a frame.
struct Leaving {
    at: Lsn,
    side: Vec<SideFile>,
    aside: Vec<(String, PathBuf)>,
    stretches: Vec<Stretch>,
}

pub(crate) struct SideFiles {
    disk: KeptDisk,
    writer: String,
    count: u64,
    /// Put, and in no object yet.
    added: Vec<SideFile>,
    /// What the store had before this process began, and nobody has compared yet.
    claimed: BTreeMap<String, SideFile>,
    /// The last frame of compaction whose segment was looked for.
    compacted: Option<Lsn>,
    leaving: Option<Leaving>,
    /// What leaves next.
    side_next: Vec<SideFile>,
    stretches_next: Vec<Stretch>,
    /// Keys that the next base does not name any more.
    gone: Vec<String>,
}

impl SideFiles {
    /// `claimed` is what the store has of an earlier life of this directory.
    pub(crate) fn new(
        disk: KeptDisk,
        writer: &str,
        claimed: BTreeMap<String, SideFile>,
    ) -> Result<SideFiles, RemoteError> {
        let mut files = SideFiles {
            disk,
            writer: writer.to_string(),
            count: 0,
            added: Vec::new(),
            claimed: BTreeMap::new(),
            compacted: None,
            leaving: None,
            side_next: Vec::new(),
            stretches_next: Vec::new(),
            gone: Vec::new(),
        };
        for (path, side) in claimed {
            if files.find(&path)?.is_some() {
                files.claimed.insert(path, side);
            } else {
                files.side_next.push(side);
            }
        }
        Ok(files)
    }

    fn find(&self, path: &str) -> Result<Option<Found>, RemoteError> {
        self.disk.find(path).map_err(|error| RemoteError::io("look for", Path::new(path), &error))
    }

    /// What was put since the last call: the next object says so. It is kept over errors.
    pub(crate) fn take_added(&mut self) -> Vec<SideFile> {
        std::mem::take(&mut self.added)
    }

    /// Puts what frames that are durable by now may name. `between` is called before each part: the whole may take long.
    pub(crate) fn ship(
        &mut self,
        store: &mut dyn Store,
        log: &EventLog,
        between: &mut Between<'_>,
    ) -> Result<(), RemoteError> {
        let folders = self.disk.folders("state").map_err(|error| listing("state", &error))?;
        for folder in folders {
            self.ship_snapshots(store, &format!("state/{folder}"), between)?;
        }
        let compacted = log.compacted_lsn();
        if self.compacted != Some(compacted) {
            for name in self.disk.names("log").map_err(|error| listing("log", &error))? {
                if name.ends_with(SEGMENT) {
                    self.ship_file(store, &format!("log/{name}"), between)?;
                }
            }
            self.compacted = Some(compacted);
        }
        Ok(())
    }

    fn ship_snapshots(
        &mut self,
        store: &mut dyn Store,
        folder: &str,
        between: &mut Between<'_>,
    ) -> Result<(), RemoteError> {
        let names = self.disk.names(folder).map_err(|error| listing(folder, &error))?;
        for name in names.iter().filter(|name| name.ends_with(MANIFEST)) {
            let path = format!("{folder}/{name}");
            if self.disk.shipped(&path) {
                continue;
            }
            let Some(bytes) = self.read(&path)? else { continue };
            // One that is damaged names nothing; it is copied as it is.
            let runs = Manifest::decode(&bytes).map(|manifest| manifest.run_names()).unwrap_or_default();
            let mut are_there = true;
            for run in runs {
                are_there &= self.ship_file(store, &format!("{folder}/{run}"), between)?;
            }
            // One whose runs are gone was given up, and is about to go itself.
            if are_there {
                self.ship_file(store, &path, between)?;
            }
        }
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        let Some(Found { place, .. }) = self.find(path)? else { return Ok(None) };
        let read = self.disk.open(&place).and_then(|file| {
            let mut bytes = vec![0; file.length()?.min(MANIFEST_BYTES_MAX) as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RemoteError::io("read", &place, &error)),
        }
    }

    /// Puts a file unless the store has it; false if it is not there.
    fn ship_file(
        &mut self,
        store: &mut dyn Store,
        path: &str,
        between: &mut Between<'_>,
    ) -> Result<bool, RemoteError> {
        if self.disk.shipped(path) {
            return Ok(true);
        }
        let Some(mut found) = self.find(path)? else { return Ok(false) };
        let file = match self.disk.open(&found.place) {
            Ok(file) => file,
            // It has gone aside just now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => match self.find(path)? {
                Some(aside) => {
                    found = aside;
                    let opened = self.disk.open(&found.place);
                    opened.map_err(|error| RemoteError::io("open", &found.place, &error))?
                }
                None => return Ok(false),
            },
            Err(error) => return Err(RemoteError::io("open", &found.place, &error)),
        };
        let place = &found.place;
        let bytes = file.length().map_err(|error| RemoteError::io("read", place, &error))?;
        if let Some(claimed) = self.claimed.get(path).cloned() {
            let crc = whole_crc(&file, bytes).map_err(|error| RemoteError::io("read", place, &error))?;
            self.claimed.remove(path);
            if (claimed.bytes, claimed.crc) == (bytes, crc) {
                self.disk.is_shipped(claimed, &found);
                return Ok(true);
            }
            self.side_next.push(claimed);
        }
        self.count += 1;
        let key = format!("side/{}/{:016x}", self.writer, self.count);
        let mut crc = 0;
        store.put_parts(&key, bytes, &mut |from, length| {
            between()?;
            let part = read_part(&file, from, length).map_err(|error| {
                StoreError::new(ErrorKind::Unavailable, format!("cannot read {path}: {error}"))
            })?;
            crc = crc32c::crc32c_append(crc, &part);
            Ok(part)
        })?;
        let side = SideFile { path: path.to_string(), key, bytes, crc };
        self.disk.is_shipped(side.clone(), &found);
        self.added.push(side);
        Ok(true)
    }

    /// What a base names: what the store has of what is there, and what it needs a while longer.
    pub(crate) fn needed(&self) -> Vec<SideFile> {
        let mut needed: BTreeMap<String, SideFile> = BTreeMap::new();
        let leaving = self.leaving.iter().flat_map(|leaving| &leaving.side);
        let before = leaving.chain(&self.side_next).chain(self.claimed.values()).cloned();
        for side in before.chain(self.disk.all_shipped()) {
            needed.insert(side.path.clone(), side);
        }
        needed.into_values().collect()
    }

    /// The stretches that have left and that bases name a while longer.
    pub(crate) fn leaving_stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.leaving.iter().flat_map(|leaving| &leaving.stretches).chain(&self.stretches_next)
    }

    /// The log file of stretches has gone here.
    pub(crate) fn leave(&mut self, stretches: Vec<Stretch>) {
        self.stretches_next.extend(stretches);
    }

    /// Keys that nothing needs any more from the next base on.
    pub(crate) fn gone(&mut self, keys: impl IntoIterator<Item = String>) {
        self.gone.extend(keys);
    }

    pub(crate) fn take_gone(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gone)
    }

    /// The log is shipped up to a frame: what left before it was appended is needed no more.
    pub(crate) fn settle(&mut self, log: &EventLog, shipped: Lsn) {
        if let Some(leaving) = self.leaving.take_if(|leaving| leaving.at <= shipped) {
            self.disk.forget(&leaving.aside);
            self.gone.extend(leaving.side.into_iter().map(|side| side.key));
            self.gone.extend(leaving.stretches.iter().map(Stretch::key));
        }
        if self.leaving.is_none() {
            let (mut side, aside) = self.disk.take_removed();
            side.append(&mut self.side_next);
            let stretches = std::mem::take(&mut self.stretches_next);
            if !side.is_empty() || !aside.is_empty() || !stretches.is_empty() {
                // Whatever made it superfluous is in the log by now.
                self.leaving = Some(Leaving { at: log.appended(), side, aside, stretches });
            }
        }
    }
}

fn listing(folder: &str, error: &std::io::Error) -> RemoteError {
    RemoteError::io("list", Path::new(folder), error)
}

fn read_part(file: &Arc<dyn DiskFile>, from: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut part = vec![0; length];
    file.read_exact_at(&mut part, from)?;
    Ok(part)
}

fn whole_crc(file: &Arc<dyn DiskFile>, bytes: u64) -> std::io::Result<u32> {
    let (mut crc, mut position) = (0, 0);
    while position < bytes {
        let part = read_part(file, position, READ_BYTES.min(bytes - position) as usize)?;
        crc = crc32c::crc32c_append(crc, &part);
        position += part.len() as u64;
    }
    Ok(crc)
}
