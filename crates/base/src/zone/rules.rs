//! The offsets of one zone over time, read from a TZif file (RFC 9636).
//!
//! The file lists the transitions of the past and ends with a rule for the future, in the notation of POSIX. The
//! rule's transitions up to the year 2100 are listed too, so that nearly every look-up is one binary search.

use crate::calendar::{is_leap, number_of};

/// The offsets of a zone. Everything is in seconds.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) name: &'static str,
    /// Before the first transition.
    first: i64,
    transitions: Vec<Transition>,
    /// For the years behind the list.
    tail: Option<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Transition {
    /// The instant.
    at: i64,
    /// From here on the wall clock is read by the new offset: behind the gap, or behind the overlap.
    wall: i64,
    after: i64,
}

/// A standard offset and the daylight saving time of each year.
#[derive(Debug, Clone, Copy)]
struct Rule {
    standard: i64,
    daylight: i64,
    begin: Date,
    end: Date,
}

/// A day of each year and the seconds from its midnight, on the wall clock before the change.
#[derive(Debug, Clone, Copy)]
struct Date {
    day: DayRule,
    seconds: i64,
}

#[derive(Debug, Clone, Copy)]
enum DayRule {
    /// The first to fourth, or last (5), such day of the week (Sunday is 0) of a month.
    Month { month: u32, week: i64, weekday: i64 },
    /// 1 to 365; the 29th of February is never counted.
    Julian(i64),
    /// 0 to 365.
    Zero(i64),
}

/// Up to this year the rule's transitions are listed.
const LISTED_YEAR_MAX: i64 = 2100;

impl Rules {
    pub(super) fn read(name: &'static str, file: &[u8]) -> Option<Rules> {
        // The first block has 32-bit times; the second one, behind a header of its own, has all.
        let skipped = Header::read(file)?.length(4);
        let rest = file.get(Header::BYTES + skipped..)?;
        let header = Header::read(rest)?;
        let body = rest.get(Header::BYTES..)?;
        let footer = body.get(header.length(8)..)?;
        let times = body.get(..header.times * 8)?;
        let kinds = body.get(header.times * 8..header.times * 9)?;
        let types = body.get(header.times * 9..header.times * 9 + header.types * 6)?;
        let offset = |kind: usize| {
            let bytes = types.get(kind * 6..kind * 6 + 4)?;
            Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
        };
        let first = offset(0)?;
        let mut rules = Rules { name, first, transitions: Vec::with_capacity(header.times), tail: None };
        for (time, kind) in times.chunks_exact(8).zip(kinds) {
            rules.push(i64::from_be_bytes(time.try_into().ok()?), offset(usize::from(*kind))?);
        }
        let text = std::str::from_utf8(footer).ok()?.trim_matches('\n');
        if let Some(rule) = Rule::parse(text)? {
            let listed = rules.transitions.last().map_or(i64::MIN, |last| last.at);
            for year in 1970..=LISTED_YEAR_MAX {
                for (at, _, after) in rule.of_year(year) {
                    if at > listed {
                        rules.push(at, after);
                    }
                }
            }
            rules.tail = Some(rule);
        }
        Some(rules)
    }

    fn push(&mut self, at: i64, after: i64) {
        let before = self.last_offset();
        if before != after {
            self.transitions.push(Transition { at, wall: at + before.max(after), after });
        }
    }

    fn last_offset(&self) -> i64 {
        self.transitions.last().map_or(self.first, |last| last.after)
    }

    /// The rule, for instants and wall-clock times behind the list.
    fn behind(&self, seconds: i64) -> Option<&Rule> {
        const DAY: i64 = 86_400;
        let is_behind = self.transitions.last().is_none_or(|last| seconds > last.at + DAY);
        self.tail.as_ref().filter(|_| is_behind)
    }

    pub(super) fn at_instant(&self, seconds: i64) -> i64 {
        if let Some(rule) = self.behind(seconds) {
            let passed = rule.around(seconds).into_iter().rfind(|(at, _, _)| *at <= seconds);
            return passed.map_or(rule.standard, |(_, _, after)| after);
        }
        match self.transitions.partition_point(|transition| transition.at <= seconds) {
            0 => self.first,
            passed => self.transitions[passed - 1].after,
        }
    }

    /// The offset by which a wall-clock time is read: in gaps and overlaps the one before the transition.
    pub(super) fn at_wall(&self, seconds: i64) -> i64 {
        if let Some(rule) = self.behind(seconds) {
            let passed = rule
                .around(seconds)
                .into_iter()
                .rfind(|(at, before, after)| at + (*before).max(*after) <= seconds);
            return passed.map_or(rule.standard, |(_, _, after)| after);
        }
        match self.transitions.partition_point(|transition| transition.wall <= seconds) {
            0 => self.first,
            passed => self.transitions[passed - 1].after,
        }
    }

    /// The first transition behind an instant: when, and the offsets before and after it.
    pub(super) fn next_transition(&self, seconds: i64) -> Option<(i64, i64, i64)> {
        if let Some(rule) = self.behind(seconds) {
            return rule.around(seconds).into_iter().find(|(at, _, _)| *at > seconds);
        }
        let next = self.transitions.partition_point(|transition| transition.at <= seconds);
        let transition = self.transitions.get(next)?;
        let before = if next == 0 { self.first } else { self.transitions[next - 1].after };
        Some((transition.at, before, transition.after))
    }

