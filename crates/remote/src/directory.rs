//! A store that is a directory, such as one of another machine that is mounted here.
//!
//! An object is written under a name of its own, synced, and then linked to its key: that fails where the key is taken, on this
//! machine and on NFS.

use crate::store::{Listed, Place, ReadPart, Store, StoreError};
use base::ErrorKind;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where objects are written before they have their key.
const UNFINISHED: &str = "unfinished";

pub(crate) struct DirectoryPlace {
    pub(crate) root: PathBuf,
}

impl Place for DirectoryPlace {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let unfinished = self.root.join(UNFINISHED);
        fs::create_dir_all(&unfinished).map_err(|error| failed("create", &unfinished, &error))?;
        Ok(Box::new(Directory { root: self.root.clone() }))
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }
}

struct Directory {
    root: PathBuf,
}

fn failed(action: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, format!("cannot {action} {}: {error}", path.display()))
}

static WRITTEN: AtomicU64 = AtomicU64::new(0);

impl Directory {
    fn write(&self, bytes: u64, read: ReadPart<'_>) -> Result<PathBuf, StoreError> {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(UNFINISHED).join(format!("{}-{number}", std::process::id()));
        let written = self.write_to(&path, bytes, read);
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }

    fn write_to(&self, path: &Path, bytes: u64, read: ReadPart<'_>) -> Result<(), StoreError> {
        let mut file = File::create(path).map_err(|error| failed("create", path, &error))?;
        let mut position = 0;
        while position < bytes {
            let part = read(position, (bytes - position).min(8 << 20) as usize)?;
            file.write_all(&part).map_err(|error| failed("write", path, &error))?;
            position += part.len() as u64;
        }
        file.sync_all().map_err(|error| failed("sync", path, &error))
    }

    /// The path of a key whose folder is there.
    fn place(&self, key: &str) -> Result<PathBuf, StoreError> {
        let path = self.root.join(key);
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            fs::create_dir_all(folder).map_err(|error| failed("create", folder, &error))?;
            sync_folder(folder.parent().unwrap_or(&self.root))?;
        }
        Ok(path)
    }
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
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
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
        let path = self.root.join(key);
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
        let path = self.root.join(key);
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
