//! As much XML as the answers of services have: elements and texts.
//!
//! No document type, so no entities but the five of XML and numbers; names lose their namespace's prefix.

/// Elements inside of one another.
const DEPTH_MAX: usize = 64;
const ELEMENTS_MAX: usize = 200_000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first element of this name below, or this itself.
    pub(crate) fn find_deep(&self, name: &str) -> Option<&Element> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find_deep(name))
    }

    /// The text of a child.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.find(name).map(|child| child.text.as_str())
    }
}

/// The root of a document.
pub(crate) fn parse(document: &str) -> Result<Element, &'static str> {
    let mut rest = document.trim_start_matches('\u{feff}');
    // The elements that are open, the root's parent first.
    let mut open = vec![Element::default()];
    let mut elements = 0;
    while let Some(at) = rest.find('<') {
        push_text(&mut open, &rest[..at])?;
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = behind(comment, "-->")?;
        } else if let Some(raw) = rest.strip_prefix("![CDATA[") {
            let end = raw.find("]]>").ok_or("a section does not end")?;
            open.last_mut().ok_or("no element is open")?.text.push_str(&raw[..end]);
            rest = &raw[end + 3..];
        } else if let Some(instruction) = rest.strip_prefix('?') {
            rest = behind(instruction, "?>")?;
        } else if rest.starts_with('!') {
            return Err("it has a document type");
        } else {
            let end = tag_end(rest).ok_or("a tag does not end")?;
            let tag = &rest[..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                let closed = open.pop().filter(|closed| !open.is_empty() && closed.name == local(name));
                let closed = closed.ok_or("a tag closes what is not open")?;
                open.last_mut().ok_or("no element is open")?.children.push(closed);
                continue;
            }
            elements += 1;
            if open.len() > DEPTH_MAX || elements > ELEMENTS_MAX {
                return Err("it is too deep or too long");
            }
            let element = Element { name: local(tag), ..Element::default() };
            if tag.ends_with('/') {
                open.last_mut().ok_or("no element is open")?.children.push(element);
            } else {
                open.push(element);
            }
        }
    }
    match open.pop() {
        Some(mut document) if open.is_empty() && document.children.len() == 1 => {
            document.children.pop().ok_or("it is empty")
        }
        _ => Err("it has no root, or an element that does not end"),
    }
}

fn behind<'a>(text: &'a str, end: &str) -> Result<&'a str, &'static str> {
    text.find(end).map(|at| &text[at + end.len()..]).ok_or("a comment does not end")
}

/// Where a tag's `>` is; one may stand within an attribute's quotes.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    text.bytes().position(|byte| {
        match (quote, byte) {
            (None, b'>') => return true,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        false
    })
}

/// A tag's name, without attributes and prefix.
fn local(tag: &str) -> String {
    let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default().to_string()
}

fn push_text(open: &mut [Element], text: &str) -> Result<(), &'static str> {
    // Beside the root and between elements there is but blank space.
    if open.len() < 2 || text.is_empty() {
        return Ok(());
    }
    let into = &mut open.last_mut().ok_or("no element is open")?.text;
    let mut parts = text.split('&');
    into.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (entity, rest) = part.split_once(';').ok_or("an entity does not end")?;
        let numbered = || {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        };
        into.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => numbered().ok_or("an entity that is not known")?,
        });
        into.push_str(rest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_taken_apart() {
        let document = "<?xml version=\"1.0\"?>\n<a:List xmlns=\"x>y\"><!-- no --><Key>a&amp;b&#x41;&#66;</Key><Key/>\
                        <Key><![CDATA[<x>]]></Key></a:List>";
        let root = parse(document).unwrap();
        let keys: Vec<&str> = root.children.iter().map(|key| key.text.as_str()).collect();
        assert_eq!((root.name.as_str(), keys), ("List", vec!["a&bAB", "", "<x>"]));
        assert_eq!(root.find_deep("Key").unwrap().text, "a&bAB");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(100);
        for wrong in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<!DOCTYPE a><a/>",
            "<a>&x;</a>",
            "<a>&amp</a>",
            "<a",
            &deep,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