    /// The last transition up to an instant.
    pub(super) fn transition_before(&self, seconds: i64) -> Option<i64> {
        if let Some(rule) = self.behind(seconds) {
            return rule.around(seconds).into_iter().map(|(at, _, _)| at).rfind(|at| *at <= seconds);
        }
        let passed = self.transitions.partition_point(|transition| transition.at <= seconds);
        passed.checked_sub(1).map(|last| self.transitions[last].at)
    }
}

/// The counts at the head of a block.
struct Header {
    is_utc: usize,
    is_standard: usize,
    leaps: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Header {
    const BYTES: usize = 44;

    fn read(block: &[u8]) -> Option<Header> {
        let header = block.get(..Header::BYTES).filter(|header| header.starts_with(b"TZif"))?;
        let count = |index: usize| {
            let bytes = header.get(20 + index * 4..24 + index * 4)?;
            usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
        };
        Some(Header {
            is_utc: count(0)?,
            is_standard: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            letters: count(5)?,
        })
    }

    /// The bytes of the block behind the header.
    fn length(&self, time_bytes: usize) -> usize {
        self.times * (time_bytes + 1)
            + self.types * 6
            + self.letters
            + self.leaps * (time_bytes + 4)
            + self.is_standard
            + self.is_utc
    }
}

impl Rule {
    /// `CET-1CEST,M3.5.0,M10.5.0/3`. `Some(None)` is a zone without daylight saving time; `None` is no rule at all.
    fn parse(text: &str) -> Option<Option<Rule>> {
        let mut rest = text;
        skip_name(&mut rest)?;
        let standard = -clock(&mut rest)?;
        if rest.is_empty() {
            return Some(None);
        }
        skip_name(&mut rest)?;
        let daylight = if rest.starts_with(',') { standard + 3_600 } else { -clock(&mut rest)? };
        let mut dates = rest.strip_prefix(',')?.split(',').map(Date::parse);
        Some(Some(Rule { standard, daylight, begin: dates.next()??, end: dates.next()?? }))
    }

    /// The transitions of a year: when, and the offsets before and after; in order.
    fn of_year(&self, year: i64) -> [(i64, i64, i64); 2] {
        let begin = (self.begin.of_year(year) - self.standard, self.standard, self.daylight);
        let end = (self.end.of_year(year) - self.daylight, self.daylight, self.standard);
        if begin.0 <= end.0 { [begin, end] } else { [end, begin] }
    }

    /// The transitions of the year before a time, its own and the next, in order.
    fn around(&self, seconds: i64) -> Vec<(i64, i64, i64)> {
        // The mean length of a year names the right one or its neighbour.
        let year = 1970 + seconds.div_euclid(31_556_952);
        (year - 1..=year + 1).flat_map(|year| self.of_year(year)).collect()
    }
}

impl Date {
    fn parse(text: &str) -> Option<Date> {
        let (day, time) = text.split_once('/').unwrap_or((text, "2"));
        let mut rest = time;
        let seconds = clock(&mut rest)?;
        let day = if let Some(parts) = day.strip_prefix('M') {
            let mut parts = parts.split('.').map(|part| part.parse::<i64>().ok());
            let (month, week, weekday) = (parts.next()??, parts.next()??, parts.next()??);
            let month = u32::try_from(month).ok()?;
            let valid = (1..=12).contains(&month) && (1..=5).contains(&week) && (0..=6).contains(&weekday);
            valid.then_some(DayRule::Month { month, week, weekday })?
        } else if let Some(number) = day.strip_prefix('J') {
            DayRule::Julian(number.parse().ok()?)
        } else {
            DayRule::Zero(day.parse().ok()?)
        };
        Some(Date { day, seconds })
    }

    /// In seconds since 1970 on the wall clock.
    fn of_year(&self, year: i64) -> i64 {
        let first = number_of(year, 1, 1);
        let day = match self.day {
            DayRule::Zero(day) => first + day,
            DayRule::Julian(day) => first + day - 1 + i64::from(is_leap(year) && day >= 60),
            DayRule::Month { month, week, weekday } => {
                let begin = number_of(year, month, 1);
                let next =
                    if month == 12 { number_of(year + 1, 1, 1) } else { number_of(year, month + 1, 1) };
                // 1970-01-01 was a Thursday, 4.
                let wanted = begin + (weekday - begin - 4).rem_euclid(7) + (week - 1) * 7;
                if wanted >= next { wanted - 7 } else { wanted }
            }
        };
        day * 86_400 + self.seconds
    }
}

/// `CET`, or `<-03>`.
fn skip_name(text: &mut &str) -> Option<()> {
    let length = if text.starts_with('<') {
        text.find('>')? + 1
    } else {
        text.bytes().take_while(u8::is_ascii_alphabetic).count()
    };
    *text = text.get(length..)?;
    (length > 0).then_some(())
}

/// `[+-]h[h][h][:mm[:ss]]` in seconds.
fn clock(text: &mut &str) -> Option<i64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, *text),
    };
    let length = body.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b':').count();
    let (time, rest) = body.split_at(length);
    *text = rest;
    let mut seconds = 0;
    for (part, unit) in time.split(':').zip([3_600, 60, 1]) {
        seconds += part.parse::<i64>().ok().filter(|part| *part <= 167)? * unit;
    }
    Some(sign * seconds)
}
