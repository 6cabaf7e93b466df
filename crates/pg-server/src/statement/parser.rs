//! Reads one statement that is no query.

use super::lexer::{Kind, Token, tokens};
use super::{CopyFormat, CopyOptions, FetchCount, Source, Statement, Subscribe};
use crate::error::{Code, PgError};

/// Reads one statement, which has no semicolon at its end.
pub fn parse(text: &str) -> Result<Statement, PgError> {
    let tokens = tokens(text)?;
    let mut words = Words { text, tokens: &tokens, at: 0 };
    let Some(first) = words.peek() else { return Ok(Statement::Empty) };
    let first = first.text.to_ascii_lowercase();
    let statement = match first.as_str() {
        "select" | "with" | "values" | "table" | "explain" | "(" => {
            return Ok(Statement::Query(text.to_string()));
        }
        "set" => set(&mut words)?,
        "show" => {
            words.next();
            show(&mut words)?
        }
        "reset" => {
            words.next();
            match words.take("all") {
                true => Statement::Reset(None),
                false => Statement::Reset(Some(setting(&mut words)?)),
            }
        }
        "begin" => {
            words.skip_all();
            Statement::Begin
        }
        "start" => {
            words.next();
            words.need("transaction")?;
            words.skip_all();
            Statement::Begin
        }
        "commit" | "end" => {
            words.skip_all();
            Statement::Commit
        }
        "abort" => {
            words.skip_all();
            Statement::Rollback
        }
        "rollback" => {
            let is_partial = words.any("to");
            words.skip_all();
            if is_partial { Statement::Savepoint("ROLLBACK") } else { Statement::Rollback }
        }
        "savepoint" => {
            words.skip_all();
            Statement::Savepoint("SAVEPOINT")
        }
        "release" => {
            words.skip_all();
            Statement::Savepoint("RELEASE")
        }
        "declare" => declare(&mut words)?,
        "fetch" | "move" => fetch(&mut words)?,
        "close" => {
            words.next();
            if words.take("all") {
                Statement::Close(None)
            } else {
                Statement::Close(Some(words.name("a cursor")?))
            }
        }
        "copy" => copy(&mut words)?,
        "subscribe" => Statement::Subscribe(subscribe(&mut words)?),
        "wait" => wait(&mut words)?,
        "discard" => {
            words.skip_all();
            Statement::Discard
        }
        "deallocate" => {
            words.next();
            words.take("prepare");
            if words.take("all") {
                Statement::Deallocate(None)
            } else {
                Statement::Deallocate(Some(words.name("a prepared statement")?))
            }
        }
        "unlisten" => {
            words.skip_all();
            Statement::Nothing("UNLISTEN")
        }
        "lock" => {
            words.skip_all();
            Statement::Nothing("LOCK TABLE")
        }
        word => return Err(refused(word, words.position())),
    };
    words.end()?;
    Ok(statement)
}

/// What a statement that is not served could be instead.
fn refused(word: &str, position: usize) -> PgError {
    const WRITES: [&str; 4] = ["insert", "update", "delete", "merge"];
    const DEFINES: [&str; 9] =
        ["create", "drop", "alter", "truncate", "grant", "revoke", "comment", "refresh", "vacuum"];
    if WRITES.contains(&word) {
        return PgError::new(
            Code::READ_ONLY,
            format!("cannot execute {}: this port reads", word.to_uppercase()),
        )
        .hint("write with a Kafka client, POST /topics/TOPIC over HTTP, or INSERT INTO of a Flink SQL job")
        .at(position);
    }
    if DEFINES.contains(&word) {
        return PgError::new(Code::READ_ONLY, format!("cannot execute {}: this port reads", word.to_uppercase()))
            .hint("views come from CREATE MATERIALIZED TABLE in a file that `eventwright run` runs; topics from Kafka's tools")
            .at(position);
    }
    let served = [
        "select",
        "values",
        "table",
        "explain",
        "set",
        "show",
        "reset",
        "begin",
        "commit",
        "rollback",
        "declare",
        "fetch",
        "close",
        "copy",
        "subscribe",
        "wait",
        "discard",
        "deallocate",
    ];
    let error = PgError::new(Code::SYNTAX_ERROR, format!("syntax error at or near \"{word}\"")).at(position);
    match base::nearest(word, served) {
        Some(near) => error.hint(format!("did you mean {}?", near.to_uppercase())),
        None => error,
    }
}

