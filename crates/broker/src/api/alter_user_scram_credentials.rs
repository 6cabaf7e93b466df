//! AlterUserScramCredentials (51): users come, change their passwords and go.
//!
//! The client salts and iterates the password, so it never reaches the node; what is kept of it lets
//! nobody log in.

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::security::{Rules, RulesChange, check_user_name};
use auth::scram::{ITERATIONS_MAX, ITERATIONS_MIN};
use auth::{Credential, Mechanism};
use base::Lsn;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::alter_user_scram_credentials_request::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_wire::messages::alter_user_scram_credentials_response::{
    AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
};
use std::collections::BTreeMap;

pub const API: Api =
    Api::new(ApiKey::AlterUserScramCredentials, (0, 0), |call, body| typed(call, body, handle));

const SALT_BYTES_MAX: usize = 1_024;
const USERS_MAX: usize = 100_000;

/// What becomes of a user: all its changes, or the first error.
type Changes = BTreeMap<String, Result<Vec<RulesChange>, ApiError>>;

fn handle(call: &Call<'_>, request: AlterUserScramCredentialsRequest) -> Outcome {
    let rules = call.broker.rules.current();
    let permitted = call.permit_cluster();
    let mut users: Changes = BTreeMap::new();
    let mut mechanisms: BTreeMap<String, Vec<i8>> = BTreeMap::new();
    let mut take = |name: String, mechanism: i8, change: Result<RulesChange, ApiError>| {
        let known = mechanisms.entry(name.clone()).or_default();
        let change = match permitted {
            Err(error) => Err(error.into()),
            Ok(()) if known.contains(&mechanism) => {
                let message = "a mechanism of the user is named twice";
                Err(ApiError::new(ErrorCode::DuplicateResource, message))
            }
            Ok(()) => change,
        };
        known.push(mechanism);
        let so_far = users.entry(name).or_insert_with(|| Ok(Vec::new()));
        match (so_far.as_mut(), change) {
            (Ok(changes), Ok(change)) => changes.push(change),
            (Ok(_), Err(error)) => *so_far = Err(error),
            (Err(_), _) => {}
        }
    };
    for deletion in request.deletions {
        take(deletion.name.clone(), deletion.mechanism, delete(&rules, deletion));
    }
    for upsertion in request.upsertions {
        take(upsertion.name.clone(), upsertion.mechanism, upsert(&rules, upsertion));
    }
    let changes: Vec<RulesChange> = users.values().flatten().flatten().cloned().collect();
    let written = match changes.is_empty() {
        true => Ok(call.broker.last_lsn()),
        false => {
            let safe = call.access.keeps_out_nobody(call.broker, &changes);
            safe.and_then(|()| call.broker.change_rules(changes))
        }
    };
    let lsn = *written.as_ref().unwrap_or(&Lsn(0));
    call.after_durable(lsn, move |fenced| {
        let failed = written.err().or(fenced.map(ApiError::from));
        let results = users.into_iter().map(|(user, changes)| {
            let error = changes.err().or(failed.clone());
            AlterUserScramCredentialsResult {
                user,
                error_code: error.as_ref().map_or(NONE, |error| code(error.code)),
                error_message: error.and_then(|error| some_text(error.message)),
            }
        });
        AlterUserScramCredentialsResponse { results: results.collect(), ..Default::default() }
    })
}

fn named(name: &str, mechanism: i8) -> Result<Mechanism, ApiError> {
    let unacceptable = |message: &str| ApiError::new(ErrorCode::UnacceptableCredential, message);
    check_user_name(name).map_err(unacceptable)?;
    Mechanism::from_number(mechanism).ok_or_else(|| {
        let message = "the mechanism is neither SCRAM-SHA-256 nor SCRAM-SHA-512";
        ApiError::new(ErrorCode::UnsupportedSaslMechanism, message)
    })
}

fn delete(rules: &Rules, asked: ScramCredentialDeletion) -> Result<RulesChange, ApiError> {
    let mechanism = named(&asked.name, asked.mechanism)?;
    let known = rules.credentials(&asked.name);
    if !known.iter().any(|credential| credential.mechanism == mechanism) {
        let message = "the user has no credential of this mechanism";
        return Err(ApiError::new(ErrorCode::ResourceNotFound, message));
    }
    Ok(RulesChange::CredentialRemoved { user: asked.name, mechanism })
}

fn upsert(rules: &Rules, asked: ScramCredentialUpsertion) -> Result<RulesChange, ApiError> {
    let mechanism = named(&asked.name, asked.mechanism)?;
    let unacceptable = |message: String| ApiError::new(ErrorCode::UnacceptableCredential, message);
    let iterations = u32::try_from(asked.iterations).unwrap_or(0);
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        let message = format!("iterations={iterations} is not between {ITERATIONS_MIN} and {ITERATIONS_MAX}");
        return Err(unacceptable(message));
    }
    if asked.salt.is_empty() || asked.salt.len() > SALT_BYTES_MAX {
        return Err(unacceptable(format!("the salt has 1 to {SALT_BYTES_MAX} bytes")));
    }
    if asked.salted_password.len() != mechanism.hash_bytes() {
        return Err(unacceptable(format!("the salted password has {} bytes", mechanism.hash_bytes())));
    }
    if rules.credentials(&asked.name).is_empty() && rules.users().count() >= USERS_MAX {
        return Err(ApiError::new(
            ErrorCode::PolicyViolation,
            format!("there may be {USERS_MAX} users at most"),
        ));
    }
    let credential = Credential::from_salted(mechanism, &asked.salt, iterations, &asked.salted_password);
    Ok(RulesChange::CredentialSet { user: asked.name, credential })
}
