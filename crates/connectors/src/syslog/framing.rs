//! Where messages end on a connection (RFC 6587): each begins with its length, or ends with a line end.
//!
//! A sender does one or the other, so the first byte of each message tells. What is longer than may be is counted and not
//! kept.

use crate::arrivals::Framed;

/// Digits of a length; more are none.
const DIGITS_MAX: usize = 8;
/// What is kept of a message that is too long.
const SHOWN_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Auto,
    OctetCounting,
    NonTransparent,
}

/// Why nothing more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The sender has said that it is done.
    Closed,
    /// The connection is lost, or nobody waits for its sender any more.
    Broken,
}

pub(crate) struct Splitter {
    framing: Framing,
    bytes_max: usize,
    state: State,
    kept: Vec<u8>,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// In the digits of a length.
    Length,
    /// So many bytes are left.
    Counted(usize),
    Line,
}

impl Splitter {
    pub(crate) fn new(framing: Framing, bytes_max: usize) -> Splitter {
        Splitter { framing, bytes_max, state: State::Between, kept: Vec::new(), length: 0 }
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn is_within(&self) -> bool {
        self.state != State::Between
    }

    /// Takes what has come; what is whole goes to `each`, which says whether to go on.
    pub(crate) fn take(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Framed) -> bool) -> bool {
        while let Some(first) = bytes.first() {
            match self.state {
                State::Between => match first {
                    b'\n' | b'\r' | 0 => bytes = &bytes[1..],
                    b'1'..=b'9' if self.framing != Framing::NonTransparent => self.state = State::Length,
                    _ => self.state = State::Line,
                },
                State::Length => match first {
                    b'0'..=b'9' if self.kept.len() < DIGITS_MAX => {
                        self.kept.push(*first);
                        bytes = &bytes[1..];
                    }
                    b' ' => {
                        // So many digits are a number.
                        let length = std::str::from_utf8(&self.kept).ok().and_then(|text| text.parse().ok());
                        self.kept.clear();
                        self.state = State::Counted(length.unwrap_or(0));
                        bytes = &bytes[1..];
                    }
                    // No length: a line that begins with digits.
                    _ => {
                        self.length = self.kept.len();
                        self.state = State::Line;
                    }
                },
                State::Counted(left) => {
                    let (own, rest) = bytes.split_at(left.min(bytes.len()));
                    self.keep(own);
                    bytes = rest;
                    self.state = State::Counted(left - own.len());
                    if left == own.len() && !self.hand_over(each, None) {
                        return false;
                    }
                }
                State::Line => {
                    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | 0));
                    self.keep(&bytes[..end.unwrap_or(bytes.len())]);
                    bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
                    if end.is_some() && !self.hand_over(each, None) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Nothing more comes. A line ends with a connection that its sender has closed; what has a length was cut off, and
    /// whatever has begun where the connection broke.
    pub(crate) fn finish(&mut self, end: End, each: &mut dyn FnMut(Framed) -> bool) {
        let problem = match self.state {
            State::Between => return,
            State::Line | State::Length => {
                self.length = self.length.max(self.kept.len());
                match end {
                    End::Closed => None,
                    End::Broken => Some("the connection broke before its end".to_string()),
                }
            }
            State::Counted(left) => Some(format!("the connection ended with bytes={left} of it missing")),
        };
        self.hand_over(each, problem);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        let kept_max =
            if self.length > self.bytes_max { SHOWN_BYTES.min(self.bytes_max) } else { self.length };
        self.kept.truncate(kept_max);
        let room = kept_max - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn hand_over(&mut self, each: &mut dyn FnMut(Framed) -> bool, problem: Option<String>) -> bool {
        let (mut bytes, length) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.length));
        self.state = State::Between;
        while let Some(b'\n' | b'\r' | 0) = bytes.last() {
            bytes.pop();
        }
        let problem = match length > self.bytes_max {
            true => Some(format!(
                "it has bytes={length}, and limit={}; here are the first {}",
                self.bytes_max,
                bytes.len()
            )),
            false => problem,
        };
        bytes.is_empty() && problem.is_none() || each(Framed { bytes, problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(framing: Framing, said: &[u8], size: usize) -> Vec<Framed> {
        let mut splitter = Splitter::new(framing, 20);
        let mut found = Vec::new();
        let mut each = |framed| {
            found.push(framed);
            true
        };
        for piece in said.chunks(size) {
            splitter.take(piece, &mut each);
        }
        splitter.finish(End::Closed, &mut each);
        assert!(!splitter.is_within());
        found
    }

    fn texts(framing: Framing, said: &[u8]) -> Vec<String> {
        let whole = split(framing, said, usize::MAX);
        for size in 1..said.len().min(40) {
            assert_eq!(split(framing, said, size), whole, "pieces of {size}");
        }
        let told = |framed: &Framed| {
            let text = String::from_utf8_lossy(&framed.bytes).into_owned();
            framed.problem.as_ref().map_or(text.clone(), |problem| format!("{text} | {problem}"))
        };
        whole.iter().map(told).collect()
    }

    #[test]
    fn lengths_and_lines_are_told_apart() {
        let auto = |said: &[u8]| texts(Framing::Auto, said);
        assert_eq!(auto(b"<1>a\n<2>b\r\n\n<3>c\0<4>d"), ["<1>a", "<2>b", "<3>c", "<4>d"]);
        assert_eq!(auto(b"5 <1>a\n7 <2>b\nc\n3 <3>"), ["<1>a", "<2>b\nc", "<3>"]);
        assert_eq!(auto(b"4 <1>a<2>b\n4 <3>c"), ["<1>a", "<2>b", "<3>c"]);
        assert_eq!(
            auto(b"hello\n12:30 is a time\n123456789 x\n"),
            ["hello", "12:30 is a time", "123456789 x"]
        );
        assert_eq!(texts(Framing::NonTransparent, b"4 <1>a\n"), ["4 <1>a"]);
        assert_eq!(texts(Framing::OctetCounting, b"4 <1>a"), ["<1>a"]);
    }

    #[test]
    fn what_is_too_long_is_counted_and_what_is_cut_off_is_told() {
        let long = "x".repeat(3000);
        let line = format!("<1>{long}\n<2>b\n");
        let found = texts(Framing::Auto, line.as_bytes());
        assert_eq!(
            found[0],
            format!("<1>{} | it has bytes=3003, and limit=20; here are the first 20", "x".repeat(17))
        );
        assert_eq!(found[1], "<2>b");
        let counted = format!("3003 <1>{long}4 <2>b");
        assert_eq!(texts(Framing::Auto, counted.as_bytes()), found);
        // A length that nobody has takes no memory.
        assert_eq!(
            texts(Framing::Auto, b"99999999 <1>a"),
            ["<1>a | the connection ended with bytes=99999995 of it missing"]
        );
        assert_eq!(texts(Framing::Auto, b"12"), ["12"]);
    }

    #[test]
    fn a_line_is_whole_when_its_sender_has_closed_the_connection() {
        for (said, closed, broken) in [
            (&b"<1>a\n<2>b"[..], None, Some("the connection broke before its end")),
            (b"<1>a\n12", None, Some("the connection broke before its end")),
            (b"<1>a\n9 <2>b", Some("bytes=5 of it missing"), Some("bytes=5 of it missing")),
        ] {
            for (end, problem) in [(End::Closed, closed), (End::Broken, broken)] {
                let mut splitter = Splitter::new(Framing::Auto, 20);
                let mut found = Vec::new();
                let mut each = |framed: Framed| {
                    found.push(framed.problem);
                    true
                };
                splitter.take(said, &mut each);
                splitter.finish(end, &mut each);
                assert!(found.len() == 2 && found[0].is_none(), "{found:?}");
                let told = found[1].as_deref();
                assert!(
                    told.is_some() == problem.is_some()
                        && told.unwrap_or_default().contains(problem.unwrap_or_default()),
                    "{found:?}"
                );
            }
        }
        // Whole messages are no matter of how it ended.
        let mut splitter = Splitter::new(Framing::Auto, 20);
        splitter.take(b"<1>a\n4 <2>b", &mut |_| true);
        splitter.finish(End::Broken, &mut |framed| panic!("{framed:?}"));
    }

    #[test]
    fn who_takes_no_more_is_given_no_more() {
        let mut splitter = Splitter::new(Framing::Auto, 20);
        let mut count = 0;
        let went_on = splitter.take(b"<1>a\n<2>b\n", &mut |_| {
            count += 1;
            false
        });
        assert!(!went_on && count == 1);
    }
}
