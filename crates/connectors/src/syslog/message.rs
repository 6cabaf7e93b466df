//! A message of syslog: RFC 5424, or what RFC 3164 describes and senders make of it.
//!
//! RFC 3164 is a description of what was there, so all of it but the priority may be missing: what cannot be told apart stays
//! in the text. RFC 5424 has a grammar, and what does not follow it is no message.

use base::calendar::{Day, day_of, days_in_month, number_of};
use base::zone::Zone;
use chrono::DateTime;

/// Facility 23, severity 7.
const PRIORITY_MAX: u16 = 191;
/// A tag is no longer by RFC 3164 (32) and by what senders write.
const TAG_BYTES_MAX: usize = 128;
const DAY_MS: i64 = 86_400_000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// By what stands behind the priority.
    Auto,
    Rfc5424,
    Rfc3164,
}

/// What a message does not say itself.
#[derive(Clone, Copy)]
pub(crate) struct Around {
    pub protocol: Protocol,
    /// Of times without one.
    pub zone: Zone,
    /// Times without a year are near to it.
    pub now_ms: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub facility: u8,
    pub severity: u8,
    pub timestamp_ms: Option<i64>,
    pub hostname: Option<String>,
    pub app_name: Option<String>,
    pub proc_id: Option<String>,
    pub msg_id: Option<String>,
    /// `ID.NAME` and the value; of an element without parameters `ID` and nothing.
    pub structured_data: Vec<(String, String)>,
    pub text: Vec<u8>,
}

impl Message {
    pub(crate) fn parse(bytes: &[u8], around: &Around) -> Result<Message, String> {
        let (priority, rest) = priority(bytes).ok_or("it does not begin with a priority such as <34>")?;
        let message =
            Message { facility: (priority / 8) as u8, severity: (priority % 8) as u8, ..Message::default() };
        match around.protocol {
            Protocol::Rfc5424 => message.with_5424(rest),
            Protocol::Auto if rest.starts_with(b"1 ") => message.with_5424(rest),
            Protocol::Auto | Protocol::Rfc3164 => Ok(message.with_3164(rest, around)),
        }
    }

    fn with_5424(mut self, rest: &[u8]) -> Result<Message, String> {
        let (version, rest) = word(rest).ok_or("RFC 5424: the version is missing")?;
        if version != b"1" {
            return Err(format!("RFC 5424: version '{}' is not known", String::from_utf8_lossy(version)));
        }
        let missing = |what: &str| format!("RFC 5424: the {what} is missing");
        let (timestamp, rest) = word(rest).ok_or_else(|| missing("timestamp"))?;
        let (hostname, rest) = word(rest).ok_or_else(|| missing("hostname"))?;
        let (app_name, rest) = word(rest).ok_or_else(|| missing("app-name"))?;
        let (proc_id, rest) = word(rest).ok_or_else(|| missing("procid"))?;
        let (msg_id, rest) = word(rest).ok_or_else(|| missing("msgid"))?;
        let said = |word: &[u8]| (word != b"-").then(|| String::from_utf8_lossy(word).into_owned());
        self.timestamp_ms = match said(timestamp) {
            None => None,
            Some(text) => Some(instant(&text).ok_or_else(|| format!("RFC 5424: '{text}' is no timestamp"))?),
        };
        (self.hostname, self.app_name) = (said(hostname), said(app_name));
        (self.proc_id, self.msg_id) = (said(proc_id), said(msg_id));
        let rest = match rest.strip_prefix(b"-") {
            Some(rest) => rest,
            None => self.take_structured_data(rest)?,
        };
        self.text = match rest {
            [] => Vec::new(),
            [b' ', text @ ..] => text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).to_vec(),
            _ => return Err("RFC 5424: the structured data do not end with a space".into()),
        };
        Ok(self)
    }

    /// `[id name="value" name="value"][id]`; answers what is behind.
    fn take_structured_data<'a>(&mut self, mut rest: &'a [u8]) -> Result<&'a [u8], String> {
        let wrong = || "RFC 5424: the structured data are neither '-' nor [id name=\"value\"]".to_string();
        if rest.first() != Some(&b'[') {
            return Err(wrong());
        }
        while let Some(inside) = rest.strip_prefix(b"[") {
            let end = inside.iter().position(|byte| matches!(byte, b' ' | b']')).ok_or_else(wrong)?;
            let id = name(&inside[..end]).ok_or_else(wrong)?;
            let mut left = &inside[end..];
            if left.starts_with(b"]") {
                self.structured_data.push((id.to_string(), String::new()));
            }
            while let Some(parameter) = left.strip_prefix(b" ") {
                let end = parameter.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
                let parameter_name = name(&parameter[..end]).ok_or_else(wrong)?;
                let value = parameter[end + 1..].strip_prefix(b"\"").ok_or_else(wrong)?;
                let (value, behind) = quoted(value).ok_or_else(wrong)?;
                self.structured_data.push((format!("{id}.{parameter_name}"), value));
                left = behind;
            }
            rest = left.strip_prefix(b"]").ok_or_else(wrong)?;
        }
        Ok(rest)
    }

    fn with_3164(mut self, rest: &[u8], around: &Around) -> Message {
        let (timestamp_ms, rest) = match bsd_time(rest, around) {
            Some((ms, rest)) => (Some(ms), rest),
            // As relays write it that know better.
            None => match word(rest)
                .and_then(|(first, rest)| Some((instant(std::str::from_utf8(first).ok()?)?, rest)))
            {
                Some((ms, rest)) => (Some(ms), rest),
                None => (None, rest),
            },
        };
        self.timestamp_ms = timestamp_ms;
        let mut rest = rest;
        // A host stands behind a time, and is no tag.
        if timestamp_ms.is_some()
            && let Some((first, behind)) = word(rest)
            && !first.is_empty()
            && tag(rest).is_none()
        {
            self.hostname = Some(String::from_utf8_lossy(first).into_owned());
            rest = behind;
        }
        if let Some((app_name, proc_id, behind)) = tag(rest) {
            (self.app_name, self.proc_id, rest) = (Some(app_name), proc_id, behind);
        }
        self.text = rest.to_vec();
        self
    }
}

