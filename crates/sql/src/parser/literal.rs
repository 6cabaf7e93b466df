//! Literals: numbers, strings, dates, times, intervals. Their texts are read here, so that a wrong one is
//! reported where it stands.

use super::{Parsed, Parser};
use crate::ast::*;
use crate::diagnostic::Diagnostic;
use crate::lexer::{TokenKind, unquote};
use crate::span::Span;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// More digits than this are no number of any of Flink's types.
const DIGITS_MAX: usize = 400;

impl Parser<'_> {
    pub(super) fn literal(&mut self) -> Parsed<Expression> {
        let start = self.span();
        let token = self.advance();
        let text = self.token_text(token);
        let literal = match token.kind {
            TokenKind::Exact | TokenKind::Approximate if text.len() > DIGITS_MAX => {
                return Err(Box::new(Diagnostic::syntax(start, "this number has too many digits")));
            }
            TokenKind::Exact => Literal::Exact(text.to_string()),
            TokenKind::Approximate => Literal::Approximate(text.to_string()),
            TokenKind::BinaryString => Literal::Binary(self.bytes_of(text)),
            TokenKind::UnicodeString => Literal::String(self.unicode_string(&unquote(text), start)?),
            _ => {
                let mut value = unquote(text);
                // Adjacent strings are one.
                while self.is(TokenKind::String) {
                    let next = self.advance();
                    value.push_str(&unquote(self.token_text(next)));
                }
                Literal::String(value)
            }
        };
        Ok(Expression { kind: ExpressionKind::Literal(literal), span: self.since(start) })
    }

    /// `X'1F…'`; the lexer has checked the digits.
    fn bytes_of(&self, text: &str) -> Vec<u8> {
        let digits = text.as_bytes().get(2..text.len() - 1).unwrap_or_default();
        let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
    }

    /// `\XXXX` is a code unit, `\\` a backslash; UESCAPE names another escape character.
    fn unicode_string(&mut self, text: &str, start: Span) -> Parsed<String> {
        let mut escape = '\\';
        if self.take_word("UESCAPE") {
            let character = self.text_literal("the escape character as a string")?;
            let mut letters = character.value.chars();
            escape = match (letters.next(), letters.next()) {
                (Some(letter), None) if !letter.is_ascii_hexdigit() && !"+' ".contains(letter) => letter,
                _ => {
                    let message = "UESCAPE takes one character that is no hexadecimal digit, sign or quote";
                    return Err(Box::new(Diagnostic::syntax(character.span, message)));
                }
            };
        }
        let mut units = Vec::with_capacity(text.len());
        let mut letters = text.chars();
        let mut buffer = [0; 2];
        while let Some(letter) = letters.next() {
            if letter != escape {
                units.extend_from_slice(letter.encode_utf16(&mut buffer));
                continue;
            }
            let rest = letters.as_str();
            if rest.starts_with(escape) {
                letters.next();
                units.extend_from_slice(escape.encode_utf16(&mut buffer));
                continue;
            }
            let digits = rest.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
                Some(unit) => units.push(unit),
                None => {
                    let message = format!("`{escape}` must be followed by four hexadecimal digits");
                    return Err(Box::new(Diagnostic::syntax(start, message)));
                }
            }
            letters = rest[4..].chars();
        }
        String::from_utf16(&units)
            .map_err(|_| Box::new(Diagnostic::syntax(start, "this string has half of a surrogate pair")))
    }

    /// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`, `TIMESTAMP WITH LOCAL TIME ZONE '…'`.
    pub(super) fn temporal_literal(&mut self, word: &str) -> Parsed<Expression> {
        let start = self.span();
        self.advance();
        let local = word == "TIMESTAMP" && self.take_word("WITH");
        if local {
            self.expect_words(&["LOCAL", "TIME", "ZONE"])?;
        }
        let text = self.text_literal("the time as a string in quotes")?;
        let literal = match word {
            "DATE" => read_date(&text.value).map(Literal::Date),
            "TIME" => read_time(&text.value).map(|(value, precision)| Literal::Time { value, precision }),
            _ => read_timestamp(&text.value).map(|(value, precision)| match local {
                true => Literal::TimestampLtz { value, precision },
                false => Literal::Timestamp { value, precision },
            }),
        };
        let span = self.since(start);
        let Some(literal) = literal else {
            let example = match word {
                "DATE" => "DATE '2026-11-23'",
                "TIME" => "TIME '18:30:00'",
                _ => "TIMESTAMP '2026-11-23 18:30:00.000'",
            };
            return Err(Box::new(
                Diagnostic::invalid(text.span, format!("'{}' is not a {}", text.value, word.to_lowercase()))
                    .with_hint(format!("for example {example}")),
            ));
        };
        Ok(Expression { kind: ExpressionKind::Literal(literal), span })
    }

    /// `INTERVAL [sign] 'text' unit [(p)] [TO unit [(f)]]`.
    pub(super) fn interval_literal(&mut self) -> Parsed<Expression> {
        let start = self.expect_word("INTERVAL")?;
        let minus = self.take(TokenKind::Minus);
        if !minus {
            self.take(TokenKind::Plus);
        }
        if matches!(self.kind(0), TokenKind::Exact | TokenKind::Approximate) {
            let number = self.token_text(self.token(0)).to_string();
            let unit = self.token_text(self.token(1)).to_ascii_uppercase();
            return Err(Box::new(
                Diagnostic::syntax(self.span(), "the value of an interval stands in quotes")
                    .with_hint(format!("write INTERVAL '{number}' {unit}")),
            ));
        }
        let text = self.text_literal("the value of the interval as a string in quotes")?;
        let qualifier = self.interval_qualifier()?;
        let (inner_minus, digits) = match text.value.trim().strip_prefix('-') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text.value.trim().trim_start_matches('+').trim_start()),
        };
        let negative = minus != inner_minus;
        let value = qualifier.read(digits).map_err(|error| {
            let quoted = format!("'{}'", text.value);
            Box::new(match error {
                IntervalError::Form => Diagnostic::invalid(
                    text.span,
                    format!("{quoted} is not an interval of {}", qualifier.name()),
                )
                .with_hint(format!(
                    "for example INTERVAL {} {}",
                    qualifier.example(),
                    qualifier.name()
                )),
                IntervalError::Precision => Diagnostic::invalid(
                    text.span,
                    format!("{quoted} has more digits than {} holds", qualifier.leading_name()),
                )
                .with_label(format!("at most {} digits", qualifier.digits()))
                .with_hint(format!(
                    "write {}({})",
                    qualifier.from.name(),
                    digits.bytes().take_while(u8::is_ascii_digit).count()
                )),
            })
        })?;
        let value = match value {
            IntervalValue::Months(months) if negative => IntervalValue::Months(-months),
            IntervalValue::Milliseconds(ms) if negative => IntervalValue::Milliseconds(-ms),
            value => value,
        };
        let literal = IntervalLiteral {
            text: digits.to_string(),
            negative,
            from: qualifier.from,
            precision: qualifier.precision,
            to: qualifier.to,
            fraction: qualifier.fraction,
            value,
        };
        let kind = ExpressionKind::Literal(Literal::Interval(literal));
        Ok(Expression { kind, span: self.since(start) })
    }

    /// `YEAR`, `DAY(3) TO SECOND(3)`, …; plural units are the same.
    pub(super) fn interval_qualifier(&mut self) -> Parsed<IntervalQualifier> {
        let start = self.span();
        let from = self.interval_unit()?;
        let (mut precision, mut fraction) = (None, None);
        if self.is(TokenKind::LeftParen) {
            let open = self.expect(TokenKind::LeftParen, "`(`")?;
            precision = Some(self.precision(1, 10, "the number of digits, from 1 to 10")?);
            if from == TimeUnit::Second && self.take(TokenKind::Comma) {
                fraction = Some(self.precision(0, 9, "the digits of the fraction, from 0 to 9")?);
            }
            self.close(open)?;
        }
        let mut to = None;
        if self.take_word("TO") {
            let unit = self.interval_unit()?;
            let allowed = match from {
                TimeUnit::Year => matches!(unit, TimeUnit::Month),
                TimeUnit::Day => matches!(unit, TimeUnit::Hour | TimeUnit::Minute | TimeUnit::Second),
                TimeUnit::Hour => matches!(unit, TimeUnit::Minute | TimeUnit::Second),
                TimeUnit::Minute => matches!(unit, TimeUnit::Second),
                _ => false,
            };
            if !allowed {
                let message = format!("an interval cannot be of {} TO {}", from.name(), unit.name());
                return Err(Box::new(Diagnostic::syntax(self.since(start), message).with_hint(
                    "YEAR TO MONTH, or from DAY, HOUR or MINUTE down to HOUR, MINUTE or SECOND",
                )));
            }
            if unit == TimeUnit::Second && self.is(TokenKind::LeftParen) {
                let open = self.expect(TokenKind::LeftParen, "`(`")?;
                fraction = Some(self.precision(0, 9, "the digits of the fraction, from 0 to 9")?);
                self.close(open)?;
            }
            to = Some(unit);
        }
        Ok(IntervalQualifier { from, precision, to, fraction })
    }

    fn interval_unit(&mut self) -> Parsed<TimeUnit> {
        let unit = match self.upper_word().as_deref() {
            Some("YEAR" | "YEARS") => TimeUnit::Year,
            Some("QUARTER" | "QUARTERS") => TimeUnit::Quarter,
            Some("MONTH" | "MONTHS") => TimeUnit::Month,
            Some("WEEK" | "WEEKS") => TimeUnit::Week,
            Some("DAY" | "DAYS") => TimeUnit::Day,
            Some("HOUR" | "HOURS") => TimeUnit::Hour,
            Some("MINUTE" | "MINUTES") => TimeUnit::Minute,
            Some("SECOND" | "SECONDS") => TimeUnit::Second,
            Some("MILLISECOND" | "MILLISECONDS") => {
                let hint = "write INTERVAL '0.005' SECOND for five milliseconds";
                return Err(Box::new(
                    Diagnostic::syntax(self.span(), "an interval cannot be of MILLISECOND").with_hint(hint),
                ));
            }
            _ => {
                for word in ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"] {
                    self.is_word(word);
                }
                return Err(self.expected("the interval's unit: YEAR, MONTH, DAY, HOUR, MINUTE or SECOND"));
            }
        };
        self.advance();
        Ok(unit)
    }

    pub(super) fn precision(&mut self, least: u32, most: u32, what: &str) -> Parsed<u8> {
        let span = self.span();
        let number = self.whole_number(what)?;
        if number < least || number > most {
            return Err(Box::new(Diagnostic::invalid(span, format!("expected {what}, found {number}"))));
        }
        Ok(number as u8)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct IntervalQualifier {
    pub(super) from: TimeUnit,
    pub(super) precision: Option<u8>,
    pub(super) to: Option<TimeUnit>,
    pub(super) fraction: Option<u8>,
}

enum IntervalError {
    Form,
    Precision,
}

impl IntervalQualifier {
    pub(super) fn is_year_month(&self) -> bool {
        matches!(self.from, TimeUnit::Year | TimeUnit::Quarter | TimeUnit::Month)
    }

    fn name(&self) -> String {
        match self.to {
            Some(to) => format!("{} TO {}", self.from.name(), to.name()),
            None => self.from.name().to_string(),
        }
    }

    fn leading_name(&self) -> String {
        match self.precision {
            Some(precision) => format!("{}({precision})", self.from.name()),
            None => self.from.name().to_string(),
        }
    }

    fn example(&self) -> &'static str {
        match (self.from, self.to) {
            (TimeUnit::Year, Some(_)) => "'1-6'",
            (TimeUnit::Day, Some(TimeUnit::Hour)) => "'1 12'",
            (TimeUnit::Day, Some(TimeUnit::Minute)) => "'1 12:30'",
            (TimeUnit::Day, Some(_)) => "'1 12:30:00'",
            (TimeUnit::Hour, Some(TimeUnit::Minute)) => "'12:30'",
            (TimeUnit::Hour, Some(_)) => "'12:30:00'",
            (TimeUnit::Minute, Some(_)) => "'30:00'",
            _ => "'10'",
        }
    }

    /// Digits of the leading field: two where nothing else is written, as in Flink.
    fn digits(&self) -> usize {
        self.precision.unwrap_or(2).into()
    }

    /// Reads the text of a literal, without its sign.
    fn read(&self, text: &str) -> Result<IntervalValue, IntervalError> {
        let form = |value: Option<i64>| value.ok_or(IntervalError::Form);
        if self.is_year_month() {
            let (leading, months) = match self.to {
                Some(_) => {
                    let (years, months) = text.split_once('-').ok_or(IntervalError::Form)?;
                    (self.leading(years)?, form(field(months, 11))?)
                }
                None => (self.leading(text)?, 0),
            };
            let factor = match self.from {
                TimeUnit::Year => 12,
                TimeUnit::Quarter => 3,
                _ => 1,
            };
            return Ok(IntervalValue::Months(leading * factor + months));
        }
        let last = self.to.unwrap_or(self.from);
        let (text, fraction_ms) = match (last, text.split_once('.')) {
            (TimeUnit::Second, Some((whole, fraction))) => (whole, form(self.fraction_ms(fraction))?),
            _ => (text, 0),
        };
        let mut fields: Vec<&str> = Vec::new();
        let mut rest = text;
        if self.from == TimeUnit::Day && self.to.is_some() {
            let (days, clock) = text.split_once(' ').ok_or(IntervalError::Form)?;
            fields.push(days);
            rest = clock.trim_start();
        }
        fields.extend(rest.split(':'));
        let units = [TimeUnit::Day, TimeUnit::Hour, TimeUnit::Minute, TimeUnit::Second];
        let units: &[TimeUnit] = match units.iter().position(|unit| *unit == self.from) {
            Some(first) => {
                let end = units.iter().position(|unit| *unit == last).unwrap_or(first);
                &units[first..=end]
            }
            None => &[TimeUnit::Week],
        };
        if fields.len() != units.len() {
            return Err(IntervalError::Form);
        }
        let mut total = fraction_ms;
        for (index, (text, unit)) in fields.iter().zip(units).enumerate() {
            let (most, factor) = match unit {
                TimeUnit::Week => (0, 7 * 86_400_000),
                TimeUnit::Day => (0, 86_400_000),
                TimeUnit::Hour => (23, 3_600_000),
                TimeUnit::Minute => (59, 60_000),
                _ => (59, 1000),
            };
            let value = if index == 0 { self.leading(text)? } else { form(field(text, most))? };
            // Ten digits of weeks are far from the end of 64 bits.
            total += value * factor;
        }
        Ok(IntervalValue::Milliseconds(total))
    }

    fn leading(&self, text: &str) -> Result<i64, IntervalError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IntervalError::Form);
        }
        if text.trim_start_matches('0').len() > self.digits() {
            return Err(IntervalError::Precision);
        }
        text.parse().map_err(|_| IntervalError::Form)
    }

    /// The milliseconds of a fraction of a second; further digits are cut.
    fn fraction_ms(&self, digits: &str) -> Option<i64> {
        let most = usize::from(self.fraction.unwrap_or(9));
        if digits.is_empty() || digits.len() > most || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        format!("{digits:0<3}").get(..3)?.parse().ok()
    }
}

