//! A store that is a directory, such as one of another machine that is mounted here.
//!
//! An object is written under a name of its own, synced, and then linked to its key: that fails where the key is taken, on this
//! machine and on NFS.

use crate::identity::random_name;
use crate::store::{Listed, Place, ReadPart, Store, StoreError};
use base::ErrorKind;
use os::Os;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Where objects are written before they have their key.
const UNFINISHED: &str = "unfinished";
/// What has not been written to for so long there is left over; another node may be writing the rest.
const LEFT_OVER_MS: u128 = 24 * 3600 * 1000;

pub(crate) struct DirectoryPlace {
    pub(crate) os: Os,
    pub(crate) root: PathBuf,
}

impl Place for DirectoryPlace {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let unfinished = self.root.join(UNFINISHED);
        fs::create_dir_all(&unfinished).map_err(|error| failed("create", &unfinished, &error))?;
        let store = Directory { os: self.os.clone(), root: self.root.clone() };
        store.remove_left_over(&unfinished);
        Ok(Box::new(store))
    }

    fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }
}

struct Directory {
    os: Os,
    root: PathBuf,
}

fn failed(action: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, format!("cannot {action} {}: {error}", path.display()))
}

impl Directory {
    /// Removes what processes that were killed have left; what cannot be removed only takes space.
    fn remove_left_over(&self, unfinished: &Path) {
        let now_ms = u128::try_from(self.os.clock.now_ms()).unwrap_or(0);
        let Ok(entries) = fs::read_dir(unfinished) else { return };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let modified_ms = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            if modified_ms.is_some_and(|time| time.as_millis() + LEFT_OVER_MS < now_ms) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The path of a key; none leads out of the directory.
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let is_below = Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
        match is_below && !key.is_empty() {
            true => Ok(self.root.join(key)),
            false => Err(StoreError::new(
                ErrorKind::Invalid,
                format!("'{}' is no key of an object in {}", key.escape_default(), self.root.display()),
            )),
        }
    }

    fn write(&self, bytes: u64, read: ReadPart<'_>) -> Result<PathBuf, StoreError> {
        let path = self.root.join(UNFINISHED).join(random_name(&self.os));
        // Never one that is there: it may be another name of an object.
        let created = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = created.map_err(|error| failed("create", &path, &error))?;
        let written = write_to(file, &path, bytes, read);
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }

    /// The path of a key whose folder is there.
    fn place(&self, key: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(key)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            fs::create_dir_all(folder).map_err(|error| failed("create", folder, &error))?;
            sync_folder(folder.parent().unwrap_or(&self.root))?;
        }
        Ok(path)
    }
}

fn write_to(mut file: File, path: &Path, bytes: u64, read: ReadPart<'_>) -> Result<(), StoreError> {
    let mut position = 0;
    while position < bytes {
        let part = read(position, (bytes - position).min(8 << 20) as usize)?;
        file.write_all(&part).map_err(|error| failed("write", path, &error))?;
        position += part.len() as u64;
    }
    file.sync_all().map_err(|error| failed("sync", path, &error))
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed("sync", folder, &error))
}

fn whole(bytes: &[u8]) -> impl FnMut(u64, usize) -> Result<Vec<u8>, StoreError> {
    move |from, length| Ok(bytes[from as usize..from as usize + length].to_vec())
}

impl Store for Directory {
    fn put_new(&mut self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let path = self.place(key)?;
        let written = self.write(bytes.len() as u64, &mut whole(bytes))?;
        let linked = fs::hard_link(&written, &path);
        let _ = fs::remove_file(&written);
        match linked {
            Ok(()) => {
                sync_folder(path.parent().unwrap_or(&self.root))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // It may be ours, of an attempt whose sync has failed.
                sync_folder(path.parent().unwrap_or(&self.root))?;
                Ok(false)
            }
            Err(error) => Err(failed("link", &path, &error)),
        }
    }

    fn put(&mut self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put_parts(key, bytes.len() as u64, &mut whole(bytes))
    }

    fn put_parts(&mut self, key: &str, bytes: u64, read: ReadPart<'_>) -> Result<(), StoreError> {
        let path = self.place(key)?;
        let written = self.write(bytes, read)?;
        fs::rename(&written, &path).map_err(|error| failed("name", &path, &error))?;
        sync_folder(path.parent().unwrap_or(&self.root))
    }

    fn get(&mut self, key: &str, from: u64, bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(key)?;
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path, &error)),
        };
        let mut found = Vec::new();
        let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.take(bytes).read_to_end(&mut found));
        read.map_err(|error| failed("read", &path, &error))?;
        Ok(Some(found))
    }

    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Result<(Vec<Listed>, bool), StoreError> {
        let mut found = Vec::new();
        // Prefixes end with a folder.
        let (folder, _) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        gather(&self.root, folder, &mut found)?;
        found.retain(|object| object.key.starts_with(prefix) && object.key.as_str() > behind);
        found.sort_by(|a, b| a.key.cmp(&b.key));
        let is_truncated = found.len() > count;
        found.truncate(count);
        Ok((found, is_truncated))
    }

    fn delete(&mut self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, &error)),
            _ => Ok(()),
        }
    }
}

fn gather(root: &Path, folder: &str, found: &mut Vec<Listed>) -> Result<(), StoreError> {
    let path = root.join(folder);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("list", &path, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed("list", &path, &error))?;
        let Some(name) = entry.file_name().to_str().map(str::to_string) else { continue };
        let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            gather(root, &key, found)?;
        } else {
            found.push(Listed { key, bytes: metadata.len() });
        }
    }
    Ok(())
}
