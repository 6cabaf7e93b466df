//! When what waits in a sink is written: after so many rows, so many bytes, or so long.

/// What waits is written when it has grown to this size, whatever the table's options say.
pub(crate) const WAITING_BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub(crate) struct FlushPolicy {
    /// 0 where their number does not count.
    rows_max: u64,
    bytes_max: usize,
    /// 0 where the time does not count.
    interval_ms: i64,
    rows: u64,
    bytes: usize,
    since_ms: Option<i64>,
}

impl FlushPolicy {
    /// With 0 for both the rows and the interval nothing waits.
    pub(crate) fn new(rows_max: u64, bytes_max: usize, interval_ms: u64) -> FlushPolicy {
        FlushPolicy {
            rows_max,
            bytes_max: bytes_max.clamp(1, WAITING_BYTES_MAX),
            interval_ms: i64::try_from(interval_ms).unwrap_or(i64::MAX),
            rows: 0,
            bytes: 0,
            since_ms: None,
        }
    }

    /// So much waits besides.
    pub(crate) fn took(&mut self, rows: u64, bytes: usize) {
        self.rows += rows;
        self.bytes += bytes;
    }

    /// Whether what waits is to be written now; `finish` when no more comes.
    pub(crate) fn is_due(&mut self, finish: bool, clock_ms: i64) -> bool {
        let since_ms = *self.since_ms.get_or_insert(clock_ms);
        let waits = self.rows_max > 0 || self.interval_ms > 0;
        finish
            || !waits
            || self.bytes >= self.bytes_max
            || (self.rows_max > 0 && self.rows >= self.rows_max)
            || (self.interval_ms > 0 && clock_ms.saturating_sub(since_ms) >= self.interval_ms)
    }

    /// Nothing waits any more.
    pub(crate) fn clear(&mut self) {
        (self.rows, self.bytes, self.since_ms) = (0, 0, None);
    }
}
