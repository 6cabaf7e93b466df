//! The machine's file system with a shadow that holds what is durable, so that the power can be cut without cutting it.
//!
//! 1. Files have numbers. What `sync_data` promised of a file lies in the shadow under its number, and what
//!    `sync_directory` promised of a directory lies there as a list of names and numbers; those of directories are zero.
//! 2. After the process was killed, [`cut_power`] makes the folder what a machine might find that lost its power then: the
//!    names and bytes that were durable, and of what was written later none or some of the sectors; the names of a
//!    directory as they were durable or as they were last. With the name of a directory goes all that is in it.
//!
//! The data folder itself is durable. The shadow needs no syncs: its process is killed, not the machine.

use super::real::RealDisk;
use super::{Disk, DiskFile, Lock};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a disk writes as a whole, or not.
const SECTOR_BYTES: usize = 512;

const COPY_BYTES: usize = 1 << 20;

/// In the shadow: bytes by number, names that are durable, and names as they are.
const CONTENTS: &str = "contents";
const DURABLE: &str = "durable";
const CURRENT: &str = "current";
/// The number of every directory.
const DIRECTORY: &str = "0";
/// There once the shadow is whole.
const BEGUN: &str = "begun";

pub struct ShadowDisk {
    real: RealDisk,
    data: PathBuf,
    shadow: PathBuf,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    next: u64,
    /// By path below the data folder.
    names: BTreeMap<PathBuf, Arc<Durable>>,
    folders: BTreeSet<PathBuf>,
}

/// What is durable of a file.
#[derive(Debug)]
struct Durable {
    number: u64,
    contents: PathBuf,
    /// Written since the last sync.
    written: Mutex<Vec<Range<u64>>>,
}

#[derive(Debug)]
struct ShadowFile {
    file: Arc<dyn DiskFile>,
    durable: Arc<Durable>,
}

impl ShadowDisk {
    /// Everything in `data` is durable by now; `shadow` begins anew.
    pub fn begin(data: &Path, shadow: &Path) -> io::Result<ShadowDisk> {
        if shadow.exists() {
            // First of all: a process that is killed in here leaves no shadow that looks whole.
            if shadow.join(BEGUN).exists() {
                fs::remove_file(shadow.join(BEGUN))?;
            }
            fs::remove_dir_all(shadow)?;
        }
        for part in [CONTENTS, DURABLE, CURRENT] {
            fs::create_dir_all(shadow.join(part))?;
        }
        fs::create_dir_all(data)?;
        let disk = ShadowDisk {
            real: RealDisk::private(),
            data: data.to_owned(),
            shadow: shadow.to_owned(),
            files: Mutex::default(),
        };
        let (mut folders, mut next) = (vec![PathBuf::new()], 0);
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(data.join(&folder))? {
                let entry = entry?;
                let name = folder.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    disk.files().folders.insert(name.clone());
                    folders.push(name);
                } else {
                    let durable = disk.add(&mut disk.files(), name);
                    fs::copy(entry.path(), &durable.contents)?;
                }
            }
        }
        for folder in &folders {
            disk.list_names(&disk.files(), folder, CURRENT)?;
            disk.list_names(&disk.files(), folder, DURABLE)?;
        }
        fs::write(shadow.join(BEGUN), "")?;
        Ok(disk)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Below the data folder.
    fn own<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.data).ok()
    }

    fn add(&self, files: &mut Files, name: PathBuf) -> Arc<Durable> {
        files.next += 1;
        let number = files.next;
        let contents = self.shadow.join(CONTENTS).join(number.to_string());
        let durable = Arc::new(Durable { number, contents, written: Mutex::default() });
        files.names.insert(name, durable.clone());
        durable
    }

    /// Writes the names of a folder down, as a whole.
    fn list_names(&self, files: &Files, folder: &Path, kind: &str) -> io::Result<()> {
        let files_of = files.names.iter().map(|(name, durable)| (name, durable.number.to_string()));
        let all = files_of.chain(files.folders.iter().map(|name| (name, DIRECTORY.to_owned())));
        let own = all.filter(|(name, _)| name.parent() == Some(folder));
        let lines = own.map(|(name, number)| {
            let name = name.file_name().unwrap_or_default().to_string_lossy();
            format!("{number} {name}\n")
        });
        let text: String = lines.collect();
        let listed = self.shadow.join(kind).join(folder_name(folder));
        let new = listed.with_extension("new");
        fs::write(&new, format!("{}\n{text}", folder.display()))?;
        fs::rename(new, listed)
    }

    fn list_current(&self, files: &Files, path: &Path) -> io::Result<()> {
        self.list_names(files, path.parent().unwrap_or(Path::new("")), CURRENT)
    }
}

