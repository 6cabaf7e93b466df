//! Time zones: how an instant reads on a wall clock, and the other way round, as Java's `ZoneId` does it.
//!
//! The zones are those of the IANA database that is compiled in, never the machine's own, so that results are the same
//! everywhere. A wall-clock time that a zone skips (a gap) moves on by the length of the gap; one that it has twice
//! (an overlap) is the earlier of the two.

mod database;
mod rules;

use rules::Rules;
use std::fmt;

/// A fixed offset from UTC, or a zone of the database.
#[derive(Clone, Copy, Default)]
pub struct Zone(Kind);

#[derive(Clone, Copy)]
enum Kind {
    /// Milliseconds east of UTC.
    Fixed(i64),
    Named(&'static Rules),
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Fixed(0)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        match (self.0, other.0) {
            (Kind::Fixed(a), Kind::Fixed(b)) => a == b,
            (Kind::Named(a), Kind::Named(b)) => a.name == b.name,
            _ => false,
        }
    }
}

impl Eq for Zone {}

/// The greatest offset that Java takes.
const OFFSET_SECONDS_MAX: i64 = 18 * 3_600;

impl Zone {
    pub const UTC: Zone = Zone(Kind::Fixed(0));

    pub fn fixed_ms(offset_ms: i64) -> Zone {
        Zone(Kind::Fixed(offset_ms))
    }

    /// A name of the database such as `Europe/Berlin`, or an offset: `UTC`, `Z`, `GMT+02:00`, `+02:00`, `UTC-5`.
    pub fn parse(text: &str) -> Option<Zone> {
        let text = text.trim();
        if let Some(zone) = Zone::parse_offset(text) {
            return Some(zone);
        }
        database::rules(text).map(|rules| Zone(Kind::Named(rules)))
    }

    fn parse_offset(text: &str) -> Option<Zone> {
        if matches!(text, "Z" | "UTC" | "GMT" | "UT") {
            return Some(Zone::UTC);
        }
        let rest = ["UTC", "GMT", "UT"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        let sign = match rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let seconds = offset_seconds(&rest[1..])?;
        (seconds <= OFFSET_SECONDS_MAX).then(|| Zone::fixed_ms(sign * seconds * 1_000))
    }

    /// As Java's older `TimeZone.getTimeZone` reads it: names that it does not know are UTC, and `PST` and its kin are
    /// places.
    pub fn parse_or_utc(text: &str) -> Zone {
        if let Some(zone) = database::short_name(text).and_then(database::rules) {
            return Zone(Kind::Named(zone));
        }
        let is_offset = text.starts_with(['+', '-']) || text.starts_with("UT") && text != "UTC";
        if is_offset { Zone::UTC } else { Zone::parse(text).unwrap_or(Zone::UTC) }
    }

    pub fn is_utc(self) -> bool {
        matches!(self.0, Kind::Fixed(0))
    }

    /// How far east of UTC the clocks are at an instant.
    pub fn offset_ms(self, instant_ms: i64) -> i64 {
        match self.0 {
            Kind::Fixed(offset) => offset,
            Kind::Named(rules) => rules.at_instant(instant_ms.div_euclid(1_000)) * 1_000,
        }
    }

    /// What the clocks show at an instant.
    #[inline]
    pub fn wall_ms(self, instant_ms: i64) -> i64 {
        instant_ms.saturating_add(self.offset_ms(instant_ms))
    }

    /// When the clocks show a time: the first time they do, or what they show a gap's length later.
    #[inline]
    pub fn instant_ms(self, wall_ms: i64) -> i64 {
        let offset = match self.0 {
            Kind::Fixed(offset) => offset,
            Kind::Named(rules) => rules.at_wall(wall_ms.div_euclid(1_000)) * 1_000,
        };
        wall_ms.saturating_sub(offset)
    }

    /// When the clocks show a time for the last time: Java's older calendars read repeated times so.
    pub fn last_instant_ms(self, wall_ms: i64) -> i64 {
        let first = self.instant_ms(wall_ms);
        match self.overlap_after(first) {
            Some(overlap) if wall_ms >= overlap.wall_ms => first.saturating_add(overlap.length_ms),
            _ => first,
        }
    }

    /// When a time has passed for good: the end of the gap that it lies in, the second time of an overlap. It never
    /// goes back as the wall clock goes on, unlike `instant_ms`.
    pub fn passed_ms(self, wall_ms: i64) -> i64 {
        let Kind::Named(rules) = self.0 else { return self.instant_ms(wall_ms) };
        let last = self.last_instant_ms(wall_ms);
        if self.wall_ms(last) == wall_ms {
            return last;
        }
        // The clocks skip it: they go on at the transition before.
        rules.transition_before(last.div_euclid(1_000)).map_or(last, |seconds| seconds * 1_000)
    }

    /// The latest wall-clock time that has passed for good at an instant.
    pub fn passed_wall_ms(self, instant_ms: i64) -> i64 {
        if instant_ms == i64::MIN || instant_ms == i64::MAX {
            return instant_ms;
        }
        let wall_ms = self.wall_ms(instant_ms);
        match self.overlap_after(instant_ms) {
            // The clocks will show it again.
            Some(overlap) if wall_ms >= overlap.wall_ms => overlap.wall_ms - 1,
            _ => wall_ms,
        }
    }

    /// The next time that the clocks are turned back.
    fn overlap_after(self, instant_ms: i64) -> Option<Overlap> {
        let Kind::Named(rules) = self.0 else { return None };
        let (seconds, before, after) = rules.next_transition(instant_ms.div_euclid(1_000))?;
        (after < before)
            .then(|| Overlap { wall_ms: (seconds + after) * 1_000, length_ms: (before - after) * 1_000 })
    }
}

/// A stretch of wall-clock time that comes twice.
struct Overlap {
    wall_ms: i64,
    length_ms: i64,
}

/// `h`, `hh`, `hh:mm`, `hhmm`, `hh:mm:ss`, `hhmmss`.
fn offset_seconds(text: &str) -> Option<i64> {
    let two = |text: &str, max: i64| {
        let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|value| fits && *value <= max)
    };
    let (hours, rest) = match text.split_once(':') {
        Some((hours, rest)) => (hours, rest.split(':').collect::<Vec<_>>()),
        None if text.len() > 2 && text.is_ascii() => {
            let (hours, rest) = text.split_at(2);
            let cut = 2.min(rest.len());
            let (minutes, seconds) = rest.split_at(cut);
            (hours, [minutes, seconds].into_iter().filter(|part| !part.is_empty()).collect())
        }
        None => (text, Vec::new()),
    };
    let hours = match hours.len() {
        1 => hours.parse::<u8>().ok().filter(|_| hours.is_ascii()).map(i64::from)?,
        _ => two(hours, 18)?,
    };
    let minutes = rest.first().map_or(Some(0), |part| two(part, 59))?;
    let seconds = rest.get(1).map_or(Some(0), |part| two(part, 59))?;
    (rest.len() <= 2).then_some(hours * 3_600 + minutes * 60 + seconds)
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Named(rules) => f.write_str(rules.name),
            Kind::Fixed(0) => f.write_str("UTC"),
            Kind::Fixed(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let seconds = offset.abs() / 1_000;
                write!(f, "{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60)?;
                if seconds % 60 != 0 {
                    write!(f, ":{:02}", seconds % 60)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
