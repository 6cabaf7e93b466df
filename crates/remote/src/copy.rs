//! Makes a data directory from the store: at once (restore), or object by object as they come (standby).
//!
//! Objects have the bytes of the log's files as they stood there, so what comes out is a directory that is opened like one that
//! was left by a crash: recovery checks every frame.

use crate::claim::{Head, bases, numbers, read_header};
use crate::error::RemoteError;
use crate::identity::Identity;
use crate::object::{Base, Header, SideFile, Stretch, decode, log_key};
use crate::store::{READ_BYTES, SharedPlace, Store, get_all, missing};
use base::ErrorKind;
use eventlog::{cut_after, log_file_name, log_file_number, write_copied_format};
use os::{Disk, DiskFile, Os};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOG_FOLDER: &str = "log";

/// What a copy holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// The last frame, and when it was appended.
    pub lsn: u64,
    pub appended_ms: i64,
    /// Who wrote it.
    pub epoch: u64,
    pub bytes: u64,
    pub objects: u64,
}

/// A data directory in the making.
pub(crate) struct Replica {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    until_ms: Option<i64>,
    pub(crate) head: Head,
    /// Log files that were written to since the last sync.
    open: BTreeMap<u64, Arc<dyn DiskFile>>,
    /// What is there of the files beside the log, by path; the key says which.
    fetched: BTreeMap<String, String>,
    /// Of log files, the number of the first object that counts.
    counts_from: BTreeMap<u64, u64>,
    base_number: u64,
    /// The base up to which what is not needed was removed.
    settled: u64,
    /// The time is reached: nothing more counts.
    is_cut: bool,
    pub(crate) copied: Copied,
}

impl Replica {
    /// Begins with the newest base, or with the newest that is not behind a time. What is in the directory is removed.
    pub(crate) fn begin(
        os: &Os,
        data: &Path,
        store: &mut dyn Store,
        until_ms: Option<i64>,
    ) -> Result<Replica, RemoteError> {
        let mut copy = Replica {
            disk: os.disk.clone(),
            data: data.to_path_buf(),
            until_ms,
            head: Head { next: 1, ..Head::default() },
            open: BTreeMap::new(),
            fetched: BTreeMap::new(),
            counts_from: BTreeMap::new(),
            base_number: 0,
            settled: 0,
            is_cut: false,
            copied: Copied::default(),
        };
        copy.clear()?;
        if let Some((number, base)) = find_base(store, until_ms)? {
            copy.base_number = number;
            copy.head.next = base.from(number);
            copy.counts_from = base.in_objects.iter().copied().collect();
            for stretch in &base.stretches {
                copy.fetch_stretch(store, stretch)?;
            }
        }
        Ok(copy)
    }

    /// Takes all objects that are there; answers how many. None if what comes next is no longer there: the copy must begin anew.
    pub(crate) fn follow(&mut self, store: &mut dyn Store) -> Result<Option<u64>, RemoteError> {
        let mut count = 0;
        for number in numbers(store, self.head.next)? {
            // All that the base needs was there when it was put; what is missing went with it, because it is not the newest.
            if number != self.head.next {
                return Ok(None);
            }
            let key = log_key(number);
            let object = get_all(store, &key)?;
            let (header, payload) = decode(&key, &object)?;
            self.take(number, header, payload)?;
            if self.is_cut {
                break;
            }
            count += 1;
        }
        Ok(Some(count))
    }

