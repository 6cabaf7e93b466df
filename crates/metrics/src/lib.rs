//! What a node says of itself in numbers: histograms, tables of what is measured, and the page that a scrape gets.
//!
//! 1. There is no registry. Each layer owns its counters (plain atomics, or fields under a lock that is held anyway),
//!    and most values are read from its state when somebody scrapes.
//! 2. A [`Table`] names what is measured of one kind of thing, each row with its help and how to read it; the same rows
//!    make the page and the reference of the docs, so that neither can forget the other.
//! 3. A [`Page`] writes the tables as text, in Prometheus' format or in that of OpenMetrics, within a number of series.
//!
//! docs/adr/0019-metrics.md says why.

mod histogram;
mod page;
mod table;

pub use histogram::{BYTES, Buckets, COUNTS, Histogram, LATENCIES, Snapshot};
pub use page::{Format, OTHER, Page};
pub use table::{
    Family, Kind, Rest, Row, Table, Value, counter, gauge, gauge_of_max, gauge_of_sum, histogram,
};
