//! Date patterns of Java's DateTimeFormatter, as DATE_FORMAT and TO_TIMESTAMP take them: parsed once, then written
//! or read.

use crate::expression::calendar::{
    Day, day_of, day_of_year, days_in_month, iso_day_of_week, iso_week, number_of, split_ms,
};
use crate::expression::value::{DAY_MS, Moment};
use std::fmt::Write;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct JavaPattern {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    /// A pattern letter and how often it stood.
    Field(char, usize),
}

const LETTERS: &str = "yuMLdDHhKkmsSnaEQeGw";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl JavaPattern {
    pub(super) fn parse(pattern: &str) -> Result<JavaPattern, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut letters = pattern.chars().peekable();
        let push_text = |parts: &mut Vec<Part>, letter: char| match parts.last_mut() {
            Some(Part::Text(text)) => text.push(letter),
            _ => parts.push(Part::Text(letter.to_string())),
        };
        while let Some(letter) = letters.next() {
            if letter == '\'' {
                if letters.next_if_eq(&'\'').is_some() {
                    push_text(&mut parts, '\'');
                    continue;
                }
                loop {
                    match letters.next() {
                        None => {
                            return Err(format!("the quote in the date pattern '{pattern}' is not closed"));
                        }
                        Some('\'') if letters.next_if_eq(&'\'').is_some() => push_text(&mut parts, '\''),
                        Some('\'') => break,
                        Some(inside) => push_text(&mut parts, inside),
                    }
                }
                continue;
            }
            if !letter.is_ascii_alphabetic() {
                push_text(&mut parts, letter);
                continue;
            }
            if !LETTERS.contains(letter) {
                return Err(format!(
                    "the date pattern '{pattern}' has the letter '{letter}', which is not supported; put literal text in quotes"
                ));
            }
            let mut count = 1;
            while letters.next_if_eq(&letter).is_some() {
                count += 1;
            }
            parts.push(Part::Field(letter, count));
        }
        Ok(JavaPattern { parts })
    }

    pub(super) fn write(&self, moment: Moment, out: &mut String) {
        let (number, ms) = split_ms(moment.ms);
        let day = day_of(number);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let nanos = ms % 1_000 * 1_000_000 + i64::from(moment.nanos);
        for part in &self.parts {
            let (letter, count) = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Field(letter, count) => (*letter, *count),
            };
            let value = match letter {
                'y' | 'u' if count == 2 => day.year.rem_euclid(100),
                'y' | 'u' => day.year,
                'M' | 'L' | 'E' | 'a' | 'G' => {
                    write_word(letter, count, &day, number, hour, out);
                    continue;
                }
                'd' => i64::from(day.day),
                'D' => day_of_year(number),
                'H' => hour,
                'k' => {
                    if hour == 0 {
                        24
                    } else {
                        hour
                    }
                }
                'K' => hour % 12,
                'h' => {
                    if hour % 12 == 0 {
                        12
                    } else {
                        hour % 12
                    }
                }
                'm' => minute,
                's' => second,
                'n' => nanos,
                'Q' => i64::from((day.month - 1) / 3 + 1),
                'e' => iso_day_of_week(number) % 7 + 1,
                'w' => iso_week(number).1,
                _ => {
                    let digits = format!("{nanos:09}");
                    out.extend(digits.chars().chain(std::iter::repeat('0')).take(count));
                    continue;
                }
            };
            write_number(value, count, out);
        }
    }

    /// Reads a whole text; fields that the pattern lacks are those of 1970-01-01 00:00.
    pub(super) fn read(&self, text: &str) -> Option<Moment> {
        let mut rest = text;
        let mut found = Found::default();
        for (index, part) in self.parts.iter().enumerate() {
            let (letter, count) = match part {
                Part::Text(wanted) => {
                    rest = rest.strip_prefix(wanted.as_str())?;
                    continue;
                }
                Part::Field(letter, count) => (*letter, *count),
            };
            // Before another field the number must have exactly the letters' width.
            let adjacent = matches!(self.parts.get(index + 1), Some(Part::Field(..)));
            rest = found.read(letter, count, adjacent, rest)?;
        }
        if rest.is_empty() { found.moment() } else { None }
    }
}

