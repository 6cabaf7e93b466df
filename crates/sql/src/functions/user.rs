//! Functions that CREATE FUNCTION may name by a class: those that a known benchmark brings along, built in here.
//!
//! There is no JVM to run any other class; the statement says so.

use super::Parameter::Text;
use super::*;
use crate::expression::value::integers_column;

/// The class by which a file declares it, and the function.
static CLASSES: &[(&str, Function)] = &[(
    "com.github.nexmark.flink.udf.CountChar",
    Function {
        name: "COUNT_CHAR",
        signatures: &[signature(&[Text, Text], returns_bigint)],
        nullability: Nullability::Never,
        evaluate: count_char,
        may_fail: true,
        doc: "How often the first character of the second text is in the first one; 0 in NULL.",
        examples: &[],
        ..PLAIN
    },
)];

/// The function that a class stands for.
pub fn of_class(class: &str) -> Option<&'static Function> {
    CLASSES.iter().find(|(name, _)| *name == class).map(|(_, function)| function)
}

/// The classes that are built in.
pub fn classes() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|(name, _)| *name)
}

/// As the original: of the text the UTF-8 bytes, of the character the lowest byte.
fn count_char(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (texts, wanted) = (call.argument(0)?.texts()?, call.argument(1)?.texts()?);
    let count = |row: usize| {
        let Some(text) = texts.get(row) else { return Ok(Some(0)) };
        let unit = wanted.get(row).and_then(|wanted| wanted.encode_utf16().next());
        let byte = unit.ok_or("count_char needs a character to count")? as u8;
        Ok(Some(text.bytes().filter(|own| *own == byte).count() as i64))
    };
    let counts = (0..call.rows).map(count).collect::<Result<Vec<_>, String>>()?;
    integers_column(counts.into_iter(), call.result)
}
