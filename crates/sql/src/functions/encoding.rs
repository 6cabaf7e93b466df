//! Bytes and texts in other shapes: hexadecimal digits, base 64, character sets, URLs, digests.

mod base64;
mod charset;
mod digest;
mod url;

use super::Parameter::{BigInt, Bytes, Int, Text};
use super::*;
use crate::expression::value::{integers_column, texts_column};
use arrow_array::BinaryArray;
use charset::Charset;
use digest::Algorithm;
use std::fmt::Write;
use std::sync::Arc;

const fn hashed(
    name: &'static str,
    signatures: &'static [Signature],
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, String>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function { name, signatures, evaluate, doc, examples, ..PLAIN }
}

macro_rules! digits {
    ($digits:literal) => {
        &[signature(&[Text], |_| TypeKind::Char($digits)), signature(&[Bytes], |_| TypeKind::Char($digits))]
    };
}

fn returns_bytes(_: &[LogicalType]) -> TypeKind {
    TypeKind::bytes()
}

fn returns_digest(_: &[LogicalType]) -> TypeKind {
    TypeKind::VarChar(128)
}

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "HEX",
        signatures: &[signature(&[BigInt], returns_text), signature(&[Text], returns_text)],
        evaluate: hex,
        doc: "The hexadecimal digits of an integer, or of the bytes of a text.",
        examples: &[("HEX(20)", "14"), ("HEX(-1)", "FFFFFFFFFFFFFFFF"), ("HEX('hello')", "68656C6C6F")],
        ..PLAIN
    },
    Function {
        name: "UNHEX",
        signatures: &[signature(&[Text], returns_bytes)],
        nullability: Nullability::Always,
        evaluate: unhex,
        doc: "The bytes of hexadecimal digits; NULL where they are none. An odd number of digits has a 0 before it.",
        examples: &[("DECODE(UNHEX('466C696E6B'), 'UTF-8')", "Flink"), ("UNHEX('zz')", "NULL")],
        ..PLAIN
    },
    Function {
        name: "ENCODE",
        signatures: &[signature(&[Text, Text], returns_bytes)],
        may_fail: true,
        evaluate: encode,
        doc: "The bytes of a text in a character set: US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE or UTF-16.",
        examples: &[("TO_BASE64(ENCODE('aé', 'UTF-16'))", "/v8AYQDp")],
        ..PLAIN
    },
    Function {
        name: "DECODE",
        signatures: &[signature(&[Bytes, Text], returns_text)],
        may_fail: true,
        evaluate: decode,
        doc: "The text that bytes are in a character set, as for ENCODE.",
        examples: &[("DECODE(x'e9', 'ISO-8859-1')", "é"), ("DECODE(x'616263', 'UTF-8')", "abc")],
        ..PLAIN
    },
    Function {
        name: "TO_BASE64",
        signatures: &[signature(&[Text], returns_text), signature(&[Bytes], returns_text)],
        evaluate: |call| with_bytes(call, base64::encode),
        doc: "The bytes in base 64.",
        examples: &[("TO_BASE64('hello world')", "aGVsbG8gd29ybGQ=")],
        ..PLAIN
    },
    Function {
        name: "FROM_BASE64",
        signatures: &[signature(&[Text], returns_text), signature(&[Bytes], returns_text)],
        may_fail: true,
        evaluate: from_base64,
        doc: "The text that base 64 stands for; anything else fails.",
        examples: &[("FROM_BASE64('aGVsbG8gd29ybGQ=')", "hello world")],
        ..PLAIN
    },
    hashed(
        "MD5",
        digits!(32),
        |call| digest(call, Algorithm::Md5),
        "The MD5 digest, in hexadecimal digits.",
        &[("MD5('abc')", "900150983cd24fb0d6963f7d28e17f72")],
    ),
    hashed(
        "SHA1",
        digits!(40),
        |call| digest(call, Algorithm::Sha1),
        "The SHA-1 digest, in hexadecimal digits.",
        &[("SHA1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d")],
    ),
    hashed(
        "SHA224",
        digits!(56),
        |call| digest(call, Algorithm::Sha224),
        "The SHA-224 digest, in hexadecimal digits.",
        &[("SHA224('abc')", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7")],
    ),
    hashed(
        "SHA256",
        digits!(64),
        |call| digest(call, Algorithm::Sha256),
        "The SHA-256 digest, in hexadecimal digits.",
        &[("SHA256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")],
    ),
    hashed(
        "SHA384",
        digits!(96),
        |call| digest(call, Algorithm::Sha384),
        "The SHA-384 digest, in hexadecimal digits.",
        &[("LEFT(SHA384('abc'), 16)", "cb00753f45a35e8b")],
    ),
    hashed(
        "SHA512",
        digits!(128),
        |call| digest(call, Algorithm::Sha512),
        "The SHA-512 digest, in hexadecimal digits.",
        &[("LEFT(SHA512('abc'), 16)", "ddaf35a193617aba")],
    ),
    Function {
        name: "SHA2",
        signatures: &[signature(&[Text, Int], returns_digest), signature(&[Bytes, Int], returns_digest)],
        may_fail: true,
        evaluate: sha2,
        doc: "The SHA-2 digest of 224, 256, 384 or 512 bits, in hexadecimal digits.",
        examples: &[("SHA2('abc', 224)", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7")],
        ..PLAIN
    },
    Function {
        name: "URL_ENCODE",
        signatures: &[signature(&[Text], returns_text)],
        nullability: Nullability::Always,
        evaluate: |call| with_texts(call, url::encode),
        doc: "The text as a part of a URL, as forms are sent.",
        examples: &[(
            "URL_ENCODE('https://flink.apache.org/ a+b')",
            "https%3A%2F%2Fflink.apache.org%2F+a%2Bb",
        )],
        ..PLAIN
    },
    Function {
        name: "URL_DECODE",
        signatures: &[signature(&[Text], returns_text)],
        nullability: Nullability::Always,
        evaluate: |call| with_texts(call, url::decode),
        doc: "The text that a part of a URL stands for; NULL where it is none.",
        examples: &[
            ("URL_DECODE('https%3A%2F%2Fflink.apache.org%2F+a')", "https://flink.apache.org/ a"),
            ("URL_DECODE('%zz')", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "PARSE_URL",
        signatures: &[optional(&[Text, Text, Text], 1, returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: parse_url,
        doc: "A part of a URL: HOST, PATH, QUERY, REF, PROTOCOL, AUTHORITY, FILE or USERINFO; or the value of a key of its QUERY.",
        examples: &[
            ("PARSE_URL('http://facebook.com/path1/p.php?k1=v1&k2=v2#Ref1', 'HOST')", "facebook.com"),
            ("PARSE_URL('http://facebook.com/path1/p.php?k1=v1&k2=v2#Ref1', 'QUERY', 'k2')", "v2"),
            ("PARSE_URL('no url', 'HOST')", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "INET_ATON",
        signatures: &[signature(&[Text], returns_bigint)],
        nullability: Nullability::Always,
        evaluate: inet_aton,
        doc: "The number of an IPv4 address; NULL where it is none.",
        examples: &[("INET_ATON('127.0.0.1')", "2130706433")],
        ..PLAIN
    },
    Function {
        name: "INET_NTOA",
        signatures: &[signature(&[BigInt], returns_text)],
        nullability: Nullability::Always,
        evaluate: inet_ntoa,
        doc: "The IPv4 address of a number; NULL where it is none.",
        examples: &[("INET_NTOA(2130706433)", "127.0.0.1")],
        ..PLAIN
    },
];

type ByteReader<'a> = Box<dyn Fn(usize) -> Option<&'a [u8]> + 'a>;

/// The bytes of the first argument, a text or bytes, by row.
fn bytes_of<'a>(call: &'a Call<'_>) -> Result<ByteReader<'a>, String> {
    let value = call.argument(0)?;
    if call.types[0].kind.is_binary() {
        let blobs = value.blobs()?;
        return Ok(Box::new(move |row| blobs.get(row)));
    }
    let texts = value.texts()?;
    Ok(Box::new(move |row| texts.get(row).map(str::as_bytes)))
}

fn with_bytes(call: &Call<'_>, write: impl Fn(&[u8], &mut String)) -> Result<ArrayRef, String> {
    let bytes = bytes_of(call)?;
    texts_column(call.rows, |row, out| bytes(row).map(|bytes| write(bytes, out)).is_some())
}

/// Texts from texts; `write` answers whether there is one.
fn with_texts(call: &Call<'_>, write: impl Fn(&str, &mut String) -> bool) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    texts_column(call.rows, |row, out| texts.get(row).is_some_and(|text| write(text, out)))
}

fn hex(call: &Call<'_>) -> Result<ArrayRef, String> {
    if call.types[0].kind.is_character() {
        return with_bytes(call, |bytes, out| {
            for byte in bytes {
                let _ = write!(out, "{byte:02X}");
            }
        });
    }
    let numbers = call.argument(0)?.integers()?;
    texts_column(call.rows, |row, out| {
        numbers.get(row).is_some_and(|number| write!(out, "{number:X}").is_ok())
    })
}

fn unhex(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let array: BinaryArray = (0..call.rows).map(|row| unhexed(texts.get(row)?.as_bytes())).collect();
    Ok(Arc::new(array))
}

fn unhexed(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    let (head, pairs) = digits.split_at(digits.len() % 2);
    let mut bytes = Vec::with_capacity(digits.len().div_ceil(2));
    for digit in head {
        bytes.push(value(*digit)?);
    }
    for pair in pairs.chunks_exact(2) {
        bytes.push(value(pair[0])? << 4 | value(pair[1])?);
    }
    Some(bytes)
}

fn encode(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, names) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let mut out: Vec<Option<Vec<u8>>> = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        out.push(match (texts.get(row), names.get(row)) {
            (Some(text), Some(name)) => Some(Charset::named(name)?.encode(text)),
            _ => None,
        });
    }
    Ok(Arc::new(out.into_iter().collect::<BinaryArray>()))
}

fn decode(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (blobs, names) = (call.argument(0)?.blobs()?, call.argument(1)?.texts()?);
    fallible_texts(call.rows, |row, out| {
        let (Some(bytes), Some(name)) = (blobs.get(row), names.get(row)) else { return Ok(false) };
        Charset::named(name)?.decode(bytes, out);
        Ok(true)
    })
}

fn from_base64(call: &Call<'_>) -> Result<ArrayRef, String> {
    let bytes = bytes_of(call)?;
    fallible_texts(call.rows, |row, out| {
        let Some(digits) = bytes(row) else { return Ok(false) };
        out.push_str(&String::from_utf8_lossy(&base64::decode(digits)?));
        Ok(true)
    })
}

fn digest(call: &Call<'_>, algorithm: Algorithm) -> Result<ArrayRef, String> {
    with_bytes(call, |bytes, out| algorithm.write(bytes, out))
}

fn sha2(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (bytes, lengths) = (bytes_of(call)?, call.argument(1)?.integers()?);
    fallible_texts(call.rows, |row, out| {
        let (Some(bytes), Some(length)) = (bytes(row), lengths.get(row)) else { return Ok(false) };
        let algorithm = match length {
            224 => Algorithm::Sha224,
            256 => Algorithm::Sha256,
            384 => Algorithm::Sha384,
            512 => Algorithm::Sha512,
            _ => return Err(format!("SHA2 has no digest of {length} bits; use 224, 256, 384 or 512")),
        };
        algorithm.write(bytes, out);
        Ok(true)
    })
}

fn parse_url(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, parts) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let keys = call.arguments.get(2).map(Value::texts).transpose()?;
    let mut last = super::regular_expression::KeyPattern::default();
    fallible_texts(call.rows, |row, out| {
        let (Some(text), Some(part)) = (texts.get(row), parts.get(row)) else { return Ok(false) };
        let Some(found) = url::Url::parse(text).and_then(|url| url.part(part)) else { return Ok(false) };
        let Some(keys) = &keys else {
            out.push_str(&found);
            return Ok(true);
        };
        let Some(key) = keys.get(row).filter(|_| part == "QUERY") else { return Ok(false) };
        // Flink puts the key into a pattern as it is.
        let value = last.second_group(&format!("(&|^){key}=([^&]*)"), &found)?;
        Ok(value.map(|value| out.push_str(value)).is_some())
    })
}

fn inet_aton(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    integers_column((0..call.rows).map(|row| url::address_number(texts.get(row)?)), call.result)
}

fn inet_ntoa(call: &Call<'_>) -> Result<ArrayRef, String> {
    let numbers = call.argument(0)?.integers()?;
    texts_column(call.rows, |row, out| {
        let Some(number) = numbers.get(row).and_then(|number| u32::try_from(number).ok()) else {
            return false;
        };
        let [a, b, c, d] = number.to_be_bytes();
        write!(out, "{a}.{b}.{c}.{d}").is_ok()
    })
}