/// A field behind the leading one.
fn field(text: &str, most: i64) -> Option<i64> {
    let valid = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let value: i64 = valid.then(|| text.parse().ok()).flatten()?;
    (value <= most).then_some(value)
}

/// `2026-11-23`.
fn read_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.trim().splitn(3, '-');
    let mut part = |lengths: std::ops::RangeInclusive<usize>| {
        let digits = parts.next()?;
        let fits = lengths.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let (year, month, day) = (part(4..=4)?, part(1..=2)?, part(1..=2)?);
    NaiveDate::from_ymd_opt(year as i32, month, day).filter(|_| year > 0)
}

/// `18:30:00.123`, and the number of fractional digits.
fn read_time(text: &str) -> Option<(NaiveTime, u8)> {
    let (clock, fraction) = match text.trim().split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (text.trim(), ""),
    };
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fields: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = fields.as_slice() else { return None };
    let value = |text: &str, most: i64| field(text, most).map(|value| value as u32);
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    let time =
        NaiveTime::from_hms_nano_opt(value(hour, 23)?, value(minute, 59)?, value(second, 59)?, nanoseconds)?;
    Some((time, fraction.len() as u8))
}

/// `2026-11-23 18:30:00.123`; a date alone is its midnight.
fn read_timestamp(text: &str) -> Option<(NaiveDateTime, u8)> {
    let text = text.trim();
    let Some((date, time)) = text.split_once(' ') else {
        return Some((read_date(text)?.and_time(NaiveTime::MIN), 0));
    };
    let (time, precision) = read_time(time)?;
    Some((read_date(date)?.and_time(time), precision))
}
