//! Where a record ends in a file: at a line break, or for CSV at one outside quotes.

/// Finds the end of the first record of a buffer, remembering how far it has looked.
#[derive(Debug, Clone)]
pub struct RecordSplitter {
    quotes: Option<Quotes>,
    scanned: usize,
    state: State,
}

#[derive(Debug, Clone, Copy)]
struct Quotes {
    quote: u8,
    delimiter: u8,
    escape: Option<u8>,
    /// Lines that begin with `#` have no fields, so quotes have no meaning in them.
    comments: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the first byte of a record.
    RecordStart,
    /// At the first byte of a field, the only place where a quote opens.
    FieldStart,
    Field,
    Quoted,
    /// Behind a quote within quotes: it closes them, unless a second one follows.
    QuoteInQuotes,
    Comment,
}

impl RecordSplitter {
    /// Every line break ends a record.
    pub fn lines() -> RecordSplitter {
        RecordSplitter { quotes: None, scanned: 0, state: State::RecordStart }
    }

    /// A line break within quotes belongs to the record.
    pub fn quoted(quote: u8, delimiter: u8, escape: Option<u8>, comments: bool) -> RecordSplitter {
        let quotes = Some(Quotes { quote, delimiter, escape, comments });
        RecordSplitter { quotes, scanned: 0, state: State::RecordStart }
    }

    /// The length of the first record, its line break included; none when it does not end in
    /// `bytes`. After none, the next call must pass the same bytes with more behind them; after
    /// an end, what follows the record.
    pub fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let found = match self.quotes {
            None => {
                let rest = bytes.get(self.scanned..).unwrap_or_default();
                memchr::memchr(b'\n', rest).map(|at| self.scanned + at + 1)
            }
            Some(quotes) => self.find_quoted_end(bytes, quotes),
        };
        match found {
            Some(_) => {
                self.scanned = 0;
                self.state = State::RecordStart;
            }
            None if self.quotes.is_none() => self.scanned = bytes.len(),
            None => {}
        }
        found
    }

    fn find_quoted_end(&mut self, bytes: &[u8], quotes: Quotes) -> Option<usize> {
        let mut at = self.scanned;
        while let Some(byte) = bytes.get(at).copied() {
            let is_escape = Some(byte) == quotes.escape;
            if is_escape && self.state != State::Comment && self.state != State::QuoteInQuotes {
                // The next byte has no meaning; it must be there before we go on.
                if at + 1 >= bytes.len() {
                    break;
                }
                if self.state != State::Quoted {
                    self.state = State::Field;
                }
                at += 2;
                continue;
            }
            self.state = match self.state {
                State::Quoted if byte == quotes.quote => State::QuoteInQuotes,
                State::Quoted => State::Quoted,
                State::QuoteInQuotes if byte == quotes.quote => State::Quoted,
                _ if byte == b'\n' => return Some(at + 1),
                State::RecordStart if quotes.comments && byte == b'#' => State::Comment,
                State::Comment => State::Comment,
                _ if byte == quotes.delimiter => State::FieldStart,
                State::RecordStart | State::FieldStart if byte == quotes.quote => State::Quoted,
                _ => State::Field,
            };
            at += 1;
        }
        self.scanned = at;
        None
    }
}
