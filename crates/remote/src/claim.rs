//! Where the objects of the log end, and how a node makes itself their next writer.

use crate::error::RemoteError;
use crate::identity::Identity;
use crate::object::{Base, Header, LOG, SideFile, decode_header, header_bytes, log_key, number_of};
use crate::store::{Store, list_all, missing};
use std::collections::BTreeMap;

/// Names the objects that are bases: `base/NUMBER`, empty of meaning else. One that is missing only costs time.
pub(crate) const BASES: &str = "base/";
/// Most headers are shorter.
const HEADER_READ_BYTES: u64 = 4 << 10;

pub(crate) fn base_key(number: u64) -> String {
    format!("{BASES}{number:020}")
}

/// The header of an object of the log; none if it is not there.
pub(crate) fn read_header(store: &mut dyn Store, number: u64) -> Result<Option<Header>, RemoteError> {
    let key = log_key(number);
    let Some(beginning) = store.get(&key, 0, HEADER_READ_BYTES)? else { return Ok(None) };
    let length = header_bytes(&beginning)
        .ok_or_else(|| RemoteError::corrupt(&key, "it is none that this program has put there"))?;
    if length <= beginning.len() {
        return decode_header(&key, &beginning).map(Some);
    }
    let whole = store.get(&key, 0, length as u64)?.ok_or_else(|| missing(&key))?;
    decode_header(&key, &whole).map(Some)
}

/// The numbers of the bases that are named, ascending.
pub(crate) fn bases(store: &mut dyn Store) -> Result<Vec<u64>, RemoteError> {
    let listed = list_all(store, BASES, "")?;
    Ok(listed.iter().filter_map(|object| number_of(&object.key, BASES)).collect())
}

/// The numbers of the objects of the log from one on, ascending and without a gap; what lies behind a gap does not count.
pub(crate) fn numbers(store: &mut dyn Store, from: u64) -> Result<Vec<u64>, RemoteError> {
    let behind = from.checked_sub(1).map_or_else(String::new, log_key);
    let listed = list_all(store, LOG, &behind)?;
    let mut numbers: Vec<u64> = Vec::new();
    for number in listed.iter().filter_map(|object| number_of(&object.key, LOG)) {
        if numbers.last().is_some_and(|last| *last + 1 != number) {
            break;
        }
        numbers.push(number);
    }
    Ok(numbers)
}

/// The end of the log in the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// The number of the next object; the first is 1.
    pub next: u64,
    pub last: Option<Header>,
    /// The last object with bytes of the log.
    pub last_extent: Option<Header>,
    /// The newest base, and what came after it.
    pub base: Option<(u64, Base)>,
    pub side: BTreeMap<String, SideFile>,
    /// Of each log file whose bytes are not all in stretches, the first of its objects that counts.
    pub in_objects: BTreeMap<u64, u64>,
    pub epochs: Vec<u64>,
    /// How many objects came since the base.
    pub since_base: u64,
    /// All bases that are named.
    pub bases: Vec<u64>,
}

impl Head {
    /// Reads what there is from the newest base on.
    pub(crate) fn read(store: &mut dyn Store) -> Result<Head, RemoteError> {
        let bases = bases(store)?;
        let from = bases.last().copied().unwrap_or(1);
        let mut head = Head { next: from, bases, ..Head::default() };
        for number in numbers(store, from)? {
            let header = read_header(store, number)?.ok_or_else(|| missing(&log_key(number)))?;
            head.take(number, header);
        }
        if head.last.is_none() && !head.bases.is_empty() {
            return Err(RemoteError::corrupt(
                &base_key(from),
                "it names an object of the log that is not there",
            ));
        }
        Ok(head)
    }

    /// The next object.
    pub(crate) fn take(&mut self, number: u64, header: Header) {
        self.next = number + 1;
        self.since_base += 1;
        match &header.extent {
            None => self.epochs.push(number),
            Some(extent) => {
                match &extent.base {
                    Some(base) => {
                        self.side = base.side.iter().map(|side| (side.path.clone(), side.clone())).collect();
                        self.in_objects = base.in_objects.iter().copied().collect();
                        self.epochs = base.epochs.clone();
                        self.base = Some((number, base.clone()));
                        self.since_base = 0;
                    }
                    None if extent.position == 0 => {
                        self.in_objects.insert(extent.file, number);
                    }
                    None => {}
                }
                self.side.extend(extent.added.iter().map(|side| (side.path.clone(), side.clone())));
                self.last_extent = Some(header.clone());
            }
        }
        self.last = Some(header);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.epoch)
    }
}

