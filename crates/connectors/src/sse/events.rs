//! Takes a stream of Server-Sent Events apart as it comes (HTML Living Standard, 9.2.5 and 9.2.6).

use crate::json_slices::CURSOR_BYTES_MAX;
use dataflow::feed::RECORD_BYTES_MAX;

/// Beyond this of an event nothing is kept: whoever makes a record of it sees that it is too long.
const DATA_BYTES_MAX: usize = RECORD_BYTES_MAX + 1;
/// A line has a name besides.
const LINE_BYTES_MAX: usize = DATA_BYTES_MAX + 16;
const TYPE_BYTES_MAX: usize = 1 << 10;
const BOM: &[u8] = "\u{feff}".as_bytes();

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// None is `message`.
    pub kind: Option<String>,
    pub data: Vec<u8>,
    /// It names an id itself.
    pub has_own_id: bool,
    /// Its id, or the last one before it.
    pub id: Option<String>,
}

/// What has come of a stream. Of an event whose end has not come nothing is given.
#[derive(Default)]
pub(super) struct Events {
    /// The line that is not whole.
    line: Vec<u8>,
    /// The next line feed belongs to the line before.
    is_behind_return: bool,
    is_behind_first_line: bool,
    data: Option<Vec<u8>>,
    kind: String,
    has_own_id: bool,
    /// The last id, also of an event that is not whole.
    id: Option<String>,
    /// The last id of what is whole.
    last_id: Option<String>,
    /// How long to wait before coming again, in milliseconds, if the server has said so.
    retry_ms: Option<u64>,
}

impl Events {
    /// A stream that goes on behind an id.
    pub(super) fn behind(id: Option<String>) -> Events {
        Events { id: id.clone(), last_id: id, ..Events::default() }
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Gives the events that are whole with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8], take: &mut dyn FnMut(Event)) -> Result<(), String> {
        let mut rest = bytes;
        if std::mem::take(&mut self.is_behind_return) && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.grow(&rest[..end]);
            let is_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_return {
                self.is_behind_return = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let line = std::mem::take(&mut self.line);
            let is_first = !std::mem::replace(&mut self.is_behind_first_line, true);
            let line = if is_first { line.strip_prefix(BOM).unwrap_or(&line) } else { &line };
            self.field(line, take)?;
        }
        self.grow(rest);
        Ok(())
    }

    fn grow(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn field(&mut self, line: &[u8], take: &mut dyn FnMut(Event)) -> Result<(), String> {
        if line.is_empty() {
            self.end(take);
            return Ok(());
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = colon.map_or((line, &b""[..]), |colon| (&line[..colon], &line[colon + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                match &mut self.data {
                    Some(data) => data.push(b'\n'),
                    none => *none = Some(Vec::new()),
                }
                let data = self.data.get_or_insert_default();
                data.extend_from_slice(value);
                data.truncate(DATA_BYTES_MAX);
            }
            b"event" => {
                self.kind = String::from_utf8_lossy(&value[..value.len().min(TYPE_BYTES_MAX)]).into_owned();
            }
            b"id" if value.contains(&0) => {}
            b"id" if value.len() > CURSOR_BYTES_MAX => {
                let bytes = value.len();
                return Err(format!(
                    "the id of an event has bytes={bytes} of limit={CURSOR_BYTES_MAX}, and could not be sent back"
                ));
            }
            b"id" => {
                self.has_own_id = !value.is_empty();
                self.id = Some(String::from_utf8_lossy(value).into_owned()).filter(|id| !id.is_empty());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry_ms = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            // Comments have no name; others are not known.
            _ => {}
        }
        Ok(())
    }

    /// An empty line.
    fn end(&mut self, take: &mut dyn FnMut(Event)) {
        self.last_id.clone_from(&self.id);
        let kind = std::mem::take(&mut self.kind);
        let has_own_id = std::mem::take(&mut self.has_own_id);
        // Without data nothing has happened.
        if let Some(data) = self.data.take() {
            let kind = Some(kind).filter(|kind| !kind.is_empty());
            take(Event { kind, data, has_own_id, id: self.last_id.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a stream in pieces of this size, one line for each event.
    fn read(text: &[u8], step: usize) -> (Vec<String>, Events) {
        let (mut events, mut shown) = (Events::default(), Vec::new());
        for piece in text.chunks(step) {
            let mut take = |event: Event| {
                let Event { kind, data, has_own_id, id } = event;
                let data = String::from_utf8_lossy(&data).into_owned();
                shown.push(format!("{kind:?} {data:?} {has_own_id} {id:?}"));
            };
            events.push(piece, &mut take).unwrap();
        }
        (shown, events)
    }

    #[test]
    fn streams_are_read_as_the_standard_says_in_pieces_of_any_size() {
        let cases: [(&str, &[&str]); 8] = [
            ("data: YHOO\ndata: +2\ndata: 10\n\n", &["None \"YHOO\\n+2\\n10\" false None"]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                &[
                    "None \"first event\" true Some(\"1\")",
                    "None \"second event\" false None",
                    "None \" third event\" false None",
                ],
            ),
            ("data\n\ndata\ndata\n\ndata:", &["None \"\" false None", "None \"\\n\" false None"]),
            ("data:test\r\rdata: test\r\n\r\n", &["None \"test\" false None", "None \"test\" false None"]),
            (
                "\u{feff}event: a\ndata: x\n\ndata: y\n\n",
                &["Some(\"a\") \"x\" false None", "None \"y\" false None"],
            ),
            // What has no data is none, but its id counts.
            ("event: a\nid: 7\n\ndata: x\n\n", &["None \"x\" false Some(\"7\")"]),
            ("id: 1\0\ndata: x\nunknown: y\nretry: 12x\n\n", &["None \"x\" false None"]),
            ("data: x\n", &[]),
        ];
        for (text, expected) in cases {
            for step in [1, 2, 3, 100] {
                let (shown, events) = read(text.as_bytes(), step);
                assert_eq!(shown, expected, "{text:?} by {step}");
                assert_eq!(events.retry_ms(), None);
            }
        }
    }

    #[test]
    fn the_id_of_an_event_that_is_not_whole_is_not_the_last() {
        let (_, events) = read(b"retry: 250\nid: 1\ndata: a\n\nid: 2\ndata: b\n", 5);
        assert_eq!((events.last_id(), events.retry_ms()), (Some("1"), Some(250)));
        let (_, events) = read(b"id: 2\ndata: b\n\nid:\n\n", 5);
        assert_eq!(events.last_id(), None);
    }

    #[test]
    fn lengths_are_bounded() {
        let mut events = Events::behind(Some("1".into()));
        let (line, mut found) =
            ([&b"data: "[..], &vec![b'x'; DATA_BYTES_MAX + 100], b"\n"].concat(), Vec::new());
        for part in [&line[..], &line, b"\n"] {
            events.push(part, &mut |event| found.push(event)).unwrap();
        }
        assert!(found.len() == 1 && found[0].data.len() == DATA_BYTES_MAX, "{}", found.len());
        assert_eq!(found[0].id.as_deref(), Some("1"));
        let long = format!("id: {}\n", "x".repeat(CURSOR_BYTES_MAX + 1));
        assert!(events.push(long.as_bytes(), &mut |_| ()).unwrap_err().contains("of limit=4096"));
    }
}
