//! The options of whatever lies in Azure's storage accounts.

use crate::optional;
use base::options::{OptionKind, OptionSpec, Options};

pub(crate) const ACCOUNT: &str = "azure.account";
pub(crate) const ACCOUNT_KEY: &str = "azure.account-key";
pub(crate) const SAS_TOKEN: &str = "azure.sas-token";
pub(crate) const ENDPOINT: &str = "azure.endpoint";
pub(crate) const TENANT: &str = "azure.tenant-id";
pub(crate) const CLIENT: &str = "azure.client-id";
pub(crate) const CLIENT_SECRET: &str = "azure.client-secret";
pub(crate) const TOKEN_FILE: &str = "azure.federated-token-file";
pub(crate) const TIMEOUT: &str = "timeout";

pub(crate) const COUNT: usize = 8;

pub(crate) const COMMON: [OptionSpec; COUNT] = [
    optional(
        ACCOUNT,
        OptionKind::Text,
        None,
        "Azure's storage account, where the address does not name it; without it that of AZURE_STORAGE_ACCOUNT.",
        "shop",
    ),
    optional(
        ACCOUNT_KEY,
        OptionKind::Text,
        None,
        "The account's key, which calls are signed with. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read \
         again when Azure refuses it. Without this and the other options that say who we are, the environment does \
         (AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_TENANT_ID with AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or \
         AZURE_FEDERATED_TOKEN_FILE), or else the managed identity of the machine (link-local, for which the node needs \
         `--allow-link-local`).",
        "${file:/run/shop/azure-key}",
    ),
    optional(
        SAS_TOKEN,
        OptionKind::Text,
        None,
        "A shared access signature instead: of a container, to read, write, delete and list.",
        "${file:/run/shop/azure-sas}",
    ),
    optional(
        ENDPOINT,
        OptionKind::Text,
        None,
        "Where the account's blob service is, if not at `https://ACCOUNT.blob.core.windows.net`; without it, and where the \
         address names no account, that of AZURE_STORAGE_SERVICE_ENDPOINT. An emulator has the account in the path.",
        "http://localhost:10000/devstoreaccount1",
    ),
    optional(
        TENANT,
        OptionKind::Text,
        None,
        "The tenant of an application of Microsoft Entra; without it that of AZURE_TENANT_ID.",
        "11111111-2222-3333-4444-555555555555",
    ),
    optional(
        CLIENT,
        OptionKind::Text,
        None,
        "The application, or of several managed identities of the machine the one that is meant; without it that of AZURE_CLIENT_ID.",
        "66666666-7777-8888-9999-000000000000",
    ),
    optional(
        CLIENT_SECRET,
        OptionKind::Text,
        None,
        "The application's secret; without it that of AZURE_CLIENT_SECRET.",
        "${file:/run/shop/azure-client}",
    ),
    optional(
        TOKEN_FILE,
        OptionKind::Text,
        None,
        "The file with the token of a workload identity (AKS), by which the application is known; without it that of \
         AZURE_FEDERATED_TOKEN_FILE.",
        "/var/run/secrets/azure/tokens/azure-identity-token",
    ),
];

/// What is wrong with them beyond what one spec can see: of each an option, and the words.
pub(crate) fn mistakes(options: &Options) -> Vec<(&'static str, String)> {
    let mut mistakes = Vec::new();
    let mut problem = |option: &'static str, message: String| mistakes.push((option, message));
    let has = |key: &str| options.text(key).is_some_and(|text| !text.is_empty());
    let proofs = [ACCOUNT_KEY, SAS_TOKEN, CLIENT_SECRET, TOKEN_FILE];
    let given: Vec<&'static str> = proofs.into_iter().filter(|key| has(key)).collect();
    if let [one, other, ..] = given[..] {
        problem(one, format!("'{one}' and '{other}' exclude one another: give one of them"));
    }
    if let Some(Err(error)) = options.text(ENDPOINT).map(auth::https::Url::parse) {
        problem(ENDPOINT, format!("'{ENDPOINT}': {error}"));
    }
    mistakes
}
