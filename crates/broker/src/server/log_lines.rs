//! Lines of the log that anybody who reaches the port can cause: so many in a second, and then their number.

use crate::sync::lock;
use std::sync::Mutex;

const LINES_PER_SECOND: u32 = 10;

/// So many lines in a second are passed on.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    began_ms: Option<i64>,
    lines: u32,
    left_out: u64,
}

impl Lines {
    /// The line as it is to be written, with the number of those left out before it; `None` if it is one too many.
    pub fn pass(&self, line: &str, now_ms: i64) -> Option<String> {
        let mut second = lock(&self.0);
        if second.began_ms.is_none_or(|began_ms| now_ms.saturating_sub(began_ms) >= 1_000) {
            second.began_ms = Some(now_ms);
            second.lines = 0;
        }
        if second.lines >= LINES_PER_SECOND {
            second.left_out += 1;
            return None;
        }
        second.lines += 1;
        match std::mem::take(&mut second.left_out) {
            0 => Some(line.to_string()),
            left_out => Some(format!("{line} (left_out_before={left_out})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_a_second_and_a_number() {
        let lines = Lines::default();
        let written = (0..1_000).filter_map(|_| lines.pass("refused", 5)).count();
        assert_eq!(written, 10);
        assert_eq!(lines.pass("refused", 1_004), None);
        assert_eq!(lines.pass("refused", 1_005).as_deref(), Some("refused (left_out_before=991)"));
        assert_eq!(lines.pass("refused", 1_005).as_deref(), Some("refused"));
    }
}
