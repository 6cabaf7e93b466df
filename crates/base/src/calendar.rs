//! The proleptic Gregorian calendar on plain integers.
//!
//! The conversions are those of Howard Hinnant's "chrono-compatible low-level date algorithms": years begin in March, so that
//! the day which leap years add is the last, and are counted in eras of 400. They hold for every day that 64 bits of
//! milliseconds can name.

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

/// The calendar day of a day number (0 is 1970-01-01).
pub fn day_of(number: i64) -> Day {
    let shifted = number + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_shifted + 2) / 5 + 1) as u32;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 } as u32;
    Day { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

/// The number of a calendar day.
pub fn number_of(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Milliseconds since the epoch as `2013-01-31 12:00:00` (UTC).
pub fn timestamp(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (number, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let Day { year, month, day } = day_of(number);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// `2013-01-31T12:00:00Z` (or with a space, or a date alone) as milliseconds since the epoch.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches('Z');
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next().unwrap_or(Some(0))?);
    let fits = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    let seconds = || number_of(year.into(), month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    fits.then(|| seconds() * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_their_numbers_are_each_others_inverse() {
        for number in (-800_000..800_000).step_by(37) {
            let Day { year, month, day } = day_of(number);
            assert!((1..=days_in_month(year, month)).contains(&day), "{number}");
            assert_eq!(number_of(year, month, day), number);
        }
        assert_eq!(day_of(0), Day { year: 1970, month: 1, day: 1 });
        assert_eq!(number_of(2000, 2, 29), 11_016);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(timestamp(1_359_633_600_000), "2013-01-31 12:00:00");
        assert_eq!(timestamp(-1), "1969-12-31 23:59:59");
        for ms in [0, 951_782_400_000, 1_359_633_600_000, 4_102_444_800_000] {
            assert_eq!(parse_timestamp(&timestamp(ms)), Some(ms));
        }
        assert_eq!(parse_timestamp("2013-01-31T12:00:00Z"), Some(1_359_633_600_000));
        assert_eq!(parse_timestamp("2013-01-31"), Some(1_359_590_400_000));
        assert_eq!(parse_timestamp("tomorrow"), None);
    }
}
