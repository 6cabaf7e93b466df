//! The options that all tables of Google have: those of the connectors for Flink, and of the field where these have none.

use crate::{option_problems, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;

pub(crate) const PROJECT: &str = "project";
pub(crate) const ENDPOINT: &str = "endpoint";
const EMULATOR: &str = "emulator-endpoint";
const KEY_FILE: &str = "service-account-key-file";
const ACCESS_TOKEN: &str = "access-token";
pub(crate) const TIMEOUT: &str = "timeout";

/// What a connector calls the options that say where Google is and who we are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub endpoint: &'static str,
    pub emulator: &'static str,
    pub key_file: &'static str,
    pub access_token: &'static str,
}

/// Of tables that are Google's in any case.
pub(crate) const OWN: Names =
    Names { endpoint: ENDPOINT, emulator: EMULATOR, key_file: KEY_FILE, access_token: ACCESS_TOKEN };

/// Of tables whose files may lie in Google's buckets.
pub(crate) const OF_STORAGE: Names = Names {
    endpoint: "google.endpoint",
    emulator: "google.emulator-endpoint",
    key_file: "google.service-account-key-file",
    access_token: "google.access-token",
};

pub(crate) const PROJECT_SPEC: OptionSpec = optional(
    PROJECT,
    OptionKind::Text,
    None,
    "The project's id, where the names do not say it; without it that of GOOGLE_CLOUD_PROJECT.",
    "shop-42",
);
pub(crate) const ENDPOINT_SPEC: OptionSpec = optional(
    ENDPOINT,
    OptionKind::Text,
    None,
    "Where the service is, if not at its global address: a region's, which keeps the order of keys, or a private one.",
    "https://europe-west1-pubsub.googleapis.com",
);
pub(crate) const EMULATOR_SPEC: OptionSpec = optional(
    EMULATOR,
    OptionKind::Text,
    None,
    "Host and port of an emulator, which is asked in the clear and told no name; without it that of PUBSUB_EMULATOR_HOST, \
     unless `endpoint` is given.",
    "localhost:8085",
);
pub(crate) const KEY_FILE_SPEC: OptionSpec = optional(
    KEY_FILE,
    OptionKind::Text,
    None,
    "The JSON file with the key of a service account. Without it, and without `access-token`, we are who Google's tools would \
     be here: by the file that GOOGLE_APPLICATION_CREDENTIALS names, by that of `gcloud auth application-default login`, or by \
     the metadata server of the machine (link-local, for which the node needs `--allow-link-local`).",
    "/etc/shop/pubsub-key.json",
);
pub(crate) const ACCESS_TOKEN_SPEC: OptionSpec = optional(
    ACCESS_TOKEN,
    OptionKind::Text,
    None,
    "An OAuth access token that somebody else keeps fresh. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and \
     is read again when Google refuses it.",
    "${file:/run/shop/token}",
);
pub(crate) const ROOT_CAS_SPEC: OptionSpec = optional(
    crate::service::ROOT_CAS,
    OptionKind::Text,
    None,
    "A PEM file with the authorities that sign the service's certificate; those of the system without it.",
    "/etc/shop/ca.pem",
);
pub(crate) const TIMEOUT_SPEC: OptionSpec = optional(
    TIMEOUT,
    OptionKind::Duration,
    Some("30 s"),
    "How long the service may take to answer. Then the connection is made anew by the job's restart strategy.",
    "5 s",
);

pub(crate) const STORAGE_COUNT: usize = 4;

/// Those of [`OF_STORAGE`].
pub(crate) const STORAGE: [OptionSpec; STORAGE_COUNT] = [
    optional(
        OF_STORAGE.endpoint,
        OptionKind::Text,
        None,
        "Where Google's buckets are, if not at `https://storage.googleapis.com`: a private endpoint, say.",
        "https://storage.example.com",
    ),
    optional(
        OF_STORAGE.emulator,
        OptionKind::Text,
        None,
        "Host and port of an emulator of Google's buckets, which is asked in the clear and told no name; without it that of \
         STORAGE_EMULATOR_HOST, unless `google.endpoint` is given.",
        "localhost:4443",
    ),
    optional(
        OF_STORAGE.key_file,
        OptionKind::Text,
        None,
        "The JSON file with the key of a service account. Without it, and without `google.access-token`, we are who Google's tools \
         would be here: by the file that GOOGLE_APPLICATION_CREDENTIALS names, by that of `gcloud auth application-default login`, \
         or by the metadata server of the machine (link-local, for which the node needs `--allow-link-local`).",
        "/etc/shop/storage-key.json",
    ),
    optional(
        OF_STORAGE.access_token,
        OptionKind::Text,
        None,
        "An OAuth access token that somebody else keeps fresh. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and \
         is read again when Google refuses it.",
        "${file:/run/shop/token}",
    ),
];

/// What is wrong with them beyond what one spec can see: of each an option, and the words.
pub(crate) fn mistakes(options: &Options, names: &Names) -> Vec<(&'static str, String)> {
    let has = |key: &str| options.text(key).is_some_and(|text| !text.is_empty());
    let mut mistakes = Vec::new();
    let Names { endpoint, emulator, key_file, access_token } = *names;
    for (one, other) in
        [(emulator, endpoint), (emulator, key_file), (emulator, access_token), (key_file, access_token)]
    {
        if has(one) && has(other) {
            mistakes.push((one, format!("'{one}' and '{other}' exclude one another: give one of them")));
        }
    }
    mistakes
}

/// The same of a table.
pub(crate) fn problems(table: &TableDefinition, options: &Options, names: &Names) -> Vec<ConnectorError> {
    option_problems(table, mistakes(options, names))
}
