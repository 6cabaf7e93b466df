//! Text functions. Positions and lengths count code points from 1, as Flink's do; LPAD and RPAD alone count UTF-16 units.

use super::Parameter::{Any, Bytes, Int, Text};
use super::*;
use crate::expression::value::{integers_column, texts_column};
use arrow_array::BooleanArray;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "UPPER",
        signatures: &[signature(&[Text], returns_first)],
        evaluate: |call| map_text(call, |text| Some(text.to_uppercase())),
        doc: "The text in upper case.",
        examples: &[("UPPER('aBc')", "ABC")],
        ..PLAIN
    },
    Function {
        name: "LOWER",
        signatures: &[signature(&[Text], returns_first)],
        evaluate: |call| map_text(call, |text| Some(text.to_lowercase())),
        doc: "The text in lower case.",
        examples: &[("LOWER('aBc')", "abc")],
        ..PLAIN
    },
    Function {
        name: "INITCAP",
        signatures: &[signature(&[Text], returns_first)],
        evaluate: |call| map_text(call, |text| Some(capitalize(text))),
        doc: "Each word of ASCII letters and digits with a capital letter, the rest of it in lower case.",
        examples: &[("INITCAP('hello wORLD')", "Hello World")],
        ..PLAIN
    },
    Function {
        name: "BTRIM",
        signatures: &[optional(&[Text, Text], 1, returns_text)],
        evaluate: |call| trim(call, true, true),
        doc: "Without the given characters (blanks) at both ends.",
        examples: &[("BTRIM('  a ')", "a"), ("BTRIM('xxaxx', 'x')", "a")],
        ..PLAIN
    },
    Function {
        name: "$TRIM",
        signatures: &[optional(&[Text, Text], 1, returns_part)],
        evaluate: |call| trim(call, true, true),
        doc: "TRIM: without the given characters (blanks) at both ends.",
        examples: &[("TRIM('  a ')", "a"), ("TRIM(BOTH 'x' FROM 'xxaxx')", "a")],
        ..PLAIN
    },
    Function {
        name: "LTRIM",
        signatures: &[optional(&[Text, Text], 1, returns_part)],
        evaluate: |call| trim(call, true, false),
        doc: "Without the given characters (blanks) at the beginning.",
        examples: &[("LTRIM('  a ')", "a "), ("TRIM(LEADING 'x' FROM 'xxaxx')", "axx")],
        ..PLAIN
    },
    Function {
        name: "RTRIM",
        signatures: &[optional(&[Text, Text], 1, returns_part)],
        evaluate: |call| trim(call, false, true),
        doc: "Without the given characters (blanks) at the end.",
        examples: &[("RTRIM(' a  ')", " a"), ("TRIM(TRAILING 'x' FROM 'xxaxx')", "xxa")],
        ..PLAIN
    },
    Function {
        name: "SUBSTRING",
        aliases: &["SUBSTR"],
        signatures: &[optional(&[Text, Int, Int], 1, returns_part)],
        nullability: Nullability::Always,
        evaluate: substring,
        doc: "The part from a position on, counted from 1 or, negative, from the end.",
        examples: &[
            ("SUBSTRING('hello', 2)", "ello"),
            ("SUBSTRING('hello' FROM 2 FOR 3)", "ell"),
            ("SUBSTR('hello', -3, 2)", "ll"),
            ("SUBSTRING('hello', 9)", ""),
            ("SUBSTRING('hello', 2, -1)", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "CONCAT",
        signatures: &[repeated(&[Text], returns_text)],
        evaluate: concatenate,
        doc: "The texts one after the other; NULL if one of them is.",
        examples: &[("CONCAT('a', 'b', 'c')", "abc"), ("CONCAT('a', CAST(NULL AS STRING))", "NULL")],
        ..PLAIN
    },
    Function {
        name: "||",
        signatures: &[signature(&[Text, Text], returns_text)],
        evaluate: concatenate,
        doc: "Two texts one after the other.",
        examples: &[("'a' || 'b'", "ab")],
        ..PLAIN
    },
    Function {
        name: "CONCAT_WS",
        signatures: &[repeated(&[Text, Text], returns_text)],
        evaluate: concatenate_with_separator,
        doc: "The texts that are not NULL, with the first argument between them.",
        examples: &[
            ("CONCAT_WS('~', 'AA', CAST(NULL AS STRING), 'BB', '', 'CC')", "AA~BB~~CC"),
            ("CONCAT_WS(CAST(NULL AS STRING), 'a', 'b')", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "CHAR_LENGTH",
        aliases: &["CHARACTER_LENGTH", "LENGTH"],
        signatures: &[signature(&[Text], returns_int)],
        evaluate: |call| integer(call, |text| Some(text.chars().count() as i64)),
        doc: "How many code points the text has.",
        examples: &[("CHAR_LENGTH('Größe')", "5")],
        ..PLAIN
    },
    Function {
        name: "OCTET_LENGTH",
        signatures: &[signature(&[Text], returns_int), signature(&[Bytes], returns_int)],
        evaluate: octet_length,
        doc: "How many bytes the text or byte string has.",
        examples: &[("OCTET_LENGTH('Größe')", "7")],
        ..PLAIN
    },
    Function {
        name: "ASCII",
        signatures: &[signature(&[Text], returns_int)],
        evaluate: |call| {
            integer(call, |text| {
                // Java's bytes have a sign.
                Some(text.bytes().next().map_or(0, |byte| i64::from(byte as i8)))
            })
        },
        doc: "The number of the first character; 0 for the empty text.",
        examples: &[("ASCII('abc')", "97"), ("ASCII('')", "0")],
        ..PLAIN
    },
    Function {
        name: "CHR",
        signatures: &[signature(&[Parameter::Integer], returns_text)],
        nullability: Nullability::Always,
        evaluate: character,
        doc: "The character of a number modulo 256; the empty text for a negative one.",
        examples: &[("CHR(97)", "a"), ("CHR(353)", "a"), ("CHR(-1)", "")],
        ..PLAIN
    },
    Function {
        name: "POSITION",
        signatures: &[signature(&[Text, Text], returns_int)],
        evaluate: |call| find_text(call, 0, 1),
        doc: "Where the first text stands in the second, counted from 1; 0 when it does not.",
        examples: &[("POSITION('lo' IN 'hello')", "4"), ("POSITION('x' IN 'hello')", "0")],
        ..PLAIN
    },
    Function {
        name: "LOCATE",
        signatures: &[optional(&[Text, Text, Int], 1, returns_int)],
        evaluate: |call| find_text(call, 0, 1),
        doc: "Where the first text stands in the second, from a position on.",
        examples: &[("LOCATE('l', 'hello')", "3"), ("LOCATE('l', 'hello', 4)", "4")],
        ..PLAIN
    },
    Function {
        name: "INSTR",
        signatures: &[optional(&[Text, Text, Int, Int], 2, returns_int)],
        may_fail: true,
        evaluate: in_string,
        doc: "Where the second text stands in the first; 0 when it does not. From a position on, from the end where it is negative; of several places the one of the last argument.",
        examples: &[
            ("INSTR('hello', 'l')", "3"),
            ("INSTR('abcabc', 'b', 1, 2)", "5"),
            ("INSTR('abcabc', 'b', -1)", "5"),
        ],
        ..PLAIN
    },
    Function {
        name: "STARTSWITH",
        signatures: &[signature(&[Text, Text], returns_boolean)],
        evaluate: |call| test(call, |text, other| text.starts_with(other)),
        doc: "Whether the first text begins with the second.",
        examples: &[("STARTSWITH('hello', 'he')", "TRUE"), ("STARTSWITH('hello', 'lo')", "FALSE")],
        ..PLAIN
    },
    Function {
        name: "ENDSWITH",
        signatures: &[signature(&[Text, Text], returns_boolean)],
        evaluate: |call| test(call, |text, other| text.ends_with(other)),
        doc: "Whether the first text ends with the second.",
        examples: &[("ENDSWITH('hello', 'lo')", "TRUE")],
        ..PLAIN
    },
    Function {
        name: "REPLACE",
        signatures: &[signature(&[Text, Text, Text], returns_text)],
        may_fail: true,
        evaluate: replace,
        doc: "Every occurrence of the second text replaced by the third.",
        examples: &[
            ("REPLACE('hello world', 'world', 'flink')", "hello flink"),
            ("REPLACE('ababab', 'abab', 'z')", "zab"),
        ],
        ..PLAIN
    },
    Function {
        name: "TRANSLATE",
        signatures: &[signature(&[Text, Text, Text], returns_text)],
        evaluate: |call| three(call, translate),
        doc: "Each character of the second text replaced by the one at its place in the third.",
        examples: &[("TRANSLATE('www.apache.org', 'wapcheorg', ' APCHEcom')", "   .APACHE.com")],
        ..PLAIN
    },
    Function {
        name: "SPLIT_INDEX",
        signatures: &[
            signature(&[Text, Text, Int], returns_text),
            signature(&[Text, Int, Int], returns_text),
        ],
        nullability: Nullability::Always,
        evaluate: split_index,
        doc: "The part of that number, from 0, of a text cut at a separator, or at the character of a number; NULL when there are fewer.",
        examples: &[
            ("SPLIT_INDEX('a,b,c', ',', 1)", "b"),
            ("SPLIT_INDEX('a,b,c', ',', 3)", "NULL"),
            ("SPLIT_INDEX('a,b,c', ',', -1)", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "LPAD",
        signatures: &[signature(&[Text, Int, Text], returns_text)],
        nullability: Nullability::Always,
        evaluate: |call| pad(call, true),
        doc: "Filled at the left with the third text, or cut, to a length.",
        examples: &[
            ("LPAD('hi', 4, '??')", "??hi"),
            ("LPAD('hi', 1, '??')", "h"),
            ("LPAD('hi', -1, '?')", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "RPAD",
        signatures: &[signature(&[Text, Int, Text], returns_text)],
        nullability: Nullability::Always,
        evaluate: |call| pad(call, false),
        doc: "Filled at the right with the third text, or cut, to a length.",
        examples: &[("RPAD('hi', 4, '??')", "hi??"), ("RPAD('hi', 5, 'ab')", "hiaba")],
        ..PLAIN
    },
    Function {
        name: "LEFT",
        signatures: &[signature(&[Text, Int], returns_part)],
        nullability: Nullability::Always,
        evaluate: |call| {
            counted(call, |text, count| text.chars().take(usize::try_from(count).unwrap_or(0)).collect())
        },
        doc: "The first characters; the empty text for a negative number.",
        examples: &[("LEFT('hello', 2)", "he"), ("LEFT('hello', -2)", "")],
        ..PLAIN
    },
    Function {
        name: "RIGHT",
        signatures: &[signature(&[Text, Int], returns_part)],
        nullability: Nullability::Always,
        evaluate: |call| {
            counted(call, |text, count| {
                let count = usize::try_from(count).unwrap_or(0);
                let skipped = text.chars().count().saturating_sub(count);
                text.chars().skip(skipped).collect()
            })
        },
        doc: "The last characters; the empty text for a negative number.",
        examples: &[("RIGHT('hello', 2)", "lo")],
        ..PLAIN
    },
    Function {
        name: "REPEAT",
        signatures: &[signature(&[Text, Int], returns_text)],
        may_fail: true,
        evaluate: repeat,
        doc: "The text as many times.",
        examples: &[("REPEAT('ab', 3)", "ababab"), ("REPEAT('ab', 0)", "")],
        ..PLAIN
    },
    Function {
        name: "REVERSE",
        signatures: &[signature(&[Text], returns_text)],
        nullability: Nullability::Always,
        evaluate: |call| map_text(call, |text| Some(text.chars().rev().collect())),
        doc: "The characters in reverse order.",
        examples: &[("REVERSE('abc')", "cba")],
        ..PLAIN
    },
    Function {
        name: "OVERLAY",
        signatures: &[optional(&[Text, Text, Int, Int], 1, returns_joined)],
        evaluate: overlay,
        doc: "The first text with a stretch of it replaced by the second.",
        examples: &[
            ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6)", "xxxxxxxxx"),
            ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6 FOR 2)", "xxxxxxxxxst"),
        ],
        ..PLAIN
    },
    Function {
        name: "ELT",
        signatures: &[repeated(&[Int, Text], returns_element), repeated(&[Int, Bytes], returns_element)],
        nullability: Nullability::Always,
        evaluate: element,
        doc: "The argument of that number, counted from 1 behind the number; NULL where there is none.",
        examples: &[("ELT(2, 'scala', 'java')", "java"), ("ELT(3, 'scala', 'java')", "NULL")],
        ..PLAIN
    },
    Function {
        name: "PRINTF",
        signatures: &[signature(&[Text], returns_text), repeated(&[Text, Any], returns_text)],
        nullability: Nullability::Always,
        may_fail: true,
        evaluate: super::printf::printf,
        doc: "A text by a pattern of Java's Formatter; NULL where the pattern does not fit the arguments.",
        examples: &[
            ("PRINTF('%d %s', 1, 'a')", "1 a"),
            ("PRINTF('%08.3f|%,d', 1.5e0, 1234567)", "0001.500|1,234,567"),
            ("PRINTF('%d', 'a')", "NULL"),
        ],
        ..PLAIN
    },
    Function {
        name: "TYPEOF",
        signatures: &[signature(&[Any], returns_text)],
        nullability: Nullability::Always,
        evaluate: |call| {
            let name = call.types[0].to_string();
            texts_column(call.rows, |_, out| {
                out.push_str(&name);
                true
            })
        },
        doc: "The type of the argument.",
        examples: &[("TYPEOF(1.5)", "DECIMAL(2, 1) NOT NULL")],
        ..PLAIN
    },
];

/// The length of a text type; that of STRING is the greatest.
fn length_of(data_type: Option<&LogicalType>) -> u32 {
    match data_type.map(|data_type| &data_type.kind) {
        Some(TypeKind::Char(length) | TypeKind::VarChar(length)) => *length,
        _ => crate::types::LENGTH_MAX,
    }
}

/// No longer than the first text.
fn returns_part(types: &[LogicalType]) -> TypeKind {
    TypeKind::VarChar(length_of(types.first()))
}

/// As long as two texts together.
fn returns_joined(types: &[LogicalType]) -> TypeKind {
    let length = length_of(types.first()).saturating_add(length_of(types.get(1)));
    TypeKind::VarChar(length.min(crate::types::LENGTH_MAX))
}

/// Of ELT: what holds all of them.
fn returns_element(types: &[LogicalType]) -> TypeKind {
    let common = types.iter().skip(1).cloned().map(Some).reduce(|left, right| wider_type(&left?, &right?));
    common.flatten().map_or(TypeKind::Null, |common| common.kind)
}

fn element(call: &Call<'_>) -> Result<ArrayRef, String> {
    let numbers = call.argument(0)?.integers()?;
    let chosen = |row: usize| {
        let number = usize::try_from(numbers.get(row)?).ok().filter(|number| *number > 0)?;
        call.arguments.get(number)
    };
    if call.result.kind.is_binary() {
        let mut out = Vec::with_capacity(call.rows);
        for row in 0..call.rows {
            out.push(chosen(row).map(Value::blobs).transpose()?.and_then(|blobs| blobs.get(row)));
        }
        return Ok(std::sync::Arc::new(out.into_iter().collect::<arrow_array::BinaryArray>()));
    }
    fallible_texts(call.rows, |row, out| {
        let Some(value) = chosen(row) else { return Ok(false) };
        Ok(value.texts()?.get(row).map(|text| out.push_str(text)).is_some())
    })
}

/// How long LPAD and RPAD make a text.
pub(crate) const PADDED_MAX: i64 = TEXT_BYTES_MAX as i64;

fn map_text(call: &Call<'_>, map: impl Fn(&str) -> Option<String>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    texts_column(call.rows, |row, out| match texts.get(row).and_then(&map) {
        Some(text) => {
            out.push_str(&text);
            true
        }
        None => false,
    })
}

fn integer(call: &Call<'_>, map: impl Fn(&str) -> Option<i64>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    integers_column((0..call.rows).map(|row| texts.get(row).and_then(&map)), call.result)
}

fn counted(call: &Call<'_>, map: impl Fn(&str, i64) -> String) -> Result<ArrayRef, String> {
    let (texts, counts) = (call.argument(0)?.texts()?, call.argument(1)?.integers()?);
    texts_column(call.rows, |row, out| match (texts.get(row), counts.get(row)) {
        (Some(text), Some(count)) => {
            out.push_str(&map(text, count));
            true
        }
        _ => false,
    })
}

fn three(call: &Call<'_>, map: impl Fn(&str, &str, &str) -> String) -> Result<ArrayRef, String> {
    let (a, b, c) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?, call.argument(2)?.texts()?);
    texts_column(call.rows, |row, out| match (a.get(row), b.get(row), c.get(row)) {
        (Some(a), Some(b), Some(c)) => {
            out.push_str(&map(a, b, c));
            true
        }
        _ => false,
    })
}

fn test(call: &Call<'_>, holds: impl Fn(&str, &str) -> bool) -> Result<ArrayRef, String> {
    let (a, b) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let array: BooleanArray = (0..call.rows).map(|row| Some(holds(a.get(row)?, b.get(row)?))).collect();
    Ok(Arc::new(array))
}

/// Words are of ASCII letters and digits alone, as in Flink; every other character ends one.
fn capitalize(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        out.push(if inside { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() });
        inside = letter.is_ascii_alphanumeric();
    }
    out
}

fn trim(call: &Call<'_>, leading: bool, trailing: bool) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let sets = call.arguments.get(1).map(Value::texts).transpose()?;
    texts_column(call.rows, |row, out| {
        let Some(mut text) = texts.get(row) else { return false };
        let set = match &sets {
            None => " ",
            Some(sets) => match sets.get(row) {
                Some(set) => set,
                None => return false,
            },
        };
        if leading {
            text = text.trim_start_matches(|letter| set.contains(letter));
        }
        if trailing {
            text = text.trim_end_matches(|letter| set.contains(letter));
        }
        out.push_str(text);
        true
    })
}

fn substring(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, starts) = (call.argument(0)?.texts()?, call.argument(1)?.integers()?);
    let lengths = call.arguments.get(2).map(Value::integers).transpose()?;
    texts_column(call.rows, |row, out| {
        let (Some(text), Some(start)) = (texts.get(row), starts.get(row)) else { return false };
        let length = match &lengths {
            None => i64::MAX,
            Some(lengths) => match lengths.get(row) {
                Some(length) if length >= 0 => length,
                _ => return false,
            },
        };
        let count = text.chars().count() as i64;
        let from = match start {
            start if start > 0 => start - 1,
            0 => 0,
            start => count + start,
        };
        // A beginning before the text uses up length.
        let to = from.saturating_add(length).min(count);
        if from < 0 && start < 0 {
            return true;
        }
        let from = from.max(0);
        if to > from {
            out.extend(text.chars().skip(from as usize).take((to - from) as usize));
        }
        true
    })
}

