//! What an answer of HTTP says to whoever looks for the reason, and for how long its server wants to be left alone.

use crate::http_connection::HttpAnswer;
use base::secrets;
use chrono::NaiveDateTime;
use std::time::Duration;

/// Of what a server says, in letters.
const SHOWN_MAX: usize = 500;
/// No server keeps us away for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The words of a server as an error or a dead letter shows them: one line, not long, and nothing that acts on a terminal.
pub(crate) fn shown(said: &str) -> String {
    let (mut line, mut letters, mut is_behind_blank) = (String::new(), 0, false);
    for letter in said.trim().chars() {
        if letters == SHOWN_MAX {
            line.push('…');
            break;
        }
        if letter.is_whitespace() {
            is_behind_blank = true;
            continue;
        }
        if std::mem::take(&mut is_behind_blank) {
            line.push(' ');
        }
        match letter {
            '"' | '\'' | '\\' => line.push(letter),
            other => line.extend(other.escape_debug()),
        }
        letters += 1;
    }
    line
}

/// The same of bytes.
pub(crate) fn shown_bytes(said: &[u8]) -> String {
    // A letter has four bytes at most.
    shown(&String::from_utf8_lossy(&said[..said.len().min(8 * SHOWN_MAX)]))
}

/// What an answer says that is not what was wanted.
pub(crate) fn words(answer: &HttpAnswer) -> String {
    let place =
        answer.header("location").map_or_else(String::new, |place| format!(" to {}", place_of(place)));
    match shown_bytes(&answer.body).as_str() {
        "" => format!("the server answers {}{place}", answer.status),
        said => format!("the server answers {}{place}: {said}", answer.status),
    }
}

/// Where a redirect leads, without its query, in which there may be a proof of who we are.
fn place_of(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    shown(&secrets::shown("location", &location[..end]))
}

/// For how long the server wants to be left alone (RFC 9110, 10.2.3): seconds, or a date.
pub(crate) fn retry_after(answer: &HttpAnswer, now_ms: i64) -> Option<Duration> {
    let text = answer.header("retry-after")?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").ok()?;
            let ms = date.and_utc().timestamp_millis().saturating_sub(now_ms);
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        }
    };
    Some(bounded(wait))
}

/// How far the clock of whoever answered is ahead of ours, if that is more than so many seconds.
pub(crate) fn skew_seconds(answer: &HttpAnswer, now_ms: i64, seconds_max: i64) -> Option<i64> {
    let date = NaiveDateTime::parse_from_str(answer.header("date")?, "%a, %d %b %Y %H:%M:%S GMT").ok()?;
    let skew = date.and_utc().timestamp() - now_ms / 1000;
    (skew.abs() > seconds_max).then_some(skew)
}

/// What is said where a signature is refused because of the clock, with the words of the service.
pub(crate) fn set_the_clock(skew_seconds: i64, service: &str, words: &str) -> String {
    let place = if skew_seconds > 0 { "behind" } else { "ahead of" };
    format!(
        "this machine's clock is {} s {place} that of {service}, and a signature holds for few minutes: set the clock ({words})",
        skew_seconds.abs()
    )
}

/// A pause that a server names, as long as it is kept.
pub(crate) fn bounded(pause: Duration) -> Duration {
    pause.min(RETRY_AFTER_MAX)
}

/// What is said before the time that a server has named is over.
pub(crate) fn not_before(place: &str, left: Duration) -> String {
    format!("{place} wants to be asked again in {} s", left.as_secs() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_come_again_in_seconds_or_by_a_date() {
        let after = |value: &str| {
            let headers = vec![("Retry-After".to_string(), value.to_string())];
            retry_after(&HttpAnswer { status: 503, headers, body: Vec::new() }, 1_440_938_160_000)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 30 Aug 2015 12:36:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Sun, 30 Aug 2015 12:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!((after("soon"), after("-1")), (None, None));
    }

    #[test]
    fn what_a_server_says_is_shown_in_one_short_line() {
        assert_eq!(shown(" a\r\n\tb  \"c\" "), "a b \"c\"");
        assert_eq!(shown("\u{1b}[2Jx\u{202e}y\0"), "\\u{1b}[2Jx\\u{202e}y\\0");
        let long = shown_bytes(&[b'x'; 10_000]);
        assert!(long.len() < 600 && long.ends_with('…'), "{long}");
        assert_eq!(shown_bytes(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(words(&HttpAnswer { status: 500, ..HttpAnswer::default() }), "the server answers 500");
    }

    #[test]
    fn a_place_is_shown_without_what_may_be_a_secret() {
        let moved = |place: &str| {
            let headers = vec![("Location".to_string(), place.to_string())];
            words(&HttpAnswer { status: 301, headers, body: b"moved\nfor good".to_vec() })
        };
        assert_eq!(moved("/b?token=pencil"), "the server answers 301 to /b: moved for good");
        assert_eq!(moved("https://h/b#pencil"), "the server answers 301 to https://h/b: moved for good");
        assert!(!moved("https://me:pencil@h/b").contains("pencil"));
    }
}
