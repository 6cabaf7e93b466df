//! Ships the log: one object after the other, of which each is put when the one before is there.
//!
//! An object has what has become durable while the last one was put, up to a size; so objects grow under load and are small when
//! there is little to do, as groups of the log are, and no timer decides. One put is under way at a time: where it ends is where
//! another node would begin, so nothing can come to lie behind a gap.

use crate::bases::{Bases, Merge};
use crate::claim::{Put, base_key, fenced, put, read_header};
use crate::error::RemoteError;
use crate::object::{Extent, Header};
use crate::side::SideFiles;
use crate::store::{Store, StoreError};
use base::{ErrorKind, Lsn};
use eventlog::{EventLog, Piece, ShipPlace};
use os::Os;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps log files that are not in the store; a log that is to be shipped is opened with it (`LogOptions::pinned_by`).
pub const PIN: &str = "remote copy";

/// How copies are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Of the log in one object, about; one frame may be larger.
    pub object_bytes_max: u64,
    /// So many objects of one log file are merged into one.
    pub merge_after: u64,
    /// How long the store keeps what is needed only to come back to an earlier time.
    pub history: Duration,
    /// How often a node that has nothing to ship shows that it is there, and looks whether another one has taken over.
    pub beat: Duration,
    /// Log files that are not shipped are kept up to so many bytes of them.
    pub behind_bytes_max: u64,
    /// How long a start waits for a store that does not answer.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            object_bytes_max: 8 << 20,
            merge_after: 256,
            history: Duration::from_secs(24 * 3600),
            beat: Duration::from_secs(2),
            behind_bytes_max: 64 << 30,
            patience: Duration::from_secs(60),
        }
    }
}

/// Who ships, into what.
pub(crate) struct Writer {
    pub os: Os,
    pub place: String,
    pub node: String,
    pub writer: String,
    pub epoch: u64,
}

/// Shows that the one who writes is there; with a store of its own, so that it can while the other one is in use.
pub(crate) struct Alive {
    pub os: Os,
    pub store: Box<dyn Store>,
    pub beat: Duration,
    pub epoch: u64,
    pub writer: String,
    pub beats: u64,
    /// When it last did, or something else that is seen.
    pub last_ns: u64,
}

impl Alive {
    fn show(&mut self) -> Result<(), StoreError> {
        self.beats += 1;
        let text = json!({"beat": self.beats, "writer": self.writer, "time_ms": self.os.clock.now_ms()});
        self.store.put(&alive_key(self.epoch), format!("{text}\n").as_bytes())?;
        self.last_ns = self.os.clock.monotonic_ns();
        Ok(())
    }

    /// If it is time; whether it arrives does not matter to what goes on meanwhile.
    pub(crate) fn show_in_between(&mut self) {
        let silent_ns = self.os.clock.monotonic_ns().saturating_sub(self.last_ns);
        if u128::from(silent_ns) >= self.beat.as_nanos() {
            let _ = self.show();
        }
    }
}

/// An object that is put until the store has it, always the same.
struct Pending {
    object: Vec<u8>,
    /// Without its bytes.
    piece: Piece,
    end: ShipPlace,
    is_base: bool,
}

/// The one who ships a log.
pub struct Shipper {
    who: Writer,
    log: EventLog,
    store: Box<dyn Store>,
    settings: Settings,
    side: SideFiles,
    pub(crate) bases: Arc<Mutex<Bases>>,
    /// The number of the next object.
    next: u64,
    place: ShipPlace,
    pending: Option<Pending>,
    /// Of the file at `place`: where the next merge begins, and how many objects lie behind it.
    merge_from: u64,
    unmerged: u64,
    pub(crate) alive: Alive,
}

impl Shipper {
    pub(crate) fn new(
        who: Writer,
        (log, store, alive): (EventLog, Box<dyn Store>, Alive),
        settings: Settings,
        side: SideFiles,
        bases: Bases,
        (next, place): (u64, ShipPlace),
    ) -> Shipper {
        let merge_from = bases.covered(place.file);
        let unmerged = bases.in_objects.get(&place.file).map_or(0, |first| next.saturating_sub(*first));
        Shipper {
            who,
            log,
            store,
            settings,
            side,
            bases: Arc::new(Mutex::new(bases)),
            next,
            place,
            pending: None,
            merge_from,
            unmerged,
            alive,
        }
    }

    /// The last frame that the store has.
    pub fn shipped(&self) -> Lsn {
        self.place.lsn
    }

