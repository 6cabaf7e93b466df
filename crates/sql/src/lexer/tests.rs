//! Tokens and what is reported of text that is none.

use super::*;

fn kinds(text: &str) -> Vec<TokenKind> {
    let source = SourceText::new("test.sql", text);
    let (tokens, diagnostics) = lex(&source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    tokens.iter().map(|token| token.kind).collect()
}

fn texts(text: &str) -> Vec<String> {
    let source = SourceText::new("test.sql", text);
    let (tokens, _) = lex(&source);
    tokens.iter().map(|token| text[token.start as usize..token.end as usize].to_string()).collect()
}

fn messages(text: &str) -> Vec<String> {
    lex(&SourceText::new("test.sql", text)).1.iter().map(ToString::to_string).collect()
}

#[test]
fn words_numbers_and_strings() {
    use TokenKind::*;
    assert_eq!(kinds("a _b1 `c d` é$1"), [Word, Word, QuotedWord, Word, End]);
    assert_eq!(kinds("1 1.5 .5 1. 1e10 1.5E-3"), [Exact, Exact, Exact, Exact, Approximate, Approximate, End]);
    assert_eq!(
        kinds("'a''b' x'1F' U&'\\0041' N'x' ''"),
        [String, BinaryString, UnicodeString, String, String, End]
    );
    assert_eq!(texts("t.a 1.5"), ["t", ".", "a", "1.5", ""]);
    assert_eq!(
        kinds("<= >= <> => || < > = %"),
        [LessOrEqual, GreaterOrEqual, NotEqual, Arrow, Concatenate, Less, Greater, Equal, Percent, End]
    );
}

#[test]
fn nested_generics_close_one_by_one() {
    use TokenKind::*;
    assert_eq!(kinds("MAP<A,B<C>>"), [Word, Less, Word, Comma, Word, Less, Word, Greater, Greater, End]);
}

#[test]
fn comments_vanish_and_hints_do_not() {
    use TokenKind::*;
    assert_eq!(kinds("a -- b\n/* c ; */ d"), [Word, Word, End]);
    assert_eq!(kinds("/*+ X */ a * /* b */ 2"), [HintStart, Word, HintEnd, Word, Star, Exact, End]);
    assert_eq!(kinds("--"), [End]);
    assert_eq!(kinds("\u{feff}a"), [Word, End]);
}

#[test]
fn values_lose_their_quotes() {
    assert_eq!(unquote("'a''b'"), "a'b");
    assert_eq!(unquote("`a``b`"), "a`b");
    assert_eq!(unquote("N'x'"), "x");
    assert_eq!(unquote("''"), "");
    assert_eq!(unquote("'`'"), "`");
}

#[test]
fn text_that_is_no_token_is_reported_once_each() {
    assert_eq!(messages("a \"b c\" d").len(), 1);
    assert!(messages("\"b c\"")[0].contains("`b c` for a name"));
    assert!(messages("12abc")[0].contains("neither a number nor a name"));
    assert!(messages("a # b")[0].contains("no meaning"));
    assert!(messages("a != b")[0].contains("`<>`"));
    assert!(messages("/* a")[0].contains("comment is never closed"));
    assert!(messages("X'1'")[0].contains("pairs of hexadecimal"));
    assert!(messages("``")[0].contains("empty"));
    assert!(messages("'abc")[0].contains("string is never closed"));
}

#[test]
fn an_odd_quote_names_the_literal_where_it_began() {
    let message = &messages("SELECT 1;\nSELECT 'a, b FROM t\nWHERE c = 'x' AND d = 'y'")[0];
    assert!(message.contains("begins in line 2"), "{message}");
}
