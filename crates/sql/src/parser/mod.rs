//! The parser: recursive descent by statement, precedence climbing in expressions.
//!
//! One file per area. This one holds what all of them use: the cursor over the tokens, names, lists, options, and
//! the messages. An error ends its statement; parsing goes on behind the next semicolon, so that `check` reports
//! everything at once. Nesting and chains are limited, so that no text overflows the stack, here or in what walks
//! the tree later: the tree's height is at most a few times `NESTING_MAX` + `CHAIN_MAX`.

mod alter;
mod call;
mod create;
mod data_type;
mod expression;
mod json;
mod literal;
mod match_recognize;
mod primary;
mod query;
mod script;
mod show;
mod special_form;
mod statement;
mod table_definition;
mod table_reference;

use crate::ast::{Hint, HintArguments, Identifier, ObjectName, OptionPair, Text};
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::keyword::{is_reserved, is_structural};
use crate::lexer::{DIAGNOSTICS_MAX, Token, TokenKind, unquote};
use crate::source::SourceText;
use crate::span::Span;
use std::cell::RefCell;

pub use script::{Script, parse_data_type, parse_expression, parse_query, parse_script, parse_whole_script};
pub use statement::unsupported as unsupported_statements;

/// How deep parentheses, sub-queries and types may nest.
pub const NESTING_MAX: usize = 100;
/// How many operators, joins or set operations may follow each other on one level (AND and OR: without limit).
pub const CHAIN_MAX: usize = 250;

/// Boxed: a diagnostic is large, and results travel through deep stacks.
type Parsed<T> = Result<T, Box<Diagnostic>>;

struct Parser<'a> {
    source: &'a SourceText,
    text: &'a str,
    /// The last one is `End`.
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// The token taken as an alias without AS: perhaps a misspelt keyword.
    bare_alias: Option<usize>,
    /// Keywords that would have fitted at the current token, for spelling hints.
    tried: RefCell<Tried>,
    /// What was wrong in the members of a statement set.
    diagnostics: Vec<Diagnostic>,
}

#[derive(Default)]
struct Tried {
    at: usize,
    words: Vec<&'static str>,
}