pub(super) struct Words<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.peek().is_some_and(|token| token.is(word));
        self.at += usize::from(is_there);
        is_there
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is_there = self.peek().is_some_and(|token| token.is_sign(sign));
        self.at += usize::from(is_there);
        is_there
    }

    fn any(&self, word: &str) -> bool {
        self.tokens[self.at.min(self.tokens.len())..].iter().any(|token| token.is(word))
    }

    fn skip_all(&mut self) {
        self.at = self.tokens.len();
    }

    fn position(&self) -> usize {
        let at = self.peek().map_or(self.text.len(), |token| token.at);
        self.text[..at].chars().count() + 1
    }

    fn wrong(&self, wanted: &str) -> PgError {
        let words = match self.peek() {
            Some(token) => {
                format!("syntax error at or near \"{}\": {wanted} is expected", shortened(token.text))
            }
            None => format!("syntax error at the end: {wanted} is expected"),
        };
        PgError::new(Code::SYNTAX_ERROR, words).at(self.position())
    }

    fn need(&mut self, word: &str) -> Result<(), PgError> {
        if self.take(word) { Ok(()) } else { Err(self.wrong(&word.to_uppercase())) }
    }

    fn need_sign(&mut self, sign: &str) -> Result<(), PgError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.wrong(sign)) }
    }

    fn end(&self) -> Result<(), PgError> {
        if self.at >= self.tokens.len() { Ok(()) } else { Err(self.wrong("the end")) }
    }

    fn name(&mut self, what: &str) -> Result<String, PgError> {
        let name = self.peek().and_then(|token| token.name()).ok_or_else(|| self.wrong(what))?;
        self.at += 1;
        Ok(name)
    }

    fn string(&mut self, what: &str) -> Result<String, PgError> {
        let string = self.peek().and_then(|token| token.string()).ok_or_else(|| self.wrong(what))?;
        self.at += 1;
        Ok(string)
    }

    /// The rest of the text, from the next word on.
    fn rest(&mut self) -> String {
        let rest = self.peek().map_or("", |token| &self.text[token.at..]).to_string();
        self.skip_all();
        rest
    }

    /// What stands between parentheses, of which the opening one is next.
    fn parenthesised(&mut self) -> Result<&'a str, PgError> {
        self.need_sign("(")?;
        let (mut depth, start) = (1, self.peek().map_or(self.text.len(), |token| token.at));
        while let Some(token) = self.next() {
            depth += i32::from(token.is_sign("(")) - i32::from(token.is_sign(")"));
            if depth == 0 {
                return Ok(&self.text[start.min(token.at)..token.at]);
            }
        }
        Err(self.wrong("a closing parenthesis"))
    }

    /// `name`, `schema.name`
    fn relation(&mut self) -> Result<Vec<String>, PgError> {
        let mut names = vec![self.name("a view or a topic")?];
        while self.take_sign(".") {
            names.push(self.name("a name")?);
        }
        Ok(names)
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The name of a setting; extensions' have a dot.
fn setting(words: &mut Words<'_>) -> Result<String, PgError> {
    let mut name = words.name("a setting")?;
    while words.take_sign(".") {
        name.push('.');
        name.push_str(&words.name("a setting")?);
    }
    Ok(name)
}

fn set(words: &mut Words<'_>) -> Result<Statement, PgError> {
    words.next();
    let is_local = words.take("local");
    if !is_local {
        words.take("session");
    }
    if words.take("characteristics") || words.take("transaction") || words.take("constraints") {
        // Everything here reads one snapshot, whatever is asked for.
        words.skip_all();
        return Ok(Statement::Nothing("SET"));
    }
    if words.take("time") {
        words.need("zone")?;
        let value = values(words)?;
        let is_default = value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("local");
        return Ok(Statement::Set {
            name: "timezone".into(),
            value: (!is_default).then_some(value),
            is_local,
        });
    }
    if words.take("names") {
        let value = values(words)?;
        return Ok(Statement::Set { name: "client_encoding".into(), value: Some(value), is_local });
    }
    if words.take("authorization") || words.take("role") {
        let value = values(words)?;
        return match value.as_str() {
            "none" | "default" => Ok(Statement::Nothing("SET")),
            _ => Err(PgError::new(
                Code::INSUFFICIENT_PRIVILEGE,
                "a session stays with the user that has logged in",
            )),
        };
    }
    let name = setting(words)?;
    if !words.take_sign("=") {
        words.need("to")?;
    }
    let value = values(words)?;
    let value = (!value.eq_ignore_ascii_case("default")).then_some(value);
    Ok(Statement::Set { name, value, is_local })
}

/// `a, 'b'` as one text.
fn values(words: &mut Words<'_>) -> Result<String, PgError> {
    let mut values = Vec::new();
    loop {
        let sign = if words.take_sign("-") { "-" } else { "" };
        let token = words.next().ok_or_else(|| words.wrong("a value"))?;
        let mut value = match token.kind {
            Kind::Text => token.string().unwrap_or_default(),
            Kind::Quoted => token.name().unwrap_or_default(),
            Kind::Word => token.text.to_string(),
            Kind::Sign => {
                words.at -= 1;
                return Err(words.wrong("a value"));
            }
        };
        // A number such as 0.5.
        if token.kind == Kind::Word && words.take_sign(".") {
            let fraction = words.next().map_or("", |token| token.text);
            value = format!("{value}.{fraction}");
        }
        values.push(format!("{sign}{value}"));
        if !words.take_sign(",") {
            return Ok(values.join(", "));
        }
    }
}

fn show(words: &mut Words<'_>) -> Result<Statement, PgError> {
    if words.take("all") {
        return Ok(Statement::ShowAll);
    }
    if words.take("time") {
        words.need("zone")?;
        return Ok(Statement::Show("timezone".into()));
    }
    if words.take("transaction") {
        words.need("isolation")?;
        words.need("level")?;
        return Ok(Statement::Show("transaction_isolation".into()));
    }
    if words.take("session") {
        words.need("authorization")?;
        return Ok(Statement::Show("session_authorization".into()));
    }
    setting(words).map(Statement::Show)
}

/// `DECLARE name [BINARY] [INSENSITIVE] [[NO] SCROLL] CURSOR [{WITH|WITHOUT} HOLD] FOR query`
fn declare(words: &mut Words<'_>) -> Result<Statement, PgError> {
    words.next();
    let name = words.name("a cursor")?;
    loop {
        if words.take("cursor") {
            break;
        }
        if words.peek().is_some_and(|token| token.is("binary")) {
            let error = PgError::new(Code::FEATURE_NOT_SUPPORTED, "a cursor is not declared BINARY here");
            return Err(error
                .hint("ask for binary results where it is fetched, as drivers do")
                .at(words.position()));
        }
        if !["insensitive", "asensitive", "no", "scroll"].iter().any(|word| words.take(word)) {
            return Err(words.wrong("CURSOR"));
        }
    }
    let mut hold = false;
    if words.take("with") {
        words.need("hold")?;
        hold = true;
    } else if words.take("without") {
        words.need("hold")?;
    }
    words.need("for")?;
    Ok(Statement::Declare { name, hold, source: source(words)? })
}

/// The rest of the statement is a query or SUBSCRIBE.
fn source(words: &mut Words<'_>) -> Result<Source, PgError> {
    match words.peek() {
        Some(token) if token.is("subscribe") => subscribe(words).map(Source::Subscribe),
        Some(_) => Ok(Source::Query(words.rest())),
        None => Err(words.wrong("a query")),
    }
}

/// `FETCH [NEXT | FORWARD | n | ALL | FORWARD n | FORWARD ALL] [FROM | IN] name`
fn fetch(words: &mut Words<'_>) -> Result<Statement, PgError> {
    let is_move = words.next().is_some_and(|token| token.is("move"));
    let backward = ["backward", "prior", "first", "last", "absolute", "relative"];
    if words.peek().is_some_and(|token| backward.iter().any(|word| token.is(word)) || token.is_sign("-")) {
        let error = PgError::new(Code::FEATURE_NOT_SUPPORTED, "a cursor only goes forward");
        return Err(error.hint("write FETCH FORWARD, FETCH n or FETCH ALL").at(words.position()));
    }
    let has_direction = words.take("forward");
    let mut count = FetchCount::Rows(1);
    if words.take("all") {
        count = FetchCount::All;
    } else if let Some(number) = words.peek().and_then(|token| token.text.parse().ok()) {
        count = FetchCount::Rows(number);
        words.next();
    } else if !has_direction {
        words.take("next");
    }
    if !words.take("from") {
        words.take("in");
    }
    Ok(Statement::Fetch { name: words.name("a cursor")?, count, is_move })
}

/// `COPY {(query) | relation [(columns)]} TO STDOUT [[WITH] (options)]`
fn copy(words: &mut Words<'_>) -> Result<Statement, PgError> {
    words.next();
    let source = if words.peek().is_some_and(|token| token.is_sign("(")) {
        let inner = words.parenthesised()?;
        let tokens = tokens(inner)?;
        let mut inner = Words { text: inner, tokens: &tokens, at: 0 };
        let source = source(&mut inner)?;
        inner.end()?;
        source
    } else {
        let relation = words.relation()?;
        let quoted: Vec<String> =
            relation.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let columns = match words.peek().is_some_and(|token| token.is_sign("(")) {
            true => words.parenthesised()?,
            false => "*",
        };
        Source::Query(format!("SELECT {columns} FROM {}", quoted.join(".")))
    };
    if words.peek().is_some_and(|token| token.is("from")) {
        let error = PgError::new(Code::READ_ONLY, "cannot execute COPY FROM: this port reads");
        return Err(error.hint("produce to a topic with a Kafka client or over HTTP").at(words.position()));
    }
    words.need("to")?;
    if !words.take("stdout") {
        let error = PgError::new(Code::INSUFFICIENT_PRIVILEGE, "COPY writes to STDOUT alone");
        return Err(error.hint("psql's \\copy writes a file of the client").at(words.position()));
    }
    words.take("with");
    let mut options = CopyOptions {
        format: CopyFormat::Text,
        header: false,
        delimiter: b'\t',
        null: "\\N".into(),
        quote: b'"',
        escape: b'"',
    };
    let (mut delimiter, mut null) = (None, None);
    if words.take_sign("(") {
        loop {
            copy_option(words, &mut options, &mut delimiter, &mut null)?;
            if words.take_sign(")") {
                break;
            }
            words.need_sign(",")?;
        }
    } else {
        // The form before PostgreSQL 9.
        while words.peek().is_some() {
            copy_option(words, &mut options, &mut delimiter, &mut null)?;
        }
    }
    if options.format == CopyFormat::Csv {
        options.delimiter = b',';
        options.null = String::new();
    }
    options.delimiter = delimiter.unwrap_or(options.delimiter);
    options.null = null.unwrap_or(options.null);
    Ok(Statement::Copy { source, options })
}

fn copy_option(
    words: &mut Words<'_>,
    options: &mut CopyOptions,
    delimiter: &mut Option<u8>,
    null: &mut Option<String>,
) -> Result<(), PgError> {
    let position = words.position();
    let option = words.name("an option of COPY")?;
    let one_byte = |words: &mut Words<'_>| {
        let text = words.string("a character in quotes")?;
        match text.as_bytes() {
            [byte] if !matches!(byte, b'\n' | b'\r') => Ok(*byte),
            _ => Err(PgError::new(Code::INVALID_PARAMETER_VALUE, format!("{option} is one character"))
                .at(position)),
        }
    };
    let format = |name: &str| match name {
        "text" => Ok(CopyFormat::Text),
        "csv" => Ok(CopyFormat::Csv),
        "binary" => Ok(CopyFormat::Binary),
        other => Err(PgError::new(
            Code::INVALID_PARAMETER_VALUE,
            format!("there is no format \"{other}\" of COPY"),
        )
        .hint("write text, csv or binary")
        .at(position)),
    };
    match option.as_str() {
        "format" => {
            let name = words.name("a format").or_else(|_| words.string("a format"))?;
            options.format = format(&name)?;
        }
        "csv" | "binary" => options.format = format(&option)?,
        "header" => options.header = boolean(words),
        "delimiter" => {
            words.take("as");
            *delimiter = Some(one_byte(words)?);
        }
        "null" => {
            words.take("as");
            *null = Some(words.string("a text in quotes")?);
        }
        "quote" => {
            words.take("as");
            options.quote = one_byte(words)?;
        }
        "escape" => {
            words.take("as");
            options.escape = one_byte(words)?;
        }
        "encoding" => {
            let name = words.string("an encoding in quotes")?;
            if !matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "unicode") {
                return Err(PgError::new(Code::FEATURE_NOT_SUPPORTED, "the encoding is UTF8").at(position));
            }
        }
        other => {
            return Err(PgError::new(Code::SYNTAX_ERROR, format!("COPY has no option \"{other}\""))
                .hint("format, header, delimiter, null, quote, escape and encoding are known")
                .at(position));
        }
    }
    Ok(())
}

