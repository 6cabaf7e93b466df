//! `user`: adds, lists and removes users, in a running node by Kafka's admin API, or in a data directory.

use crate::cli::{Form, UserPlace, UserVerb};
use crate::commands::topic::connect;
use crate::node::open_broker;
use crate::output::print_table;
use anyhow::{Context, bail};
use auth::scram::{ITERATIONS_DEFAULT, SALT_BYTES};
use auth::{Credential, Mechanism};
use broker::security::acl::{CLUSTER_NAME, Pattern};
use broker::security::{Acl, AclFilter, Operation, PatternType, Permission, ResourceType, RulesChange};
use kafka_wire::ErrorCode;
use kafka_wire::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_wire::messages::create_acls_request::AclCreation;
use kafka_wire::messages::delete_acls_request::DeleteAclsFilter;
use kafka_wire::messages::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, DeleteAclsRequest,
    DescribeUserScramCredentialsRequest,
};
use os::Os;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

const PASSWORD_BYTES_MAX: u64 = 1 << 10;

/// In a filter of the admin API: whatever it is.
const ANY: i8 = 1;

/// Mechanisms and iterations, by user.
type Users = BTreeMap<String, Vec<(Mechanism, u32)>>;

pub fn user(verb: &UserVerb) -> anyhow::Result<()> {
    match verb {
        UserVerb::Add { user, admin, password_file, password_env, place } => {
            let password = password(password_file.as_ref(), password_env.as_deref())?;
            add(user, &password, *admin, place)?;
            eprintln!(
                "user {user} can log in with {} and {}",
                Mechanism::Sha256.name(),
                Mechanism::Sha512.name()
            );
            if !admin {
                eprintln!(
                    "it may do what rules that name it allow: make some with kafka-acls.sh, or add it with --admin"
                );
            }
            Ok(())
        }
        UserVerb::List { place } => list(place),
        UserVerb::Remove { user, place } => {
            remove(user, place)?;
            eprintln!(
                "user {user} is removed, with its rules; connections that are open stay so, without any rights"
            );
            Ok(())
        }
    }
}

/// The first line of what the arguments name.
fn password(file: Option<&PathBuf>, variable: Option<&str>) -> anyhow::Result<String> {
    let text = match (file, variable) {
        (Some(file), _) => {
            std::fs::read_to_string(file).with_context(|| format!("file={}", file.display()))?
        }
        (None, Some(name)) => std::env::var(name).with_context(|| format!("the environment's {name}"))?,
        (None, None) => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                bail!(
                    "a terminal would show the password: pipe it in, or name it by --password-file or --password-env"
                );
            }
            let mut line = String::new();
            std::io::Read::take(stdin.lock(), PASSWORD_BYTES_MAX).read_line(&mut line)?;
            line
        }
    };
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        bail!("the password is empty; it is the first line of the file, the variable or standard input");
    }
    Ok(password.to_string())
}

fn add(user: &str, password: &str, admin: bool, place: &UserPlace) -> anyhow::Result<()> {
    let os = Os::real();
    let mut salt = [0; SALT_BYTES];
    os.random.fill(&mut salt);
    match &place.data {
        Some(data) => {
            broker::security::check_user_name(user).map_err(anyhow::Error::msg)?;
            let credential = |mechanism| RulesChange::CredentialSet {
                user: user.to_string(),
                credential: Credential::from_password(mechanism, &salt, ITERATIONS_DEFAULT, password),
            };
            let mut changes = Mechanism::ALL.map(credential).to_vec();
            if admin {
                changes.push(RulesChange::AclsAdded(admin_rules(&principal(user))));
            }
            change(&os, data, changes)
        }
        None => {
            let mut client = connect(&place.client)?;
            let upsertions = Mechanism::ALL.map(|mechanism| ScramCredentialUpsertion {
                name: user.to_string(),
                mechanism: mechanism.number(),
                iterations: ITERATIONS_DEFAULT as i32,
                salt: salt.to_vec().into(),
                salted_password: mechanism.salted_password(password, &salt, ITERATIONS_DEFAULT).into(),
            });
            let request =
                AlterUserScramCredentialsRequest { upsertions: upsertions.to_vec(), ..Default::default() };
            // A name that is refused must leave no rules behind.
            alter(&mut client, &request)?;
            if admin {
                let creations = admin_rules(&principal(user)).into_iter().map(|acl| AclCreation {
                    resource_type: acl.pattern.resource.number(),
                    resource_name: acl.pattern.name,
                    resource_pattern_type: acl.pattern.kind.number(),
                    principal: acl.principal,
                    host: acl.host,
                    operation: acl.operation.number(),
                    permission_type: acl.permission.number(),
                });
                let request = CreateAclsRequest { creations: creations.collect() };
                for result in client.connection().call(&request)?.results {
                    refused(result.error_code, result.error_message)?;
                }
            }
            Ok(())
        }
    }
}