impl<'a> Parser<'a> {
    fn new(source: &'a SourceText, tokens: &'a [Token]) -> Parser<'a> {
        Parser {
            source,
            text: source.expanded(),
            tokens,
            at: 0,
            depth: 0,
            bare_alias: None,
            tried: RefCell::default(),
            diagnostics: Vec::new(),
        }
    }

    // The cursor.

    fn token(&self, ahead: usize) -> Token {
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    fn kind(&self, ahead: usize) -> TokenKind {
        self.token(ahead).kind
    }

    fn token_text(&self, token: Token) -> &'a str {
        &self.text[token.start as usize..token.end as usize]
    }

    fn token_span(&self, token: Token) -> Span {
        self.source.original_span(Span::new(token.start, token.end))
    }

    /// The span of the current token; behind the text, the place where the text ends.
    fn span(&self) -> Span {
        match (self.kind(0), self.previous()) {
            (TokenKind::End, Some(previous)) => Span::at(self.token_span(previous).end),
            _ => self.token_span(self.token(0)),
        }
    }

    fn previous(&self) -> Option<Token> {
        self.at.checked_sub(1).map(|index| self.tokens[index])
    }

    /// From the beginning of `start` to the end of the last token taken.
    fn since(&self, start: Span) -> Span {
        match self.previous() {
            Some(previous) => start.to(self.token_span(previous)),
            None => start,
        }
    }

    fn advance(&mut self) -> Token {
        let token = self.token(0);
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    fn is(&self, kind: TokenKind) -> bool {
        self.kind(0) == kind
    }

    fn take(&mut self, kind: TokenKind) -> bool {
        let taken = self.is(kind);
        if taken {
            self.advance();
        }
        taken
    }

    fn expect(&mut self, kind: TokenKind, what: &str) -> Parsed<Span> {
        if self.is(kind) {
            let span = self.span();
            self.advance();
            return Ok(span);
        }
        Err(self.expected(what))
    }

    /// A closing parenthesis; `open` is where its partner stands.
    fn close(&mut self, open: Span) -> Parsed<Span> {
        if self.is(TokenKind::RightParen) {
            return self.expect(TokenKind::RightParen, "`)`");
        }
        Err(self.unclosed(open))
    }

    fn unclosed(&self, open: Span) -> Box<Diagnostic> {
        let mut error = self.expected("`)`");
        if error.hint.is_none() {
            let place = self.source.position(open.start);
            error.hint = Some(format!("it closes the `(` of line {}, column {}", place.line, place.column));
        }
        error
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Parser<'a>) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= NESTING_MAX {
            return Err(Box::new(
                Diagnostic::new(
                    DiagnosticKind::Limit,
                    self.span(),
                    format!("this is nested more than {NESTING_MAX} levels deep"),
                )
                .with_hint("split the statement, for example with WITH or a view"),
            ));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn check_chain(&self, length: usize) -> Parsed<()> {
        if length <= CHAIN_MAX {
            return Ok(());
        }
        Err(Box::new(Diagnostic::new(
            DiagnosticKind::Limit,
            self.span(),
            format!("more than {CHAIN_MAX} operators, joins or set operations follow each other"),
        )))
    }

    // Words.

    fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        let token = self.token(ahead);
        token.kind == TokenKind::Word && self.token_text(token).eq_ignore_ascii_case(word)
    }

    /// Whether the current token is this keyword; remembers that it would have fitted.
    fn is_word(&self, word: &'static str) -> bool {
        if self.is_word_at(0, word) {
            return true;
        }
        let mut tried = self.tried.borrow_mut();
        if tried.at != self.at {
            tried.at = self.at;
            tried.words.clear();
        }
        if !tried.words.contains(&word) {
            tried.words.push(word);
        }
        false
    }

    fn is_words(&self, words: &[&'static str]) -> bool {
        self.is_word(words[0])
            && words.iter().enumerate().skip(1).all(|(ahead, word)| self.is_word_at(ahead, word))
    }

    fn take_word(&mut self, word: &'static str) -> bool {
        let taken = self.is_word(word);
        if taken {
            self.advance();
        }
        taken
    }

    /// Takes several words or none.
    fn take_words(&mut self, words: &[&'static str]) -> bool {
        let taken = self.is_words(words);
        if taken {
            words.iter().for_each(|_| {
                self.advance();
            });
        }
        taken
    }

    fn expect_word(&mut self, word: &'static str) -> Parsed<Span> {
        let span = self.span();
        if self.take_word(word) { Ok(span) } else { Err(self.expected(word)) }
    }

    fn expect_words(&mut self, words: &[&'static str]) -> Parsed<()> {
        words.iter().try_for_each(|word| self.expect_word(word).map(drop))
    }

    /// The current word in upper case, when it is one and could be a keyword.
    fn upper_word(&self) -> Option<String> {
        let token = self.token(0);
        let text = self.token_text(token);
        (token.kind == TokenKind::Word && text.len() <= 40).then(|| text.to_ascii_uppercase())
    }

    fn if_exists(&mut self) -> Parsed<bool> {
        let present = self.take_word("IF");
        if present {
            self.expect_word("EXISTS")?;
        }
        Ok(present)
    }

    fn if_not_exists(&mut self) -> Parsed<bool> {
        let present = self.take_word("IF");
        if present {
            self.expect_words(&["NOT", "EXISTS"])?;
        }
        Ok(present)
    }

    // Messages.

    /// `expected …, found …` at the current token.
    fn expected(&self, what: &str) -> Box<Diagnostic> {
        if let Some(error) = self.misspelt_alias() {
            return error;
        }
        let diagnostic = Diagnostic::syntax(self.span(), format!("expected {what}, found {}", self.found()));
        Box::new(match self.hint_for(what) {
            Some(hint) => diagnostic.with_hint(hint),
            None => diagnostic,
        })
    }

    /// The current token in words.
    fn found(&self) -> String {
        let token = self.token(0);
        let text = self.token_text(token);
        match token.kind {
            TokenKind::End => "the end of the text".into(),
            TokenKind::Semicolon => "the end of the statement".into(),
            TokenKind::String => format!("the string {}", shortened(text)),
            TokenKind::QuotedWord => format!("the name {}", shortened(text)),
            TokenKind::Word if is_reserved(text) => format!("`{}`", text.to_ascii_uppercase()),
            _ => format!("`{}`", shortened(text)),
        }
    }

    fn hint_for(&self, what: &str) -> Option<String> {
        let token = self.token(0);
        let text = self.token_text(token);
        let after_comma = self.previous().is_some_and(|previous| previous.kind == TokenKind::Comma);
        let tried = self.tried.borrow();
        match token.kind {
            TokenKind::Word if tried.at == self.at && !is_reserved(text) => {
                base::nearest(text, tried.words.iter().copied()).map(|near| format!("did you mean {near}?"))
            }
            TokenKind::Word if after_comma && is_structural(text) => {
                Some("remove the comma before it".into())
            }
            TokenKind::Word if is_reserved(text) && !is_structural(text) && what.contains("name") => {
                Some(back_quotes(text))
            }
            TokenKind::Word if is_reserved(text) && what.contains("end of the statement") => {
                (!is_structural(text)).then(|| back_quotes(text))
            }
            TokenKind::RightParen if after_comma => Some("remove the comma before it".into()),
            TokenKind::Equal if self.previous().is_some_and(|token| token.kind == TokenKind::Equal) => {
                Some("values are compared with a single `=`".into())
            }
            TokenKind::Colon if self.kind(1) == TokenKind::Colon => {
                Some("a cast is written CAST(value AS type)".into())
            }
            TokenKind::Pipe => Some("strings are joined with `||`; the disjunction is written OR".into()),
            TokenKind::Dollar => Some("a name with other characters is written in back quotes".into()),
            TokenKind::Question => Some("there are no parameters; `${NAME}` takes a variable's value".into()),
            _ => None,
        }
    }

    /// An alias without AS right before the error that looks like a keyword which would fit here.
    fn misspelt_alias(&self) -> Option<Box<Diagnostic>> {
        let alias = self.bare_alias.filter(|&alias| alias + 1 == self.at)?;
        let text = self.token_text(self.tokens[alias]);
        let tried = self.tried.borrow();
        let words = tried.words.iter().copied().filter(|_| tried.at == self.at);
        let near = base::nearest(text, words.filter(|word| word.len() > 2))?;
        let span = self.token_span(self.tokens[alias]);
        Some(Box::new(
            Diagnostic::syntax(span, format!("`{text}` is not a keyword"))
                .with_hint(format!("did you mean {near}?")),
        ))
    }

    fn unsupported<T>(&self, span: Span, what: &str, hint: &str) -> Parsed<T> {
        let diagnostic = Diagnostic::unsupported(span, format!("{what} is not supported"));
        Err(Box::new(if hint.is_empty() { diagnostic } else { diagnostic.with_hint(hint) }))
    }

    // Names, texts, numbers, lists.

    /// Whether the current token can be a name.
    fn is_name(&self) -> bool {
        self.is_name_at(0)
    }

    fn is_name_at(&self, ahead: usize) -> bool {
        let token = self.token(ahead);
        match token.kind {
            TokenKind::QuotedWord => true,
            TokenKind::Word => !is_reserved(self.token_text(token)),
            _ => false,
        }
    }

    fn identifier(&mut self, what: &str) -> Parsed<Identifier> {
        if !self.is_name() {
            let token = self.token(0);
            let text = self.token_text(token);
            if token.kind == TokenKind::Word && (!is_structural(text) || self.reads_as_a_name()) {
                return Err(Box::new(
                    Diagnostic::syntax(
                        self.span(),
                        format!("expected {what}, but `{text}` is a reserved word"),
                    )
                    .with_hint(back_quotes(text)),
                ));
            }
            return Err(self.expected(what));
        }
        let span = self.span();
        let token = self.advance();
        let text = self.token_text(token);
        let quoted = token.kind == TokenKind::QuotedWord;
        let value = if quoted { unquote(text) } else { text.to_string() };
        Ok(Identifier { value, quoted, span })
    }

    /// Whether what follows a structural word suggests that it was meant as a name: `order INT`, `group,`.
    fn reads_as_a_name(&self) -> bool {
        matches!(self.kind(1), TokenKind::Comma | TokenKind::RightParen | TokenKind::Dot | TokenKind::Equal)
            || (self.kind(1) == TokenKind::Word
                && data_type::is_type_word(&self.token_text(self.token(1)).to_ascii_uppercase()))
    }

    fn object_name(&mut self, what: &str) -> Parsed<ObjectName> {
        let first = self.identifier(what)?;
        let mut parts = vec![first];
        while self.is(TokenKind::Dot) && parts.len() < 8 {
            self.advance();
            parts.push(self.identifier("a name behind the dot")?);
        }
        let span = parts[0].span.to(parts[parts.len() - 1].span);
        Ok(ObjectName { parts, span })
    }

    /// A name of a table, view or the like: at most catalog, database and name.
    fn table_name(&mut self, what: &str) -> Parsed<ObjectName> {
        let name = self.object_name(what)?;
        if name.parts.len() > 3 {
            return Err(Box::new(
                Diagnostic::syntax(name.span, "a name has at most three parts")
                    .with_hint("catalog.database.name"),
            ));
        }
        Ok(name)
    }

    fn text_literal(&mut self, what: &str) -> Parsed<Text> {
        if !self.is(TokenKind::String) {
            return Err(self.expected(what));
        }
        let span = self.span();
        let token = self.advance();
        Ok(Text { value: unquote(self.token_text(token)), span })
    }

    /// A whole number that fits, for lengths, precisions and counts.
    fn whole_number(&mut self, what: &str) -> Parsed<u32> {
        let token = self.token(0);
        match self.token_text(token).parse::<u32>() {
            Ok(number) if token.kind == TokenKind::Exact => {
                self.advance();
                Ok(number)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// One or more items with commas between them.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Parser<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take(TokenKind::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(item, …)` with one item or more.
    fn parenthesized_list<T>(&mut self, item: impl FnMut(&mut Parser<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let items = self.list(item)?;
        self.close(open)?;
        Ok(items)
    }

    /// The same where a wrong item is noted, and the list goes on behind it: a definition is long, and whoever writes it
    /// wants to know all that is wrong.
    fn definition_list<T>(&mut self, mut item: impl FnMut(&mut Parser<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        let open = self.expect(TokenKind::LeftParen, "`(`")?;
        let mut items = Vec::new();
        loop {
            let start = self.at;
            let parsed = item(self).and_then(|parsed| match self.kind(0) {
                TokenKind::Comma => Ok(parsed),
                _ if self.is(TokenKind::RightParen) => Ok(parsed),
                _ => Err(self.unclosed(open)),
            });
            match parsed {
                Ok(parsed) => items.push(parsed),
                Err(error) if self.skip_item(start) && self.diagnostics.len() < DIAGNOSTICS_MAX => {
                    self.diagnostics.push(*error);
                }
                Err(error) => return Err(error),
            }
            if !self.take(TokenKind::Comma) {
                self.close(open)?;
                return Ok(items);
            }
        }
    }

    /// Goes to the comma behind an item of a list that begins at `start`, or to the parenthesis that closes the list;
    /// whether there is one.
    fn skip_item(&mut self, start: usize) -> bool {
        let count = |kind: TokenKind| self.tokens[start..self.at].iter().filter(|t| t.kind == kind).count();
        let mut depth = count(TokenKind::LeftParen).saturating_sub(count(TokenKind::RightParen));
        loop {
            match self.kind(0) {
                TokenKind::Semicolon | TokenKind::End => return false,
                TokenKind::Comma | TokenKind::RightParen if depth == 0 => return true,
                TokenKind::LeftParen => depth += 1,
                TokenKind::RightParen => depth -= 1,
                _ => {}
            }
            self.advance();
        }
    }

    fn column_names(&mut self) -> Parsed<Vec<Identifier>> {
        self.parenthesized_list(|parser| parser.identifier("a column name"))
    }

    fn optional_comment(&mut self) -> Parsed<Option<Text>> {
        if !self.take_word("COMMENT") {
            return Ok(None);
        }
        self.text_literal("the comment as a string in quotes").map(Some)
    }

    /// `('key' = 'value', …)`; a key may stand once.
    fn options(&mut self) -> Parsed<Vec<OptionPair>> {
        let before = self.at;
        self.expect(TokenKind::LeftParen, "`(`")?;
        if self.is(TokenKind::RightParen) {
            self.advance();
            return Ok(Vec::new());
        }
        self.at = before;
        let options = self.definition_list(Parser::option_pair)?;
        let mut seen = std::collections::HashMap::new();
        for option in &options {
            if let Some(first) = seen.insert(option.key.value.as_str(), option.key.span) {
                let line = self.source.position(first.start).line;
                return Err(Box::new(
                    Diagnostic::invalid(
                        option.key.span,
                        format!("the option '{}' is set twice", option.key.value),
                    )
                    .with_hint(format!("its first value stands in line {line}")),
                ));
            }
        }
        Ok(options)
    }

    fn option_pair(&mut self) -> Parsed<OptionPair> {
        let key = self.option_text("the name of an option as a string in quotes")?;
        self.expect(TokenKind::Equal, "`=`")?;
        let value = self.option_text("the option's value as a string in quotes")?;
        Ok(OptionPair { key, value })
    }

    /// A string; where a bare word or number stands, the hint shows it in quotes.
    fn option_text(&mut self, what: &str) -> Parsed<Text> {
        if matches!(self.kind(0), TokenKind::Word | TokenKind::Exact | TokenKind::QuotedWord) {
            let mut end = self.at;
            while matches!(
                self.tokens[end].kind,
                TokenKind::Word
                    | TokenKind::QuotedWord
                    | TokenKind::Dot
                    | TokenKind::Minus
                    | TokenKind::Exact
            ) {
                end += 1;
            }
            let span = self.span().to(self.token_span(self.tokens[end - 1]));
            let text = shortened(self.source.slice(span)).replace('`', "");
            return Err(Box::new(
                Diagnostic::syntax(span, format!("expected {what}, found `{text}`"))
                    .with_hint(format!("write '{text}'")),
            ));
        }
        self.text_literal(what)
    }

    /// `/*+ … */` where one stands.
    fn hints(&mut self) -> Parsed<Vec<Hint>> {
        if !self.take(TokenKind::HintStart) {
            return Ok(Vec::new());
        }
        let hints = self.list(Parser::hint)?;
        self.expect(TokenKind::HintEnd, "`*/` behind the hints")?;
        Ok(hints)
    }

    fn hint(&mut self) -> Parsed<Hint> {
        let name = self.identifier("the name of a hint")?;
        let mut arguments = HintArguments::None;
        if self.is(TokenKind::LeftParen) {
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            arguments = match (self.kind(0), self.kind(1)) {
                (TokenKind::RightParen, _) => HintArguments::None,
                (TokenKind::String, TokenKind::Equal) => {
                    HintArguments::Options(self.list(Parser::option_pair)?)
                }
                _ => HintArguments::Names(self.list(Parser::hint_name)?),
            };
            self.close(open)?;
        }
        let span = self.since(name.span);
        Ok(Hint { name, arguments, span })
    }

    fn hint_name(&mut self) -> Parsed<Identifier> {
        match self.kind(0) {
            TokenKind::String | TokenKind::Exact => {
                let span = self.span();
                let token = self.advance();
                let text = self.token_text(token);
                let quoted = token.kind == TokenKind::String;
                let value = if quoted { unquote(text) } else { text.to_string() };
                Ok(Identifier { value, quoted, span })
            }
            _ => {
                let name = self.object_name("a table's name or `'key' = 'value'`")?;
                let value = name.values().collect::<Vec<_>>().join(".");
                Ok(Identifier { value, quoted: true, span: name.span })
            }
        }
    }
}

fn back_quotes(text: &str) -> String {
    format!("write `{text}` in back quotes to use it as a name")
}

/// At most forty characters of a token, on one line.
fn shortened(text: &str) -> String {
    let first_line = text.lines().next().unwrap_or("");
    if first_line.len() == text.len() && text.chars().count() <= 40 {
        return text.to_string();
    }
    first_line.chars().take(37).chain("…".chars()).collect()
}
