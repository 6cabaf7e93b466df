//! Where the files of lakes lie, by their addresses: on this machine's disk, or in buckets.
//!
//! Metadata decide what a table is, so they are put on the condition that nothing has their name: on a disk by a link to a
//! file that is whole, in a bucket by the put's condition. Files of rows have names that nobody else gives; they grow in parts
//! and are seen by nobody before metadata name them.

use crate::filesystem::files::{Files, InBucket, Input, Pieces};
use crate::objects::ObjectPlace;
use crate::objects::bucket::{Bucket, INVALID_RANGE, NO_SUCH_KEY, Object, Part, Upload};
use crate::objects::place::{WRITE, path_style};
use crate::service::{Done, ServiceError};
use base::ErrorKind;
use base::options::Options;
use os::{DiskFile, Os};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of an object that one call brings.
const PIECE_BYTES: u64 = 8 << 20;
/// Buckets take no smaller parts, but for the last of an object.
const PART_BYTES: usize = 8 << 20;
/// Names of a folder that are looked at.
const NAMES_MAX: usize = 1 << 20;
/// What a file begins with that is not whole yet; readers of lakes pass over hidden names.
const HALF: &str = ".eventwright-";

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Disk(PathBuf),
    /// Its prefix is the key.
    Object(ObjectPlace),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Address, String> {
        if let Some(place) = ObjectPlace::parse(text) {
            return place.map(Address::Object);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(_, rest)| rest.starts_with('/')) else {
            return Ok(Address::Disk(text.into()));
        };
        match scheme {
            // `file:/a`, `file:///a`, and with a host that is this one.
            "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let path = path.strip_prefix("localhost").unwrap_or(path);
                if !path.starts_with('/') || path.contains('\0') {
                    return Err(format!("'{}' is no absolute path", text.escape_debug()));
                }
                Ok(Address::Disk(path.into()))
            }
            _ => Err(format!(
                "'{}' is no place that files can have: they lie on this machine (file:///FOLDER), or in a bucket ({WRITE})",
                text.escape_debug()
            )),
        }
    }

    /// As it stands in metadata: absolute, without a slash at its end.
    pub(crate) fn absolute(text: &str) -> Result<String, String> {
        match Address::parse(text)? {
            Address::Object(place) => Ok(place.to_string().trim_end_matches('/').to_string()),
            Address::Disk(path) => {
                let path = std::path::absolute(&path)
                    .map_err(|error| format!("'{}' is no path: {error}", path.display()))?;
                let path = path.to_str().ok_or("a path has to be UTF-8")?;
                Ok(format!("file://{}", path.trim_end_matches('/')))
            }
        }
    }
}

