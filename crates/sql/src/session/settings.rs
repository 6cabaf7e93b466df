//! SET and RESET: what they hold and which of it binding looks at.

use crate::ast::{OptionPair, Text};
use crate::binder::{BindSettings, LookupSettings, Materialize};
use crate::catalog::Listing;
use crate::diagnostic::Diagnostic;
use base::Zone;
use std::collections::BTreeMap;

const ZONE: &str = "table.local-time-zone";
const NOT_NULL: &str = "table.exec.sink.not-null-enforcer";
const CHANGES_REPEAT: &str = "table.exec.source.cdc-events-duplicate";
const MATERIALIZE: &str = "table.exec.sink.upsert-materialize";
const IDLE_TIMEOUT: &str = "table.exec.source.idle-timeout";
const STATE_TTL: &str = "table.exec.state.ttl";
const LOOKUP_ORDER: &str = "table.exec.async-lookup.output-mode";
const LOOKUP_CAPACITY: &str = "table.exec.async-lookup.buffer-capacity";
const LOOKUP_TIMEOUT: &str = "table.exec.async-lookup.timeout";

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
            ZONE => match zone(value) {
                Some(zone) => self.bind.zone = zone,
                None => {
                    return Err(Box::new(
                        Diagnostic::invalid(
                            pair.value.span,
                            format!("the time zone '{value}' is not known"),
                        )
                        .with_hint("name a zone such as 'Europe/Berlin', 'UTC', or an offset such as 'GMT+02:00'"),
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
            CHANGES_REPEAT => self.bind.changes_repeat = value.trim().eq_ignore_ascii_case("true"),
            IDLE_TIMEOUT => {
                let idle_ms = base::units::parse_duration_ms(value);
                self.bind.idle_ms = idle_ms.filter(|idle_ms| *idle_ms > 0);
            }
            STATE_TTL => self.bind.state_ttl_ms = base::units::parse_duration_ms(value).unwrap_or(0),
            LOOKUP_ORDER => {
                self.bind.lookups.allows_unordered = value.eq_ignore_ascii_case("ALLOW_UNORDERED");
            }
            LOOKUP_CAPACITY => {
                self.bind.lookups.capacity = value.trim().parse().unwrap_or(u32::MAX);
            }
            LOOKUP_TIMEOUT => {
                let default = LookupSettings::default().timeout_ms;
                self.bind.lookups.timeout_ms = base::units::parse_duration_ms(value).unwrap_or(default);
            }
            _ => {}
        }
        self.session.set(pair)
    }

    pub(super) fn reset(&mut self, key: Option<&Text>) -> Result<(), Box<Diagnostic>> {
        self.session.reset(key)?;
        match key.map(|key| key.value.as_str()) {
            None => self.bind = BindSettings::default(),
            Some(ZONE) => self.bind.zone = Zone::UTC,
            Some(NOT_NULL) => self.bind.drops_nulls = false,
            Some(MATERIALIZE) => self.bind.materialize = Materialize::Auto,
            Some(CHANGES_REPEAT) => self.bind.changes_repeat = false,
            Some(IDLE_TIMEOUT) => self.bind.idle_ms = None,
            Some(STATE_TTL) => self.bind.state_ttl_ms = 0,
            Some(LOOKUP_ORDER) => self.bind.lookups.allows_unordered = false,
            Some(LOOKUP_CAPACITY) => self.bind.lookups.capacity = LookupSettings::default().capacity,
            Some(LOOKUP_TIMEOUT) => self.bind.lookups.timeout_ms = LookupSettings::default().timeout_ms,
            Some(_) => {}
        }
        Ok(())
    }
}

/// The setting's default is UTC here, never the machine's own zone.
fn zone(text: &str) -> Option<Zone> {
    if text.trim() == "default" { Some(Zone::UTC) } else { Zone::parse(text) }
}