/// Everything, on everything.
fn admin_rules(principal: &str) -> Vec<Acl> {
    let resources = [
        (ResourceType::Topic, "*"),
        (ResourceType::Group, "*"),
        (ResourceType::TransactionalId, "*"),
        (ResourceType::Cluster, CLUSTER_NAME),
    ];
    resources
        .into_iter()
        .map(|(resource, name)| Acl {
            pattern: Pattern { resource, kind: PatternType::Literal, name: name.to_string() },
            principal: principal.to_string(),
            host: "*".to_string(),
            operation: Operation::All,
            permission: Permission::Allow,
        })
        .collect()
}

fn change(os: &Os, data: &Path, changes: Vec<RulesChange>) -> anyhow::Result<()> {
    let (log, broker) = open_broker(os, data)?;
    let changed = broker.change_rules(changes).map_err(|error| anyhow::anyhow!("{}", error.message));
    // Its end is durable.
    log.shutdown()?;
    changed.map(|_| ())
}

fn alter(
    client: &mut kafka_client::Client,
    request: &AlterUserScramCredentialsRequest,
) -> anyhow::Result<()> {
    for result in client.connection().call(request)?.results {
        refused(result.error_code, result.error_message)?;
    }
    Ok(())
}

fn refused(code: i16, message: Option<String>) -> anyhow::Result<()> {
    if code == 0 {
        return Ok(());
    }
    let name = ErrorCode::from_number(code).map_or_else(|| code.to_string(), |code| code.to_string());
    match message {
        Some(message) => bail!("the node refuses: {message} (code={name})"),
        None => bail!("the node refuses: code={name}"),
    }
}

fn users(place: &UserPlace) -> anyhow::Result<Users> {
    match &place.data {
        Some(data) => {
            let (log, broker) = open_broker(&Os::real(), data)?;
            let rules = broker.rules();
            log.shutdown()?;
            let of = |credential: &Credential| (credential.mechanism, credential.iterations);
            Ok(rules
                .users()
                .map(|(user, known)| (user.to_string(), known.iter().map(of).collect()))
                .collect())
        }
        None => {
            let mut client = connect(&place.client)?;
            let answer = client.connection().call(&DescribeUserScramCredentialsRequest { users: None })?;
            refused(answer.error_code, answer.error_message)?;
            let known = answer.results.into_iter().map(|result| {
                let infos = result.credential_infos.iter();
                let known = infos.filter_map(|info| {
                    Some((Mechanism::from_number(info.mechanism)?, u32::try_from(info.iterations).ok()?))
                });
                (result.user, known.collect())
            });
            Ok(known.collect())
        }
    }
}

fn list(place: &UserPlace) -> anyhow::Result<()> {
    let users = users(place)?;
    if place.client.output == Form::Json {
        for (user, known) in users {
            let known: Vec<Value> = known
                .iter()
                .map(|(mechanism, iterations)| json!({"mechanism": mechanism.name(), "iterations": iterations}))
                .collect();
            println!("{}", json!({"user": user, "credentials": known}));
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = users
        .into_iter()
        .map(|(user, known)| {
            let names: Vec<&str> = known.iter().map(|(mechanism, _)| mechanism.name()).collect();
            vec![user, names.join(", ")]
        })
        .collect();
    Ok(print_table(&mut std::io::stdout(), &["USER", "MECHANISMS"], &rows)?)
}

/// The rules that name the user go first: a user of the same name who comes later must not inherit them.
fn remove(user: &str, place: &UserPlace) -> anyhow::Result<()> {
    let known = users(place)?.remove(user).with_context(|| format!("there is no user '{user}'"))?;
    let known = known.into_iter().map(|(mechanism, _)| mechanism);
    match &place.data {
        Some(data) => {
            let gone =
                known.map(|mechanism| RulesChange::CredentialRemoved { user: user.to_string(), mechanism });
            let rules = rules_of(user, data)?;
            let rules = (!rules.is_empty()).then_some(RulesChange::AclsRemoved(rules));
            change(&Os::real(), data, rules.into_iter().chain(gone).collect())
        }
        None => {
            let mut client = connect(&place.client)?;
            let filter = DeleteAclsFilter {
                resource_type_filter: ANY,
                resource_name_filter: None,
                pattern_type_filter: ANY,
                principal_filter: Some(principal(user)),
                host_filter: None,
                operation: ANY,
                permission_type: ANY,
            };
            let request = DeleteAclsRequest { filters: vec![filter] };
            for result in client.connection().call(&request)?.filter_results {
                refused(result.error_code, result.error_message)?;
            }
            let gone = known.map(|mechanism| ScramCredentialDeletion {
                name: user.to_string(),
                mechanism: mechanism.number(),
            });
            let request =
                AlterUserScramCredentialsRequest { deletions: gone.collect(), ..Default::default() };
            alter(&mut client, &request)
        }
    }
}

/// The rules of a data directory that name a user.
fn rules_of(user: &str, data: &Path) -> anyhow::Result<Vec<Acl>> {
    let (log, broker) = open_broker(&Os::real(), data)?;
    let found = broker.rules().matching(&AclFilter::of_principal(principal(user)));
    log.shutdown()?;
    Ok(found)
}

fn principal(user: &str) -> String {
    format!("User:{user}")
}
