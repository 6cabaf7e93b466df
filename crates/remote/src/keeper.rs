//! Keeps the store small, and coming back quick: puts parts of log files in one, and removes what no base needs any more.
//!
//! A base is given up when the one behind it is older than the history that is kept. What goes then stands in that next base, or
//! lies before the first object that it needs; so nobody removes anything that is not known from the store itself, whatever has
//! happened since. Objects with which epochs begin stay for ever: a node that was asleep finds them where its next one should be.

use crate::bases::{Bases, Merge};
use crate::claim::{base_key, read_header};
use crate::error::RemoteError;
use crate::object::{LOG, Stretch, log_key, number_of};
use crate::shipper::{PIN, Settings, has_not_ended, lock};
use crate::store::{Store, StoreError};
use base::{ErrorKind, Lsn};
use eventlog::{EventLog, LogError};
use os::Os;
use std::sync::{Arc, Mutex};

const LISTED_MAX: usize = 1000;

pub(crate) struct Keeper {
    pub os: Os,
    pub log: EventLog,
    pub store: Box<dyn Store>,
    pub settings: Settings,
    pub bases: Arc<Mutex<Bases>>,
    /// More was left unshipped than may be kept, and that was told.
    pub is_unpinned: bool,
}

impl Keeper {
    /// One thing that is to be done; false if there is none.
    pub(crate) fn step(&mut self) -> Result<bool, RemoteError> {
        self.pin();
        let merge = lock(&self.bases).to_merge.front().copied();
        if let Some(merge) = merge {
            let stretch = match self.merge(merge) {
                Ok(stretch) => stretch,
                Err(error) => {
                    // Others need not wait for it.
                    lock(&self.bases).put_off(merge.file);
                    self.retire()?;
                    return Err(error);
                }
            };
            let mut bases = lock(&self.bases);
            // It may have gone meanwhile, with its file.
            if bases.to_merge.front() == Some(&merge) {
                bases.to_merge.pop_front();
                if let Some(stretch) = stretch {
                    bases.merged(merge, stretch);
                }
            }
            return Ok(true);
        }
        self.retire()
    }

    /// Keeps the log files that the store does not have whole, up to a limit, beyond which they are given up and that is told.
    fn pin(&mut self) {
        let lag_bytes = self.log.metrics().remote.map_or(0, |remote| remote.lag_bytes);
        let files = self.log.log_files();
        let bases = lock(&self.bases);
        let first = files.iter().find(|file| !bases.is_whole(file.file));
        // What is shipped is kept too until it is merged. The last file is being written, and would be there anyhow.
        let sealed = files.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let kept =
            sealed.iter().filter(|file| !bases.is_whole(file.file)).map(|file| file.bytes).sum::<u64>();
        let kept_bytes = kept.max(lag_bytes);
        let is_unpinned = kept_bytes > self.settings.behind_bytes_max;
        drop(bases);
        let from = first.map(|file| Lsn(file.base_lsn.0 + 1)).filter(|_| !is_unpinned);
        self.log.pin_lsn(PIN, from);
        if is_unpinned && !self.is_unpinned {
            self.log.shipping_failed(format!(
                "{kept_bytes} bytes of the log that the store does not have whole are more than {} bytes: log files that \
                 retention gives up are no longer kept for the store",
                self.settings.behind_bytes_max
            ));
        }
        self.is_unpinned = is_unpinned;
    }

    /// Puts a part of a log file in one; none if the file is gone.
    fn merge(&mut self, merge: Merge) -> Result<Option<Stretch>, RemoteError> {
        let Merge { file, generation, from, to, .. } = merge;
        let mut stretch = Stretch { file, generation, position: from, bytes: to - from, crc: 0 };
        let mut crc = 0;
        let mut is_gone = false;
        let log = &self.log;
        let put = self.store.put_parts(&stretch.key(), stretch.bytes, &mut |position, length| {
            has_not_ended(log)?;
            let part = log.log_file_bytes(file, from + position, length).map_err(|error| {
                is_gone |= matches!(error, LogError::NotFound(_));
                StoreError::new(ErrorKind::Unavailable, error.to_string())
            })?;
            crc = crc32c::crc32c_append(crc, &part);
            Ok(part)
        });
        match put {
            Ok(()) => {
                stretch.crc = crc;
                Ok(Some(stretch))
            }
            Err(_) if is_gone => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the oldest base up if the history that is kept begins behind the next one.
    fn retire(&mut self) -> Result<bool, RemoteError> {
        let (oldest, next) = {
            let bases = lock(&self.bases);
            match (bases.known.front(), bases.known.get(1)) {
                (Some(oldest), Some(next)) => (oldest.0, *next),
                _ => return Ok(false),
            }
        };
        let begins_ms = self.os.clock.now_ms().saturating_sub(self.settings.history.as_millis() as i64);
        if next.1.is_some_and(|time_ms| time_ms >= begins_ms) {
            return Ok(false);
        }
        let header = read_header(&mut *self.store, next.0)?;
        let base = header.as_ref().and_then(|header| header.extent.as_ref()?.base.as_ref());
        let Some((header, base)) = header.as_ref().zip(base) else {
            // Its name is all that is left of it.
            self.store.delete(&base_key(next.0))?;
            lock(&self.bases).known.remove(1);
            return Ok(true);
        };
        if header.time_ms >= begins_ms {
            if let Some(known) = lock(&self.bases).known.get_mut(1) {
                known.1 = Some(header.time_ms);
            }
            return Ok(false);
        }
        self.delete_objects(base.from(next.0), &base.epochs)?;
        for key in &base.gone {
            self.store.delete(key)?;
        }
        self.store.delete(&base_key(oldest))?;
        lock(&self.bases).known.pop_front();
        Ok(true)
    }

    /// Removes the objects before one, but those with which epochs begin.
    fn delete_objects(&mut self, before: u64, epochs: &[u64]) -> Result<(), RemoteError> {
        let mut behind = String::new();
        loop {
            let (listed, more) = self.store.list(LOG, &behind, LISTED_MAX)?;
            for object in &listed {
                let Some(number) = number_of(&object.key, LOG) else { continue };
                if number >= before {
                    return Ok(());
                }
                if !epochs.contains(&number) {
                    self.store.delete(&log_key(number))?;
                }
            }
            match listed.last() {
                Some(last) if more => behind = last.key.clone(),
                _ => return Ok(()),
            }
        }
    }
}
