//! Tables: what is measured of one kind of thing, and how.

use crate::histogram::Snapshot;

/// How values of a family behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// As both text formats call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A name with its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// As Prometheus shows it: a counter's ends in `_total`.
    pub name: &'static str,
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
    pub labels: &'static [&'static str],
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Count(u64),
    Real(f64),
    Histogram(Snapshot),
}

impl From<u64> for Value {
    fn from(count: u64) -> Value {
        Value::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Value {
        Value::Count(count as u64)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Value {
        Value::Count(u64::from(is))
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Value {
        Value::Real(real)
    }
}

impl From<Snapshot> for Value {
    fn from(snapshot: Snapshot) -> Value {
        Value::Histogram(snapshot)
    }
}

/// What becomes of the things that are more than a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Their sum is shown as that of one more thing.
    Sum,
    /// The greatest of them is.
    Max,
    /// They are left out.
    Nothing,
}

/// One family, read from a thing of type `T`.
pub struct Row<T: 'static> {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    pub rest: Rest,
    /// None where the thing has no such value.
    pub read: fn(&T) -> Option<Value>,
}

pub const fn counter<T>(name: &'static str, help: &'static str, read: fn(&T) -> Option<Value>) -> Row<T> {
    Row { name, kind: Kind::Counter, help, rest: Rest::Sum, read }
}

pub const fn gauge<T>(name: &'static str, help: &'static str, read: fn(&T) -> Option<Value>) -> Row<T> {
    Row { name, kind: Kind::Gauge, help, rest: Rest::Nothing, read }
}

pub const fn histogram<T>(name: &'static str, help: &'static str, read: fn(&T) -> Option<Value>) -> Row<T> {
    Row { name, kind: Kind::Histogram, help, rest: Rest::Nothing, read }
}

/// A gauge of which sums make sense.
pub const fn gauge_of_sum<T>(
    name: &'static str,
    help: &'static str,
    read: fn(&T) -> Option<Value>,
) -> Row<T> {
    Row { name, kind: Kind::Gauge, help, rest: Rest::Sum, read }
}

/// A gauge of which the greatest is the one to look at.
pub const fn gauge_of_max<T>(
    name: &'static str,
    help: &'static str,
    read: fn(&T) -> Option<Value>,
) -> Row<T> {
    Row { name, kind: Kind::Gauge, help, rest: Rest::Max, read }
}

/// Families of one kind of thing, which have their labels in common.
pub struct Table<T: 'static> {
    pub labels: &'static [&'static str],
    pub rows: &'static [Row<T>],
}

impl<T> Table<T> {
    pub fn families(&self) -> impl Iterator<Item = Family> + use<'_, T> {
        self.rows.iter().map(|row| Family {
            name: row.name,
            kind: row.kind,
            help: row.help,
            labels: self.labels,
        })
    }
}