/// Joins an address and a name below it.
pub(crate) fn below(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// All places, reached when they are asked for.
pub(crate) struct Stores {
    os: Os,
    options: Options,
    /// The option that would allow files of this machine, where they are not.
    disk_refused: Option<&'static str>,
    timeout: Option<Duration>,
    /// By their addresses.
    buckets: BTreeMap<String, Arc<Mutex<Bucket>>>,
}

/// A file on its way to be one.
pub(crate) enum NewFile {
    Disk { path: PathBuf, file: Arc<dyn DiskFile>, written: u64 },
    Object { place: ObjectPlace, upload: Upload, waiting: Vec<u8>, sent: u64 },
}

impl NewFile {
    /// What of it lies in memory.
    pub(crate) fn waiting_bytes(&self) -> usize {
        match self {
            NewFile::Disk { .. } => 0,
            NewFile::Object { waiting, .. } => waiting.len(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn io_error(action: &str, path: &Path, error: &io::Error) -> ServiceError {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => "; free space and run again to resume",
        io::ErrorKind::PermissionDenied => "; look at the rights",
        _ => "",
    };
    ServiceError::unavailable(format!("cannot {action} {}: {error}{hint}", path.display()))
}

fn sync_folder_of(os: &Os, path: &Path) -> Done<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    os.disk.sync_directory(folder).map_err(|error| io_error("sync", folder, &error))
}

fn too_long(place: &str, bytes_max: u64) -> ServiceError {
    ServiceError::new(
        ErrorKind::Invalid,
        format!("{place} has more than {bytes_max} bytes, and is not read: shorten the table's history"),
    )
}

impl Stores {
    pub(crate) fn new(os: &Os, options: &Options) -> Stores {
        let (os, options) = (os.clone(), options.clone());
        Stores { os, options, disk_refused: None, timeout: None, buckets: BTreeMap::new() }
    }

    /// For places that a server names: no files of this machine, which the option `key` would allow.
    pub(crate) fn without_disk(mut self, key: &'static str) -> Stores {
        self.disk_refused = Some(key);
        self
    }

    /// Where an address is, if we go there.
    pub(crate) fn place(&self, address: &str) -> Done<Address> {
        let place = Address::parse(address).map_err(ServiceError::invalid)?;
        let Address::Disk(path) = &place else { return Ok(place) };
        let told = address.escape_debug();
        if let Some(key) = self.disk_refused {
            return Err(ServiceError::invalid(format!(
                "the catalog names a place on this machine ('{told}'): if that is meant, set '{key}' = 'true'"
            )));
        }
        if !path.is_absolute() {
            return Err(ServiceError::invalid(format!("'{told}' is no absolute path")));
        }
        Ok(place)
    }

    pub(crate) fn os(&self) -> &Os {
        &self.os
    }

    /// For a probe, which waits no longer than that.
    pub(crate) fn within(mut self, timeout: Duration) -> Stores {
        self.timeout = Some(timeout);
        self
    }

    fn bucket(&mut self, place: &ObjectPlace) -> Done<Arc<Mutex<Bucket>>> {
        if let Some(bucket) = self.buckets.get(&place.root()) {
            return Ok(bucket.clone());
        }
        let access = place.access(&self.os, &self.options).map_err(ServiceError::invalid)?;
        let access = match self.timeout {
            Some(timeout) => access.with_timeout(timeout),
            None => access,
        };
        let bucket = Arc::new(Mutex::new(place.open(&access, path_style(&self.options))?));
        self.buckets.insert(place.root(), bucket.clone());
        Ok(bucket)
    }

    fn with<T>(&mut self, place: &ObjectPlace, call: impl FnOnce(&mut Bucket) -> Done<T>) -> Done<T> {
        let bucket = self.bucket(place)?;
        let mut bucket = lock(&bucket);
        call(&mut bucket)
    }

    /// All of a file; none where there is no such file.
    pub(crate) fn read(&mut self, address: &str, bytes_max: u64) -> Done<Option<Vec<u8>>> {
        match self.place(address)? {
            Address::Disk(path) => {
                let file = match File::open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    file => file.map_err(|error| io_error("open", &path, &error))?,
                };
                let mut bytes = Vec::new();
                file.take(bytes_max + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|error| io_error("read", &path, &error))?;
                if bytes.len() as u64 > bytes_max {
                    return Err(too_long(address, bytes_max));
                }
                Ok(Some(bytes))
            }
            Address::Object(place) => self.with(&place, |bucket| {
                let mut bytes = Vec::new();
                loop {
                    let from = bytes.len() as u64;
                    match bucket.get(&place.prefix, from, PIECE_BYTES, None) {
                        Ok(piece) => bytes.extend_from_slice(&piece),
                        Err(error) if error.code == NO_SUCH_KEY => return Ok(None),
                        // It has ended where the last piece did.
                        Err(error) if from > 0 && error.code == INVALID_RANGE => return Ok(Some(bytes)),
                        Err(error) => return Err(error),
                    }
                    if bytes.len() as u64 > bytes_max {
                        return Err(too_long(address, bytes_max));
                    }
                    if (bytes.len() as u64) < from + PIECE_BYTES {
                        return Ok(Some(bytes));
                    }
                }
            }),
        }
    }

    /// Puts a file where none is; whether there was none. It is there whole or not at all.
    pub(crate) fn put_new(&mut self, address: &str, bytes: Vec<u8>) -> Done<bool> {
        match self.place(address)? {
            Address::Object(place) => self.with(&place, |bucket| bucket.put_new(&place.prefix, bytes)),
            Address::Disk(path) => {
                let half = self.half_made(&path, &bytes)?;
                let linked = std::fs::hard_link(&half, &path);
                // What is left behind is hidden, and nobody's.
                let _ = self.os.disk.remove(&half);
                match linked {
                    Ok(()) => sync_folder_of(&self.os, &path).map(|()| true),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                    Err(error) => Err(io_error("commit", &path, &error)),
                }
            }
        }
    }

    /// Puts a file in place of what has its name.
    pub(crate) fn put(&mut self, address: &str, bytes: Vec<u8>) -> Done<()> {
        match self.place(address)? {
            Address::Object(place) => self.with(&place, |bucket| bucket.put(&place.prefix, bytes)),
            Address::Disk(path) => {
                let half = self.half_made(&path, &bytes)?;
                self.os.disk.rename(&half, &path).map_err(|error| io_error("write", &path, &error))?;
                sync_folder_of(&self.os, &path)
            }
        }
    }

    /// A file beside `path`, with these bytes, durable.
    fn half_made(&self, path: &Path, bytes: &[u8]) -> Done<PathBuf> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let half = folder.join(format!("{HALF}{:016x}", self.os.random.next_u64()));
        let make = || {
            self.os.disk.create_dir_all(folder)?;
            let file = self.os.disk.create(&half, 0)?;
            file.write_all_at(bytes, 0)?;
            file.sync_data()
        };
        make().map_err(|error| io_error("write", path, &error))?;
        Ok(half)
    }

    pub(crate) fn delete(&mut self, address: &str) -> Done<()> {
        match self.place(address)? {
            Address::Object(place) => self.with(&place, |bucket| bucket.delete(&place.prefix)),
            Address::Disk(path) => match self.os.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(io_error("remove", &path, &error))
                }
                _ => Ok(()),
            },
        }
    }

    /// The names of the files directly in a folder that come behind one, in their order.
    pub(crate) fn list(&mut self, folder: &str, behind: &str) -> Done<Vec<String>> {
        let too_many = || {
            ServiceError::invalid(format!(
                "{folder} has more than {NAMES_MAX} files: have the table's old log entries removed"
            ))
        };
        match self.place(folder)? {
            Address::Disk(path) => {
                let entries = match std::fs::read_dir(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                    entries => entries.map_err(|error| io_error("list", &path, &error))?,
                };
                let mut names = Vec::new();
                for entry in entries {
                    let entry = entry.map_err(|error| io_error("list", &path, &error))?;
                    if let Ok(name) = entry.file_name().into_string()
                        && name.as_str() > behind
                    {
                        if names.len() == NAMES_MAX {
                            return Err(too_many());
                        }
                        names.push(name);
                    }
                }
                names.sort();
                Ok(names)
            }
            Address::Object(place) => self.with(&place, |bucket| {
                let prefix = place.folder();
                let mut names = Vec::new();
                let mut last = if behind.is_empty() { String::new() } else { format!("{prefix}{behind}") };
                loop {
                    let (objects, is_truncated) = bucket.list(&prefix, &last, 1000)?;
                    if let Some(object) = objects.last() {
                        last = object.key.clone();
                    }
                    let is_over = objects.is_empty() || !is_truncated;
                    let own = objects.iter().filter_map(|object| object.key.strip_prefix(&prefix));
                    names.extend(own.filter(|name| !name.contains('/')).map(str::to_string));
                    if names.len() > NAMES_MAX {
                        return Err(too_many());
                    }
                    if is_over {
                        return Ok(names);
                    }
                }
            }),
        }
    }

    /// What reads some bytes of a file at a time.
    pub(crate) fn pieces(&mut self, address: &str) -> Done<OneFile> {
        match self.place(address)? {
            Address::Disk(path) => Ok(OneFile(Source::Disk(path))),
            Address::Object(place) => {
                let bucket = self.bucket(&place)?;
                let found: Option<Object> = lock(&bucket).list(&place.prefix, "", 1)?.0.into_iter().next();
                let object = found.filter(|object| object.key == place.prefix);
                let missing = || ServiceError::new(ErrorKind::NotFound, format!("{address} is not there"));
                Ok(OneFile(Source::Object(InBucket::new(&bucket, &object.ok_or_else(missing)?))))
            }
        }
    }

    /// Begins a file of a name that nobody else gives.
    pub(crate) fn create(&mut self, address: &str) -> Done<NewFile> {
        match self.place(address)? {
            Address::Disk(path) => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                let made = self.os.disk.create_dir_all(folder).and_then(|()| self.os.disk.create(&path, 0));
                let file = made.map_err(|error| io_error("create", &path, &error))?;
                Ok(NewFile::Disk { path, file, written: 0 })
            }
            Address::Object(place) => {
                let upload = Upload { key: place.prefix.clone(), ..Upload::default() };
                Ok(NewFile::Object { place, upload, waiting: Vec::new(), sent: 0 })
            }
        }
    }

    pub(crate) fn append(&mut self, file: &mut NewFile, bytes: &[u8]) -> Done<()> {
        match file {
            NewFile::Disk { path, file, written } => {
                file.write_all_at(bytes, *written).map_err(|error| io_error("write", path, &error))?;
                *written += bytes.len() as u64;
                Ok(())
            }
            NewFile::Object { place, upload, waiting, sent } => {
                waiting.extend_from_slice(bytes);
                while waiting.len() >= PART_BYTES {
                    let rest = waiting.split_off(PART_BYTES);
                    let part = std::mem::replace(waiting, rest);
                    *sent += part.len() as u64;
                    self.with(place, |bucket| send(bucket, upload, part))?;
                }
                Ok(())
            }
        }
    }

    /// Makes the file whole and durable; answers how long it is.
    pub(crate) fn finish(&mut self, file: NewFile) -> Done<u64> {
        match file {
            NewFile::Disk { path, file, written } => {
                file.sync_data().map_err(|error| io_error("sync", &path, &error))?;
                sync_folder_of(&self.os, &path)?;
                Ok(written)
            }
            NewFile::Object { place, mut upload, waiting, sent } => {
                let bytes = sent + waiting.len() as u64;
                self.with(&place, |bucket| {
                    // One that is there has had its answer lost: nobody else gives this name.
                    if upload.id.is_empty() {
                        return bucket.put_new(&upload.key, waiting).map(drop);
                    }
                    if !waiting.is_empty() {
                        send(bucket, &mut upload, waiting)?;
                    }
                    bucket.complete(&[upload])
                })?;
                Ok(bytes)
            }
        }
    }

    /// Removes what is left of a file that is not to be; what cannot be removed is seen by nobody.
    pub(crate) fn give_up(&mut self, file: NewFile) {
        match file {
            NewFile::Disk { path, .. } => drop(self.os.disk.remove(&path)),
            NewFile::Object { place, upload, .. } => {
                if !upload.id.is_empty() {
                    drop(self.with(&place, |bucket| bucket.abort(&[upload])));
                }
            }
        }
    }

    /// Gives up the uploads below a folder that a life before this one has begun: they cost, and nobody sees them. Who may not
    /// list uploads leaves them to a rule of the bucket.
    pub(crate) fn give_up_uploads(&mut self, folder: &str, is_ours: impl Fn(&str) -> bool) {
        let Ok(Address::Object(place)) = Address::parse(folder) else { return };
        let given_up = self.with(&place, |bucket| {
            let mut uploads = bucket.uploads(&place.folder())?;
            uploads.retain(|upload| is_ours(upload.key.rsplit('/').next().unwrap_or_default()));
            bucket.abort(&uploads)
        });
        drop(given_up);
    }
}

