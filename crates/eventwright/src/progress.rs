//! The line that moves while jobs run: on standard error, and only on a terminal.

use crate::job_view::rows_read_again;
use crate::output::{thousands, timestamp};
use os::Clock;
use runtime::JobProgress;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

/// How often the line is drawn anew.
pub const INTERVAL_MS: u64 = 100;

pub struct ProgressLine {
    clock: Arc<dyn Clock>,
    is_terminal: bool,
    last_rows: u64,
    last_ns: u64,
    rate: f64,
    drawn: bool,
}

impl ProgressLine {
    pub fn new(clock: Arc<dyn Clock>) -> ProgressLine {
        let last_ns = clock.monotonic_ns();
        let is_terminal = std::io::stderr().is_terminal();
        ProgressLine { clock, is_terminal, last_rows: 0, last_ns, rate: 0.0, drawn: false }
    }

    pub fn draw(&mut self, jobs: &[JobProgress]) {
        if !self.is_terminal {
            return;
        }
        let rows: u64 = jobs.iter().flat_map(|job| &job.scans).map(|scan| scan.rows).sum();
        let now_ns = self.clock.monotonic_ns();
        let elapsed_s = now_ns.saturating_sub(self.last_ns) as f64 / 1e9;
        if elapsed_s > 0.0 {
            let rate = rows.saturating_sub(self.last_rows) as f64 / elapsed_s;
            self.rate = if self.drawn { self.rate * 0.7 + rate * 0.3 } else { rate };
        }
        (self.last_rows, self.last_ns, self.drawn) = (rows, now_ns, true);
        let rebuilds = jobs.iter().filter_map(|job| {
            let rebuild = job.rebuild?;
            let read = rows_read_again(rebuild.rows);
            Some(format!("{}: state made anew, {read}{} %", job.job, rebuild.percent()))
        });
        let rebuilds: Vec<String> = rebuilds.collect();
        let watermark = jobs.iter().filter_map(|job| job.watermark_ms).filter(|ms| *ms != i64::MAX).min();
        let lag: u64 = jobs.iter().map(|job| job.lag_records).sum();
        let names = jobs.iter().map(|job| job.job.as_str()).collect::<Vec<_>>().join(", ");
        let running = format!(
            "{names}: {} events, {}/s, watermark {}, lag {}",
            thousands(rows),
            thousands(self.rate as u64),
            watermark.map_or("none yet".into(), timestamp),
            thousands(lag),
        );
        let text = if rebuilds.is_empty() { running } else { rebuilds.join(", ") };
        // A line longer than the terminal would scroll at every redraw.
        let text: String = text.chars().take(110).collect();
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    }

    /// Takes the line away, so that what follows begins at the margin.
    pub fn clear(&mut self) {
        if self.is_terminal && self.drawn {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
