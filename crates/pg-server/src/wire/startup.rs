//! The first packets of a connection, which have no type: what protocol is wanted, TLS, or the end of a query.

use super::FIRST_BYTES_MAX;
use super::fields::{Fields, WireError};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::BTreeMap;

const PROTOCOL_3: u32 = 3;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS_ENCRYPTION: u32 = 80_877_104;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Startup {
    Ssl,
    GssEncryption,
    Cancel {
        process: u32,
        secret: u32,
    },
    Begin {
        /// Of the version; 0 is what the node speaks.
        minor: u16,
        parameters: BTreeMap<String, String>,
    },
}

/// Takes the first packet off what was read; `None` if it is not whole.
pub fn first_packet(read: &mut BytesMut) -> Result<Option<Startup>, WireError> {
    let Some(length) = read.get(..4) else { return Ok(None) };
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if !(8..=FIRST_BYTES_MAX).contains(&length) {
        return Err(WireError::new("the first packet is none of PostgreSQL's protocol"));
    }
    if read.len() < length {
        return Ok(None);
    }
    let mut packet = read.split_to(length);
    packet.advance(4);
    parse(packet.freeze()).map(Some)
}

fn parse(packet: Bytes) -> Result<Startup, WireError> {
    let mut fields = Fields::new(packet);
    match fields.u32()? {
        SSL => fields.end().map(|()| Startup::Ssl),
        GSS_ENCRYPTION => fields.end().map(|()| Startup::GssEncryption),
        CANCEL => {
            let (process, secret) = (fields.u32()?, fields.u32()?);
            fields.end()?;
            Ok(Startup::Cancel { process, secret })
        }
        version if version >> 16 == PROTOCOL_3 => {
            let mut parameters = BTreeMap::new();
            loop {
                let name = fields.text()?;
                if name.is_empty() {
                    break;
                }
                parameters.insert(name, fields.text()?);
            }
            fields.end()?;
            Ok(Startup::Begin { minor: (version & 0xffff) as u16, parameters })
        }
        version => Err(WireError::new(format!(
            "protocol version {}.{} is not spoken here; version 3.0 is",
            version >> 16,
            version & 0xffff
        ))),
    }
}
