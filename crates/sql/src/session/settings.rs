//! SET and RESET: what they hold and which of it binding looks at.

use crate::ast::{OptionPair, Text};
use crate::binder::{BindSettings, Materialize};
use crate::catalog::Listing;
use crate::diagnostic::Diagnostic;
use std::collections::BTreeMap;

const ZONE: &str = "table.local-time-zone";
const NOT_NULL: &str = "table.exec.sink.not-null-enforcer";
const MATERIALIZE: &str = "table.exec.sink.upsert-materialize";
const STATE_TTL: &str = "table.exec.state.ttl";

#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    session: crate::settings::Settings,
    bind: BindSettings,
}

impl Settings {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.session.given(key)
    }

    pub(super) fn normalised(&self) -> BTreeMap<String, String> {
        self.session.normalised()
    }

    pub(super) fn bind_settings(&self) -> BindSettings {
        self.bind
    }

    pub(super) fn listing(&self) -> Listing {
        self.session.listing()
    }

    /// Sets a value; a warning where it is without effect.
    pub(super) fn set(&mut self, pair: &OptionPair) -> Result<Option<Diagnostic>, Box<Diagnostic>> {
        crate::settings::check(pair)?;
        let (key, value) = (pair.key.value.as_str(), pair.value.value.as_str());
        match key {
            ZONE => match zone_offset_ms(value) {
                Some(offset) => self.bind.zone_offset_ms = offset,
                None => {
                    return Err(Box::new(
                        Diagnostic::unsupported(
                            pair.value.span,
                            format!("the time zone '{value}' is not supported yet"),
                        )
                        .with_hint("'UTC' and fixed offsets such as 'GMT+02:00' work"),
                    ));
                }
            },
            NOT_NULL => self.bind.drops_nulls = value.eq_ignore_ascii_case("DROP"),
            MATERIALIZE => {
                self.bind.materialize = match value.to_ascii_uppercase().as_str() {
                    "NONE" => Materialize::None,
                    "FORCE" => Materialize::Force,
                    _ => Materialize::Auto,
                }
            }
            STATE_TTL => self.bind.state_ttl_ms = base::units::parse_duration_ms(value).unwrap_or(0),
            _ => {}
        }
        self.session.set(pair)
    }

    pub(super) fn reset(&mut self, key: Option<&Text>) -> Result<(), Box<Diagnostic>> {
        self.session.reset(key)?;
        match key.map(|key| key.value.as_str()) {
            None => self.bind = BindSettings::default(),
            Some(ZONE) => self.bind.zone_offset_ms = 0,
            Some(NOT_NULL) => self.bind.drops_nulls = false,
            Some(MATERIALIZE) => self.bind.materialize = Materialize::Auto,
            Some(STATE_TTL) => self.bind.state_ttl_ms = 0,
            Some(_) => {}
        }
        Ok(())
    }
}

/// `UTC`, `Z`, `GMT+02:00`, `+02:00`, `UTC-5`.
fn zone_offset_ms(zone: &str) -> Option<i64> {
    let text = zone.trim();
    let rest = ["UTC", "GMT"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    if rest.is_empty() || rest == "Z" || rest == "default" {
        return Some(0);
    }
    let sign = match rest.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = rest[1..].split_once(':').unwrap_or((&rest[1..], "0"));
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=18).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    Some(sign * (hours * 60 + minutes) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::zone_offset_ms;

    #[test]
    fn fixed_offsets_are_read_and_named_zones_are_not() {
        assert_eq!(zone_offset_ms("UTC"), Some(0));
        assert_eq!(zone_offset_ms("GMT+02:00"), Some(7_200_000));
        assert_eq!(zone_offset_ms("-05:30"), Some(-19_800_000));
        assert_eq!(zone_offset_ms("UTC+8"), Some(28_800_000));
        assert_eq!(zone_offset_ms("America/New_York"), None);
        assert_eq!(zone_offset_ms("UTC+99"), None);
    }
}