fn concatenate(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.arguments.iter().map(Value::texts).collect::<Result<Vec<_>, _>>()?;
    texts_column(call.rows, |row, out| {
        texts.iter().all(|texts| match texts.get(row) {
            Some(text) => {
                out.push_str(text);
                true
            }
            None => false,
        })
    })
}

fn concatenate_with_separator(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.arguments.iter().map(Value::texts).collect::<Result<Vec<_>, _>>()?;
    let Some((separators, parts)) = texts.split_first() else { return Err("no separator".into()) };
    texts_column(call.rows, |row, out| {
        let Some(separator) = separators.get(row) else { return false };
        let mut first = true;
        for text in parts.iter().filter_map(|texts| texts.get(row)) {
            if !first {
                out.push_str(separator);
            }
            first = false;
            out.push_str(text);
        }
        true
    })
}

fn octet_length(call: &Call<'_>) -> Result<ArrayRef, String> {
    let value = call.argument(0)?;
    if value.array().data_type() == &arrow_schema::DataType::Binary {
        let blobs = value.blobs()?;
        return integers_column(
            (0..call.rows).map(|row| blobs.get(row).map(|b| b.len() as i64)),
            call.result,
        );
    }
    integer(call, |text| Some(text.len() as i64))
}

fn character(call: &Call<'_>) -> Result<ArrayRef, String> {
    let numbers = call.argument(0)?.integers()?;
    texts_column(call.rows, |row, out| match numbers.get(row) {
        None => false,
        Some(number) => {
            if number >= 0 {
                out.push(char::from((number % 256) as u8));
            }
            true
        }
    })
}

