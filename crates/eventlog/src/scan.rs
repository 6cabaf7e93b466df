//! Reads a log file frame by frame and tells the end of the log from damage in its middle.
//!
//! 1. Frames are expected one after another with consecutive LSNs. What parses completely is served.
//! 2. At the first thing that does not parse, the rest of the file is searched once for frame headers of this life of
//!    the file. Each of them says what was durable when it was built. If the frame that is missing here is proven to
//!    have been durable (by such a header, or by the next file, which is only written after this one was synced), it is
//!    damage: what can be read of it is served, the rest is named, and reading goes on at the next header.
//! 3. Otherwise nobody was ever told that the frame exists: it and all behind it is a torn tail, the end of the log.

use crate::LogError;
use crate::error::Damage;
use crate::files::LogFile;
use crate::format::{
    ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FLAG_CHECKPOINT, FRAME_HEADER_BYTES, FRAME_MAGIC,
    FrameHeader, entry_seed, u32_at,
};
use base::{Lsn, Offset};
use os::DiskFile;
use std::sync::Arc;

/// Reads ahead by this much; a larger frame is read whole.
const WINDOW_BYTES: usize = 1 << 20;

/// A part of a file in memory.
pub(crate) struct Window {
    file: Arc<LogFile>,
    handle: Arc<dyn DiskFile>,
    pub(crate) length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(crate) fn open(file: &Arc<LogFile>) -> Result<Window, LogError> {
        let handle = file.handle()?;
        let length = handle.length().map_err(|error| LogError::io("read", &file.path, error))?;
        Ok(Window { file: file.clone(), handle, length, start: 0, bytes: Vec::new() })
    }

    /// The bytes at a position; `None` when the file is shorter.
    pub(crate) fn get(&mut self, position: u64, length: usize) -> Result<Option<&[u8]>, LogError> {
        let Some(end) = position.checked_add(length as u64).filter(|end| *end <= self.length) else {
            return Ok(None);
        };
        if position < self.start || end > self.start + self.bytes.len() as u64 {
            let ahead = (length.max(WINDOW_BYTES) as u64).min(self.length - position);
            self.bytes.resize(ahead as usize, 0);
            self.start = position;
            if let Err(error) = self.handle.read_exact_at(&mut self.bytes, position) {
                self.bytes.clear();
                return Err(LogError::io("read", &self.file.path, error));
            }
        }
        let at = (position - self.start) as usize;
        Ok(self.bytes.get(at..at + length))
    }
}

/// An entry whose header is intact.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScannedEntry {
    pub(crate) header: EntryHeader,
    /// Where its bytes lie in the file.
    pub(crate) position: u64,
    /// Its bytes fit their checksum.
    pub(crate) intact: bool,
}

#[derive(Debug)]
pub(crate) struct ScannedFrame {
    pub(crate) lsn: Lsn,
    pub(crate) entries: Vec<ScannedEntry>,
}

/// A frame header found behind the place where the log no longer parses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaterFrame {
    pub(crate) position: u64,
    pub(crate) lsn: Lsn,
    pub(crate) durable: Lsn,
    pub(crate) end: u64,
}

pub(crate) struct Scanner {
    pub(crate) window: Window,
    file: Arc<LogFile>,
    /// Where the next frame is expected: after the last call, the end of the log.
    pub(crate) position: u64,
    pub(crate) lsn_next: Lsn,
    /// Everything up to here is known to have been durable.
    proven: Lsn,
    later: Option<Vec<LaterFrame>>,
    /// Called-out damage, in file order.
    pub(crate) damage: Vec<Damage>,
    ended: bool,
}

impl Scanner {
    /// Reads the frames behind the file's checkpoint. `proven` is what the next file proves to have been durable.
    pub(crate) fn open(file: &Arc<LogFile>, proven: Lsn) -> Result<Scanner, LogError> {
        Ok(Scanner {
            window: Window::open(file)?,
            file: file.clone(),
            position: file.header.frames_start(),
            lsn_next: Lsn(file.base_lsn().0 + 1),
            proven,
            later: None,
            damage: Vec::new(),
            ended: false,
        })
    }

