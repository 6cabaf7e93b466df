//! A node that follows another one through the store, and takes over when that one has gone silent, or when it is told to.
//!
//! That the other one is silent is only a guess: it may be asleep, or cut off from the store. What decides is the put of the next
//! object. If the standby's stands there, the other one is fenced.

use crate::claim::{Claimant, Claimed, claim};
use crate::copy::{Copied, Replica, check_empty, replica};
use crate::error::RemoteError;
use crate::identity::{Identity, random_name};
use crate::shipper::alive_key;
use crate::store::{SharedPlace, Store};
use base::ErrorKind;
use os::{Lock, Os};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file of this name in the standby's data directory asks it to take over.
pub const TAKEOVER_FILE: &str = "takeover";
const ALIVE_BYTES_MAX: u64 = 4 << 10;

/// How a standby looks at the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// How long it may be silent.
    pub takeover_after: Duration,
}

pub struct Standby {
    os: Os,
    data: PathBuf,
    place: SharedPlace,
    store: Box<dyn Store>,
    watch: Watch,
    identity: Identity,
    _lock: Box<dyn Send + Sync>,
    /// None where this directory is the writer's already.
    copy: Option<Replica>,
    /// What was seen of the other one, and since when it is so.
    seen: (u64, Vec<u8>),
    since_ns: u64,
}

impl Standby {
    /// Begins to follow into an empty directory, or one that a standby has left. `Invalid` for any other, unless its own node was
    /// the last to write: then there is nothing to follow.
    pub fn open(os: &Os, data: &Path, place: &SharedPlace, watch: Watch) -> Result<Standby, RemoteError> {
        let lock_path = data.join("standby.lock");
        let locked = os.disk.create_dir_all(data).and_then(|()| os.disk.try_lock(&lock_path));
        let guard = match locked.map_err(|error| RemoteError::io("lock", &lock_path, &error))? {
            Lock::Held(guard) => guard,
            Lock::Busy { pid } => {
                return Err(RemoteError::Invalid(format!(
                    "a standby (pid={pid}) follows into {} already",
                    data.display()
                )));
            }
        };
        let mut store = place.open()?;
        let known = Identity::read(os, data)?.filter(|identity| identity.store == place.name());
        let identity = match known {
            Some(identity) => identity,
            None => {
                check_empty(os, data)?;
                Identity { is_standby: true, ..Identity::new(os, &place.name(), None) }
            }
        };
        let last = crate::claim::Head::read(&mut *store)?.last;
        let is_ours = last.is_some_and(|last| last.node == identity.node);
        if !is_ours && !identity.is_standby {
            check_empty(os, data)?;
        }
        let copy = match is_ours {
            true => None,
            false => {
                let identity = Identity { is_standby: true, ..identity.clone() };
                identity.write(os, data)?;
                Some(replica(os, data, &mut *store, None)?)
            }
        };
        let since_ns = os.clock.monotonic_ns();
        Ok(Standby {
            os: os.clone(),
            data: data.to_path_buf(),
            place: place.clone(),
            store,
            _lock: guard,
            watch,
            identity: Identity { is_standby: !is_ours, ..identity },
            copy,
            seen: (0, Vec::new()),
            since_ns,
        })
    }

    /// What has been copied so far.
    pub fn copied(&self) -> Copied {
        self.copy.as_ref().map(|copy| copy.copied).unwrap_or_default()
    }

    /// One look: takes what has come, and takes over if it is time. True when the directory is the writer's.
    pub fn turn(&mut self) -> Result<bool, RemoteError> {
        if self.copy.is_none() {
            return Ok(true);
        }
        self.follow()?;
        let asked = self.data.join(TAKEOVER_FILE);
        let is_asked =
            self.os.disk.exists(&asked).map_err(|error| RemoteError::io("look for", &asked, &error))?;
        if !is_asked && !self.is_silent()? {
            return Ok(false);
        }
        let is_taken = self.take_over(is_asked)?;
        if is_taken && is_asked {
            self.os.disk.remove(&asked).map_err(|error| RemoteError::io("remove", &asked, &error))?;
        }
        Ok(is_taken)
    }

    /// Whether another attempt may help after an error.
    pub fn may_go_on(error: &RemoteError) -> bool {
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Retry | ErrorKind::NotFound)
    }

    fn follow(&mut self) -> Result<(), RemoteError> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        if copy.follow(&mut *self.store)?.is_none() {
            // It was away for longer than the store's history.
            *copy = replica(&self.os, &self.data, &mut *self.store, None)?;
        }
        copy.settle(&mut *self.store)
    }

    /// Whether nothing has come from the other one for too long. A store that nobody has written to is nobody's.
    fn is_silent(&mut self) -> Result<bool, RemoteError> {
        let Some(copy) = &self.copy else { return Ok(false) };
        let now_ns = self.os.clock.monotonic_ns();
        let alive = self.store.get(&alive_key(copy.head.epoch()), 0, ALIVE_BYTES_MAX)?;
        let seen = (copy.head.next, alive.unwrap_or_default());
        if seen != self.seen {
            (self.seen, self.since_ns) = (seen, now_ns);
        }
        let silent_ns = now_ns.saturating_sub(self.since_ns);
        Ok(copy.head.last_extent.is_some() && u128::from(silent_ns) >= self.watch.takeover_after.as_nanos())
    }

    /// Puts the next object. False if the other one was faster and nobody insists.
    fn take_over(&mut self, insists: bool) -> Result<bool, RemoteError> {
        loop {
            let Some(copy) = &mut self.copy else { return Ok(true) };
            if copy.head.last_extent.is_none() {
                return Err(RemoteError::Invalid(format!(
                    "{} holds no log that could be taken over",
                    self.place.name()
                )));
            }
            // All that is needed is here before the other one is fenced.
            copy.finish(&mut *self.store)?;
            let writer = random_name(&self.os);
            let now_ms = self.os.clock.now_ms();
            let claimant = Claimant { node: &self.identity.node, writer: &writer, now_ms };
            match claim(&mut *self.store, &mut copy.head, &claimant)? {
                Claimed::Epoch(_) => {
                    self.identity.is_standby = false;
                    self.identity.claimed = Some(copy.head.next - 1);
                    self.identity.write(&self.os, &self.data)?;
                    self.copy = None;
                    return Ok(true);
                }
                Claimed::Hole => {
                    *copy = replica(&self.os, &self.data, &mut *self.store, None)?;
                    self.since_ns = self.os.clock.monotonic_ns();
                    if !insists {
                        return Ok(false);
                    }
                }
                Claimed::Faster => {
                    self.follow()?;
                    self.since_ns = self.os.clock.monotonic_ns();
                    if !insists {
                        return Ok(false);
                    }
                }
            }
        }
    }
}