/// Finds argument `needle` in argument `hay`, from the position of a third argument on.
fn find_text(call: &Call<'_>, needle: usize, hay: usize) -> Result<ArrayRef, String> {
    let (needles, hays) = (call.argument(needle)?.texts()?, call.argument(hay)?.texts()?);
    let starts = call.arguments.get(2).map(Value::integers).transpose()?;
    let values = (0..call.rows).map(|row| {
        let (needle, hay) = (needles.get(row)?, hays.get(row)?);
        let start = match &starts {
            None => 1,
            Some(starts) => starts.get(row)?,
        };
        let start = start.max(1);
        let Some((from, _)) = hay.char_indices().chain([(hay.len(), ' ')]).nth(start as usize - 1) else {
            return Some(0);
        };
        Some(hay[from..].find(needle).map_or(0, |at| hay[..from + at].chars().count() as i64 + 1))
    });
    integers_column(values, call.result)
}

fn in_string(call: &Call<'_>) -> Result<ArrayRef, String> {
    if call.arguments.len() == 2 {
        return find_text(call, 1, 0);
    }
    let (hays, needles) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let starts = call.argument(2)?.integers()?;
    let counts = call.arguments.get(3).map(Value::integers).transpose()?;
    let mut out = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let count = counts.as_ref().map_or(Some(1), |counts| counts.get(row));
        let (Some(hay), Some(needle), Some(start), Some(count)) =
            (hays.get(row), needles.get(row), starts.get(row), count)
        else {
            out.push(None);
            continue;
        };
        if count <= 0 {
            return Err(format!("INSTR looks for place number {count}; the number must be greater than 0"));
        }
        let (mut hay, mut needle): (Vec<char>, Vec<char>) = (hay.chars().collect(), needle.chars().collect());
        if start < 0 {
            hay.reverse();
            needle.reverse();
        }
        out.push(Some(match start {
            0 => 0,
            start => match nth_place(&hay, &needle, start.unsigned_abs() as usize - 1, count) {
                None => 0,
                Some(at) if start > 0 => at as i64 + 1,
                Some(at) => (hay.len() - at - needle.len()) as i64 + 1,
            },
        }));
    }
    integers_column(out.into_iter(), call.result)
}

