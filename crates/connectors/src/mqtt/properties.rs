//! The properties of version 5: numbers, texts and bytes by an id, and pairs that users write.

/// The ids of what a client looks at.
pub(super) const EXPIRY: u8 = 2;
pub(super) const CONTENT_TYPE: u8 = 3;
pub(super) const RESPONSE_TOPIC: u8 = 8;
pub(super) const CORRELATION: u8 = 9;
pub(super) const SESSION_EXPIRY: u8 = 17;
pub(super) const SERVER_KEEP_ALIVE: u8 = 19;
pub(super) const REASON: u8 = 31;
pub(super) const RECEIVE_MAX: u8 = 33;
pub(super) const QOS_MAX: u8 = 36;
pub(super) const RETAIN_AVAILABLE: u8 = 37;
const USER: u8 = 38;
pub(super) const PACKET_MAX: u8 = 39;

/// Properties of one packet, of which each takes several times in memory what it does in the packet.
const COUNT_MAX: usize = 4096;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties {
    numbers: Vec<(u8, u32)>,
    /// Texts are bytes too.
    bytes: Vec<(u8, Vec<u8>)>,
    pub user: Vec<(String, String)>,
}

/// How a property is written (section 2.2.2.2).
enum Shape {
    Byte,
    Two,
    Four,
    Variable,
    Bytes,
    Pair,
}

fn shape(id: u8) -> Option<Shape> {
    Some(match id {
        1 | 23 | 25 | QOS_MAX | RETAIN_AVAILABLE | 40 | 41 | 42 => Shape::Byte,
        SERVER_KEEP_ALIVE | RECEIVE_MAX | 34 | 35 => Shape::Two,
        EXPIRY | SESSION_EXPIRY | 24 | PACKET_MAX => Shape::Four,
        11 => Shape::Variable,
        CONTENT_TYPE | RESPONSE_TOPIC | CORRELATION | 18 | 21 | 22 | 26 | 28 | REASON => Shape::Bytes,
        USER => Shape::Pair,
        _ => return None,
    })
}

impl Properties {
    pub(super) fn number(&self, id: u8) -> Option<u32> {
        self.numbers.iter().find(|(known, _)| *known == id).map(|(_, number)| *number)
    }

    pub(super) fn text(&self, id: u8) -> Option<String> {
        let (_, bytes) = self.bytes.iter().find(|(known, _)| *known == id)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn set_number(&mut self, id: u8, number: u32) {
        self.numbers.push((id, number));
    }

    pub(super) fn set_text(&mut self, id: u8, text: &str) {
        self.bytes.push((id, text.as_bytes().to_vec()));
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        let pairs = self.user.iter().map(|(name, value)| name.len() + value.len() + 48);
        let bytes = self.bytes.iter().map(|(_, bytes)| bytes.len() + 32);
        self.numbers.len() * 8 + pairs.chain(bytes).sum::<usize>()
    }

    /// With their length in front.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Properties, String> {
        let (length, digits) = varint(reader.0)?.ok_or("properties without a length")?;
        let rest = &reader.0[digits..];
        let (own, behind) = rest.split_at_checked(length as usize).ok_or("properties are cut off")?;
        reader.0 = behind;
        let (mut own, mut found) = (Reader(own), Properties::default());
        let mut count = 0;
        while !own.0.is_empty() {
            if count == COUNT_MAX {
                return Err(format!("more than {COUNT_MAX} properties"));
            }
            count += 1;
            let id = own.u8()?;
            match shape(id).ok_or_else(|| format!("there is no property {id}"))? {
                Shape::Byte => found.numbers.push((id, own.u8()?.into())),
                Shape::Two => found.numbers.push((id, own.u16()?.into())),
                Shape::Four => found.numbers.push((id, own.u32()?)),
                Shape::Variable => {
                    let (number, digits) = varint(own.0)?.ok_or("a number is cut off")?;
                    own.0 = &own.0[digits..];
                    found.numbers.push((id, number));
                }
                Shape::Bytes => found.bytes.push((id, own.bytes()?.to_vec())),
                Shape::Pair => found.user.push((own.lossy()?, own.lossy()?)),
            }
        }
        Ok(found)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut own = Vec::new();
        for (id, number) in &self.numbers {
            own.push(*id);
            match shape(*id) {
                Some(Shape::Byte) => own.push(*number as u8),
                Some(Shape::Two) => own.extend_from_slice(&(*number as u16).to_be_bytes()),
                Some(Shape::Variable) => put_varint(&mut own, *number as usize),
                _ => own.extend_from_slice(&number.to_be_bytes()),
            }
        }
        for (id, bytes) in &self.bytes {
            own.push(*id);
            put_binary(&mut own, bytes);
        }
        for (name, value) in &self.user {
            own.push(USER);
            put_text(&mut own, name);
            put_text(&mut own, value);
        }
        put_varint(out, own.len());
        out.extend_from_slice(&own);
    }
}

