//! What the status of an answer means, by itself and by what a table says of it.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Done,
    /// Too much is asked for, or the server fails: the same after a pause.
    Passing,
    /// Who we are is not enough.
    NotLetIn,
    /// Nothing is there, or it takes no such request, whatever is in it.
    NoSuchPlace,
    /// It is about what was sent.
    Refused,
}

impl Meaning {
    pub(crate) fn of(status: u16) -> Meaning {
        match status {
            200..=299 => Meaning::Done,
            // Redirects are not followed: they would go where no table has named.
            300..=399 | 404 | 405 | 410 | 501 | 505 => Meaning::NoSuchPlace,
            401 | 403 | 407 => Meaning::NotLetIn,
            408 | 425 | 429 | 500..=599 => Meaning::Passing,
            _ => Meaning::Refused,
        }
    }
}

/// A list of codes: `404, 5XX, !503`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Codes {
    with: Vec<(u16, u16)>,
    without: Vec<(u16, u16)>,
}

impl Codes {
    pub(crate) fn parse(text: &str) -> Result<Codes, String> {
        let mut codes = Codes::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (list, code) = match part.strip_prefix('!') {
                Some(code) => (&mut codes.without, code.trim()),
                None => (&mut codes.with, part),
            };
            let first =
                code.chars().next().and_then(|digit| digit.to_digit(10)).map(|digit| digit as u16 * 100);
            let range = match (first, code.to_ascii_uppercase().strip_suffix("XX").map(str::len)) {
                (Some(first @ 100..=500), Some(1)) => Some((first, first + 99)),
                _ => code.parse().ok().filter(|code| (100..=599).contains(code)).map(|code| (code, code)),
            };
            list.push(
                range.ok_or_else(|| {
                    format!("'{part}' is no status: write 404, 4XX, or !404 to leave it out")
                })?,
            );
        }
        Ok(codes)
    }

    pub(crate) fn has(&self, status: u16) -> bool {
        let is_in = |list: &[(u16, u16)]| list.iter().any(|(first, last)| (*first..=*last).contains(&status));
        is_in(&self.with) && !is_in(&self.without)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_codes_are_read_as_flinks_connector_has_them() {
        let codes = Codes::parse("404, 5xx,!503").unwrap();
        let found: Vec<u16> =
            [403, 404, 405, 500, 503, 599].into_iter().filter(|code| codes.has(*code)).collect();
        assert_eq!(found, [404, 500, 599]);
        assert!(!Codes::parse("").unwrap().has(200));
        for wrong in ["40", "4X", "XX", "9XX", "0XX", "1000", "abc", "!"] {
            assert!(Codes::parse(wrong).unwrap_err().contains("no status"), "{wrong}");
        }
    }
}
