//! How a node begins to ship, and the threads that go on with it.

use crate::bases::Bases;
use crate::claim::{Claimant, Claimed, Head, check_writer, claim};
use crate::error::RemoteError;
use crate::identity::{Identity, random_name};
use crate::keeper::Keeper;
use crate::kept::KeptDisk;
use crate::shipper::{Alive, PIN, Settings, Shipper, Writer, lock, sealed};
use crate::side::SideFiles;
use crate::store::{SharedPlace, StoreError};
use base::{ErrorKind, Lsn};
use eventlog::{EventLog, ShipPlace, ShippedFile};
use os::Os;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Told what people should know.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A log that is being shipped; the threads end with the log.
pub struct Shipping {
    log: EventLog,
    fenced: Arc<(Mutex<Option<String>>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
    pub epoch: u64,
}

impl Shipping {
    /// Why another node writes now, if so.
    pub fn fenced(&self) -> Option<String> {
        lock(&self.fenced.0).clone()
    }

    /// Ships what is there, as long as it may take; whether all was shipped. Nobody may append meanwhile.
    pub fn finish(&self, at_most: Duration) -> bool {
        self.fenced().is_none() && self.log.wait_shipped(self.log.appended(), at_most)
    }

    /// Waits for the threads; the log is shut down.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Whether another try may help.
fn may_pass(error: &RemoteError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Retry)
}

/// Tries as long as the store may only be away.
fn patiently<T>(
    os: &Os,
    settings: &Settings,
    tell: &Tell,
    mut attempt: impl FnMut() -> Result<T, RemoteError>,
) -> Result<T, RemoteError> {
    let begun_ns = os.clock.monotonic_ns();
    let is_early =
        || u128::from(os.clock.monotonic_ns().saturating_sub(begun_ns)) < settings.patience.as_nanos();
    let mut pause = PAUSE_MIN;
    loop {
        match attempt() {
            Err(error) if may_pass(&error) && is_early() => {
                tell(&format!("the store does not answer, trying again: {error}"));
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
            other => return other,
        }
    }
}

/// Makes this node the writer of the store, ships what is there, and goes on shipping on a thread. Nobody may append before it
/// returns. `Fenced` if another node has written since this one did.
pub fn begin(
    os: &Os,
    (data, disk): (&Path, KeptDisk),
    log: &EventLog,
    place: &SharedPlace,
    settings: Settings,
    tell: Tell,
) -> Result<Shipping, RemoteError> {
    // Nothing is given away before it is known what the store has.
    log.pin_lsn(PIN, Some(Lsn(0)));
    let (mut shipper, mut keeper, epoch) =
        patiently(os, &settings, &tell, || open(os, (data, disk.clone()), log, place, &settings))?;
    // Each object has the whole patience.
    while patiently(os, &settings, &tell, || shipper.step())? {}
    log.begin_shipping(shipper.shipped(), epoch);
    keeper.bases = shipper.bases.clone();
    let fenced: Arc<(Mutex<Option<String>>, Condvar)> = Arc::default();
    let of_ships = (log.clone(), fenced.clone(), tell.clone(), settings.clone());
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
        spawned.map_err(|error| RemoteError::Invalid(format!("cannot start the thread {name}: {error}")))
    };
    let ships = spawn(
        "remote-ship",
        Box::new(move || {
            let (log, fenced, tell, settings) = of_ships;
            if let Some(reason) = ship(&mut shipper, &log, &settings, &tell) {
                log.give_up_writing(reason.clone());
                *lock(&fenced.0) = Some(reason);
                fenced.1.notify_all();
            }
        }),
    )?;
    let (of_keeper, told) = (log.clone(), tell);
    let keeps = spawn("remote-keep", Box::new(move || keep(&mut keeper, &of_keeper, &told)))?;
    Ok(Shipping { log: log.clone(), fenced, threads: vec![ships, keeps], epoch })
}

/// Claims the next epoch, and finds the place from which to ship.
pub(crate) fn open(
    os: &Os,
    (data, disk): (&Path, KeptDisk),
    log: &EventLog,
    place: &SharedPlace,
    settings: &Settings,
) -> Result<(Shipper, Keeper, u64), RemoteError> {
    let known = Identity::read(os, data)?.filter(|identity| identity.store == place.name());
    if known.as_ref().is_some_and(|known| known.claimed.max(known.copied_to).is_some()) && !place.is_there() {
        return Err(RemoteError::Store(StoreError::new(
            ErrorKind::Unavailable,
            format!("{} is not there, but it was before: look whether it is mounted", place.name()),
        )));
    }
    let mut store = place.open()?;
    let is_new = known.is_none();
    let mut identity = known.unwrap_or_else(|| Identity::new(os, &place.name(), None));
    let writer = random_name(os);
    let (mut head, epoch) = loop {
        let mut head = Head::read(&mut *store)?;
        if is_new && let Some(last) = &head.last {
            return Err(RemoteError::Fenced(format!(
                "{} holds the log of another data directory (epoch={}, lsn={}): make this one from it with `eventwright restore \
                 --from`, follow it with --standby, or give another prefix",
                place.name(),
                last.epoch,
                last.last_lsn
            )));
        }
        check_writer(&head, &identity, &place.name())?;
        // Before anything of this directory is in the store.
        if is_new || identity.is_standby {
            identity.is_standby = false;
            identity.write(os, data)?;
        }
        let claimant = Claimant { node: &identity.node, writer: &writer, now_ms: os.clock.now_ms() };
        if let Claimed::Epoch(epoch) = claim(&mut *store, &mut head, &claimant)? {
            break (head, epoch);
        }
    };
    let claimed_ns = os.clock.monotonic_ns();
    (identity.copied_to, identity.claimed) = (None, Some(head.next - 1));
    identity.write(os, data)?;
    let from = place_of(log, &head, &place.name())?;
    let mut bases = Bases::of(&head);
    // What an earlier process was not done with.
    let before = |file: &ShippedFile| file.file < from.file && !bases.is_whole(file.file);
    // Those that the store has whole are not read through.
    for file in log.log_files().into_iter().filter(before).collect::<Vec<_>>() {
        let position = log.log_file_end(file.file)?;
        let sealed = sealed(log, &bases, ShipPlace { file: file.file, position, lsn: file.base_lsn });
        bases.to_merge.extend(sealed);
    }
    let side = SideFiles::new(disk, &writer, std::mem::take(&mut head.side))?;
    let who = Writer { os: os.clone(), place: place.name(), node: identity.node, writer, epoch };
    let alive = Alive {
        os: os.clone(),
        store: place.open()?,
        beat: settings.beat,
        epoch,
        writer: who.writer.clone(),
        beats: 0,
        last_ns: claimed_ns,
    };
    let shipper =
        Shipper::new(who, (log.clone(), store, alive), settings.clone(), side, bases, (head.next, from));
    let keeper = Keeper {
        os: os.clone(),
        log: log.clone(),
        store: place.open()?,
        settings: settings.clone(),
        bases: shipper.bases.clone(),
        is_unpinned: false,
    };
    Ok((shipper, keeper, epoch))
}

/// Where the store's copy ends in this directory's log.
fn place_of(log: &EventLog, head: &Head, place: &str) -> Result<ShipPlace, RemoteError> {
    let files = log.log_files();
    let Some((last, extent)) = head.last_extent.as_ref().and_then(|last| Some((last, last.extent.as_ref()?)))
    else {
        let first = files.first().map_or(ShipPlace { file: 0, position: 0, lsn: Lsn(0) }, |first| {
            ShipPlace { file: first.file, position: 0, lsn: first.base_lsn }
        });
        return Ok(first);
    };
    let behind = |why: String| {
        Err(RemoteError::Invalid(format!(
            "{place} has more of this log than this directory, or something else ({why}): its disk was set back; restore from the \
             store into an empty directory"
        )))
    };
    if log.durable() < Lsn(last.last_lsn) {
        return behind(format!(
            "the store ends at lsn={}, the directory at lsn={}",
            last.last_lsn,
            log.durable()
        ));
    }
    let end =
        ShipPlace { file: extent.file, position: extent.position + extent.bytes, lsn: Lsn(last.last_lsn) };
    match files.iter().find(|file| file.file == extent.file) {
        // Retention has given it back, with all before it.
        None if files.first().is_some_and(|first| first.file > extent.file) => Ok(end),
        Some(file) if file.generation == extent.generation => {
            let own = log.log_file_bytes(extent.file, extent.position, extent.bytes as usize)?;
            match crc32c::crc32c(&own) == extent.crc {
                true => Ok(end),
                false => behind(format!("other bytes up to lsn={}", last.last_lsn)),
            }
        }
        _ => behind(format!("log file {} is another one", extent.file)),
    }
}

/// Ships until the log ends; answers why if another node has taken over.
pub(crate) fn ship(
    shipper: &mut Shipper,
    log: &EventLog,
    settings: &Settings,
    tell: &Tell,
) -> Option<String> {
    let mut pause = PAUSE_MIN;
    let mut is_told = false;
    let mut is_over = false;
    loop {
        let stepped = match shipper.step() {
            Ok(false) if is_over => return None,
            Ok(false) => {
                is_over = !log.wait_for_more(shipper.shipped(), settings.beat);
                match log.durable() > shipper.shipped() || is_over {
                    true => Ok(()),
                    false => shipper.beat(),
                }
            }
            // Whoever ended the log has waited as long as it wants to; the next start ships the rest.
            Ok(true) if !log.wait_for_end(Duration::ZERO) => return None,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        match stepped {
            Ok(()) => {
                if is_told {
                    tell("the log is shipped again");
                }
                (pause, is_told) = (PAUSE_MIN, false);
            }
            Err(RemoteError::Fenced(reason)) => return Some(reason),
            // The next start goes on with it.
            Err(_) if !log.wait_for_end(Duration::ZERO) => return None,
            Err(error) => {
                log.shipping_failed(error.to_string());
                if !is_told {
                    tell(&format!("warning: the log is not shipped, trying again: {error}"));
                    is_told = true;
                }
                if !log.wait_for_end(pause) {
                    return None;
                }
                // It writes, though what is to be shipped cannot be read.
                shipper.alive.show_in_between();
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

fn keep(keeper: &mut Keeper, log: &EventLog, tell: &Tell) {
    const LOOKS_EVERY: Duration = Duration::from_secs(1);
    let mut is_told = false;
    loop {
        let pause = match keeper.step() {
            Ok(true) => Duration::ZERO,
            Ok(false) => LOOKS_EVERY,
            Err(_) if !log.wait_for_end(Duration::ZERO) => return,
            Err(error) => {
                if !is_told {
                    tell(&format!("warning: the store is not kept small, trying again: {error}"));
                }
                log.shipping_failed(error.to_string());
                is_told = true;
                PAUSE_MAX
            }
        };
        if !log.wait_for_end(pause) {
            return;
        }
    }
}

impl Shipping {
    /// Waits until another node has taken over, or so long; why, if so.
    pub fn wait_fenced(&self, at_most: Duration) -> Option<String> {
        let fenced = lock(&self.fenced.0);
        let waited = self.fenced.1.wait_timeout_while(fenced, at_most, |fenced| fenced.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}