/// What is left of a packet.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("a packet is cut off")?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, String> {
        self.take().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, String> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.take().map(u32::from_be_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.u16()?;
        let (taken, rest) = self.0.split_at_checked(length.into()).ok_or("a text is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn text(&mut self) -> Result<String, String> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| "a topic is no text")?;
        Ok(text.to_string())
    }

    /// What is no text is shown as one.
    fn lossy(&mut self) -> Result<String, String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

/// A number of up to four digits of seven bits, and how many they are; none if there are more to come.
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, String> {
    let mut number = 0;
    for index in 0..4 {
        let Some(digit) = bytes.get(index) else { return Ok(None) };
        number |= u32::from(digit & 0x7f) << (7 * index);
        if digit & 0x80 == 0 {
            return Ok(Some((number, index + 1)));
        }
    }
    Err("a length has more than four digits".into())
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let digit = (number % 128) as u8;
        number /= 128;
        if number == 0 {
            out.push(digit);
            return;
        }
        out.push(digit | 0x80);
    }
}

/// What is longer was refused before.
pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(u16::MAX.into())];
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_binary(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_up_to_four_digits() {
        for (number, digits) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (268_435_455, 4)] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(varint(&out), Ok(Some((number as u32, digits))));
            assert_eq!(varint(&out[..digits - 1]), Ok(None));
        }
        assert!(varint(&[0x80; 4]).is_err());
    }

    #[test]
    fn properties_are_read_as_they_were_written_and_cut_off_they_are_none() {
        let mut properties = Properties { user: vec![("k".into(), "v".into()); 2], ..Properties::default() };
        for id in [1, 11, RECEIVE_MAX, EXPIRY, QOS_MAX] {
            properties.set_number(id, 200);
        }
        for id in [CONTENT_TYPE, CORRELATION, REASON] {
            properties.set_text(id, "text");
        }
        let mut out = Vec::new();
        properties.put(&mut out);
        let mut reader = Reader(&out);
        let found = Properties::read(&mut reader).unwrap();
        assert_eq!((&found, reader.0), (&properties, &[][..]));
        assert_eq!((found.number(EXPIRY), found.text(REASON).as_deref()), (Some(200), Some("text")));
        for cut in 0..out.len() {
            assert!(Properties::read(&mut Reader(&out[..cut])).is_err(), "cut to {cut}");
        }
        assert!(Properties::read(&mut Reader(&[2, 99, 0])).is_err());
        assert!(Properties::read(&mut Reader(&[4, 0x26, 0, 9, b'k'])).is_err());
        for one in [&[0x26, 0, 0, 0, 0][..], &[CONTENT_TYPE, 0, 0], &[1, 0], &[11, 0]] {
            for (count, is_right) in [(COUNT_MAX, true), (COUNT_MAX + 1, false)] {
                let many = one.repeat(count);
                let mut out = Vec::new();
                put_varint(&mut out, many.len());
                out.extend_from_slice(&many);
                assert_eq!(Properties::read(&mut Reader(&out)).is_ok(), is_right, "{one:?}");
            }
        }
    }
}
