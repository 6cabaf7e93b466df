//! What the layers above the log keep in it, their checkpoints and entries: a node reads them when it starts.

use base::codec::FieldWriter;
use base::{Lsn, Offset, PartitionId};
use broker::Recovered;
use broker::state::groups::GroupChange;
use broker::state::offsets::{CommittedOffset, OffsetChange};
use broker::state::transactions::{Identity, TransactionChange};
use eventlog::{Entry, Fold, Layer};
use runtime::journal::Record;
use runtime::{Journal, journal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Entries, as opposed to the checkpoint of the fold with this number, counted from 1.
const ENTRIES: u8 = 0;
/// In place of a layer's number.
const BATCH: u8 = 0;

/// All folds that a node has.
struct Folds {
    recovered: Recovered,
    journal: Arc<Journal>,
}

impl Folds {
    fn restore(parts: &BTreeMap<&str, Vec<u8>>) -> Option<Folds> {
        let part = |name: &str| parts.get(name).map(Vec::as_slice);
        let recovered = Recovered::restore(part).ok()?;
        Some(Folds { recovered, journal: Journal::restore(part(journal::CHECKPOINT)).ok()? })
    }

    fn all(&self) -> Vec<(&'static str, Arc<dyn Fold>)> {
        let mut folds = self.recovered.folds();
        folds.push((journal::CHECKPOINT, self.journal.clone()));
        folds
    }

    /// What was restored, or came to be, can be written down and restored.
    fn check(&self) {
        let checkpoint = |fold: Arc<dyn Fold>| {
            let mut bytes = Vec::new();
            fold.checkpoint(&mut bytes);
            bytes
        };
        let parts = |folds: &Folds| -> BTreeMap<&str, Vec<u8>> {
            folds.all().into_iter().map(|(name, fold)| (name, checkpoint(fold))).collect()
        };
        let written = parts(self);
        let again = Folds::restore(&written).expect("what was written can be read");
        assert_eq!(parts(&again), written);
    }
}

/// The first byte says whose checkpoint follows, or that entries do: each is its layer's number, its length in two
/// bytes, and its bytes.
pub fn fold(data: &[u8]) {
    let Some((kind, mut rest)) = crate::choice(data) else { return };
    let empty = Folds::restore(&BTreeMap::new()).expect("nothing can be restored");
    if kind != ENTRIES {
        let names = empty.all();
        let (name, _) = names[usize::from(kind - 1) % names.len()];
        if let Some(folds) = Folds::restore(&BTreeMap::from([(name, rest.to_vec())])) {
            folds.check();
        }
        return;
    }
    while let [layer, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (bytes, tail) = tail.split_at(length);
        rest = tail;
        let entry = match *layer {
            BATCH => Entry::Batch {
                partition: PartitionId(1),
                base_offset: Offset(7),
                records: 1,
                max_timestamp_ms: 0,
                bytes,
            },
            layer => Entry::Layer { layer: Layer(layer), bytes },
        };
        let is_ok = empty.recovered.apply(Lsn(1), &entry).is_ok() && empty.journal.fold(&entry).is_ok();
        if !is_ok {
            break;
        }
    }
    empty.check();
}

fn changes() -> Vec<(Layer, Vec<u8>)> {
    let (id, group) = ("transactional".to_string(), "group".to_string());
    let identity = Identity { producer_id: 7, epoch: 1, last_epoch: 0, previous_producer_id: -1 };
    let committed = CommittedOffset {
        offset: 5,
        leader_epoch: 0,
        metadata: Some("here".into()),
        committed_at_ms: 1000,
        expires_at_ms: None,
    };
    let until = CommittedOffset { expires_at_ms: Some(9000), ..committed.clone() };
    let until = OffsetChange::Commit {
        group: group.clone(),
        protocol_type: String::new(),
        offsets: vec![((Default::default(), 1), until)],
    };
    let emptied = OffsetChange::Emptied { group: group.clone(), since_ms: Some(1000) };
    let offsets = vec![((Default::default(), 0), committed)];
    let committed = OffsetChange::Commit {
        group: group.clone(),
        protocol_type: "consumer".into(),
        offsets: offsets.clone(),
    };
    let taken = TransactionChange::Taken { id: id.clone(), identity, timeout_ms: 1000, at_ms: 1 };
    let added = TransactionChange::Added {
        id: id.clone(),
        partitions: vec![PartitionId(1)],
        groups: vec![group.clone()],
        at_ms: 2,
    };
    let pending = TransactionChange::Offsets { id: id.clone(), group: group.clone(), offsets };
    let ended = TransactionChange::Ended { id, committed: true, identity, at_ms: 3 };
    let given = BTreeMap::from([("share.auto.offset.reset".to_string(), "earliest".to_string())]);
    let config = GroupChange::Config { group: group.clone(), given };
    let job = "job".to_string();
    let started = Record::Started {
        job: job.clone(),
        instance: 1,
        engine_version: 3,
        plan: 2,
        origin: 0,
        scans: vec![],
    };
    let mut shared = FieldWriter::new();
    // Some records of a share-partition, of which one run is done.
    shared.u8(1).text(&group).u32(1).i64(9).u32(1).i64(3).u32(2).u8(0);
    let mut known = FieldWriter::new();
    known.u8(5).text(&group);
    let mut secret = FieldWriter::new();
    secret.u8(5).bytes(&[1; 16]);
    vec![
        (Layer::GROUP_OFFSETS, committed.encode()),
        (Layer::GROUP_OFFSETS, until.encode()),
        (Layer::GROUP_OFFSETS, emptied.encode()),
        (Layer::TRANSACTIONS, taken.encode()),
        (Layer::TRANSACTIONS, added.encode()),
        (Layer::TRANSACTIONS, pending.encode()),
        (Layer::TRANSACTIONS, ended.encode()),
        (Layer::PRODUCERS, broker::state::encode_reservation(1000)),
        (Layer::PRODUCERS, broker::state::encode_mark(1000)),
        (Layer::PRODUCERS, broker::state::encode_forgotten(7)),
        (Layer::PRODUCERS, broker::state::encode_cluster_id("cluster")),
        (Layer::GROUPS, config.encode()),
        (Layer::SHARE_GROUPS, known.finish()),
        (Layer::SHARE_GROUPS, shared.finish()),
        (Layer::USERS, secret.finish()),
        (journal::LAYER, started.encode()),
        (journal::LAYER, Record::Finished { job }.encode()),
    ]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let entry = |layer: u8, bytes: &[u8]| [&[layer], &(bytes.len() as u16).to_le_bytes()[..], bytes].concat();
    let changes = changes();
    let mut all = vec![ENTRIES];
    all.extend(changes.iter().flat_map(|(layer, bytes)| entry(layer.0, bytes)));
    let single = changes.iter().map(|(layer, bytes)| [&[ENTRIES], &entry(layer.0, bytes)[..]].concat());
    let batches = crate::kafka::batch_seeds();
    let batches = batches.iter().map(|batch| [&[ENTRIES], &entry(BATCH, batch)[..]].concat());
    let mut seeds: Vec<Vec<u8>> = single.chain(batches).collect();
    let folds = Folds::restore(&BTreeMap::new()).expect("nothing can be restored");
    for (layer, bytes) in &changes {
        let entry = Entry::Layer { layer: *layer, bytes };
        folds.recovered.apply(Lsn(1), &entry).expect("an entry of the broker's");
        folds.journal.fold(&entry).expect("an entry of the journal");
    }
    for (number, (_, fold)) in folds.all().into_iter().enumerate() {
        let mut seed = vec![number as u8 + 1];
        fold.checkpoint(&mut seed);
        seeds.push(seed);
    }
    seeds.push(all);
    seeds
}
