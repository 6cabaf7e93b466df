//! The frames of a WebSocket (RFC 6455, 5), as a client reads and writes them.

/// Of a control frame (5.5).
const CONTROL_BYTES_MAX: usize = 125;

const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    /// With its code and its reason, if it gives them.
    Close(Option<(u16, String)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    Protocol(&'static str),
    TooLong,
}

/// Takes what has come apart.
pub(super) struct Reader {
    /// Of a message.
    bytes_max: usize,
    bytes: Vec<u8>,
    /// How much of them was taken.
    at: usize,
    /// What has come of a message in several frames, and its kind.
    begun: Option<(u8, Vec<u8>)>,
}

/// The head of a frame.
struct Head {
    kind: u8,
    is_final: bool,
    /// The payload's, behind so many bytes.
    length: u64,
    behind: usize,
}

impl Reader {
    /// `bytes` have come already.
    pub(super) fn new(bytes_max: usize, bytes: Vec<u8>) -> Reader {
        Reader { bytes_max, bytes, at: 0, begun: None }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.at));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is whole.
    pub(super) fn take(&mut self) -> Result<Option<Message>, Wrong> {
        loop {
            let Some(Head { kind, is_final, length, behind }) = head(&self.bytes[self.at..])? else {
                return Ok(None);
            };
            let is_control = kind >= CLOSE;
            match (kind, &self.begun) {
                (CONTINUATION, None) => return Err(Wrong::Protocol("a message goes on that has not begun")),
                (TEXT | BINARY, Some(_)) => return Err(Wrong::Protocol("a message within another one")),
                (CONTINUATION | TEXT | BINARY, _) => {}
                (CLOSE | PING | PONG, _) if is_final && length <= CONTROL_BYTES_MAX as u64 => {}
                (CLOSE | PING | PONG, _) => {
                    return Err(Wrong::Protocol("a control frame that is in parts, or long"));
                }
                _ => return Err(Wrong::Protocol("a frame of a kind that is not known")),
            }
            let room = self.bytes_max - self.begun.as_ref().map_or(0, |(_, bytes)| bytes.len());
            let length = usize::try_from(length).map_err(|_| Wrong::TooLong)?;
            if length > room && !is_control {
                return Err(Wrong::TooLong);
            }
            let begin = self.at + behind;
            let Some(payload) = self.bytes.get(begin..begin + length) else { return Ok(None) };
            if is_control {
                let message = control(kind, payload)?;
                self.at = begin + length;
                return Ok(Some(message));
            }
            let (kind, mut message) = self.begun.take().unwrap_or((kind, Vec::new()));
            message.extend_from_slice(payload);
            self.at = begin + length;
            match (is_final, kind) {
                (false, _) => self.begun = Some((kind, message)),
                (true, TEXT) if std::str::from_utf8(&message).is_err() => {
                    return Err(Wrong::Protocol("a text that is no UTF-8"));
                }
                (true, TEXT) => return Ok(Some(Message::Text(message))),
                (true, _) => return Ok(Some(Message::Binary(message))),
            }
        }
    }
}

/// The head that bytes begin with, once it is whole.
fn head(bytes: &[u8]) -> Result<Option<Head>, Wrong> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & RESERVED != 0 {
        return Err(Wrong::Protocol("it uses extensions that were not agreed on"));
    }
    if second & MASKED != 0 {
        return Err(Wrong::Protocol("a server does not mask its frames"));
    }
    let (length, behind) = match second {
        126 => match rest.first_chunk() {
            Some(length) => (u16::from_be_bytes(*length).into(), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        short => ((*short).into(), 2),
    };
    Ok(Some(Head { kind: first & 0x0f, is_final: first & FINAL != 0, length, behind }))
}

fn control(kind: u8, payload: &[u8]) -> Result<Message, Wrong> {
    Ok(match (kind, payload) {
        (PING, _) => Message::Ping(payload.to_vec()),
        (PONG, _) => Message::Pong,
        (_, []) => Message::Close(None),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            Message::Close(Some((code, String::from_utf8_lossy(reason).into_owned())))
        }
        (_, [_]) => return Err(Wrong::Protocol("a farewell with half a code")),
    })
}

