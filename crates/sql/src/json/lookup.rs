//! The value at a simple path, without a tree of the whole document.
//!
//! Most paths name fields and places: `$.a.b[0]`. For those the text is walked once; what does not lie on the path is
//! checked and skipped, and only the value itself is built. All of the text is read, because of fields of one name the
//! last one stands, and because a document that breaks behind the value is no JSON.

use super::path::{Path, Step};
use super::{Json, Parser};

/// Whether all steps name one field, or one place from the front.
pub(crate) fn is_simple(path: &Path) -> bool {
    let simple = |step: &Step| match step {
        Step::Fields(names) => names.len() == 1,
        Step::Indices(places) => matches!(places.as_slice(), [place] if *place >= 0),
        _ => false,
    };
    !path.from_element && path.steps.iter().all(simple)
}

/// The value at a simple path, if it is there; an error where the text is no JSON.
pub(crate) fn lookup(path: &Path, text: &str) -> Result<Option<Json>, String> {
    let mut parser = Parser { text, at: 0, duplicates: false };
    let kind = parser.peek();
    let found = parser.at_path(&path.steps, 0)?;
    parser.end_of_value(!matches!(kind, Some(b'{' | b'[' | b'"')))?;
    Ok(found)
}

impl Parser<'_> {
    /// Reads a value and keeps what lies at the end of the steps.
    fn at_path(&mut self, steps: &[Step], depth: usize) -> Result<Option<Json>, String> {
        let Some((step, rest)) = steps.split_first() else { return self.value(depth).map(Some) };
        self.check_depth(depth)?;
        match (step, self.peek()) {
            (Step::Fields(names), Some(b'{')) => {
                let mut found = None;
                self.fields(|parser, name| {
                    if names.first().is_some_and(|wanted| wanted == name) {
                        found = parser.at_path(rest, depth + 1)?;
                        return Ok(());
                    }
                    parser.skip(depth + 1)
                })?;
                Ok(found)
            }
            (Step::Indices(places), Some(b'[')) => {
                let wanted = places.first().and_then(|place| usize::try_from(*place).ok());
                let (mut found, mut place) = (None, 0);
                self.items(|parser| {
                    if Some(place) == wanted {
                        found = parser.at_path(rest, depth + 1)?;
                    } else {
                        parser.skip(depth + 1)?;
                    }
                    place += 1;
                    Ok(())
                })?;
                Ok(found)
            }
            _ => self.skip(depth).map(|()| None),
        }
    }

    /// Checks a value and builds nothing.
    fn skip(&mut self, depth: usize) -> Result<(), String> {
        self.check_depth(depth)?;
        match self.peek() {
            Some(b'{') => self.fields(|parser, _| parser.skip(depth + 1)),
            Some(b'[') => self.items(|parser| parser.skip(depth + 1)),
            Some(b'"') => self.skip_string(),
            _ => self.value(depth).map(|_| ()),
        }
    }
}
