//! Where a record ends in a file: at a line break, or for CSV at one outside quotes.

/// Finds the end of the first record of a buffer, remembering how far it looked.
#[derive(Debug, Clone)]
pub struct RecordSplitter {
    quote: Option<u8>,
    escape: Option<u8>,
    scanned: usize,
    in_quotes: bool,
}

impl RecordSplitter {
    /// Every line break ends a record.
    pub fn lines() -> RecordSplitter {
        RecordSplitter { quote: None, escape: None, scanned: 0, in_quotes: false }
    }

    /// A line break within quotes belongs to the record.
    pub fn quoted(quote: u8, escape: Option<u8>) -> RecordSplitter {
        RecordSplitter { quote: Some(quote), escape, scanned: 0, in_quotes: false }
    }

    /// The length of the first record, its line break included; none when it does not end in `bytes`.
    /// When it answers none, the next call must pass the same bytes with more behind them.
    pub fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let Some(quote) = self.quote else {
            let rest = bytes.get(self.scanned..).unwrap_or_default();
            let found = memchr::memchr(b'\n', rest).map(|at| self.scanned + at + 1);
            self.scanned = if found.is_some() { 0 } else { bytes.len() };
            return found;
        };
        let mut at = self.scanned;
        while let Some(&byte) = bytes.get(at) {
            if Some(byte) == self.escape && self.in_quotes {
                if at + 1 >= bytes.len() {
                    break;
                }
                at += 1;
            } else if byte == quote {
                self.in_quotes = !self.in_quotes;
            } else if byte == b'\n' && !self.in_quotes {
                self.scanned = 0;
                return Some(at + 1);
            }
            at += 1;
        }
        self.scanned = at;
        None
    }
}
