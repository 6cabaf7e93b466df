//! Files as their readers need them: from the beginning to the end, or some bytes of them; on this machine or in a bucket.

use crate::objects::bucket::{Bucket, Object};
use crate::service::{Done, ServiceError};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of an object that one call brings.
const PIECE_BYTES: u64 = 4 << 20;
const BUFFER_BYTES: usize = 256 << 10;

pub(crate) type Input = Box<dyn Read + Send>;

pub(crate) trait Files: Send + Sync {
    fn open(&self, path: &str) -> io::Result<Input>;

    fn pieces(&self, path: &str) -> io::Result<Pieces>;

    /// The plain text, where the name says that it is packed.
    fn open_plain(&self, path: &str) -> io::Result<Input> {
        let input = self.open(path)?;
        Ok(match path.ends_with(".gz") {
            true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, input))),
            false => input,
        })
    }
}

pub(super) struct Disk;

impl Files for Disk {
    fn open(&self, path: &str) -> io::Result<Input> {
        Ok(Box::new(File::open(path)?))
    }

    fn pieces(&self, path: &str) -> io::Result<Pieces> {
        Pieces::of_disk(Path::new(path))
    }
}

/// The object that is read.
#[derive(Clone)]
pub(crate) struct InBucket {
    bucket: Arc<Mutex<Bucket>>,
    object: Object,
    /// Why some of it could not be had: readers of files make a text of it.
    failure: Arc<Mutex<Option<ServiceError>>>,
}

impl InBucket {
    pub(crate) fn new(bucket: &Arc<Mutex<Bucket>>, object: &Object) -> InBucket {
        InBucket { bucket: bucket.clone(), object: object.clone(), failure: Arc::default() }
    }

    pub(crate) fn take_failure(&self) -> Option<ServiceError> {
        lock(&self.failure).take()
    }

    /// Some bytes; fewer at the end.
    fn get(&self, from: u64, bytes: u64) -> Done<Vec<u8>> {
        let bytes = bytes.min(self.object.bytes.saturating_sub(from));
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let got = lock(&self.bucket).get(&self.object.key, from, bytes, Some(&self.object.tag));
        let got = got.and_then(|got| match got.len() as u64 == bytes {
            true => Ok(got),
            false => Err(ServiceError::malformed("other bytes of an object than those that were asked for")),
        });
        got.inspect_err(|error| *lock(&self.failure) = Some(error.clone()))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files for InBucket {
    fn open(&self, _path: &str) -> io::Result<Input> {
        Ok(Box::new(ObjectReader { object: self.clone(), next: 0, piece: Vec::new(), at: 0 }))
    }

    fn pieces(&self, _path: &str) -> io::Result<Pieces> {
        Ok(Pieces { length: self.object.bytes, from: From::Bucket(self.clone()) })
    }
}

/// Reads an object a piece at a time.
struct ObjectReader {
    object: InBucket,
    /// Behind the piece.
    next: u64,
    piece: Vec<u8>,
    at: usize,
}

impl Read for ObjectReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            self.piece = self.object.get(self.next, PIECE_BYTES).map_err(io::Error::other)?;
            self.next += self.piece.len() as u64;
            self.at = 0;
        }
        let count = out.len().min(self.piece.len() - self.at);
        out[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// A file of which any bytes may be asked for.
pub(crate) struct Pieces {
    length: u64,
    from: From,
}

impl Pieces {
    pub(crate) fn of_disk(path: &Path) -> io::Result<Pieces> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Pieces { length, from: From::Disk(file) })
    }
}

enum From {
    Disk(File),
    Bucket(InBucket),
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Pieces {
    type T = Input;

    fn get_read(&self, start: u64) -> Result<Input, ParquetError> {
        Ok(match &self.from {
            From::Disk(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start))?;
                Box::new(BufReader::new(file))
            }
            From::Bucket(object) => {
                Box::new(ObjectReader { object: object.clone(), next: start, piece: Vec::new(), at: 0 })
            }
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.length);
        if end.is_none() {
            return Err(ParquetError::EOF("it ends before what it names".into()));
        }
        match &self.from {
            From::Disk(_) => {
                let mut bytes = vec![0; length];
                self.get_read(start)?.read_exact(&mut bytes)?;
                Ok(bytes.into())
            }
            From::Bucket(object) => {
                let mut bytes = Vec::with_capacity(length);
                while bytes.len() < length {
                    let left = (length - bytes.len()) as u64;
                    let at = start + bytes.len() as u64;
                    let piece = object.get(at, left.min(PIECE_BYTES));
                    bytes.extend(piece.map_err(|error| ParquetError::External(Box::new(error)))?);
                }
                Ok(bytes.into())
            }
        }
    }
}
