//! A bucket as a file sink's target: exactly once by uploads in parts, numbered commits, and puts on a condition.
//!
//! 1. A file grows as an upload in parts, of which nobody sees anything. Its parts go as they are full; what is left goes
//!    with the commit.
//! 2. A commit is a hidden object with a number in its name, put on the condition that there is none of this name. It lists
//!    the uploads, and the outbox offset behind their records.
//! 3. The uploads are completed: now the files are seen, and their readers may take them away. So another commit that says the
//!    same offset and lists nothing comes next; then those before it are deleted.
//!
//! Whoever opens the target finds the last commit, completes its uploads (twice is harmless), and takes the next number.
//! Numbers below the last are no commits: a node that was given up may find its next number free again, because it was
//! deleted behind a higher one, and so it lists what there is after each put, before it completes anything. Uploads of this
//! job that no commit lists are given up when the target is opened.

use super::location::BucketPlace;
use super::target::{FileTarget, GrowingFile, finished};
use crate::objects::bucket::{Bucket, NO_SUCH_KEY, Part, Upload};
use crate::service::{Access, Done, ServiceError};
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// S3 takes no smaller parts, but for the last of an object.
const PART_BYTES_MIN: u64 = 8 << 20;
/// Parts of an object; S3 takes 10,000.
const PARTS_MAX: u64 = 8_000;
/// When so much waits in memory, of all partitions' files, they are finished early.
const WAITING_BYTES_MAX: usize = 128 << 20;
/// Parts that are sent at once.
const PARTS_AT_ONCE: usize = 8;
/// Bytes of a commit: a thousand uploads of some hundred parts.
const COMMIT_BYTES_MAX: u64 = 64 << 20;
/// How often another commit may come in between when a target is opened.
const CLAIMS_MAX: u32 = 5;
const DIGITS: usize = 20;

pub(super) struct Objects {
    access: Access,
    place: BucketPlace,
    identity: String,
    part_bytes: usize,
    shared: Arc<Shared>,
    files: Vec<Arc<GrowingObject>>,
    life: u64,
    /// Of the last commit.
    number: u64,
}

/// What the target has in common with its files.
struct Shared {
    bucket: Mutex<Option<Bucket>>,
    waiting_bytes: AtomicUsize,
}