    /// The next frame, or `None` at the end of this file's part of the log.
    pub(crate) fn next_frame(&mut self) -> Result<Option<ScannedFrame>, LogError> {
        while !self.ended {
            let position = self.position;
            let generation = self.file.header.generation;
            let header = self
                .window
                .get(position, FRAME_HEADER_BYTES)?
                .and_then(|bytes| FrameHeader::decode(bytes, generation, position))
                .filter(|header| header.lsn == self.lsn_next && header.flags & FLAG_CHECKPOINT == 0)
                .filter(|header| header.end() <= self.window.length);
            match header {
                Some(header) => {
                    let (entries, problems) =
                        self.entries(position, header.end(), header.lsn, Some(header.entries))?;
                    if !problems.is_empty() {
                        if !self.is_proven(header.lsn)? {
                            break;
                        }
                        self.damage.extend(problems);
                    }
                    self.position = header.end();
                    self.lsn_next = Lsn(header.lsn.0 + 1);
                    return Ok(Some(ScannedFrame { lsn: header.lsn, entries }));
                }
                None => {
                    if !self.is_proven(self.lsn_next)? {
                        break;
                    }
                    if let Some(frame) = self.skip_damage()? {
                        return Ok(Some(frame));
                    }
                }
            }
        }
        self.ended = true;
        Ok(None)
    }

    /// What lies behind the end in this file and would parse as a frame header.
    pub(crate) fn later_frames(&mut self) -> Result<Vec<LaterFrame>, LogError> {
        let position = self.position;
        let found = self.search()?;
        Ok(found.iter().filter(|later| later.position >= position).copied().collect())
    }

    /// A frame is missing that must have been there. Serves those of its entries that can be read, and goes on behind.
    fn skip_damage(&mut self) -> Result<Option<ScannedFrame>, LogError> {
        let (from, lsn) = (self.position, self.lsn_next);
        let found = self.search()?.iter().find(|later| later.position > from && later.lsn > lsn).copied();
        let resume = found.map_or(self.window.length, |later| later.position);
        // Behind the last frame of a full file there may be stale bytes up to the end; entries that do not belong to
        // this frame do not parse, whatever they are.
        let entries_start = from.saturating_add(FRAME_HEADER_BYTES as u64);
        let (entries, problems) = match found {
            Some(_) if entries_start <= resume => self.entries(from, resume, lsn, None)?,
            _ => (Vec::new(), Vec::new()),
        };
        let next = found.map_or(self.proven.0 + 1, |later| later.lsn.0);
        let lost = next.saturating_sub(lsn.0);
        let reason = if entries.is_empty() || lost > 1 {
            format!("{lost} frames from lsn={lsn} on cannot be read")
        } else {
            format!(
                "the header of the frame lsn={lsn} is damaged, {} of its entries are intact",
                entries.len()
            )
        };
        self.damage.push(Damage {
            file: self.file.name(),
            position: from,
            partition: None,
            offsets: None,
            reason,
        });
        self.damage.extend(problems);
        self.position = resume;
        self.lsn_next = Lsn(next);
        self.ended = found.is_none();
        Ok((!entries.is_empty()).then_some(ScannedFrame { lsn, entries }))
    }

