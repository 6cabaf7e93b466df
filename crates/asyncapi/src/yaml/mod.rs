//! YAML, as much of it as documents are written in.
//!
//! Read are block and flow collections, plain and quoted scalars over several lines, literal and folded texts, comments,
//! and the words and numbers of YAML 1.2. JSON is read as it is. Anchors, aliases, tags, keys that are no text and several
//! documents in one file are refused with the line that they stand in. What is written is read by every YAML reader.

mod read;
mod write;

use crate::DocumentError;
use serde_json::Value;

pub use write::write;

/// Longer files are refused.
const BYTES_MAX: usize = 16 << 20;

/// Reads a document.
pub fn parse(text: &str) -> Result<Value, DocumentError> {
    if text.len() > BYTES_MAX {
        let reason = format!("the document is larger than {} MiB", BYTES_MAX >> 20);
        return Err(DocumentError::Yaml { line: 1, reason });
    }
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    read::document(text)
}