/// An option without a value is on.
fn boolean(words: &mut Words<'_>) -> bool {
    words.take_sign("=");
    let is_off = words.take("false") || words.take("off") || words.take("0");
    if !is_off {
        let _ = words.take("true") || words.take("on") || words.take("1");
    }
    !is_off
}

fn subscribe(words: &mut Words<'_>) -> Result<Subscribe, PgError> {
    words.next();
    words.take("to");
    let relation = words.relation()?;
    let mut subscribe = Subscribe { relation, snapshot: true, progress: false };
    if words.take("with") {
        words.need_sign("(")?;
        loop {
            let position = words.position();
            match words.name("an option of SUBSCRIBE")?.as_str() {
                "snapshot" => subscribe.snapshot = boolean(words),
                "progress" => subscribe.progress = boolean(words),
                other => {
                    let error =
                        PgError::new(Code::SYNTAX_ERROR, format!("SUBSCRIBE has no option \"{other}\""));
                    return Err(error.hint("SNAPSHOT and PROGRESS are known").at(position));
                }
            }
            if words.take_sign(")") {
                break;
            }
            words.need_sign(",")?;
        }
    }
    Ok(subscribe)
}

/// `WAIT FOR LSN 'x/y' [[WITH] (TIMEOUT '5s', NO_THROW, MODE …)]`
fn wait(words: &mut Words<'_>) -> Result<Statement, PgError> {
    words.next();
    words.need("for")?;
    words.need("lsn")?;
    let lsn = words.string("a position in quotes, such as '0/16B3748'")?;
    let (mut timeout_ms, mut is_error) = (None, true);
    if words.take("with") || words.peek().is_some_and(|token| token.is_sign("(")) {
        words.need_sign("(")?;
        loop {
            let position = words.position();
            match words.name("an option of WAIT FOR")?.as_str() {
                "timeout" => {
                    let number = words
                        .peek()
                        .filter(|token| token.kind == Kind::Word)
                        .map(|token| token.text.to_string());
                    let text = match number {
                        Some(number) => {
                            words.next();
                            number
                        }
                        None => words.string("a time such as '5s'")?,
                    };
                    timeout_ms = Some(milliseconds(&text).ok_or_else(|| {
                        PgError::new(Code::INVALID_PARAMETER_VALUE, format!("'{text}' is no time"))
                            .hint("write milliseconds, or a number with ms, s, min or h behind")
                            .at(position)
                    })?);
                }
                "no_throw" => is_error = !boolean(words),
                "throw" => is_error = boolean(words),
                "mode" => {
                    words.string("a mode in quotes")?;
                }
                other => {
                    let error =
                        PgError::new(Code::SYNTAX_ERROR, format!("WAIT FOR has no option \"{other}\""));
                    return Err(error.hint("TIMEOUT and NO_THROW are known").at(position));
                }
            }
            if words.take_sign(")") {
                break;
            }
            words.need_sign(",")?;
        }
    }
    Ok(Statement::WaitForLsn { lsn, timeout_ms, is_error })
}

/// `250`, `250ms`, `5s`, `2min`, `1h`, `1d`; a fraction is taken too.
pub fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let each = match unit.trim() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1e3,
        "min" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    let value = number.parse::<f64>().ok()? * each;
    (value.is_finite() && value <= 2_147_483_647.0).then_some(value.round() as u64)
}
