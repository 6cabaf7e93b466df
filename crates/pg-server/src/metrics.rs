//! What the PostgreSQL port counts of itself.

use ::metrics::{Family, Histogram, LATENCIES, Page, Snapshot, Table, counter, gauge, histogram};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writers at once that do not wait for one another.
const PARTS: usize = 8;

#[derive(Debug)]
pub struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    turn: AtomicU64,
    seconds: Histogram,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            seconds: Histogram::of_parts(LATENCIES, PARTS),
        }
    }
}

impl Counters {
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// A statement was answered in this time.
    pub(crate) fn answered(&self, nanoseconds: u64) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.seconds.record_in(turn as usize % PARTS, nanoseconds);
    }

    pub fn write_metrics(&self, page: &mut Page) {
        page.one(&PORT, self);
        page.one(&STATEMENTS, &self.seconds.snapshot());
    }
}

const PORT: Table<Counters> = Table {
    labels: &[],
    rows: &[
        gauge("eventwright_postgresql_connections", "Open connections of the PostgreSQL port.", |port| {
            // In this order, so that there are never fewer opened than closed.
            let closed = port.closed.load(Ordering::Relaxed);
            Some((port.opened.load(Ordering::Relaxed) - closed).into())
        }),
        counter(
            "eventwright_postgresql_connections_opened_total",
            "Connections that were accepted.",
            |port| Some(port.opened.load(Ordering::Relaxed).into()),
        ),
        counter(
            "eventwright_postgresql_connections_refused_total",
            "Connections that were one too many.",
            |port| Some(port.refused.load(Ordering::Relaxed).into()),
        ),
        counter(
            "eventwright_postgresql_errors_total",
            "Statements that were answered with an error.",
            |port| Some(port.failed.load(Ordering::Relaxed).into()),
        ),
    ],
};

const STATEMENTS: Table<Snapshot> = Table {
    labels: &[],
    rows: &[histogram(
        "eventwright_postgresql_statement_seconds",
        "Time from a statement's arrival until its last row is ready to be sent.",
        |seconds| Some(seconds.clone().into()),
    )],
};

pub fn metric_families() -> Vec<Family> {
    PORT.families().chain(STATEMENTS.families()).collect()
}