/// A name for the list of a folder.
fn folder_name(folder: &Path) -> String {
    let text = folder.to_string_lossy();
    format!("+{}", text.replace('+', "++").replace('/', "+-"))
}

impl Disk for ShadowDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.real.open(path)?;
        let Some(own) = self.own(path) else { return Ok(file) };
        let mut files = self.files();
        let durable = match files.names.get(own) {
            Some(durable) => durable.clone(),
            // Made without this disk: nothing of it is durable.
            None => self.add(&mut files, own.to_owned()),
        };
        Ok(Arc::new(ShadowFile { file, durable }))
    }

    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.real.create(path, length)?;
        let Some(own) = self.own(path) else { return Ok(file) };
        let mut files = self.files();
        let durable = self.add(&mut files, own.to_owned());
        self.list_current(&files, own)?;
        Ok(Arc::new(ShadowFile { file, durable }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.real.remove(path)?;
        let Some(own) = self.own(path) else { return Ok(()) };
        let mut files = self.files();
        files.names.remove(own);
        self.list_current(&files, own)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files();
        self.real.rename(from, to)?;
        let (Some(from), Some(to)) = (self.own(from), self.own(to)) else { return Ok(()) };
        if let Some(durable) = files.names.remove(from) {
            files.names.insert(to.to_owned(), durable);
        }
        self.list_current(&files, from)?;
        self.list_current(&files, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.real.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        // Names that come meanwhile wait: they are not promised, and must not be listed before they are there.
        let files = self.files();
        self.real.sync_directory(directory)?;
        match self.own(directory) {
            Some(own) => self.list_names(&files, own, DURABLE),
            None => Ok(()),
        }
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        self.real.create_dir(directory)?;
        let Some(own) = self.own(directory) else { return Ok(()) };
        let mut files = self.files();
        files.folders.insert(own.to_owned());
        self.list_current(&files, own)
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        self.real.remove_dir(directory)?;
        let Some(own) = self.own(directory) else { return Ok(()) };
        let mut files = self.files();
        files.folders.remove(own);
        self.list_current(&files, own)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.real.exists(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Lock> {
        self.real.try_lock(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.real.free_bytes(path)
    }
}

impl Durable {
    fn written(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, range: Range<u64>) {
        let mut written = self.written();
        match written.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => written.push(range),
        }
    }
}

impl DiskFile for ShadowFile {
    fn read_at(&self, out: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(out, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        // Before the write: a sync that runs meanwhile may promise it, but never forgets it.
        self.durable.note(position..position + bytes.len() as u64);
        self.file.write_all_at(bytes, position)
    }

    fn write_all_vectored_at(&self, pieces: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.durable.note(position..position + length as u64);
        self.file.write_all_vectored_at(pieces, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        let written = std::mem::take(&mut *self.durable.written());
        let copied = self.file.sync_data().and_then(|()| {
            let contents = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&self.durable.contents)?;
            contents.set_len(self.file.length()?)?;
            let mut buffer = vec![0; COPY_BYTES];
            for range in &written {
                let mut position = range.start;
                while position < range.end {
                    let wanted = COPY_BYTES.min((range.end - position) as usize);
                    let count = self.file.read_at(&mut buffer[..wanted], position)?;
                    if count == 0 {
                        break;
                    }
                    contents.write_all_at(&buffer[..count], position)?;
                    position += count as u64;
                }
            }
            Ok(())
        });
        if copied.is_err() {
            self.durable.written().extend(written);
        }
        copied
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let before = self.file.length()?;
        if length < before {
            // What is cut off and written again reads as zeros between.
            self.durable.note(length..before);
        }
        self.file.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }
}

/// Makes `data`, whose process is gone, what a machine might find there that lost its power. `survives` is asked for every
/// sector, and every length, that was written and not synced, and for every directory whose names were not.
pub fn cut_power(data: &Path, shadow: &Path, survives: &mut dyn FnMut() -> bool) -> io::Result<()> {
    if !shadow.join(BEGUN).exists() {
        // The process died before it could write anything: the data is what it found.
        return Ok(());
    }
    let current = names_of(shadow, CURRENT)?;
    let found = shadow.join("found");
    if found.exists() {
        fs::remove_dir_all(&found)?;
    }
    fs::create_dir_all(&found)?;
    let durable = names_of(shadow, DURABLE)?;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let (synced, last) = (durable.get(&folder), current.get(&folder));
        let names = if synced != last && survives() { last } else { synced };
        for (name, number) in names.into_iter().flatten() {
            let own = folder.join(name);
            let to = found.join(&own);
            if number == DIRECTORY {
                fs::create_dir(&to)?;
                folders.push(own);
                continue;
            }
            let contents = shadow.join(CONTENTS).join(number);
            if contents.exists() {
                fs::copy(&contents, &to)?;
            } else {
                fs::File::create(&to)?;
            }
            let is_there = |names: &BTreeMap<String, String>| names.get(name) == Some(number);
            if current.get(&folder).is_some_and(is_there) {
                keep_some(&data.join(&own), &to, survives)?;
            }
        }
    }
    fs::remove_dir_all(data)?;
    fs::rename(found, data)
}

/// The numbers of the names in each folder.
fn names_of(shadow: &Path, kind: &str) -> io::Result<BTreeMap<PathBuf, BTreeMap<String, String>>> {
    let mut folders = BTreeMap::new();
    for entry in fs::read_dir(shadow.join(kind))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            continue;
        }
        let text = fs::read_to_string(path)?;
        let mut lines = text.lines();
        let folder = PathBuf::from(lines.next().unwrap_or_default());
        let names = lines.filter_map(|line| line.split_once(' '));
        folders.insert(folder, names.map(|(number, name)| (name.to_owned(), number.to_owned())).collect());
    }
    Ok(folders)
}

/// Lets sectors of a file as it was written last into what is durable of it.
fn keep_some(written: &Path, durable: &Path, survives: &mut dyn FnMut() -> bool) -> io::Result<()> {
    let written = match fs::File::open(written) {
        Ok(written) => written,
        // Removed or renamed by the last that the process did, before it could note it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let durable = fs::OpenOptions::new().read(true).write(true).open(durable)?;
    let length = written.metadata()?.len();
    if length != durable.metadata()?.len() && survives() {
        durable.set_len(length)?;
    }
    let length = length.min(durable.metadata()?.len());
    let (mut new, mut old) = (vec![0; COPY_BYTES], vec![0; COPY_BYTES]);
    let mut position = 0;
    while position < length {
        let count = COPY_BYTES.min((length - position) as usize);
        written.read_exact_at(&mut new[..count], position)?;
        durable.read_exact_at(&mut old[..count], position)?;
        if new[..count] != old[..count] {
            let sectors = new[..count].chunks(SECTOR_BYTES).zip(old[..count].chunks(SECTOR_BYTES));
            for (number, (new, old)) in sectors.enumerate() {
                if new != old && survives() {
                    durable.write_all_at(new, position + (number * SECTOR_BYTES) as u64)?;
                }
            }
        }
        position += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is there after a cut: names with the begin of their bytes.
    fn after(survive: bool, act: impl FnOnce(&ShadowDisk, &Path)) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let (data, shadow) = (folder.path().join("data"), folder.path().join("durable"));
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("old"), "old").unwrap();
        let disk = ShadowDisk::begin(&data, &shadow).unwrap();
        act(&disk, &data);
        cut_power(&data, &shadow, &mut || survive).unwrap();
        let (mut found, mut folders) = (Vec::new(), vec![data.clone()]);
        while let Some(folder) = folders.pop() {
            for name in RealDisk::private().list(&folder).unwrap() {
                let path = folder.join(name);
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
                let name = path.strip_prefix(&data).unwrap().display().to_string();
                found.push((name, text.trim_end_matches('\0').to_owned()));
            }
        }
        found.sort();
        found
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
    }

    #[test]
    fn what_was_not_synced_is_gone() {
        let act = |disk: &ShadowDisk, data: &Path| {
            let file = disk.create(&data.join("new"), 1024).unwrap();
            file.write_all_at(b"one", 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_directory(data).unwrap();
            file.write_all_at(b"two", 600).unwrap();
            disk.create(&data.join("nameless"), 0).unwrap().sync_data().unwrap();
            disk.open(&data.join("old")).unwrap().write_all_at(b"bad", 0).unwrap();
        };
        assert_eq!(after(false, act), pairs(&[("new", "one"), ("old", "old")]));
        let found = after(true, act);
        assert_eq!((found.len(), found[0].0.as_str(), found[2].1.as_str()), (3, "nameless", "bad"));
        assert!(found[1].1.starts_with("one") && found[1].1.ends_with("two"), "{found:?}");
    }

    /// The process may be killed at any place in `begin`: its shadow is no shadow yet, and no data is missed.
    #[test]
    fn a_shadow_that_has_not_begun_takes_nothing() {
        let halfway = |_: &ShadowDisk, data: &Path| {
            let shadow = data.with_file_name("durable");
            fs::remove_file(shadow.join(BEGUN)).unwrap();
            fs::remove_dir_all(shadow.join(CONTENTS)).unwrap();
        };
        assert_eq!(after(false, halfway), pairs(&[("old", "old")]));
        let none = |_: &ShadowDisk, data: &Path| fs::remove_dir_all(data.with_file_name("durable")).unwrap();
        assert_eq!(after(false, none), pairs(&[("old", "old")]));
    }

    #[test]
    fn renames_and_removals_are_durable_with_their_directory() {
        let renamed = |disk: &ShadowDisk, data: &Path| {
            let file = disk.create(&data.join("tmp"), 0).unwrap();
            file.write_all_at(b"new", 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_directory(data).unwrap();
            disk.rename(&data.join("tmp"), &data.join("old")).unwrap();
        };
        assert_eq!(after(false, renamed), pairs(&[("old", "old"), ("tmp", "new")]));
        assert_eq!(after(true, renamed), pairs(&[("old", "new")]));
        let synced = |disk: &ShadowDisk, data: &Path| {
            renamed(disk, data);
            disk.sync_directory(data).unwrap();
            disk.remove(&data.join("old")).unwrap();
        };
        assert_eq!(after(false, synced), pairs(&[("old", "new")]));
        let removed = |disk: &ShadowDisk, data: &Path| {
            synced(disk, data);
            disk.sync_directory(data).unwrap();
        };
        assert_eq!(after(true, removed), pairs(&[]));
    }

    /// The process may be killed between a removal and the note of it.
    #[test]
    fn a_removal_that_was_not_noted_harms_nothing() {
        let unnoted = |_: &ShadowDisk, data: &Path| fs::remove_file(data.join("old")).unwrap();
        assert_eq!(after(true, unnoted), pairs(&[("old", "old")]));
    }

    #[test]
    fn a_folder_goes_with_all_that_is_in_it() {
        let made = |disk: &ShadowDisk, data: &Path, synced: bool| {
            let inner = data.join("a/b");
            disk.create_dir_all(&data.join("a")).unwrap();
            disk.create_dir(&inner).unwrap();
            disk.create(&inner.join("in"), 0).unwrap().sync_data().unwrap();
            disk.sync_directory(&inner).unwrap();
            disk.sync_directory(data).unwrap();
            if synced {
                disk.sync_directory(&data.join("a")).unwrap();
            }
        };
        assert_eq!(after(false, |disk, data| made(disk, data, false)), pairs(&[("old", "old")]));
        assert_eq!(
            after(false, |disk, data| made(disk, data, true)),
            pairs(&[("a/b/in", ""), ("old", "old")])
        );
    }

    #[test]
    fn folders_have_their_own_names() {
        let found = after(false, |disk, data| {
            let inner = data.join("a/b");
            disk.create_dir_all(&inner).unwrap();
            let file = disk.create(&inner.join("in"), 0).unwrap();
            file.write_all_at(b"x", 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_directory(&inner).unwrap();
            disk.create(&inner.join("out"), 0).unwrap().sync_data().unwrap();
            disk.sync_directory(data).unwrap();
        });
        assert_eq!(found, pairs(&[("a/b/in", "x"), ("old", "old")]));
    }
}
