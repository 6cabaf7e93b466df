//! Licence expressions, duplicate versions and the reading of `deny.toml`.

use super::*;

fn rules() -> Rules {
    Rules::parse(
        "[licenses]\nallow = [\n  \"MIT\", # a reason\n  \"Apache-2.0\",\n]\nconfidence-threshold = 0.9\n\n\
         [bans]\nmultiple-versions = \"deny\"\nskip = [{ crate = \"hashbrown@0.15.5\", reason = \"old\" }]\n",
    )
}

fn package(name: &str, version: &str, licence: Option<&str>) -> Package {
    Package { name: name.to_owned(), version: version.to_owned(), licence: licence.map(str::to_owned) }
}

#[test]
fn expressions_are_met_as_spdx_says() {
    let allowed = rules().allowed;
    for met in [
        "MIT",
        "MIT OR GPL-3.0",
        "MIT/GPL-3.0",
        "(MIT OR GPL-3.0) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "", "(MIT"] {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}

#[test]
fn a_foreign_or_missing_licence_is_found() {
    let packages = [
        package("good", "1.0.0", Some("MIT")),
        package("bad", "1.0.0", Some("SSPL-1.0")),
        package("silent", "1.0.0", None),
    ];
    let found = licences(&rules(), &packages);
    assert!(found.len() == 2 && found[0].starts_with("bad") && found[1].starts_with("silent"), "{found:?}");
}

#[test]
fn two_versions_are_found_unless_excused() {
    let packages = [
        package("hashbrown", "0.15.5", None),
        package("hashbrown", "0.17.0", None),
        package("syn", "1.0.0", None),
        package("syn", "2.0.0", None),
    ];
    let found = duplicates(&rules(), &packages);
    assert!(found.len() == 1 && found[0].starts_with("syn comes as 1.0.0 and 2.0.0"), "{found:?}");
}