impl JavaPattern {
    /// Reads the beginning of a text as Java's SimpleDateFormat does: numbers of any length, which may be more than a
    /// field has, and go on into the next then.
    pub(super) fn read_leniently(&self, text: &str) -> Option<Moment> {
        let mut rest = text;
        let mut found = Found { is_lenient: true, ..Found::default() };
        let mut has_field = false;
        for (index, part) in self.parts.iter().enumerate() {
            let (letter, count) = match part {
                Part::Text(wanted) => {
                    rest = rest.strip_prefix(wanted.as_str())?;
                    continue;
                }
                Part::Field(letter, count) => (*letter, *count),
            };
            let adjacent = matches!(self.parts.get(index + 1), Some(Part::Field(..)));
            rest = found.read(letter, count, adjacent, rest.trim_start_matches([' ', '\t']))?;
            has_field = true;
        }
        if !has_field {
            return None;
        }
        let day = match found.day_of_year {
            Some(day) => number_of(found.year.unwrap_or(1970), 1, 1).checked_add(day - 1)?,
            None => {
                let months =
                    found.year.unwrap_or(1970).checked_mul(12)?.checked_add(found.month.unwrap_or(1) - 1)?;
                let first = number_of(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1);
                first.checked_add(found.day.unwrap_or(1) - 1)?
            }
        };
        let hour = match (found.hour, found.half_day_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if found.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let minutes = hour * 60 + found.minute.unwrap_or(0);
        let ms = (minutes * 60 + found.second.unwrap_or(0)) * 1_000;
        Some(Moment::from_ms(day.checked_mul(DAY_MS)?.checked_add(ms)?))
    }
}

/// With zeros before it, up to so many digits.
fn write_number(value: i64, digits: usize, out: &mut String) {
    if value < 0 {
        let _ = write!(out, "{value:0digits$}");
        return;
    }
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.extend(std::iter::repeat_n('0', digits.saturating_sub(text.len())));
    out.push_str(text);
}

fn write_word(letter: char, count: usize, day: &Day, number: i64, hour: i64, out: &mut String) {
    match letter {
        'M' | 'L' => match count {
            1 | 2 => write_number(i64::from(day.month), count, out),
            3 => out.push_str(&MONTHS[day.month as usize - 1][..3]),
            _ => out.push_str(MONTHS[day.month as usize - 1]),
        },
        'E' => {
            let name = WEEKDAYS[iso_day_of_week(number) as usize - 1];
            out.push_str(if count < 4 { &name[..3] } else { name });
        }
        'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        _ => out.push_str(if day.year > 0 { "AD" } else { "BC" }),
    }
}

/// Fields read so far.
#[derive(Default)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    half_day_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    nanos: Option<i64>,
    /// Numbers may have fewer or more digits than the pattern has letters.
    is_lenient: bool,
}

impl Found {
    fn read<'t>(&mut self, letter: char, count: usize, adjacent: bool, text: &'t str) -> Option<&'t str> {
        match letter {
            'a' => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = Some(match half.to_ascii_uppercase().as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                return Some(rest);
            }
            'E' => {
                return WEEKDAYS
                    .iter()
                    .find_map(|name| text.strip_prefix(if count < 4 { &name[..3] } else { *name }));
            }
            'M' | 'L' if count >= 3 => {
                let (month, rest) = MONTHS.iter().enumerate().find_map(|(index, name)| {
                    let word = if count == 3 { &name[..3] } else { *name };
                    text.strip_prefix(word).map(|rest| (index as i64 + 1, rest))
                })?;
                self.month = Some(month);
                return Some(rest);
            }
            _ => {}
        }
        let digits_max = if self.is_lenient && !adjacent {
            9
        } else if adjacent || letter == 'S' || count == 2 && letter == 'y' {
            count
        } else if matches!(letter, 'y' | 'u') {
            9
        } else {
            count.max(2)
        };
        let available = text.bytes().take_while(u8::is_ascii_digit).count();
        let length = available.min(digits_max);
        if length == 0 || (count > 1 && length < count && !self.is_lenient) {
            return None;
        }
        let (digits, rest) = text.split_at(length);
        let value: i64 = digits.parse().ok()?;
        let slot = match letter {
            'y' | 'u' if count == 2 && length <= 2 => {
                self.year = Some(2000 + value);
                return Some(rest);
            }
            'y' | 'u' => &mut self.year,
            'M' | 'L' => &mut self.month,
            'd' => &mut self.day,
            'D' => &mut self.day_of_year,
            'H' => &mut self.hour,
            'k' => {
                self.hour = Some(value % 24);
                return Some(rest);
            }
            'h' | 'K' => {
                if value > 12 {
                    return None;
                }
                self.half_day_hour = Some(value % 12);
                return Some(rest);
            }
            'm' => &mut self.minute,
            's' => &mut self.second,
            'S' if length <= 9 => {
                self.nanos = Some(value * 10_i64.pow(9 - length as u32));
                return Some(rest);
            }
            'n' => &mut self.nanos,
            _ => return None,
        };
        *slot = Some(value);
        Some(rest)
    }

    fn moment(&self) -> Option<Moment> {
        let year = self.year.unwrap_or(1970);
        let day = match self.day_of_year {
            Some(day) => number_of(year, 1, 1) + (day - 1),
            None => {
                let month = u32::try_from(self.month.unwrap_or(1)).ok()?;
                let day = u32::try_from(self.day.unwrap_or(1)).ok()?;
                if !(1..=12).contains(&month) || day == 0 || day > 31 {
                    return None;
                }
                // Java's smart resolver takes the month's last day for the 30th of February.
                number_of(year, month, day.min(days_in_month(year, month)))
            }
        };
        let hour = match (self.hour, self.half_day_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let (minute, second) = (self.minute.unwrap_or(0), self.second.unwrap_or(0));
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let nanos = self.nanos.unwrap_or(0);
        let ms = day.checked_mul(DAY_MS)? + ((hour * 60 + minute) * 60 + second) * 1_000 + nanos / 1_000_000;
        Some(Moment { ms, nanos: (nanos % 1_000_000) as u32 })
    }
}
