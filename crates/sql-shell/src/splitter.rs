//! Finds where statements end in text that comes line by line: at semicolons outside of quotes, comments and brackets.

/// What the text is in the middle of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Within {
    Plain,
    /// `'…'`; with backslashes in `E'…'`.
    Text {
        escaped: bool,
    },
    Name,
    /// `$tag$…$tag$`, with the dollars.
    Dollar(String),
    /// `/* … */`, which nest.
    Comment(u32),
}

/// A statement longer than this is not one that somebody meant to write.
pub const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// What a text is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Without its semicolon.
    Statement(String),
    /// From a backslash to the end of its line, without the backslash.
    Command(String),
}

/// The text since the last statement.
#[derive(Debug)]
pub struct Splitter {
    text: String,
    /// How far it has been looked at.
    at: usize,
    within: Within,
    depth: u32,
}

impl Default for Splitter {
    fn default() -> Splitter {
        Splitter { text: String::new(), at: 0, within: Within::Plain, depth: 0 }
    }
}

impl Splitter {
    /// Takes a line without its end; false if the statement becomes too long, and is forgotten.
    pub fn push_line(&mut self, line: &str) -> bool {
        if self.text.len() + line.len() > STATEMENT_BYTES_MAX {
            self.clear();
            return false;
        }
        self.text.push_str(line);
        self.text.push('\n');
        true
    }

    /// The next statement or command that is whole.
    pub fn next_item(&mut self) -> Option<Item> {
        while let Some(character) = self.text[self.at..].chars().next() {
            let rest = &self.text[self.at..];
            let mut step = character.len_utf8();
            match &mut self.within {
                Within::Plain => match character {
                    ';' if self.depth == 0 => {
                        let statement = self.text[..self.at].trim().to_string();
                        self.text.drain(..=self.at);
                        self.at = 0;
                        if is_empty(&statement) {
                            continue;
                        }
                        return Some(Item::Statement(statement));
                    }
                    '\\' => {
                        let end = rest.find('\n').unwrap_or(rest.len());
                        let command = rest[1..end].trim().to_string();
                        self.text.drain(self.at..self.at + end);
                        return Some(Item::Command(command));
                    }
                    '\'' => {
                        let before = &self.text.as_bytes()[..self.at];
                        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                        let escaped = matches!(before.last(), Some(b'e' | b'E'))
                            && !before.len().checked_sub(2).is_some_and(|at| is_word(before[at]));
                        self.within = Within::Text { escaped };
                    }
                    '"' => self.within = Within::Name,
                    '(' => self.depth += 1,
                    ')' => self.depth = self.depth.saturating_sub(1),
                    '-' if rest.starts_with("--") => step = rest.find('\n').unwrap_or(rest.len()),
                    '/' if rest.starts_with("/*") => {
                        self.within = Within::Comment(1);
                        step = 2;
                    }
                    '$' => {
                        if let Some(tag) = dollar_tag(&self.text[..self.at], rest) {
                            step = tag.len();
                            self.within = Within::Dollar(tag);
                        }
                    }
                    _ => {}
                },
                // Two quotes in a row end the text and begin it again.
                Within::Text { escaped } => match character {
                    '\\' if *escaped => step += rest[1..].chars().next().map_or(0, char::len_utf8),
                    '\'' => self.within = Within::Plain,
                    _ => {}
                },
                Within::Name if character == '"' => self.within = Within::Plain,
                Within::Name => {}
                Within::Dollar(tag) => {
                    if rest.starts_with(tag.as_str()) {
                        step = tag.len();
                        self.within = Within::Plain;
                    }
                }
                Within::Comment(depth) => {
                    if rest.starts_with("*/") {
                        step = 2;
                        *depth -= 1;
                        if *depth == 0 {
                            self.within = Within::Plain;
                        }
                    } else if rest.starts_with("/*") {
                        step = 2;
                        *depth += 1;
                    }
                }
            }
            self.at += step;
        }
        None
    }

    /// What has no semicolon yet; none if there is nothing but space and comments.
    pub fn unfinished(&self) -> Option<String> {
        let text = self.text.trim();
        (!is_empty(text)).then(|| text.to_string())
    }

    /// Takes what has no semicolon as it is.
    pub fn take_unfinished(&mut self) -> Option<String> {
        let text = self.unfinished();
        self.clear();
        text
    }

    pub fn clear(&mut self) {
        *self = Splitter::default();
    }

