//! What a client asks for, once it is in.

use super::answer::Format;
use super::fields::{Fields, WireError};
use bytes::{Buf, Bytes, BytesMut};

/// A statement or a portal, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Statement(String),
    Portal(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parse {
    pub statement: String,
    pub text: String,
    /// The types of the first parameters, 0 where the server is to find out.
    pub types: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    pub portal: String,
    pub statement: String,
    /// None, one for all, or one for each.
    pub formats: Vec<Format>,
    pub values: Vec<Option<Bytes>>,
    pub result_formats: Vec<Format>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Query(String),
    Parse(Parse),
    Bind(Bind),
    Describe(Target),
    /// 0 rows are all.
    Execute {
        portal: String,
        rows_max: u32,
    },
    Close(Target),
    Flush,
    Sync,
    /// A password, or a step of SASL.
    Password(Bytes),
    /// Part of what is copied into the node, which takes none.
    Copy,
    Function,
    Terminate,
}

/// Takes the next message off what was read: its type and what is in it. `None` if it is not whole.
pub fn split(read: &mut BytesMut, bytes_max: usize) -> Result<Option<(u8, Bytes)>, WireError> {
    let Some(head) = read.get(..5) else { return Ok(None) };
    let (kind, length) = (head[0], i32::from_be_bytes([head[1], head[2], head[3], head[4]]));
    let length = usize::try_from(length).ok().filter(|length| *length >= 4);
    let length =
        length.ok_or_else(|| WireError::new("the length of a message is less than that of its head"))?;
    if length > bytes_max {
        return Err(WireError::new(format!("a message of {length} bytes; the node takes up to {bytes_max}")));
    }
    if read.len() < length + 1 {
        return Ok(None);
    }
    let mut message = read.split_to(length + 1);
    message.advance(5);
    Ok(Some((kind, message.freeze())))
}

impl Request {
    pub fn parse(kind: u8, message: Bytes) -> Result<Request, WireError> {
        let mut fields = Fields::new(message);
        let request = match kind {
            b'Q' => Request::Query(fields.text()?),
            b'P' => {
                let (statement, text) = (fields.text()?, fields.text()?);
                let count = fields.count(4)?;
                let types = (0..count).map(|_| fields.u32()).collect::<Result<_, _>>()?;
                Request::Parse(Parse { statement, text, types })
            }
            b'B' => {
                let (portal, statement) = (fields.text()?, fields.text()?);
                let formats = formats(&mut fields)?;
                let count = fields.count(4)?;
                let values = (0..count).map(|_| fields.value()).collect::<Result<_, _>>()?;
                let result_formats = self::formats(&mut fields)?;
                Request::Bind(Bind { portal, statement, formats, values, result_formats })
            }
            b'D' => Request::Describe(target(&mut fields)?),
            b'C' => Request::Close(target(&mut fields)?),
            b'E' => {
                let (portal, rows) = (fields.text()?, fields.i32()?);
                // As in PostgreSQL, a negative number is no limit.
                Request::Execute { portal, rows_max: u32::try_from(rows).unwrap_or(0) }
            }
            b'H' => Request::Flush,
            b'S' => Request::Sync,
            b'X' => Request::Terminate,
            b'p' => return Ok(Request::Password(fields.rest())),
            b'd' | b'c' | b'f' => return Ok(Request::Copy),
            b'F' => return Ok(Request::Function),
            kind => return Err(WireError::new(format!("there is no message of type {kind:#04x}"))),
        };
        fields.end()?;
        Ok(request)
    }
}

fn target(fields: &mut Fields) -> Result<Target, WireError> {
    match (fields.byte()?, fields.text()?) {
        (b'S', name) => Ok(Target::Statement(name)),
        (b'P', name) => Ok(Target::Portal(name)),
        (kind, _) => Err(WireError::new(format!("{kind:#04x} is neither a statement nor a portal"))),
    }
}

fn formats(fields: &mut Fields) -> Result<Vec<Format>, WireError> {
    let count = fields.count(2)?;
    let format = |code| match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        code => Err(WireError::new(format!("there is no format {code}"))),
    };
    (0..count).map(|_| fields.u16().and_then(format)).collect()
}