    /// The entries of the frame at `position` that ends at `end`, and what is wrong with them.
    fn entries(
        &mut self,
        position: u64,
        end: u64,
        lsn: Lsn,
        count: Option<u32>,
    ) -> Result<(Vec<ScannedEntry>, Vec<Damage>), LogError> {
        let seed = entry_seed(self.file.header.generation, position, lsn);
        let start = position + FRAME_HEADER_BYTES as u64;
        let name = self.file.name();
        let problem = |position, reason: String| Damage {
            file: name.clone(),
            position,
            partition: None,
            offsets: None,
            reason,
        };
        let length = end.saturating_sub(start) as usize;
        let Some(body) = self.window.get(start, length)? else {
            return Ok((Vec::new(), vec![problem(start, "the frame is longer than the file".into())]));
        };
        let mut entries = Vec::new();
        let mut problems = Vec::new();
        let (mut at, mut ordinal, mut unreadable_from) = (0, 0u32, None);
        while at + ENTRY_HEADER_BYTES <= body.len() {
            let header = EntryHeader::decode(&body[at..], seed)
                .filter(|header| header.space() <= body.len() - at && u32::from(header.ordinal) >= ordinal);
            let Some(header) = header else {
                // Another entry of this frame may begin at any multiple of 8 behind the damage.
                unreadable_from.get_or_insert(at);
                at += 8;
                continue;
            };
            if let Some(from) = unreadable_from.take().or((u32::from(header.ordinal) > ordinal).then_some(at))
            {
                let lost = u32::from(header.ordinal) - ordinal;
                problems.push(problem(
                    start + from as u64,
                    format!("{lost} entries of the frame lsn={lsn} cannot be read"),
                ));
            }
            let data_at = at + ENTRY_HEADER_BYTES;
            let data = &body[data_at..data_at + header.length as usize];
            let intact = crc32c::crc32c(data) == header.data_crc;
            let entry = ScannedEntry { header, position: start + data_at as u64, intact };
            if !intact {
                problems.push(entry.damage(&name));
            }
            entries.push(entry);
            at += header.space();
            ordinal = u32::from(header.ordinal) + 1;
        }
        let missing = count.is_some_and(|count| count != ordinal);
        if missing || unreadable_from.is_some() {
            let lost = count.map_or("some".to_string(), |count| count.saturating_sub(ordinal).to_string());
            let from = unreadable_from.unwrap_or(at);
            problems.push(problem(
                start + from as u64,
                format!("{lost} entries of the frame lsn={lsn} cannot be read"),
            ));
        }
        Ok((entries, problems))
    }

    fn is_proven(&mut self, lsn: Lsn) -> Result<bool, LogError> {
        if lsn <= self.proven {
            return Ok(true);
        }
        Ok(self.search()?.iter().any(|later| later.durable >= lsn))
    }

    /// Every frame header of this life of the file from the first problem on; searched for once.
    fn search(&mut self) -> Result<&[LaterFrame], LogError> {
        if self.later.is_none() {
            let mut found = Vec::new();
            let mut position = self.position.next_multiple_of(8);
            let generation = self.file.header.generation;
            while position + FRAME_HEADER_BYTES as u64 <= self.window.length {
                let ahead = (WINDOW_BYTES as u64).min(self.window.length - position) as usize;
                let Some(bytes) = self.window.get(position, ahead)? else { break };
                let mut at = 0;
                let mut resume = None;
                while at + FRAME_HEADER_BYTES <= bytes.len() {
                    let here = position + at as u64;
                    if u32_at(bytes, at) == FRAME_MAGIC
                        && let Some(header) = FrameHeader::decode(&bytes[at..], generation, here)
                    {
                        let later = LaterFrame {
                            position: here,
                            lsn: header.lsn,
                            durable: header.durable,
                            end: header.end(),
                        };
                        found.push(later);
                        // A frame may lie behind a frame whose body never reached the disk; a body never holds a
                        // header that fits its position, so there is nothing to miss by stepping over it.
                        resume = Some(header.end().max(here + 8));
                        break;
                    }
                    at += 8;
                }
                position = resume.unwrap_or(position + at as u64);
            }
            self.later = Some(found);
        }
        Ok(self.later.as_deref().unwrap_or_default())
    }
}

impl ScannedEntry {
    /// Why the entry's bytes cannot be used.
    pub(crate) fn damage(&self, file: &str) -> Damage {
        let batch = self.header.kind == EntryKind::Batch;
        let what = match self.header.kind {
            EntryKind::Batch => "a record batch".to_string(),
            EntryKind::Catalog => "a change of the catalog".to_string(),
            EntryKind::Layer(layer) => format!("an entry of layer={layer}"),
            EntryKind::Checkpoint => "a piece of a checkpoint".to_string(),
        };
        let last = self.header.base_offset.saturating_add(i64::from(self.header.records)).saturating_sub(1);
        Damage {
            file: file.to_string(),
            position: self.position,
            partition: batch.then_some(self.header.partition),
            offsets: batch.then_some((Offset(self.header.base_offset), Offset(last))),
            reason: format!("the checksum of {what} of {} bytes does not fit", self.header.length),
        }
    }
}
