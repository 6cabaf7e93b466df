//! PostgreSQL's text of an array: `{1,NULL,"a \"text\""}`, with braces inside for arrays of arrays.

/// The items, NULL or text; an array inside is the text of it. None where the text is no array.
pub(super) fn items(text: &str) -> Option<Vec<Option<String>>> {
    // Bounds that do not begin at 1 stand before it: `[0:1]={a,b}`.
    let text = match text.starts_with('[') {
        true => text.split_once('=')?.1,
        false => text,
    };
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.is_empty() {
        return Some(items);
    }
    let mut rest = inner;
    loop {
        let (item, behind) = match rest.as_bytes().first()? {
            b'"' => quoted(rest)?,
            b'{' => nested(rest)?,
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                let item = &rest[..end];
                let is_plain = !item.is_empty() && !item.contains(['{', '}', '"']);
                let value = (!item.eq_ignore_ascii_case("NULL")).then(|| item.to_string());
                (is_plain.then_some(value)?, &rest[end..])
            }
        };
        items.push(item);
        if behind.is_empty() {
            return Some(items);
        }
        rest = behind.strip_prefix(',')?;
    }
}

/// The text in quotes that begins here, and what is behind it.
fn quoted(text: &str) -> Option<(Option<String>, &str)> {
    let mut item = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((Some(item), &text[at + 1..])),
            '\\' => item.push(letters.next()?.1),
            letter => item.push(letter),
        }
    }
    None
}

/// The array that begins here, as it is, and what is behind it.
fn nested(text: &str) -> Option<(Option<String>, &str)> {
    let (mut depth, mut is_quoted) = (0usize, false);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if is_quoted => {
                bytes.next()?;
            }
            b'"' => is_quoted = !is_quoted,
            b'{' if !is_quoted => depth += 1,
            b'}' if !is_quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((Some(text[..=at].to_string()), &text[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<String>> {
        let shown = |item: Option<String>| item.unwrap_or_else(|| "-".into());
        items(text).map(|items| items.into_iter().map(shown).collect())
    }

    #[test]
    fn arrays_become_their_items() {
        let all: [(&str, &[&str]); 7] = [
            ("{}", &[]),
            ("{1,-2,NULL,null}", &["1", "-2", "-", "-"]),
            (r#"{"a,b","c\"d\\e","NULL",""}"#, &["a,b", r#"c"d\e"#, "NULL", ""]),
            ("{{1,2},{3,4}}", &["{1,2}", "{3,4}"]),
            (r#"{{"}"},{"\"{"}}"#, &[r#"{"}"}"#, r#"{"\"{"}"#]),
            ("[0:1]={a,b}", &["a", "b"]),
            ("{\u{fc},\"\u{fc}\"}", &["\u{fc}", "\u{fc}"]),
        ];
        for (text, expected) in all {
            assert_eq!(
                texts(text).as_deref(),
                Some(expected.iter().map(|e| e.to_string()).collect::<Vec<_>>().as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_array_is_none() {
        for text in [
            "", "a", "{", "{a", "{a,}", "{,a}", "{\"a}", "{\"a\"b}", "{{1}", "{{1}}}", "[0:1]", "{a\"b}",
            "{{\"\\",
        ] {
            assert_eq!(items(text), None, "{text}");
        }
    }
}
