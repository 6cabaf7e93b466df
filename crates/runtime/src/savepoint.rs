//! Savepoints: a job's state in a folder of its own, from which it goes on anywhere.
//!
//! A savepoint holds the runs, the manifest and a description: which plan the state belongs to, where
//! the inputs were, what was counted. The description appears last, so a folder with one is whole.
//! Unlike a snapshot it belongs to its owner: no retention is pinned for it, and nothing removes it.

use crate::coordinates::{Cursor, ScanSplits};
use crate::error::RuntimeError;
use crate::journal::{Counts, JournalState, SnapshotRecord};
use crate::operators::{self, OperatorRecord};
use crate::state_folder::{read_file, read_manifest};
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use os::Os;
use state::{Manifest, SnapshotParts, StateError, Store};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The file that describes a savepoint.
const DESCRIPTION: &str = "savepoint";

/// The file that names the runs.
const MANIFEST: &str = "state";

const MAGIC: &str = "eventwright savepoint 2";

/// Of a savepoint that does not say of which operators the state is.
const MAGIC_1: &str = "eventwright savepoint 1";

/// What a savepoint says of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavepointInfo {
    pub job: String,
    pub engine_version: u32,
    /// The hash of the statement's fingerprint.
    pub plan: u64,
    pub instance: u64,
    pub step: u64,
    pub clock_ms: i64,
    pub scans: Vec<ScanSplits>,
    pub cursors: Vec<Cursor>,
    pub counts: Counts,
    /// What the plan consists of; empty in a savepoint of format 1.
    pub operators: Vec<OperatorRecord>,
    /// The first tag that no node of the job had had.
    pub next_tag: u32,
}

impl SavepointInfo {
    /// The job as the journal would know it behind the savepoint.
    pub(crate) fn as_state(&self) -> JournalState {
        JournalState {
            instance: self.instance,
            engine_version: self.engine_version,
            plan: self.plan,
            origin: self.id(),
            scans: self.scans.clone(),
            snapshot: Some(self.as_snapshot()),
            steps: VecDeque::new(),
            last_step: self.step,
            counts: self.counts.clone(),
            finished: false,
            feeds: BTreeMap::new(),
            operators: self.operators.clone(),
            next_tag: self.next_tag,
            changed_step: 0,
            former_scans: Vec::new(),
        }
    }

    pub(crate) fn as_snapshot(&self) -> SnapshotRecord {
        let (step, clock_ms, cursors) = (self.step, self.clock_ms, self.cursors.clone());
        SnapshotRecord { step, clock_ms, file: String::new(), cursors }
    }

    /// Tells savepoints apart; never 0.
    pub fn id(&self) -> u64 {
        state::hash(&self.encode()).max(1)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        // One of format 1 keeps its bytes, and with them its id.
        let is_first = self.operators.is_empty();
        out.text(if is_first { MAGIC_1 } else { MAGIC })
            .text(&self.job)
            .u32(self.engine_version)
            .u64(self.plan)
            .u64(self.instance);
        out.u64(self.step).i64(self.clock_ms).u32(self.scans.len() as u32);
        self.scans.iter().for_each(|scan| scan.encode(&mut out));
        out.u32(self.cursors.len() as u32);
        self.cursors.iter().for_each(|cursor| cursor.encode(&mut out));
        self.counts.encode(&mut out);
        if !is_first {
            operators::encode_all(&self.operators, &mut out);
            out.u32(self.next_tag);
        }
        let mut bytes = out.finish();
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<SavepointInfo, CodecError> {
        let (content, checksum) =
            bytes.split_last_chunk::<4>().ok_or(CodecError { what: "the description is too short" })?;
        if crc32c::crc32c(content).to_le_bytes() != *checksum {
            return Err(CodecError { what: "the checksum of the description does not fit" });
        }
        let mut reader = FieldReader::new(content);
        let magic = reader.text()?;
        if magic != MAGIC && magic != MAGIC_1 {
            return Err(CodecError { what: "it is no savepoint of this version" });
        }
        let job = reader.text()?;
        let (engine_version, plan, instance) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let (step, clock_ms) = (reader.u64()?, reader.i64()?);
        let scans =
            (0..reader.count(8)?).map(|_| ScanSplits::decode(&mut reader)).collect::<Result<_, _>>()?;
        let count = reader.count(Cursor::ENCODED_BYTES)?;
        let cursors = (0..count).map(|_| Cursor::decode(&mut reader)).collect::<Result<_, _>>()?;
        let counts = Counts::decode(&mut reader)?;
        let (mut operators, mut next_tag) = (Vec::new(), 0);
        if magic == MAGIC {
            operators = operators::decode_all(&mut reader)?;
            next_tag = reader.u32()?;
        }
        reader.finish()?;
        Ok(SavepointInfo {
            job,
            engine_version,
            plan,
            instance,
            step,
            clock_ms,
            scans,
            cursors,
            counts,
            operators,
            next_tag,
        })
    }
}

/// A savepoint that can be read.
#[derive(Debug, Clone)]
pub struct Savepoint {
    pub folder: PathBuf,
    pub info: SavepointInfo,
    /// Bytes of its runs.
    pub bytes: u64,
}

impl Savepoint {
    pub fn open(os: &Os, folder: &Path) -> Result<Savepoint, RuntimeError> {
        let read = || {
            let info = SavepointInfo::decode(&read_file(os, &folder.join(DESCRIPTION))?)?;
            let mut bytes = 0;
            for name in os.disk.list(folder).map_err(|error| StateError::io(folder, &error))? {
                let path = folder.join(&name);
                let length = os.disk.open(&path).and_then(|file| file.length());
                bytes += length.map_err(|error| StateError::io(&path, &error))?;
            }
            Ok((info, bytes))
        };
        let (info, bytes) = read().map_err(|error: StateError| unusable(folder, &error))?;
        Ok(Savepoint { folder: folder.to_path_buf(), info, bytes })
    }

