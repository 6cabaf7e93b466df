//! Diagnostics: what is wrong, where, and what to do, rendered with the source line.
//!
//! Plain text without colour. Tabs are shown as four spaces, wide characters count two columns, control
//! characters are made visible, and a very long line is cut around the place, so that the marks always stand
//! under what they mark.

use crate::source::SourceText;
use crate::span::Span;
use std::fmt;

/// What sort of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiagnosticKind {
    /// The text is not SQL.
    Syntax,
    /// A name that stands for nothing.
    Unknown,
    /// Types that do not fit.
    Type,
    /// SQL that Eventwright does not run.
    Unsupported,
    /// Well-formed, but it cannot be.
    Invalid,
    /// Too large or too deep.
    Limit,
    /// Follows from another mistake; never shown.
    Consequence,
}

impl DiagnosticKind {
    /// For programs that read reports.
    pub fn code(self) -> &'static str {
        match self {
            DiagnosticKind::Syntax => "syntax",
            DiagnosticKind::Unknown => "unknown-name",
            DiagnosticKind::Type => "type",
            DiagnosticKind::Unsupported => "unsupported",
            DiagnosticKind::Invalid => "invalid",
            DiagnosticKind::Limit => "limit",
            DiagnosticKind::Consequence => "consequence",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    Error,
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub kind: DiagnosticKind,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    pub span: Span,
    /// Stands beside the marks.
    pub label: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn new(kind: DiagnosticKind, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Error, kind, message: message.into(), span, label: None, hint: None }
    }

    pub fn warning(kind: DiagnosticKind, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::new(kind, span, message) }
    }

    pub fn syntax(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(DiagnosticKind::Syntax, span, message)
    }

    pub fn unknown(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(DiagnosticKind::Unknown, span, message)
    }

    pub fn mistyped(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(DiagnosticKind::Type, span, message)
    }

    pub fn unsupported(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(DiagnosticKind::Unsupported, span, message)
    }

    pub fn invalid(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(DiagnosticKind::Invalid, span, message)
    }

    pub fn with_label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// Adds `did you mean …?` when a name is near enough.
    pub fn with_nearest<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        match base::nearest(name, candidates) {
            Some(near) => self.with_hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The message with the source line and the marks, several lines, ending in a line break.
    pub fn render(&self, source: &SourceText) -> String {
        let position = source.position(self.span.start);
        let excerpt = Excerpt::new(source, self.span);
        let number = position.line.to_string();
        let margin = " ".repeat(number.len());
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = format!("{severity}: {}\n", self.message);
        text += &format!(
            "{margin}--> {}:{}:{}\n",
            source.file_name(self.span.start),
            position.line,
            position.column
        );
        text += &format!("{margin} |\n");
        text += format!("{number} | {}", excerpt.line).trim_end();
        text += "\n";
        let label = self.label.as_deref().map(|label| format!(" {label}")).unwrap_or_default();
        let marks = format!("{}{}{label}", " ".repeat(excerpt.indent), "^".repeat(excerpt.marks));
        text += &format!("{margin} | {marks}\n");
        if let Some(hint) = &self.hint {
            text += &format!("{margin} = hint: {hint}\n");
        }
        text
    }
}

/// Without the source: for logs.
impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Renders several, in the order of the text, a blank line between them.
pub fn render_all<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, source: &SourceText) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.into_iter().collect();
    sorted.sort_by_key(|diagnostic| diagnostic.span);
    sorted.iter().map(|diagnostic| diagnostic.render(source)).collect::<Vec<_>>().join("\n")
}

/// More columns of a line than this are not shown.
const LINE_COLUMNS_MAX: usize = 160;
/// Columns kept before the place when a line is cut.
const LINE_COLUMNS_BEFORE: usize = 60;

/// One line of the source as shown, and where the marks stand under it, in terminal columns.
struct Excerpt {
    line: String,
    indent: usize,
    marks: usize,
}

impl Excerpt {
    fn new(source: &SourceText, span: Span) -> Excerpt {
        let (line, line_start) = source.line_at(span.start);
        let hidden = without_secrets(source, line, line_start as usize);
        let line = hidden.as_str();
        let from = (span.start.saturating_sub(line_start) as usize).min(line.len());
        let to = (span.end.saturating_sub(line_start) as usize).clamp(from, line.len());
        let (mut shown, mut indent, mut marks) = (String::new(), 0, 0);
        let mut columns: Vec<usize> = Vec::new();
        for (at, letter) in line.char_indices() {
            let width = show(letter, &mut shown);
            columns.push(width);
            if at + letter.len_utf8() <= from {
                indent += width;
            } else if at < to {
                marks += width;
            }
        }
        let total: usize = columns.iter().sum();
        if total > LINE_COLUMNS_MAX {
            return cut(&shown, indent, marks.max(1));
        }
        Excerpt { line: shown, indent, marks: marks.max(1) }
    }
}

/// A line whose secrets are hidden; what is secret may be said in a line before it.
fn without_secrets(source: &SourceText, line: &str, line_start: usize) -> String {
    const TEXT_BYTES_MAX: usize = 256 << 10;
    if source.text().len() > TEXT_BYTES_MAX {
        return base::secrets::hidden_in(line);
    }
    let hidden = base::secrets::hidden_in(source.text());
    hidden.get(line_start..line_start + line.len()).unwrap_or_default().to_string()
}

/// Cuts a long line to the part around the marks; `…` stands where something was left out.
fn cut(shown: &str, indent: usize, marks: usize) -> Excerpt {
    let first = indent.saturating_sub(LINE_COLUMNS_BEFORE);
    let (mut line, mut column, mut skipped) = (String::new(), 0, 0);
    if first > 0 {
        line.push('…');
    }
    let mut kept = line.chars().count();
    let ellipsis = kept;
    for letter in shown.chars() {
        let width = width(letter);
        if column < first {
            skipped = column + width;
        } else if kept + width >= LINE_COLUMNS_MAX {
            line.push('…');
            break;
        } else {
            line.push(letter);
            kept += width;
        }
        column += width;
    }
    let indent = indent - skipped.min(indent) + ellipsis;
    Excerpt { line, indent, marks: marks.min(LINE_COLUMNS_MAX.saturating_sub(indent)).max(1) }
}

/// Appends a letter as shown and answers the columns it takes.
fn show(letter: char, shown: &mut String) -> usize {
    match letter {
        '\t' => {
            shown.push_str("    ");
            4
        }
        letter if letter.is_control() || is_direction_mark(letter) => {
            shown.push('\u{fffd}');
            1
        }
        letter => {
            shown.push(letter);
            width(letter)
        }
    }
}

/// Characters that would turn the line around on a terminal.
fn is_direction_mark(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Terminal columns of a character: East Asian wide and emoji take two, combining marks none.
fn width(letter: char) -> usize {
    match letter {
        '\u{0300}'..='\u{036f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{20d0}'..='\u{20ff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{33ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{a000}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
#[path = "diagnostic/tests.rs"]
mod tests;