    /// What a prompt shows of it, as psql's does.
    pub fn sign(&self) -> char {
        match self.within {
            _ if self.text.trim().is_empty() => '=',
            Within::Plain if self.depth > 0 => '(',
            Within::Plain => '-',
            Within::Text { .. } => '\'',
            Within::Name => '"',
            Within::Dollar(_) => '$',
            Within::Comment(_) => '*',
        }
    }
}

/// `$tag$` at the beginning of `rest`, unless it is the end of a name or a parameter.
fn dollar_tag(before: &str, rest: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    if before.chars().next_back().is_some_and(is_part) {
        return None;
    }
    let end = rest[1..].find('$')? + 1;
    let tag = &rest[1..end];
    let is_tag = tag.chars().all(is_part) && !tag.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| rest[..=end].to_string())
}

/// Nothing but space and comments.
fn is_empty(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        if rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
        } else if rest.starts_with("/*") {
            let mut depth = 0;
            let mut at = 0;
            while at < rest.len() {
                if rest[at..].starts_with("/*") {
                    depth += 1;
                    at += 2;
                } else if rest[at..].starts_with("*/") {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        break;
                    }
                } else {
                    at += rest[at..].chars().next().map_or(1, char::len_utf8);
                }
            }
            rest = rest[at..].trim_start();
        } else {
            return rest.is_empty();
        }
    }
}

/// The first word of a statement, in capitals.
pub fn first_word(statement: &str) -> String {
    let mut rest = statement.trim_start();
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
    }
    rest.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (Vec<String>, Option<String>) {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for line in text.lines() {
            assert!(splitter.push_line(line));
            found.extend(std::iter::from_fn(|| splitter.next_item()).map(|item| match item {
                Item::Statement(text) => text,
                Item::Command(text) => format!("\\{text}"),
            }));
        }
        (found, splitter.unfinished())
    }

    #[test]
    fn statements_end_at_semicolons_that_nothing_encloses() {
        let cases: &[(&str, &[&str], Option<&str>)] = &[
            ("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"], None),
            ("SELECT ';''' ; x", &["SELECT ';'''"], Some("x")),
            ("SELECT E'\\';' ; 1", &["SELECT E'\\';'"], Some("1")),
            ("SELECT name'\\'; 1", &["SELECT name'\\'"], Some("1")),
            ("SELECT \"a;b\"\"c\";", &["SELECT \"a;b\"\"c\""], None),
            ("SELECT $$;$$, $a$ ; $$ $a$;", &["SELECT $$;$$, $a$ ; $$ $a$"], None),
            ("SELECT $1; SELECT a$b$c;", &["SELECT $1", "SELECT a$b$c"], None),
            ("-- ; no\nSELECT 1 -- ;\n;", &["-- ; no\nSELECT 1 -- ;"], None),
            ("/* ; /* ; */ ; */ SELECT 1;", &["/* ; /* ; */ ; */ SELECT 1"], None),
            (";; ;\n-- nothing\n/* nor here */;", &[], None),
            ("SELECT (1;\n2);", &["SELECT (1;\n2)"], None),
            ("\\d sales\nSELECT '\\q' \\watch 2;\n;", &["\\d sales", "\\watch 2;", "SELECT '\\q'"], None),
            ("SELECT 'ü;", &[], Some("SELECT 'ü;")),
        ];
        for (text, statements, unfinished) in cases {
            let (found, rest) = split(text);
            assert_eq!(found, *statements, "{text}");
            assert_eq!(rest.as_deref(), *unfinished, "{text}");
        }
    }

    #[test]
    fn the_prompt_says_what_is_open() {
        for (text, sign) in [
            ("", '='),
            ("SELECT", '-'),
            ("SELECT (", '('),
            ("SELECT '", '\''),
            ("\"", '"'),
            ("/*", '*'),
            ("$$", '$'),
        ] {
            let mut splitter = Splitter::default();
            splitter.push_line(text);
            assert_eq!(splitter.next_item(), None);
            assert_eq!(splitter.sign(), sign, "{text}");
        }
    }

    #[test]
    fn a_statement_without_an_end_is_given_up() {
        let mut splitter = Splitter::default();
        assert!(!splitter.push_line(&"x".repeat(STATEMENT_BYTES_MAX + 1)));
        assert_eq!(splitter.unfinished(), None);
        assert_eq!(first_word("-- a\n subscribe TO x"), "SUBSCRIBE");
    }
}
