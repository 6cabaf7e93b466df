//! The options that all tables of AWS have, named as Flink's connectors for AWS name them.

use crate::{option_problems, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;

pub(crate) const REGION: &str = "aws.region";
pub(crate) const ENDPOINT: &str = "aws.endpoint";
pub(crate) const S3_ENDPOINT: &str = "s3.endpoint";
pub(crate) const PATH_STYLE: &str = "s3.path.style.access";
pub(crate) const PROVIDER: &str = "aws.credentials.provider";
pub(crate) const ACCESS_KEY_ID: &str = "aws.credentials.basic.accesskeyid";
pub(crate) const SECRET_KEY: &str = "aws.credentials.basic.secretkey";
pub(crate) const PROFILE_PATH: &str = "aws.credentials.profile.path";
pub(crate) const PROFILE_NAME: &str = "aws.credentials.profile.name";
pub(crate) const ROLE_ARN: &str = "aws.credentials.role.arn";
pub(crate) const SESSION_NAME: &str = "aws.credentials.role.sessionName";
pub(crate) const EXTERNAL_ID: &str = "aws.credentials.role.externalId";
pub(crate) const ROLE_PROVIDER: &str = "aws.credentials.role.provider";
pub(crate) const STS_ENDPOINT: &str = "aws.credentials.role.stsEndpoint";
pub(crate) const TOKEN_FILE: &str = "aws.credentials.webIdentityToken.file";
pub(crate) use crate::service::ROOT_CAS;
pub(crate) const TIMEOUT: &str = "timeout";
pub(crate) const DEAD_LETTER_TOPIC: &str = "dead-letter.topic";

const PROVIDERS: OptionKind =
    OptionKind::OneOf(&["AUTO", "BASIC", "ENV_VAR", "PROFILE", "WEB_IDENTITY_TOKEN", "ASSUME_ROLE"]);
const BASE_PROVIDERS: OptionKind =
    OptionKind::OneOf(&["AUTO", "BASIC", "ENV_VAR", "PROFILE", "WEB_IDENTITY_TOKEN"]);

pub(crate) const COUNT: usize = 15;

/// Where AWS is, and who we are.
pub(crate) const COMMON: [OptionSpec; COUNT] = [
    optional(
        REGION,
        OptionKind::Text,
        None,
        "The region; without it that of the queue's URL, ARN or host, of AWS_REGION, or of the profile.",
        "eu-central-1",
    ),
    optional(
        ENDPOINT,
        OptionKind::Text,
        None,
        "Where the service is, if not where AWS has it: a private endpoint, or another server that speaks its protocol.",
        "http://localhost:4566",
    ),
    optional(
        PROVIDER,
        PROVIDERS,
        Some("AUTO"),
        "Where the keys come from. AUTO takes the first of: these options, the environment, the token of a web identity (EKS), \
         the shared files, the container's endpoint (ECS, EKS), the machine's metadata service (EC2). The last two are \
         link-local, for which the node needs `--allow-link-local`.",
        "PROFILE",
    ),
    optional(ACCESS_KEY_ID, OptionKind::Text, None, "The id of an access key.", "${env:SHOP_KEY_ID}"),
    optional(
        SECRET_KEY,
        OptionKind::Text,
        None,
        "Its secret. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read again when AWS refuses it.",
        "${env:SHOP_SECRET_KEY}",
    ),
    optional(
        PROFILE_PATH,
        OptionKind::Text,
        None,
        "The shared file with keys; without it that of AWS_SHARED_CREDENTIALS_FILE, or `~/.aws/credentials`.",
        "/etc/shop/aws-credentials",
    ),
    optional(
        PROFILE_NAME,
        OptionKind::Text,
        None,
        "The profile in the shared files; without it that of AWS_PROFILE, or `default`.",
        "shop",
    ),
    optional(
        ROLE_ARN,
        OptionKind::Text,
        None,
        "The role to take with ASSUME_ROLE or WEB_IDENTITY_TOKEN.",
        "arn:aws:iam::123456789012:role/shop",
    ),
    optional(
        SESSION_NAME,
        OptionKind::Text,
        None,
        "What the session is called; `eventwright` without it.",
        "shop",
    ),
    optional(EXTERNAL_ID, OptionKind::Text, None, "What the role's owner wants to be told.", "shop-42"),
    optional(
        ROLE_PROVIDER,
        BASE_PROVIDERS,
        Some("AUTO"),
        "Where the keys come from that the role is taken with.",
        "ENV_VAR",
    ),
    optional(
        STS_ENDPOINT,
        OptionKind::Text,
        None,
        "Where the token service is, if not in the region.",
        "https://sts.amazonaws.com",
    ),
    optional(
        TOKEN_FILE,
        OptionKind::Text,
        None,
        "The file with the token of a web identity; without it that of AWS_WEB_IDENTITY_TOKEN_FILE.",
        "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    ),
    optional(
        ROOT_CAS,
        OptionKind::Text,
        None,
        "A PEM file with the authorities that sign the service's certificate; without it that of AWS_CA_BUNDLE, or those of the \
         system.",
        "/etc/shop/ca.pem",
    ),
    optional(
        TIMEOUT,
        OptionKind::Duration,
        Some("30 s"),
        "How long the service may take to answer. Then the connection is made anew by the job's restart strategy.",
        "5 s",
    ),
];

/// Some options of a connector, behind those of all.
pub(crate) const fn with_common<const N: usize, const M: usize>(own: [OptionSpec; N]) -> [OptionSpec; M] {
    assert!(N + COUNT == M);
    let mut all = [own[0]; M];
    let mut index = 0;
    while index < M {
        all[index] = if index < N { own[index] } else { COMMON[index - N] };
        index += 1;
    }
    all
}

/// What is wrong with them beyond what one spec can see: of each an option, and the words.
pub(crate) fn mistakes(options: &Options) -> Vec<(&'static str, String)> {
    let mut mistakes = Vec::new();
    let mut problem = |option: &'static str, message: String| mistakes.push((option, message));
    for key in [ENDPOINT, S3_ENDPOINT, STS_ENDPOINT] {
        if let Some(Err(error)) = options.text(key).map(auth::https::Url::parse) {
            problem(key, format!("'{key}': {error}"));
        }
    }
    let has = |key: &str| options.text(key).is_some_and(|text| !text.is_empty());
    if has(ACCESS_KEY_ID) != has(SECRET_KEY) {
        problem(ACCESS_KEY_ID, format!("'{ACCESS_KEY_ID}' and '{SECRET_KEY}' belong together: give both"));
    }
    let provider = options.text(PROVIDER).unwrap_or_default();
    let basic = [provider, options.text(ROLE_PROVIDER).unwrap_or_default()].contains(&"BASIC");
    if basic && !has(SECRET_KEY) {
        problem(PROVIDER, format!("the provider BASIC needs '{ACCESS_KEY_ID}' and '{SECRET_KEY}'"));
    }
    if provider == "ASSUME_ROLE" && !has(ROLE_ARN) {
        problem(PROVIDER, format!("the provider ASSUME_ROLE needs '{ROLE_ARN}'"));
    }
    mistakes
}

/// The same of a table.
pub(crate) fn problems(table: &TableDefinition, options: &Options) -> Vec<ConnectorError> {
    option_problems(table, mistakes(options))
}