/// Sends a part of an upload, which begins with its first.
fn send(bucket: &mut Bucket, upload: &mut Upload, bytes: Vec<u8>) -> Done<()> {
    if upload.id.is_empty() {
        upload.id = bucket.begin(&[&upload.key])?.pop().unwrap_or_default();
    }
    let Upload { key, id, tags } = upload;
    tags.extend(bucket.put_parts(vec![Part { key, upload: id, number: tags.len() + 1, bytes }])?);
    Ok(())
}

/// One file as readers of columns want it.
pub(crate) struct OneFile(Source);

enum Source {
    Disk(PathBuf),
    Object(InBucket),
}

impl OneFile {
    /// Why some of it could not be had, where it is in a bucket.
    pub(crate) fn take_failure(&self) -> Option<ServiceError> {
        match &self.0 {
            Source::Disk(_) => None,
            Source::Object(object) => object.take_failure(),
        }
    }
}

impl Files for OneFile {
    fn open(&self, _path: &str) -> io::Result<Input> {
        match &self.0 {
            Source::Disk(path) => Ok(Box::new(File::open(path)?)),
            Source::Object(object) => object.open(""),
        }
    }

    fn pieces(&self, _path: &str) -> io::Result<Pieces> {
        match &self.0 {
            Source::Disk(path) => Pieces::of_disk(path),
            Source::Object(object) => object.pieces(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_this_machine_or_of_a_bucket() {
        for (text, absolute) in [
            ("file:///data/a/", "file:///data/a"),
            ("file:/data/a", "file:///data/a"),
            ("file://localhost/data", "file:///data"),
            ("/data/a b", "file:///data/a b"),
            ("s3a://orders/a/b/", "s3://orders/a/b"),
            ("s3://orders", "s3://orders"),
            ("gs://orders/a/", "gs://orders/a"),
            ("az://orders", "az://orders"),
            ("abfss://orders@shop.dfs.core.windows.net/a", "abfss://orders@shop.dfs.core.windows.net/a"),
        ] {
            assert_eq!(Address::absolute(text).as_deref(), Ok(absolute), "{text}");
        }
        for (text, words) in [
            ("s3://", "names no bucket"),
            ("s3://a b/c", "names no bucket"),
            ("hdfs://orders/a", "file:///FOLDER"),
            ("hdfs://orders/a", "s3://BUCKET"),
            ("file://data", "no absolute path"),
        ] {
            assert!(Address::parse(text).is_err_and(|told| told.contains(words)), "{text}");
        }
    }

    #[test]
    fn what_a_server_names_is_no_file_of_this_machine() {
        let stores = Stores::new(&Os::real(), &Options::default());
        assert!(stores.place("relative/a").is_err_and(|error| error.message.contains("no absolute path")));
        assert!(stores.place("file:///a").is_ok());
        let mut stores = stores.without_disk("allows");
        for place in ["file:///etc/a", "/etc/a", "a"] {
            let error = stores.put_new(place, Vec::new()).unwrap_err();
            assert!(error.message.contains("set 'allows' = 'true'"), "{error}");
        }
        assert!(stores.place("s3://orders/a").is_ok());
    }

    #[test]
    fn metadata_are_put_once_and_files_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut stores = Stores::new(&Os::real(), &Options::default());
        let root = Address::absolute(folder.path().to_str().unwrap()).unwrap();
        let place = below(&root, "log/0.json");
        assert_eq!(stores.read(&place, 10).unwrap(), None);
        assert_eq!(stores.list(&below(&root, "log"), "").unwrap(), Vec::<String>::new());
        assert!(stores.put_new(&place, b"first".to_vec()).unwrap());
        assert!(!stores.put_new(&place, b"second".to_vec()).unwrap());
        assert_eq!(stores.read(&place, 10).unwrap().as_deref(), Some(&b"first"[..]));
        assert!(stores.read(&place, 4).unwrap_err().message.contains("more than 4 bytes"));
        stores.put(&place, b"third".to_vec()).unwrap();
        assert_eq!(stores.read(&place, 5).unwrap().as_deref(), Some(&b"third"[..]));
        let mut file = stores.create(&below(&root, "log/1.json")).unwrap();
        stores.append(&mut file, b"ab").unwrap();
        stores.append(&mut file, b"c").unwrap();
        assert_eq!(stores.finish(file).unwrap(), 3);
        assert_eq!(stores.list(&below(&root, "log"), "0.json").unwrap(), ["1.json"]);
        stores.delete(&place).unwrap();
        stores.delete(&place).unwrap();
        assert_eq!(stores.list(&below(&root, "log"), "").unwrap(), ["1.json"]);
    }
}