    /// The savepoints in a folder, by name; what is no savepoint is passed over.
    pub fn list(os: &Os, folder: &Path) -> Result<Vec<Savepoint>, RuntimeError> {
        let failed = |error: std::io::Error| unusable(folder, &StateError::io(folder, &error));
        if !os.disk.exists(folder).map_err(failed)? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for name in os.disk.list(folder).map_err(failed)? {
            let path = folder.join(name);
            if os.disk.exists(&path.join(DESCRIPTION)).unwrap_or(false) {
                found.push(Savepoint::open(os, &path)?);
            }
        }
        Ok(found)
    }

    /// Copies the state to where a job keeps its own, and answers its manifest.
    pub(crate) fn copy_into(
        &self,
        os: &Os,
        folder: &Path,
        manifest: &Path,
    ) -> Result<Manifest, RuntimeError> {
        let copied = || {
            let from = self.folder.join(MANIFEST);
            let named = read_manifest(os, &from)?;
            for name in os.disk.list(folder).map_err(|error| StateError::io(folder, &error))? {
                let path = folder.join(name);
                os.disk.remove(&path).map_err(|error| StateError::io(&path, &error))?;
            }
            for run in named.run_names() {
                state::snapshot::copy_file(&os.disk, &self.folder.join(&run), &folder.join(&run))?;
            }
            state::snapshot::copy_file(&os.disk, &from, manifest)?;
            os.disk.sync_directory(folder).map_err(|error| StateError::io(folder, &error))?;
            Ok(named)
        };
        copied().map_err(|error: StateError| unusable(&self.folder, &error))
    }
}

fn unusable(folder: &Path, error: &StateError) -> RuntimeError {
    RuntimeError::Savepoint {
        folder: folder.display().to_string(),
        reason: error.to_string(),
        kind: error.kind(),
    }
}

/// The savepoints that were asked for and are not begun.
#[derive(Default)]
pub(crate) struct Requests {
    waiting: Mutex<VecDeque<Request>>,
}

impl Requests {
    pub(crate) fn push(&self, request: Request) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(request);
    }

    pub(crate) fn next(&self) -> Option<Request> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

pub(crate) struct Request {
    os: Os,
    answer: Answer,
    /// No step follows the one that the savepoint covers.
    pub(crate) then_stop: bool,
}

impl Request {
    /// A savepoint of `job` in a new folder below `target`.
    pub(crate) fn new(os: &Os, job: &str, target: &Path) -> (Request, SavepointTicket) {
        let letters: String = job.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = target.join(format!("savepoint-{letters}-{:08x}", os.random.next_u64() as u32));
        let ticket = SavepointTicket::default();
        let answer = Answer { folder, ticket: ticket.clone() };
        (Request { os: os.clone(), answer, then_stop: false }, ticket)
    }

    /// Hands the state over to be written; the ticket, which is the answer, tells when it is.
    pub(crate) fn begin(self, parts: SnapshotParts, store: &Store, info: &SavepointInfo) -> SavepointTicket {
        let files = vec![(DESCRIPTION.to_string(), info.encode())];
        let Request { os, answer, .. } = self;
        let told = answer.ticket.clone();
        parts.export(store, answer.folder.clone(), MANIFEST, files, move |written| {
            answer.ticket.tell(match written {
                Ok(()) => Savepoint::open(&os, &answer.folder),
                Err(error) => Err(unusable(&answer.folder, &error)),
            });
        });
        told
    }
}

/// Owed to those who wait: whoever gives a request up, wherever it is on its way, tells them.
struct Answer {
    folder: PathBuf,
    ticket: SavepointTicket,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.ticket.wait_timeout(0).is_none() {
            self.ticket.tell(Err(RuntimeError::Savepoint {
                folder: self.folder.display().to_string(),
                reason: "the job ended before".into(),
                kind: ErrorKind::Unavailable,
            }));
        }
    }
}

/// What became of a savepoint, or nothing yet.
pub type SavepointOutcome = Option<Result<Savepoint, Arc<RuntimeError>>>;

/// Tells when a savepoint is complete.
#[derive(Clone, Default)]
pub struct SavepointTicket {
    outcome: Arc<(Mutex<SavepointOutcome>, Condvar)>,
}

impl SavepointTicket {
    fn tell(&self, outcome: Result<Savepoint, RuntimeError>) {
        *self.outcome.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome.map_err(Arc::new));
        self.outcome.1.notify_all();
    }

    /// The outcome, if it is known after `timeout_ms` at most.
    pub fn wait_timeout(&self, timeout_ms: u64) -> SavepointOutcome {
        let outcome = self.outcome.0.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = Duration::from_millis(timeout_ms);
        let waited = self.outcome.1.wait_timeout_while(outcome, timeout, |outcome| outcome.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}
