//! Checks licences and duplicate versions of all dependencies against `deny.toml`, without cargo-deny.
//!
//! cargo-deny reads the same file and checks more (advisories, sources), but takes minutes to build; these two rules
//! need only what `cargo metadata` says, so every run of the tests can afford them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{places, process};

const METADATA_LIMIT: Duration = Duration::from_secs(120);
const INSTALL_LIMIT: Duration = Duration::from_secs(1800);

/// A dependency as cargo describes it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// An SPDX expression; nothing if the package has only a licence file.
    pub licence: Option<String>,
}

/// The parts of `deny.toml` that are checked here.
#[derive(Debug, Default)]
pub struct Rules {
    allowed: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

impl Rules {
    /// Reads the lists `allow` of `[licenses]` and `skip` of `[bans]`.
    pub fn read(path: &Path) -> Result<Rules> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read file={}", path.display()))?;
        let rules = Rules::parse(&text);
        if rules.allowed.is_empty() {
            bail!("file={} allows no licence at all; it needs [licenses] allow = [\"…\"]", path.display());
        }
        Ok(rules)
    }

    fn parse(text: &str) -> Rules {
        let mut rules = Rules::default();
        let (mut section, mut list) = (String::new(), String::new());
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("").trim();
            if list.is_empty() && line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
                continue;
            }
            let mut rest = line;
            if list.is_empty() {
                let Some((key, value)) = line.split_once('=') else { continue };
                if !value.trim_start().starts_with('[') {
                    continue;
                }
                list = key.trim().to_owned();
                rest = value;
            }
            // Every quoted word of a line is an entry, in `{ crate = "name@1" }` too. A reason among them matches nothing.
            let words = rest.split('"').skip(1).step_by(2).map(str::to_owned);
            match (section.as_str(), list.as_str()) {
                ("licenses", "allow") => rules.allowed.extend(words),
                ("bans", "skip") => rules.skipped.extend(words),
                _ => {}
            }
            if rest.trim_end().ends_with(']') {
                list.clear();
            }
        }
        rules
    }
}

/// All packages that the workspace's lock file holds and that are not its own.
pub fn packages(checkout: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let text = process::output(
        Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(checkout),
        METADATA_LIMIT,
    )?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata did not print JSON")?;
    let listed = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    // With a platform filter only the resolved graph is complete and exact.
    let resolved: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata has no resolved graph")?
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let mut packages: Vec<Package> = listed
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter(|package| package["id"].as_str().is_some_and(|id| resolved.contains(id)))
        .map(|package| Package {
            name: package["name"].as_str().unwrap_or_default().to_owned(),
            version: package["version"].as_str().unwrap_or_default().to_owned(),
            licence: package["license"].as_str().map(str::to_owned),
        })
        .collect();
    packages.sort();
    Ok(packages)
}

/// Packages whose licence expression cannot be met by the allowed ones.
pub fn licences(rules: &Rules, packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .filter(|package| !package.licence.as_deref().is_some_and(|licence| is_met(licence, &rules.allowed)))
        .map(|package| {
            let licence = package.licence.as_deref().unwrap_or("none named");
            format!("{} {}: licence={licence} is not allowed in deny.toml", package.name, package.version)
        })
        .collect()
}

/// Names that come in more than one version and are not excused.
pub fn duplicates(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let exact = format!("{}@{}", package.name, package.version);
        if !rules.skipped.contains(&package.name) && !rules.skipped.contains(&exact) {
            versions.entry(&package.name).or_default().push(&package.version);
        }
    }
    versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            format!("{name} comes as {}; unify them or excuse one in deny.toml", versions.join(" and "))
        })
        .collect()
}

/// Whether an SPDX expression of names, AND, OR, WITH and parentheses is met by the allowed names.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // The older notation `MIT/Apache-2.0` means OR.
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut position = 0;
    let met = any_of(&words, &mut position, allowed);
    met && position == words.len()
}

fn any_of(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, position, allowed);
    while words.get(*position) == Some(&"OR") {
        *position += 1;
        met |= all_of(words, position, allowed);
    }
    met
}

fn all_of(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, position, allowed);
    while words.get(*position) == Some(&"AND") {
        *position += 1;
        met &= one(words, position, allowed);
    }
    met
}

fn one(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(&word) = words.get(*position) else { return false };
    *position += 1;
    if word == "(" {
        let met = any_of(words, position, allowed);
        let closed = words.get(*position) == Some(&")");
        *position += 1;
        return met && closed;
    }
    if words.get(*position) == Some(&"WITH") {
        let exception = words.get(*position + 1).copied().unwrap_or_default();
        *position += 2;
        return allowed.contains(word) || allowed.contains(&format!("{word} WITH {exception}"));
    }
    allowed.contains(word)
}

/// Runs cargo-deny; installs it first into the peers folder if that is asked for.
pub fn run_cargo_deny(install: bool) -> Result<()> {
    let root = places::peers()?.join("cargo-deny");
    let own = root.join("bin").join("cargo-deny");
    if install && !own.is_file() {
        eprintln!("deny: installing cargo-deny into {}, which takes minutes", root.display());
        let mut command = Command::new("cargo");
        command.args(["install", "--locked", "--root"]).arg(&root).arg("cargo-deny");
        process::run(&mut command, INSTALL_LIMIT)?;
    }
    let program = if own.is_file() {
        own
    } else if process::exists("cargo-deny") {
        "cargo-deny".into()
    } else {
        bail!(
            "cargo-deny is not installed; run: cargo xtask deny --install (cargo xtask house checks licences and duplicates without it)"
        )
    };
    let mut command = Command::new(program);
    command.args(["check", "bans", "licenses", "sources"]).current_dir(places::root());
    process::run(&mut command, METADATA_LIMIT)
}

#[cfg(test)]
mod tests;