/// What came of an attempt to put an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Put {
    Ours,
    /// Somebody else has this number.
    Theirs(Box<Header>),
}

/// Puts an object under its number, and finds out whose it is if there is one: an answer may have been lost.
pub(crate) fn put(
    store: &mut dyn Store,
    number: u64,
    writer: &str,
    object: &[u8],
) -> Result<Put, RemoteError> {
    if store.put_new(&log_key(number), object)? {
        return Ok(Put::Ours);
    }
    let there = read_header(store, number)?.ok_or_else(|| missing(&log_key(number)))?;
    Ok(if there.writer == writer { Put::Ours } else { Put::Theirs(Box::new(there)) })
}

/// Who begins an epoch.
pub(crate) struct Claimant<'a> {
    pub node: &'a str,
    pub writer: &'a str,
    pub now_ms: i64,
}

/// What came of an attempt to begin an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    Epoch(u64),
    /// Somebody else has put the next object.
    Faster,
    /// What was taken for the end is none any more: objects lie behind it, and those between are removed.
    Hole,
}

/// Puts the object with which an epoch begins behind the end that is known.
pub(crate) fn claim(
    store: &mut dyn Store,
    head: &mut Head,
    claimant: &Claimant<'_>,
) -> Result<Claimed, RemoteError> {
    let header = Header {
        epoch: head.epoch() + 1,
        node: claimant.node.to_string(),
        writer: claimant.writer.to_string(),
        time_ms: claimant.now_ms,
        last_lsn: head.last.as_ref().map_or(0, |last| last.last_lsn),
        extent: None,
    };
    let (number, object) = (head.next, header.encode(&[]));
    match put(store, number, claimant.writer, &object)? {
        Put::Theirs(_) => Ok(Claimed::Faster),
        Put::Ours => {
            check_conditions(store, number, &object)?;
            // Whoever was away for longer than the store's history may have put it where another object was and is removed.
            if !store.list(LOG, &log_key(number), 1)?.0.is_empty() {
                return Ok(Claimed::Hole);
            }
            let epoch = header.epoch;
            head.take(number, header);
            Ok(Claimed::Epoch(epoch))
        }
    }
}

/// A store that overwrites in spite of the condition fences nobody.
fn check_conditions(store: &mut dyn Store, number: u64, object: &[u8]) -> Result<(), RemoteError> {
    if store.put_new(&log_key(number), object)? {
        return Err(RemoteError::Invalid(
            "the store takes an object under a name that is taken, though the request has the condition that it is not: \
             nothing would keep two nodes from writing; use a store that keeps it (Amazon S3, MinIO, Ceph, Cloudflare R2, Google \
             Cloud Storage, Azure Blob Storage and others do)"
                .into(),
        ));
    }
    Ok(())
}

/// Whether this directory may go on writing behind what the store has: nobody else has written since.
pub(crate) fn check_writer(head: &Head, identity: &Identity, place: &str) -> Result<(), RemoteError> {
    let before = identity.claimed.max(identity.copied_to);
    // One that has less is another one: a directory whose mount is missing, a bucket of another endpoint.
    if let Some(before) = before.filter(|before| head.next <= *before) {
        return Err(RemoteError::Invalid(format!(
            "{place} ends before object {}, but this directory has object {before} from there, or has put it: look whether the \
             directory is mounted, and at the address and its endpoint; to ship into an empty store, remove remote.json",
            head.next
        )));
    }
    let Some(last) = &head.last else { return Ok(()) };
    let is_copied = identity.copied_to.is_some_and(|number| number + 1 == head.next);
    if last.node == identity.node || is_copied {
        return Ok(());
    }
    Err(RemoteError::Fenced(match identity.copied_to {
        Some(_) => format!(
            "{place} has gone on since this directory was made from it (epoch={} has written); restore again, into an empty \
             directory",
            last.epoch
        ),
        None => fenced(place, last),
    }))
}

/// What is said when another node writes.
pub(crate) fn fenced(place: &str, theirs: &Header) -> String {
    format!(
        "another node (epoch={}) has taken over {place} at lsn={}: what this node has behind it is not part of the log any more; \
         keep this directory if you want to look at it, and start again with an empty one: `eventwright start --standby`",
        theirs.epoch, theirs.last_lsn
    )
}