/// `<34>`, and what is behind.
fn priority(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&rest[..digits]).ok().filter(|text| text.len() <= 3)?.parse().ok()?;
    let rest = rest[digits..].strip_prefix(b">")?;
    (number <= PRIORITY_MAX).then_some((number, rest))
}

/// What stands before a space, and what behind.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// An id or a name of structured data.
fn name(bytes: &[u8]) -> Option<&str> {
    let is_one = !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b']'));
    std::str::from_utf8(bytes).ok().filter(|_| is_one)
}

/// A value up to its quotation mark, and what is behind that.
fn quoted(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'"', _) => break,
            (b'\\', Some(escaped @ (b'"' | b'\\' | b']'))) => {
                value.push(*escaped);
                at += 2;
            }
            (byte, _) => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    Some((String::from_utf8_lossy(&value).into_owned(), &bytes[at + 1..]))
}

/// A time as RFC 3339 has it.
fn instant(text: &str) -> Option<i64> {
    let is_one = text.as_bytes().get(10) == Some(&b'T');
    DateTime::parse_from_rfc3339(text).ok().filter(|_| is_one).map(|time| time.timestamp_millis())
}

/// `Oct 11 22:14:15`, of the year that brings it nearest to now.
fn bsd_time<'a>(bytes: &'a [u8], around: &Around) -> Option<(i64, &'a [u8])> {
    let text = std::str::from_utf8(bytes.get(..15)?).ok()?;
    let month = MONTHS.iter().position(|month| text.get(..3) == Some(month))? as u32 + 1;
    let number = |range: std::ops::Range<usize>| text.get(range)?.trim_start().parse::<u32>().ok();
    let is_parted =
        [(3, b' '), (6, b' '), (9, b':'), (12, b':')].iter().all(|(at, byte)| bytes[*at] == *byte);
    let (day, hour, minute, second) = (number(4..6)?, number(7..9)?, number(10..12)?, number(13..15)?);
    if !is_parted || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = bytes[15..].strip_prefix(b" ").or_else(|| (bytes.len() == 15).then_some(&bytes[15..]))?;
    let Day { year, .. } = day_of(around.zone.wall_ms(around.now_ms).div_euclid(DAY_MS));
    let clock_ms = i64::from((hour * 60 + minute) * 60 + second) * 1000;
    let instants = (year - 1..=year + 1)
        .filter(|year| (1..=days_in_month(*year, month)).contains(&day))
        .map(|year| around.zone.instant_ms(number_of(year, month, day) * DAY_MS + clock_ms));
    Some((instants.min_by_key(|ms| ms.abs_diff(around.now_ms))?, rest))
}