    /// An object: its bytes go to their place.
    fn take(&mut self, number: u64, header: Header, payload: &[u8]) -> Result<(), RemoteError> {
        let Some(extent) = &header.extent else {
            self.come_to(number, header);
            return Ok(());
        };
        let counts = number >= self.base_number
            || self.counts_from.get(&extent.file).is_some_and(|from| *from <= number);
        if !counts {
            self.head.next = self.head.next.max(number + 1);
            return Ok(());
        }
        let mut bytes = payload;
        let mut last_lsn = header.last_lsn;
        if let Some(until_ms) = self.until_ms {
            // A file's beginning has no frames of its own time.
            let is_behind = extent.appended_ms > until_ms;
            match cut_after(payload, extent.generation, extent.position, until_ms) {
                Some((length, last)) => {
                    self.is_cut = true;
                    bytes = &payload[..length];
                    last_lsn = last.map_or(self.copied.lsn, |lsn| lsn.0);
                }
                None if is_behind => {
                    self.is_cut = true;
                    return Ok(());
                }
                None => {}
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
        self.write(extent.file, extent.position, bytes)?;
        self.copied.lsn = last_lsn;
        self.copied.appended_ms = match self.is_cut {
            true => self.until_ms.unwrap_or(extent.appended_ms),
            false => extent.appended_ms,
        };
        self.come_to(number, header);
        Ok(())
    }

    fn come_to(&mut self, number: u64, header: Header) {
        self.copied.objects += 1;
        if number >= self.base_number {
            self.copied.epoch = header.epoch;
            self.head.take(number, header);
        } else {
            self.head.next = number + 1;
        }
    }

    fn log_path(&self, file: u64) -> PathBuf {
        self.data.join(LOG_FOLDER).join(log_file_name(file))
    }

    fn write(&mut self, file: u64, position: u64, bytes: &[u8]) -> Result<(), RemoteError> {
        let path = self.log_path(file);
        let failed = |error: std::io::Error| RemoteError::io("write", &path, &error);
        let handle = match self.open.get(&file) {
            Some(handle) => handle.clone(),
            None => {
                let exists = self.disk.exists(&path).map_err(failed)?;
                let handle = if exists { self.disk.open(&path) } else { self.disk.create(&path, 0) };
                let handle = handle.map_err(failed)?;
                self.open.insert(file, handle.clone());
                handle
            }
        };
        handle.write_all_at(bytes, position).map_err(failed)?;
        self.copied.bytes += bytes.len() as u64;
        Ok(())
    }

    fn fetch_stretch(&mut self, store: &mut dyn Store, stretch: &Stretch) -> Result<(), RemoteError> {
        let key = stretch.key();
        let (mut at, mut crc) = (0, 0);
        while at < stretch.bytes {
            let part = store.get(&key, at, READ_BYTES.min(stretch.bytes - at))?;
            let part = part.filter(|part| !part.is_empty()).ok_or_else(|| missing(&key))?;
            crc = crc32c::crc32c_append(crc, &part);
            self.write(stretch.file, stretch.position + at, &part)?;
            at += part.len() as u64;
        }
        if crc != stretch.crc {
            return Err(RemoteError::corrupt(&key, "its bytes do not fit their checksum"));
        }
        self.copied.objects += 1;
        // Files may be many.
        self.sync_files()
    }

    fn sync_files(&mut self) -> Result<(), RemoteError> {
        for (file, handle) in std::mem::take(&mut self.open) {
            let path = self.log_path(file);
            handle.sync_data().map_err(|error| RemoteError::io("sync", &path, &error))?;
        }
        Ok(())
    }

    /// When there is a new base: fetches what it names beside the log, and gives back what it does not name. So a copy that
    /// follows for long is no larger than the log, and has little to fetch when it is wanted.
    pub(crate) fn settle(&mut self, store: &mut dyn Store) -> Result<(), RemoteError> {
        let Some(number) = self.head.base.as_ref().map(|(number, _)| *number) else { return Ok(()) };
        if number != self.settled {
            self.fetch_side(store)?;
            self.sync_files()?;
            self.prune()?;
            self.settled = number;
        }
        Ok(())
    }

    /// Makes what is there durable, with all that belongs to it: from here on the directory can be opened.
    pub(crate) fn finish(&mut self, store: &mut dyn Store) -> Result<(), RemoteError> {
        self.fetch_side(store)?;
        self.prune()?;
        self.sync_files()?;
        let folder = self.data.join(LOG_FOLDER);
        let has_segments = self.head.side.keys().any(|path| path.starts_with("log/"));
        write_copied_format(&self.disk, &folder, has_segments)?;
        self.disk.sync_directory(&folder).map_err(|error| RemoteError::io("sync", &folder, &error))
    }

    /// Fetches the files beside the log that are not there, and removes those that are not needed.
    fn fetch_side(&mut self, store: &mut dyn Store) -> Result<(), RemoteError> {
        let wanted: Vec<SideFile> = self.head.side.values().cloned().collect();
        for side in &wanted {
            if self.fetched.get(&side.path) == Some(&side.key) {
                continue;
            }
            match self.fetch_one(store, side) {
                Ok(()) => {}
                // Of a segment or a run that went later in what is copied: recovery says so if it is needed.
                Err(RemoteError::Store(error)) if error.kind == ErrorKind::NotFound => continue,
                Err(error) => {
                    // What is there of it is not what any key names.
                    match self.disk.exists(&self.data.join(&side.path)) {
                        Ok(true) => self.fetched.insert(side.path.clone(), String::new()),
                        _ => self.fetched.remove(&side.path),
                    };
                    return Err(error);
                }
            }
            self.copied.bytes += side.bytes;
            self.fetched.insert(side.path.clone(), side.key.clone());
        }
        let gone: Vec<String> =
            self.fetched.keys().filter(|path| !self.head.side.contains_key(*path)).cloned().collect();
        for path in gone {
            let full = self.data.join(&path);
            self.disk.remove(&full).map_err(|error| RemoteError::io("remove", &full, &error))?;
            self.fetched.remove(&path);
        }
        Ok(())
    }

    /// Writes a file beside the log, part by part: it may be larger than memory.
    fn fetch_one(&self, store: &mut dyn Store, side: &SideFile) -> Result<(), RemoteError> {
        let path = self.data.join(&side.path);
        let folder = path.parent().unwrap_or(&self.data);
        let failed = |error: std::io::Error| RemoteError::io("write", &path, &error);
        let mut part = store.get(&side.key, 0, READ_BYTES)?.ok_or_else(|| missing(&side.key))?;
        self.disk.create_dir_all(folder).map_err(failed)?;
        if self.disk.exists(&path).map_err(failed)? {
            self.disk.remove(&path).map_err(failed)?;
        }
        let file = self.disk.create(&path, 0).map_err(failed)?;
        let (mut at, mut crc) = (0, 0);
        while !part.is_empty() && at + part.len() as u64 <= side.bytes {
            file.write_all_at(&part, at).map_err(failed)?;
            crc = crc32c::crc32c_append(crc, &part);
            at += part.len() as u64;
            part = store.get(&side.key, at, READ_BYTES)?.unwrap_or_default();
        }
        if at != side.bytes || !part.is_empty() || crc != side.crc {
            return Err(RemoteError::corrupt(&side.key, "its bytes do not fit their checksum"));
        }
        file.sync_data().and_then(|()| self.disk.sync_directory(folder)).map_err(failed)
    }

    /// Removes log files that the newest base does not name.
    fn prune(&mut self) -> Result<(), RemoteError> {
        let Some((_, base)) = &self.head.base else { return Ok(()) };
        let named: BTreeSet<u64> = (base.stretches.iter().map(|stretch| stretch.file))
            .chain(self.head.in_objects.keys().copied())
            .collect();
        let folder = self.data.join(LOG_FOLDER);
        let names = self.disk.list(&folder).map_err(|error| RemoteError::io("list", &folder, &error))?;
        for name in names {
            if log_file_number(&name).is_some_and(|file| !named.contains(&file)) {
                let path = folder.join(&name);
                self.disk.remove(&path).map_err(|error| RemoteError::io("remove", &path, &error))?;
            }
        }
        Ok(())
    }

    /// Removes what an earlier copy has left.
    fn clear(&self) -> Result<(), RemoteError> {
        let folder = self.data.join(LOG_FOLDER);
        let failed = |path: &Path, error: &std::io::Error| RemoteError::io("clear", path, error);
        self.disk.create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        clear_folder(&*self.disk, &folder).map_err(|error| failed(&folder, &error))?;
        let state = self.data.join("state");
        if self.disk.exists(&state).map_err(|error| failed(&state, &error))? {
            for name in self.disk.list(&state).map_err(|error| failed(&state, &error))? {
                let folder = state.join(&name);
                clear_folder(&*self.disk, &folder).map_err(|error| failed(&folder, &error))?;
            }
        }
        Ok(())
    }
}

fn clear_folder(disk: &dyn Disk, folder: &Path) -> std::io::Result<()> {
    for name in disk.list(folder)? {
        disk.remove(&folder.join(name))?;
    }
    disk.sync_directory(folder)
}

/// The base to begin with.
fn find_base(store: &mut dyn Store, until_ms: Option<i64>) -> Result<Option<(u64, Base)>, RemoteError> {
    let mut oldest_ms = None;
    let named = bases(store)?;
    for number in named.iter().rev() {
        // Its name may have outlived it.
        let Some(header) = read_header(store, *number)? else { continue };
        let Some(extent) = header.extent else { continue };
        let Some(base) = extent.base else { continue };
        if until_ms.is_none_or(|until_ms| extent.appended_ms <= until_ms) {
            return Ok(Some((*number, base)));
        }
        oldest_ms = Some(extent.appended_ms);
    }
    match oldest_ms {
        Some(oldest_ms) => Err(RemoteError::Invalid(format!(
            "the store's history begins at {oldest_ms} ms since 1970, after the time that is asked for"
        ))),
        None => Ok(None),
    }
}

/// Makes a data directory as the store has it, or had it at a time, from an empty one. `Invalid` if it is not empty or the store
/// has nothing.
pub fn restore(
    os: &Os,
    data: &Path,
    place: &SharedPlace,
    until_ms: Option<i64>,
) -> Result<Copied, RemoteError> {
    check_empty(os, data)?;
    let mut store = place.open()?;
    let mut copy = replica(os, data, &mut *store, until_ms)?;
    if copy.head.last_extent.is_none() {
        return Err(RemoteError::Invalid(format!("{} holds no log: look at the address", place.name())));
    }
    copy.finish(&mut *store)?;
    let last = copy.head.next.saturating_sub(1);
    // One that ends before the store does not go on there.
    let copied_to = if copy.is_cut { last.saturating_sub(1) } else { last };
    Identity::new(os, &place.name(), Some(copied_to)).write(os, data)?;
    Ok(copy.copied)
}

/// How often a copy is begun while the other node removes what it no longer needs.
const BEGINNINGS_MAX: u32 = 10;

/// A copy of all that is there. By the time that the files of a base are fetched another one may be the newest, and this one's
/// files may be gone.
pub(crate) fn replica(
    os: &Os,
    data: &Path,
    store: &mut dyn Store,
    until_ms: Option<i64>,
) -> Result<Replica, RemoteError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut begin = || -> Result<Option<Replica>, RemoteError> {
            let mut copy = Replica::begin(os, data, &mut *store, until_ms)?;
            Ok(copy.follow(&mut *store)?.map(|_| copy))
        };
        match begin() {
            Ok(Some(copy)) => return Ok(copy),
            Err(RemoteError::Store(error)) if error.kind != ErrorKind::NotFound => return Err(error.into()),
            Ok(None) | Err(RemoteError::Store(_)) if tries < BEGINNINGS_MAX => {}
            Ok(None) => {
                return Err(RemoteError::Invalid(
                    "objects were removed from the store while they were read; try again".into(),
                ));
            }
            Err(error) => return Err(error),
        }
    }
}

/// A directory that a node was started on holds what nobody wants to lose.
pub(crate) fn check_empty(os: &Os, data: &Path) -> Result<(), RemoteError> {
    let folder = data.join(LOG_FOLDER);
    let failed = |error: std::io::Error| RemoteError::io("look at", &folder, &error);
    let is_there = os.disk.exists(&folder).map_err(failed)?;
    if is_there && !os.disk.list(&folder).map_err(failed)?.is_empty() {
        return Err(RemoteError::Invalid(format!(
            "{} holds a log already: give an empty directory with --data",
            data.display()
        )));
    }
    Ok(())
}
