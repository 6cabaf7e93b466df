//! Finds values in a JSON text without taking it apart: each stays as it was written, digits and all.
//!
//! What is found need not be right JSON inside: whoever reads it says so.

/// Elements of an array that are told apart.
const ELEMENTS_MAX: usize = 1_000_000;
/// A cursor stands in each request.
pub(crate) const CURSOR_BYTES_MAX: usize = 4 << 10;

/// The value that a JSON pointer (RFC 6901) names; none if there is none.
pub(crate) fn at<'a>(text: &'a [u8], pointer: &str) -> Result<Option<&'a [u8]>, String> {
    let mut value = whole(text)?;
    if pointer.is_empty() {
        return Ok(Some(value));
    }
    for part in pointer.strip_prefix('/').unwrap_or(pointer).split('/') {
        let name = part.replace("~1", "/").replace("~0", "~");
        let found = match value.first() {
            Some(b'{') => member(value, &name)?,
            Some(b'[') => match name.parse::<usize>() {
                Ok(index) => elements(value)?.get(index).copied(),
                Err(_) => None,
            },
            _ => None,
        };
        match found {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// Whether a text is a pointer.
pub(crate) fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// The values of an array.
pub(crate) fn elements(array: &[u8]) -> Result<Vec<&[u8]>, String> {
    let array = whole(array)?;
    let mut inside = Cursor { text: array, at: 0 };
    inside.expect(b'[')?;
    let mut elements = Vec::new();
    if inside.peek() == Some(b']') {
        return Ok(elements);
    }
    loop {
        if elements.len() == ELEMENTS_MAX {
            return Err(format!("the answer has an array of more than {ELEMENTS_MAX} elements"));
        }
        elements.push(inside.value()?);
        if !inside.goes_on(b']')? {
            return Ok(elements);
        }
    }
}

/// A text as it is, if it is nothing but one value.
pub(crate) fn whole(text: &[u8]) -> Result<&[u8], String> {
    let mut cursor = Cursor { text, at: 0 };
    let value = cursor.value()?;
    match cursor.peek() {
        None => Ok(value),
        Some(_) => Err(cursor.wrong("something stands behind the value")),
    }
}

/// A string's text; none if it is no string.
pub(crate) fn string(value: &[u8]) -> Option<String> {
    serde_json::from_slice(value).ok()
}

/// A cursor as it stands in a query: a string's text, or a number as it is written.
pub(crate) fn plain(value: &[u8]) -> Result<String, String> {
    let text = match value.first() {
        Some(b'"') => string(value),
        Some(b'{' | b'[') => None,
        _ => std::str::from_utf8(value).ok().map(str::to_string),
    };
    let text = text.ok_or("the cursor in the answer is no string and no number")?;
    match text.len() {
        bytes if bytes > CURSOR_BYTES_MAX => {
            Err(format!("the cursor in the answer has bytes={bytes} of limit={CURSOR_BYTES_MAX}"))
        }
        _ => Ok(text),
    }
}

/// What an id or a cursor is by a pointer, where it says something.
pub(crate) fn said<'a>(text: &'a [u8], pointer: &str) -> Option<&'a [u8]> {
    let found = at(text, pointer).ok().flatten()?;
    // What says nothing tells no record from another.
    Some(found).filter(|found| ![b"null".as_slice(), b"\"\""].contains(found))
}

fn member<'a>(object: &'a [u8], wanted: &str) -> Result<Option<&'a [u8]>, String> {
    let mut inside = Cursor { text: object, at: 0 };
    inside.expect(b'{')?;
    if inside.peek() == Some(b'}') {
        return Ok(None);
    }
    loop {
        let name = inside.value()?;
        let name = string(name).ok_or_else(|| inside.wrong("a name is no string"))?;
        inside.expect(b':')?;
        let value = inside.value()?;
        if name == wanted {
            return Ok(Some(value));
        }
        if !inside.goes_on(b'}')? {
            return Ok(None);
        }
    }
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn wrong(&self, what: &str) -> String {
        format!("the answer is no JSON: {what}, at byte {}", self.at)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Result<(), String> {
        if self.peek() != Some(wanted) {
            return Err(self.wrong(&format!("there is no '{}'", char::from(wanted))));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether a comma stands here, and not the end.
    fn goes_on(&mut self, end: u8) -> Result<bool, String> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.wrong(&format!("there is no ',' and no '{}'", char::from(end)))),
        }
    }

    /// Passes a value. However deep it is, this needs no more than a number.
    fn value(&mut self) -> Result<&'a [u8], String> {
        let Some(first) = self.peek() else { return Err(self.wrong("it ends")) };
        let begin = self.at;
        let mut depth = 0_usize;
        loop {
            match self.text.get(self.at) {
                None => return Err(self.wrong("it ends within a value")),
                Some(b'"') => self.string()?,
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    depth = depth.checked_sub(1).ok_or_else(|| self.wrong("an end without a beginning"))?;
                    self.at += 1;
                }
                Some(_) if matches!(first, b'{' | b'[') => self.at += 1,
                // A number, true, false or null.
                Some(_) => {
                    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                    let length = self.text[self.at..].iter().take_while(|byte| is_part(byte)).count();
                    if length == 0 {
                        return Err(self.wrong("there is no value"));
                    }
                    self.at += length;
                }
            }
            if depth == 0 {
                return Ok(&self.text[begin..self.at]);
            }
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                None => return Err(self.wrong("a string does not end")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: Result<Option<&[u8]>, String>) -> Option<String> {
        found.unwrap().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn values_are_found_by_pointers_and_stay_as_they_were_written() {
        let text = br#" {"a": {"b/c": [1, 2.50, {"~d": "]\"}"}], "": null}, "e\u0066": true } "#;
        let at = |pointer: &str| shown(at(text, pointer));
        assert_eq!(at("/a/b~1c/1").unwrap(), "2.50");
        assert_eq!(at("/a/b~1c/2/~0d").unwrap(), r#""]\"}""#);
        assert_eq!((at("/a/").unwrap(), at("/ef").unwrap()), ("null".into(), "true".into()));
        for missing in ["/b", "/a/b~1c/3", "/a/b~1c/x", "/ef/g"] {
            assert_eq!(at(missing), None, "{missing}");
        }
        assert_eq!(at("").unwrap().len(), text.len() - 2);
    }

    #[test]
    fn an_array_is_taken_apart_and_what_is_none_says_so() {
        let parts = |text: &str| {
            elements(text.as_bytes()).map(|all| {
                all.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            parts(r#"[1, [2,3], {"a":"," }, "\\"]"#).unwrap(),
            ["1", "[2,3]", r#"{"a":"," }"#, r#""\\""#]
        );
        assert_eq!(parts(" [ ] ").unwrap(), Vec::<String>::new());
        for wrong in ["", "{}", "[1", "[1,]", "[1 2]", "[1]]", "[,]", "[\"a]", "]", "[1] x", "[\"\\"] {
            assert!(parts(wrong).unwrap_err().contains("no JSON"), "{wrong}");
        }
        let deep = "[".repeat(1_000_000);
        assert!(parts(&deep).is_err());
    }
}