/// Where the needle stands for the n-th time from a place on; places may overlap.
fn nth_place(hay: &[char], needle: &[char], from: usize, count: i64) -> Option<usize> {
    let last = hay.len().checked_sub(needle.len())?;
    let skipped = usize::try_from(count - 1).ok()?;
    (from..=last).filter(|at| hay[*at..].starts_with(needle)).nth(skipped)
}

fn translate(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    text.chars()
        .filter_map(|letter| match from.chars().position(|other| other == letter) {
            None => Some(letter),
            Some(at) => to.get(at).copied(),
        })
        .collect()
}

fn split_index(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts = call.argument(0)?.texts()?;
    let codes = if call.types[1].kind.is_character() { None } else { Some(call.argument(1)?.integers()?) };
    let separators = if codes.is_none() { Some(call.argument(1)?.texts()?) } else { None };
    let numbers = call.argument(2)?.integers()?;
    texts_column(call.rows, |row, out| {
        let mut buffer = [0; 4];
        let separator = match (&separators, &codes) {
            (Some(separators), _) => separators.get(row),
            (_, Some(codes)) => codes
                .get(row)
                .and_then(|code| Some(&*char::from_u32(u32::try_from(code).ok()?)?.encode_utf8(&mut buffer))),
            _ => None,
        };
        let (Some(text), Some(separator), Some(number)) = (texts.get(row), separator, numbers.get(row))
        else {
            return false;
        };
        if text.is_empty() {
            return false;
        }
        let Ok(number) = usize::try_from(number) else { return false };
        let part = if separator.is_empty() {
            (number == 0).then_some(text)
        } else {
            text.split(separator).nth(number)
        };
        match part {
            Some(part) => {
                out.push_str(part);
                true
            }
            None => false,
        }
    })
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef, String> {
    let (texts, lengths, fills) =
        (call.argument(0)?.texts()?, call.argument(1)?.integers()?, call.argument(2)?.texts()?);
    texts_column(call.rows, |row, out| {
        let (Some(text), Some(length), Some(fill)) = (texts.get(row), lengths.get(row), fills.get(row))
        else {
            return false;
        };
        let Ok(length) = usize::try_from(length) else { return false };
        // NULL also where nothing would be filled in, as in Flink.
        if fill.is_empty() {
            return false;
        }
        let count: usize = text.chars().map(char::len_utf16).sum();
        if length <= count {
            push_units(out, text.chars(), length);
            return true;
        }
        if length > TEXT_BYTES_MAX {
            return false;
        }
        let filling = fill.chars().cycle();
        if left {
            push_units(out, filling, length - count);
            out.push_str(text);
        } else {
            out.push_str(text);
            push_units(out, filling, length - count);
        }
        true
    })
}

/// So many UTF-16 units of the characters; a half of one becomes a question mark, as in Java.
fn push_units(out: &mut String, characters: impl Iterator<Item = char>, mut units: usize) {
    for character in characters {
        if units == 0 {
            return;
        }
        let whole = character.len_utf16() <= units;
        out.push(if whole { character } else { '?' });
        units = units.saturating_sub(character.len_utf16());
    }
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, counts) = (call.argument(0)?.texts()?, call.argument(1)?.integers()?);
    fallible_texts(call.rows, |row, out| match (texts.get(row), counts.get(row)) {
        (Some(text), Some(count)) => {
            let count = usize::try_from(count).unwrap_or(0);
            check_length(text.len().saturating_mul(count))?;
            out.push_str(&text.repeat(count));
            Ok(true)
        }
        _ => Ok(false),
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, from, to) =
        (call.argument(0)?.texts()?, call.argument(1)?.texts()?, call.argument(2)?.texts()?);
    fallible_texts(call.rows, |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
            return Ok(false);
        };
        let mut copied = 0;
        for (at, found) in text.match_indices(from) {
            push_bounded(out, &text[copied..at])?;
            push_bounded(out, to)?;
            copied = at + found.len();
        }
        push_bounded(out, &text[copied..])?;
        Ok(true)
    })
}

fn overlay(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, others) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let starts = call.argument(2)?.integers()?;
    let lengths = call.arguments.get(3).map(Value::integers).transpose()?;
    texts_column(call.rows, |row, out| {
        let (Some(text), Some(other), Some(start)) = (texts.get(row), others.get(row), starts.get(row))
        else {
            return false;
        };
        let length = match &lengths {
            None => other.chars().count() as i64,
            Some(lengths) => match lengths.get(row) {
                Some(length) => length,
                None => return false,
            },
        };
        let count = text.chars().count() as i64;
        if start < 1 || start > count {
            out.push_str(text);
            return true;
        }
        out.extend(text.chars().take(start as usize - 1));
        out.push_str(other);
        // A negative length keeps nothing of the rest twice: Flink takes the rest as gone.
        if length >= 0 {
            out.extend(text.chars().skip(start.saturating_add(length).saturating_sub(1) as usize));
        }
        true
    })
}