impl Shared {
    /// Does something with the bucket.
    fn with<T>(&self, call: impl FnOnce(&mut Bucket) -> Done<T>) -> Done<T> {
        match lock(&self.bucket).as_mut() {
            Some(bucket) => call(bucket),
            None => Err(ServiceError::unavailable("the bucket is not open")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct GrowingObject {
    part_bytes: usize,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Without an id it was not begun.
    upload: Upload,
    waiting: Vec<u8>,
}

impl GrowingFile for GrowingObject {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.waiting.extend_from_slice(bytes);
        self.shared.waiting_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        while state.waiting.len() >= self.part_bytes {
            let rest = state.waiting.split_off(self.part_bytes);
            let part = std::mem::replace(&mut state.waiting, rest);
            self.shared.waiting_bytes.fetch_sub(part.len(), Ordering::Relaxed);
            let sent = self.shared.with(|bucket| {
                let Upload { key, id, tags } = &mut state.upload;
                if id.is_empty() {
                    *id = bucket.begin(&[key])?.pop().unwrap_or_default();
                }
                let part = Part { key, upload: id, number: tags.len() + 1, bytes: part };
                tags.extend(bucket.put_parts(vec![part])?);
                Ok(())
            });
            sent.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// What one commit says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Commit {
    /// By which a life knows its own commits.
    life: u64,
    next_offset: i64,
    uploads: Vec<Upload>,
}

impl Commit {
    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(1).u64(self.life).i64(self.next_offset).u32(self.uploads.len() as u32);
        for upload in &self.uploads {
            out.text(&upload.key).text(&upload.id).u32(upload.tags.len() as u32);
            for tag in &upload.tags {
                out.text(tag);
            }
        }
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Commit, CodecError> {
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != 1 {
            return Err(CodecError { what: "a commit of another version" });
        }
        let (life, next_offset) = (reader.u64()?, reader.i64()?);
        let mut uploads = Vec::new();
        for _ in 0..reader.count(12)? {
            let (key, id) = (reader.text()?, reader.text()?);
            let tags = (0..reader.count(4)?).map(|_| reader.text()).collect::<Result<_, CodecError>>()?;
            uploads.push(Upload { key, id, tags });
        }
        reader.finish()?;
        Ok(Commit { life, next_offset, uploads })
    }
}

impl Objects {
    /// Files are finished when they have about `file_bytes`.
    pub(super) fn new(access: Access, place: BucketPlace, identity: String, file_bytes: u64) -> Objects {
        let part_bytes = (file_bytes / PARTS_MAX).clamp(PART_BYTES_MIN, WAITING_BYTES_MAX as u64);
        Objects {
            access,
            place,
            identity,
            part_bytes: part_bytes as usize,
            shared: Arc::new(Shared { bucket: Mutex::new(None), waiting_bytes: AtomicUsize::new(0) }),
            files: Vec::new(),
            life: 0,
            number: 0,
        }
    }

    fn commits(&self) -> String {
        format!("{}.commit-{}-", self.place.folder(), self.identity)
    }

    fn commit_key(&self, number: u64) -> String {
        format!("{}{number:0DIGITS$}", self.commits())
    }

    /// The number in a commit's key. Another job's identity may begin with ours.
    fn number_of(&self, key: &str) -> Option<u64> {
        let number = key.strip_prefix(&self.commits())?;
        let is_number = number.len() == DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| is_number)
    }

    /// Whether a key is one of our files.
    fn is_ours(&self, key: &str) -> bool {
        let name = key.rsplit('/').next().unwrap_or_default();
        let rest = name.strip_prefix("part-").and_then(|rest| rest.strip_prefix(self.identity.as_str()));
        let number = rest.and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.split('.').next());
        number
            .is_some_and(|number| number.len() == DIGITS && number.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// The commits that there are: number, key and bytes, the last one last.
    fn listed(&self, bucket: &mut Bucket) -> Done<Vec<(u64, String, u64)>> {
        let mut commits: Vec<(u64, String, u64)> = (bucket.list_all(&self.commits())?.into_iter())
            .filter_map(|object| Some((self.number_of(&object.key)?, object.key, object.bytes)))
            .collect();
        commits.sort();
        Ok(commits)
    }

    /// Whether a number is below that of the last commit.
    fn is_behind(&self, bucket: &mut Bucket, number: u64) -> Done<bool> {
        Ok(self.listed(bucket)?.last().is_some_and(|(last, _, _)| *last > number))
    }

    /// Puts a commit; whether it is one: no other has its number or a higher one.
    fn put(&self, bucket: &mut Bucket, number: u64, commit: &Commit) -> Done<bool> {
        let (key, bytes) = (self.commit_key(number), commit.encode());
        if !bucket.put_new(&key, bytes.clone())? {
            // It is ours where its answer was lost and it was put twice.
            match bucket.get(&key, 0, COMMIT_BYTES_MAX, None) {
                Ok(there) if there == bytes => {}
                Err(error) if error.code != NO_SUCH_KEY => return Err(error),
                _ => return Ok(false),
            }
        }
        let is_behind = self.is_behind(bucket, number)?;
        if is_behind {
            bucket.delete(&key)?;
        }
        Ok(!is_behind)
    }

    fn fenced(&self) -> ServiceError {
        let place = &self.place;
        ServiceError::new(
            ErrorKind::Fenced,
            format!("another node goes on with this job's files in {place}: stop one of them"),
        )
    }

    /// Finds the last commit and completes it; makes one behind it that says the same, so that there is no other.
    fn claim(&mut self, bucket: &mut Bucket) -> Done<Commit> {
        for _ in 0..CLAIMS_MAX {
            let commits = self.listed(bucket)?;
            let (number, commit) = match commits.last() {
                None => (0, Commit::default()),
                Some((number, key, bytes)) => {
                    let bytes = match bucket.get(key, 0, (*bytes).min(COMMIT_BYTES_MAX), None) {
                        Err(error) if error.code == NO_SUCH_KEY => continue,
                        bytes => bytes?,
                    };
                    let commit = Commit::decode(&bytes).map_err(|error| {
                        ServiceError::new(
                            ErrorKind::Corrupt,
                            format!("the commit '{key}' cannot be read: {error}"),
                        )
                    })?;
                    (*number, commit)
                }
            };
            match bucket.complete(&commit.uploads) {
                // Another has completed them, and a reader has taken the files away.
                Err(error) if error.kind == ErrorKind::Corrupt && self.is_behind(bucket, number)? => continue,
                completed => completed?,
            }
            let next = Commit { life: self.life, next_offset: commit.next_offset, uploads: Vec::new() };
            if self.put(bucket, number + 1, &next)? {
                self.number = number + 1;
                for (_, key, _) in commits {
                    bucket.delete(&key)?;
                }
                return Ok(next);
            }
        }
        Err(ServiceError::new(ErrorKind::Retry, "others commit to it all the time"))
    }

    fn connect(&mut self) -> Done<i64> {
        let mut bucket = self.place.open(&self.access)?;
        self.life = self.access.os().random.next_u64();
        let commit = self.claim(&mut bucket)?;
        let mut uploads = bucket.uploads(&self.place.folder())?;
        uploads.retain(|upload| self.is_ours(&upload.key));
        bucket.abort(&uploads)?;
        *lock(&self.shared.bucket) = Some(bucket);
        Ok(commit.next_offset)
    }

    /// Sends what waits of the files, and answers their uploads.
    fn finish(&self, bucket: &mut Bucket) -> Done<Vec<Upload>> {
        let mut states: Vec<MutexGuard<'_, State>> =
            self.files.iter().map(|file| lock(&file.state)).collect();
        for some in states.chunks_mut(PARTS_AT_ONCE) {
            let new: Vec<String> = (some.iter())
                .filter(|state| state.upload.id.is_empty())
                .map(|state| state.upload.key.clone())
                .collect();
            let keys: Vec<&str> = new.iter().map(String::as_str).collect();
            let mut ids = bucket.begin(&keys)?.into_iter();
            for state in some.iter_mut().filter(|state| state.upload.id.is_empty()) {
                state.upload.id = ids.next().unwrap_or_default();
            }
            let rests: Vec<(usize, Vec<u8>)> = (some.iter_mut().enumerate())
                .map(|(index, state)| (index, std::mem::take(&mut state.waiting)))
                .filter(|(_, rest)| !rest.is_empty())
                .collect();
            let indexes: Vec<usize> = rests.iter().map(|(index, _)| *index).collect();
            let part = |(index, bytes): (usize, Vec<u8>)| {
                self.shared.waiting_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                let Upload { key, id, tags } = &some[index].upload;
                Part { key, upload: id, number: tags.len() + 1, bytes }
            };
            let tags = bucket.put_parts(rests.into_iter().map(part).collect())?;
            for (index, tag) in indexes.into_iter().zip(tags) {
                some[index].upload.tags.push(tag);
            }
        }
        Ok(states.iter().map(|state| state.upload.clone()).collect())
    }

    fn keep(&mut self, bucket: &mut Bucket, next_offset: i64) -> Done<()> {
        let commit = Commit { life: self.life, next_offset, uploads: self.finish(bucket)? };
        let number = self.number + 1;
        if !self.put(bucket, number, &commit)? {
            // Where it was a commit for a while, whoever went on has completed them; what is left here goes with the next start.
            drop(bucket.abort(&commit.uploads));
            return Err(self.fenced());
        }
        match bucket.complete(&commit.uploads) {
            Err(error) if error.kind == ErrorKind::Corrupt && self.is_behind(bucket, number)? => {
                return Err(self.fenced());
            }
            completed => completed?,
        }
        if !self.put(bucket, number + 1, &Commit { uploads: Vec::new(), ..commit })? {
            return Err(self.fenced());
        }
        bucket.delete(&self.commit_key(self.number))?;
        bucket.delete(&self.commit_key(number))?;
        self.number = number + 1;
        Ok(())
    }
}

impl FileTarget for Objects {
    fn place(&self) -> String {
        self.place.to_string()
    }

    fn open(&mut self) -> io::Result<i64> {
        self.files.clear();
        *lock(&self.shared.bucket) = None;
        self.shared.waiting_bytes.store(0, Ordering::Relaxed);
        self.connect().map_err(io::Error::other)
    }

    fn create(&mut self, partition: &str, number: i64, suffix: &str) -> io::Result<Arc<dyn GrowingFile>> {
        let key = format!("{}{}", self.place.folder(), finished(partition, &self.identity, number, suffix));
        let upload = Upload { key, ..Upload::default() };
        let file = Arc::new(GrowingObject {
            part_bytes: self.part_bytes,
            shared: self.shared.clone(),
            state: Mutex::new(State { upload, waiting: Vec::new() }),
        });
        self.files.push(file.clone());
        Ok(file)
    }

    fn commit(&mut self, next_offset: i64) -> io::Result<()> {
        let Some(mut bucket) = lock(&self.shared.bucket).take() else {
            return Err(io::Error::other(ServiceError::unavailable("the bucket is not open")));
        };
        // With an error the bucket is opened anew.
        self.keep(&mut bucket, next_offset).map_err(io::Error::other)?;
        *lock(&self.shared.bucket) = Some(bucket);
        self.files.clear();
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.shared.waiting_bytes.load(Ordering::Relaxed) >= WAITING_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_as_it_was_written() {
        let upload = |key: &str, tags: &[&str]| Upload {
            key: key.into(),
            id: "id".into(),
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
        };
        let commit =
            Commit { life: 3, next_offset: 7, uploads: vec![upload("a", &["1", "2"]), upload("b", &[])] };
        let bytes = commit.encode();
        assert_eq!(Commit::decode(&bytes), Ok(commit));
        for length in 0..bytes.len() {
            assert!(Commit::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
    }
}