    /// Puts the next object, if there is something to put; false if there is not. After an error the next call puts the same.
    /// `Fenced` when another node has taken over.
    pub fn step(&mut self) -> Result<bool, RemoteError> {
        if self.pending.is_none() {
            self.settle();
            let Some(piece) = self.log.piece(self.place, self.settings.object_bytes_max)? else {
                return Ok(false);
            };
            // Only now: what the frames name was there before they were durable.
            let (log, alive) = (&self.log, &mut self.alive);
            self.side.ship(&mut *self.store, log, &mut || {
                alive.show_in_between();
                has_not_ended(log)
            })?;
            self.pending = Some(self.object(piece));
        }
        let Some(pending) = &self.pending else { return Ok(false) };
        match put(&mut *self.store, self.next, &self.who.writer, &pending.object)? {
            Put::Theirs(theirs) => Err(RemoteError::Fenced(fenced(&self.who.place, &theirs))),
            Put::Ours => {
                self.taken();
                Ok(true)
            }
        }
    }

    fn object(&mut self, mut piece: Piece) -> Pending {
        let end = piece.end();
        let payload = std::mem::take(&mut piece.bytes);
        let base = {
            let mut bases = lock(&self.bases);
            if piece.position == 0 {
                bases.in_objects.insert(piece.file, self.next);
            }
            (piece.position == 0 || std::mem::take(&mut bases.is_wanted)).then(|| {
                let replaced = bases.take_replaced();
                let leaving: Vec<_> = self.side.leaving_stretches().cloned().collect();
                let mut base = bases.base(leaving.into_iter());
                self.side.gone(replaced.iter().map(crate::object::Stretch::key));
                base.side = self.side.needed();
                base.gone = self.side.take_gone();
                base
            })
        };
        let is_base = base.is_some();
        let header = Header {
            epoch: self.who.epoch,
            node: self.who.node.clone(),
            writer: self.who.writer.clone(),
            time_ms: self.who.os.clock.now_ms(),
            last_lsn: piece.last_lsn.0,
            extent: Some(Extent {
                file: piece.file,
                generation: piece.generation,
                position: piece.position,
                bytes: payload.len() as u64,
                crc: crc32c::crc32c(&payload),
                appended_ms: piece.appended_ms,
                added: self.side.take_added(),
                base,
            }),
        };
        Pending { object: header.encode(&payload), piece, end, is_base }
    }

    /// The store has the object.
    fn taken(&mut self) {
        let Some(Pending { piece, end, is_base, .. }) = self.pending.take() else { return };
        let number = self.next;
        self.next += 1;
        self.alive.last_ns = self.who.os.clock.monotonic_ns();
        let before = std::mem::replace(&mut self.place, end);
        {
            let mut bases = lock(&self.bases);
            if before.file != end.file {
                let sealed = sealed(&self.log, &bases, before);
                bases.to_merge.extend(sealed);
                (self.merge_from, self.unmerged) = (0, 0);
            }
            self.unmerged += 1;
            if self.unmerged >= self.settings.merge_after {
                bases.to_merge.push_back(Merge {
                    file: end.file,
                    generation: piece.generation,
                    from: self.merge_from,
                    to: end.position,
                    next: Some(self.next),
                });
                (self.merge_from, self.unmerged) = (end.position, 0);
            }
        }
        self.log.shipped_to(&piece);
        if is_base {
            // A name that is missing only makes a later start read more.
            match self.store.put(&base_key(number), b"base\n") {
                Ok(()) => {
                    let now_ms = self.who.os.clock.now_ms();
                    lock(&self.bases).known.push_back((number, Some(now_ms)));
                }
                Err(error) => self.log.shipping_failed(error.to_string()),
            }
        }
    }

    /// What went from this directory goes from the store when it knows why.
    fn settle(&mut self) {
        let there = self.log.log_files();
        let gone = lock(&self.bases).drop_gone(&there);
        self.side.leave(gone);
        self.side.settle(&self.log, self.place.lsn);
    }

    /// Shows that there is a writer, though it has nothing to write, and looks whether there is another.
    pub(crate) fn beat(&mut self) -> Result<(), RemoteError> {
        if self.pending.is_none()
            && let Some(theirs) = read_header(&mut *self.store, self.next)?
            && theirs.writer != self.who.writer
        {
            return Err(RemoteError::Fenced(fenced(&self.who.place, &theirs)));
        }
        Ok(self.alive.show()?)
    }
}

/// What takes long breaks off when the log ends: the next start goes on with it.
pub(crate) fn has_not_ended(log: &EventLog) -> Result<(), StoreError> {
    match log.wait_for_end(Duration::ZERO) {
        true => Ok(()),
        false => Err(StoreError::new(ErrorKind::Unavailable, "the log has ended meanwhile")),
    }
}

pub(crate) fn alive_key(epoch: u64) -> String {
    format!("alive/{epoch:020}")
}

/// The merge of a whole file that is not written any more; none if it is gone, or the store has it whole.
pub(crate) fn sealed(log: &EventLog, bases: &Bases, place: ShipPlace) -> Option<Merge> {
    let file = log.log_files().into_iter().find(|file| file.file == place.file)?;
    let merge =
        Merge { file: file.file, generation: file.generation, from: 0, to: place.position, next: None };
    (!bases.is_whole(file.file)).then_some(merge)
}