type Tag<'a> = (String, Option<String>, &'a [u8]);

/// `app[123]: ` or `app: `: the app, its process, and what is behind.
fn tag(bytes: &[u8]) -> Option<Tag<'_>> {
    let is_of_app = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./()".contains(byte);
    let length = bytes.iter().take(TAG_BYTES_MAX).take_while(|byte| is_of_app(byte)).count();
    let (app, mut rest) = bytes.split_at(length);
    if app.is_empty() {
        return None;
    }
    let mut process = None;
    if let Some(inside) = rest.strip_prefix(b"[") {
        let end = inside.iter().take(TAG_BYTES_MAX).position(|byte| *byte == b']')?;
        process = Some(String::from_utf8_lossy(&inside[..end]).into_owned());
        rest = &inside[end + 1..];
    }
    let rest = rest.strip_prefix(b":").or_else(|| process.is_some().then_some(rest))?;
    // A time or an address has no space behind its colon.
    let rest = rest.strip_prefix(b" ").or_else(|| rest.is_empty().then_some(rest))?;
    Some((String::from_utf8_lossy(app).into_owned(), process, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29T12:00:00Z.
    const NOW_MS: i64 = 1_795_953_600_000;

    fn parse(text: &str) -> Result<Message, String> {
        parse_as(Protocol::Auto, text)
    }

    fn parse_as(protocol: Protocol, text: &str) -> Result<Message, String> {
        Message::parse(text.as_bytes(), &Around { protocol, zone: Zone::UTC, now_ms: NOW_MS })
    }

    /// Facility, severity, time, host, app, process, id, text.
    type Told<'a> = (u8, u8, Option<i64>, [Option<&'a str>; 4], &'a str);

    fn told(message: &Message) -> Told<'_> {
        let text = std::str::from_utf8(&message.text).unwrap();
        let words = [&message.hostname, &message.app_name, &message.proc_id, &message.msg_id];
        (message.facility, message.severity, message.timestamp_ms, words.map(Option::as_deref), text)
    }

    /// The examples of RFC 5424, section 6.5.
    #[test]
    fn the_examples_of_rfc_5424_are_read() {
        let first = parse(
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
        )
        .unwrap();
        let words = [Some("mymachine.example.com"), Some("su"), None, Some("ID47")];
        assert_eq!(
            told(&first),
            (4, 2, Some(1_065_910_455_003), words, "'su root' failed for lonvick on /dev/pts/8")
        );
        let second =
            parse("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.")
                .unwrap();
        assert_eq!((second.facility, second.severity, second.timestamp_ms), (20, 5, Some(1_061_727_255_000)));
        assert_eq!(second.proc_id.as_deref(), Some("8710"));
        let third = parse(
            "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" \
             eventSource=\"Application\" eventID=\"1011\"][examplePriority@32473 class=\"high\"]",
        )
        .unwrap();
        let data: Vec<(&str, &str)> =
            third.structured_data.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            data,
            [
                ("exampleSDID@32473.iut", "3"),
                ("exampleSDID@32473.eventSource", "Application"),
                ("exampleSDID@32473.eventID", "1011"),
                ("examplePriority@32473.class", "high"),
            ]
        );
        assert!(third.text.is_empty());
    }

    #[test]
    fn structured_data_have_escapes_and_may_be_empty() {
        let message = parse(r#"<0>1 - - - - - [a b="x\"y\\z\]\n ü"][c] t"#).unwrap();
        let data: Vec<(&str, &str)> =
            message.structured_data.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(data, [("a.b", "x\"y\\z]\\n ü"), ("c", "")]);
        assert_eq!(told(&message), (0, 0, None, [None; 4], "t"));
    }

    #[test]
    fn what_rfc_5424_does_not_have_is_no_message() {
        for (text, words) in [
            ("no priority", "priority"),
            ("<192>1 - - - - - -", "priority"),
            ("<1234>1 - - - - - -", "priority"),
            ("<>1 - - - - - -", "priority"),
            ("<34>1 2003-10-11 h a p m -", "no timestamp"),
            ("<34>1 2003-13-11T22:14:15Z h a p m -", "no timestamp"),
            ("<34>1 - h a p", "procid is missing"),
            ("<34>1 - h a p m x", "structured data"),
            ("<34>1 - h a p m [a b=c]", "structured data"),
            ("<34>1 - h a p m [a b=\"c]", "structured data"),
            ("<34>1 - h a p m [a b=\"c\"", "structured data"),
            ("<34>1 - h a p m []", "structured data"),
            ("<34>1 - h a p m [a]x", "do not end with a space"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(parse_as(Protocol::Rfc5424, "<34>2 - - - - - -").unwrap_err().contains("version '2'"));
        assert_eq!(parse("<34>10 items").unwrap().text, b"10 items", "it is one of RFC 3164");
        assert!(parse_as(Protocol::Rfc5424, "<34>Oct 11 22:14:15 h a: b").is_err());
        // Cut anywhere it is an error or a message, and ends.
        let whole = "<165>1 2003-10-11T22:14:15.003Z h a p m [x y=\"z\"] text";
        for length in 0..whole.len() {
            let _ = parse(&whole[..length]);
        }
    }

    #[test]
    fn what_senders_make_of_rfc_3164_is_read() {
        let october = Some(1_791_756_855_000);
        for (text, expected) in [
            (
                "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
                (4, 2, october, [Some("mymachine"), Some("su"), None, None], "'su root' failed"),
            ),
            (
                "<13>Oct 11 22:14:15 host sshd[812]: Accepted",
                (1, 5, october, [Some("host"), Some("sshd"), Some("812"), None], "Accepted"),
            ),
            (
                "<13>Oct 11 22:14:15 sshd[812]: no host",
                (1, 5, october, [None, Some("sshd"), Some("812"), None], "no host"),
            ),
            (
                "<13>Oct 11 22:14:15 host no tag at all",
                (1, 5, october, [Some("host"), None, None, None], "no tag at all"),
            ),
            (
                "<13>2026-10-12T00:14:15.5+02:00 host app[1]: x",
                (1, 5, Some(1_791_756_855_500), [Some("host"), Some("app"), Some("1"), None], "x"),
            ),
            ("<13>app: no time", (1, 5, None, [None, Some("app"), None, None], "no time")),
            ("<13>Use the BFG!", (1, 5, None, [None; 4], "Use the BFG!")),
            ("<13>", (1, 5, None, [None; 4], "")),
            ("<13>10:20:30 is a time", (1, 5, None, [None; 4], "10:20:30 is a time")),
            ("<13>Oct 32 22:14:15 host a: b", (1, 5, None, [None; 4], "Oct 32 22:14:15 host a: b")),
        ] {
            let message = parse(text).unwrap();
            assert_eq!(told(&message), expected, "{text}");
        }
        let one = parse_as(Protocol::Rfc3164, "<13>1 is a text").unwrap();
        assert_eq!(told(&one).4, "1 is a text");
    }

    #[test]
    fn a_time_without_a_year_is_the_nearest_one_in_its_zone() {
        let at = |text: &str, now_ms: i64, zone: &str| {
            let zone = Zone::parse(zone).unwrap();
            Message::parse(text.as_bytes(), &Around { protocol: Protocol::Auto, zone, now_ms })
                .unwrap()
                .timestamp_ms
        };
        // 2026-01-01T00:00:05Z: a message of the last second of the old year, and one whose clock is ahead.
        let new_year = 1_767_225_605_000;
        assert_eq!(at("<1>Dec 31 23:59:59 h a: b", new_year, "UTC"), Some(1_767_225_599_000));
        assert_eq!(at("<1>Jan  1 00:00:07 h a: b", new_year, "UTC"), Some(1_767_225_607_000));
        assert_eq!(at("<1>Jan  1 01:00:07 h a: b", new_year, "Europe/Berlin"), Some(1_767_225_607_000));
        // There is no 29 February but in leap years.
        assert_eq!(at("<1>Feb 29 00:00:00 h a: b", new_year, "UTC"), None);
    }
}
