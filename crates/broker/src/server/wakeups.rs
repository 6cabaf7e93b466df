//! Wakes the connections that wait for the log: by position, or by partition.
//!
//! The log's committer tells after each sync how far the log is durable and which partitions moved.
//! Whoever waits for a position watches one value; whoever waits for data is listed under its
//! partitions and woken once. A wait that begins after the news it is for returns at once.

use crate::sync::lock;
use base::{Lsn, PartitionId};
use eventlog::{Durable, EventLog, Seen};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, watch};

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    lsn: Lsn,
    shipped: Lsn,
    fenced: bool,
}

pub(super) struct Wakeups {
    progress: watch::Sender<Progress>,
    data: Mutex<DataWaiters>,
}

#[derive(Default)]
struct DataWaiters {
    seen: Seen,
    last_id: u64,
    waiters: HashMap<PartitionId, Vec<(u64, Arc<Notify>)>>,
}

impl Wakeups {
    pub(super) fn new(log: &EventLog) -> Arc<Wakeups> {
        let wakeups = Arc::new(Wakeups {
            progress: watch::Sender::new(Progress::default()),
            data: Mutex::new(DataWaiters::default()),
        });
        let listener = Arc::downgrade(&wakeups);
        log.subscribe(Arc::new(move |durable: &Durable| {
            if let Some(wakeups) = listener.upgrade() {
                wakeups.take(durable);
            }
        }));
        // After subscribing, so that nothing between the two is missed.
        let (Seen { durable: lsn, shipped }, fenced) = (log.seen(), log.fenced().is_some());
        wakeups.take(&Durable { lsn, shipped, partitions: Vec::new(), fenced });
        wakeups
    }

    fn take(&self, durable: &Durable) {
        {
            let mut data = lock(&self.data);
            data.seen.durable = data.seen.durable.max(durable.lsn);
            data.seen.shipped = data.seen.shipped.max(durable.shipped);
            for partition in &durable.partitions {
                for (_, notify) in data.waiters.remove(partition).unwrap_or_default() {
                    notify.notify_one();
                }
            }
        }
        self.progress.send_modify(|progress| {
            progress.lsn = progress.lsn.max(durable.lsn);
            progress.shipped = progress.shipped.max(durable.shipped);
            progress.fenced |= durable.fenced;
        });
    }

    /// Until the log is durable up to `lsn`, or fenced.
    pub(super) async fn durable(&self, lsn: Lsn) {
        let mut progress = self.progress.subscribe();
        // The sender lives as long as we do.
        let _ = progress.wait_for(|progress| progress.lsn >= lsn || progress.fenced).await;
    }

    /// Until the log is shipped up to `lsn`, or fenced.
    pub(super) async fn shipped(&self, lsn: Lsn) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|progress| progress.shipped >= lsn || progress.fenced).await;
    }

    /// Until one of the partitions has moved since the log could be seen up to `seen`.
    pub(super) async fn data(&self, seen: Seen, partitions: Vec<PartitionId>) {
        let notify = Arc::new(Notify::new());
        let id = {
            let mut data = lock(&self.data);
            if data.seen.is_beyond(seen) {
                return;
            }
            data.last_id += 1;
            let id = data.last_id;
            for partition in &partitions {
                data.waiters.entry(*partition).or_default().push((id, notify.clone()));
            }
            id
        };
        // Also when the wait is given up.
        let _listed = Listed { wakeups: self, id, partitions };
        notify.notified().await;
    }
}

struct Listed<'a> {
    wakeups: &'a Wakeups,
    id: u64,
    partitions: Vec<PartitionId>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let mut data = lock(&self.wakeups.data);
        for partition in &self.partitions {
            if let Some(waiters) = data.waiters.get_mut(partition) {
                waiters.retain(|(id, _)| *id != self.id);
                if waiters.is_empty() {
                    data.waiters.remove(partition);
                }
            }
        }
    }
}
