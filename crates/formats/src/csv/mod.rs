//! `csv`: fields by position, parted by a character; Flink's format of that name.

mod decoder;
mod encoder;

pub(crate) use decoder::CsvDecoder;
pub(crate) use encoder::CsvEncoder;

use crate::FormatError;
use base::options::{OptionKind, OptionSpec, Options};

const fn spec(
    key: &'static str,
    kind: OptionKind,
    default: Option<&'static str>,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default, doc, example }
}

pub(crate) const SPECS: &[OptionSpec] = &[
    spec(
        "field-delimiter",
        OptionKind::Text,
        Some(","),
        "The character between two fields; `\\t` is the tabulator.",
        ";",
    ),
    spec(
        "disable-quote-character",
        OptionKind::Boolean,
        Some("false"),
        "Whether quotes have no meaning; `quote-character` cannot be given then.",
        "true",
    ),
    spec("quote-character", OptionKind::Text, None, "Encloses fields; a double quote by default.", "'"),
    spec(
        "allow-comments",
        OptionKind::Boolean,
        Some("false"),
        "Whether lines that begin with `#` are passed over.",
        "true",
    ),
    spec(
        "ignore-parse-errors",
        OptionKind::Boolean,
        Some("false"),
        "Whether records that do not fit are skipped, and fields that do not fit their type become NULL.",
        "true",
    ),
    spec(
        "array-element-delimiter",
        OptionKind::Text,
        Some(";"),
        "Stands between the elements of an ARRAY or a ROW.",
        "|",
    ),
    spec("escape-character", OptionKind::Text, None, "Takes the meaning from the character behind it.", "\\"),
    spec(
        "null-literal",
        OptionKind::Text,
        None,
        "The text that stands for NULL; without it no text does, and NULL is written as an empty field.",
        "n/a",
    ),
    spec(
        "write-bigdecimal-in-scientific-notation",
        OptionKind::Boolean,
        Some("true"),
        "Whether decimals may be written with an exponent: 1E+2 for 100.",
        "false",
    ),
];

/// The options, understood.
#[derive(Debug, Clone)]
struct Dialect {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    array_delimiter: String,
    null_literal: Option<String>,
}

impl Dialect {
    fn of(options: &Options) -> Result<Dialect, FormatError> {
        let quote = match (options.boolean("disable-quote-character"), options.text("quote-character")) {
            (true, Some(_)) => {
                let message = "'quote-character' cannot be given with 'disable-quote-character' = 'true'";
                return Err(FormatError(message.into()));
            }
            (true, None) => None,
            (false, None) => Some(b'"'),
            (false, Some(text)) => Some(character("quote-character", text)?),
        };
        let delimiter = character("field-delimiter", options.text("field-delimiter").unwrap_or(","))?;
        let escape =
            options.text("escape-character").map(|text| character("escape-character", text)).transpose()?;
        let array_delimiter = options.text("array-element-delimiter").unwrap_or(";").to_string();
        if array_delimiter.is_empty() {
            return Err(FormatError("'array-element-delimiter' must not be empty".into()));
        }
        if Some(delimiter) == quote || Some(delimiter) == escape {
            return Err(FormatError(
                "'field-delimiter' must differ from the quote and escape characters".into(),
            ));
        }
        let null_literal = options.text("null-literal").map(str::to_string);
        Ok(Dialect { delimiter, quote, escape, array_delimiter, null_literal })
    }
}

/// A character of one byte, given as itself or as an escape of Java.
fn character(option: &str, text: &str) -> Result<u8, FormatError> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        b"\\\\" => Ok(b'\\'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => {
            let shown = text.escape_debug();
            Err(FormatError(format!("'{option}' = '{shown}' is not valid: expected one ASCII character")))
        }
    }
}