/// A message of ours in one frame: a client masks what it sends, with another mask each time (5.3).
pub(super) fn written(kind: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![FINAL | kind];
    match payload.len() {
        short @ 0..126 => frame.push(MASKED | short as u8),
        longer @ 126..0x1_0000 => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&(longer as u16).to_be_bytes());
        }
        long => {
            frame.push(MASKED | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = match payload.len() {
            short @ 0..126 => vec![short as u8],
            longer @ 126..0x1_0000 => [&[126], &(longer as u16).to_be_bytes()[..]].concat(),
            long => [&[127], &(long as u64).to_be_bytes()[..]].concat(),
        };
        [&[first], length.as_slice(), payload].concat()
    }

    /// What comes in pieces of this size.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<Message>, Wrong> {
        let (mut reader, mut messages) = (Reader::new(70_000, Vec::new()), Vec::new());
        for piece in bytes.chunks(step) {
            reader.push(piece);
            while let Some(message) = reader.take()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_put_together_whatever_comes_in_between() {
        let (long, longer) = (vec![b'x'; 300], vec![b'y'; 69_000]);
        let bytes = [
            frame(0x81, "h\u{e9}".as_bytes()),
            frame(0x01, b"\xc3"),
            frame(0x89, b"p"),
            frame(0x00, b""),
            frame(0x80, b"\xa9"),
            frame(0x82, &long),
            frame(0x82, &longer),
            frame(0x8a, b""),
            frame(0x88, b"\x03\xe8bye"),
            frame(0x88, b""),
        ];
        let expected = [
            Message::Text("h\u{e9}".into()),
            Message::Ping(b"p".to_vec()),
            Message::Text("\u{e9}".into()),
            Message::Binary(long),
            Message::Binary(longer),
            Message::Pong,
            Message::Close(Some((1000, "bye".into()))),
            Message::Close(None),
        ];
        for step in [1, 2, 7, 1000, 1_000_000] {
            assert_eq!(read(&bytes.concat(), step).unwrap(), expected, "{step}");
        }
    }

    #[test]
    fn what_is_none_or_too_long_is_an_error() {
        let endless = [&[0x82, 127][..], &u64::MAX.to_be_bytes()].concat();
        for (bytes, wrong) in [
            (frame(0xc1, b"x"), "extensions"),
            (written(TEXT, b"x", [0; 4]), "mask"),
            (frame(0x80, b"x"), "not begun"),
            ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), "within another"),
            (frame(0x09, b"x"), "in parts"),
            (frame(0x89, &[0; 126]), "in parts"),
            (frame(0x83, b"x"), "not known"),
            (frame(0x8b, b"x"), "not known"),
            (frame(0x81, b"\xff"), "no UTF-8"),
            (frame(0x88, b"\x03"), "half a code"),
            (endless, "too long"),
            (frame(0x82, &[0; 70_001]), "too long"),
            ([frame(0x02, &[0; 70_000]), frame(0x80, b"x")].concat(), "too long"),
        ] {
            match read(&bytes, 1000).unwrap_err() {
                Wrong::Protocol(what) => assert!(what.contains(wrong), "{wrong}: {what}"),
                Wrong::TooLong => assert_eq!(wrong, "too long"),
            }
        }
    }

    #[test]
    fn what_we_send_is_masked() {
        // The specification's example, 5.7.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(written(TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]), hello);
        assert_eq!(written(BINARY, &[0; 126], [0; 4])[..4], [0x82, 0xfe, 0, 126]);
        assert_eq!(written(BINARY, &vec![0; 0x1_0000], [0; 4])[..4], [0x82, 0xff, 0, 0]);
    }
}
