//! DescribeUserScramCredentials (50): which users there are, and how they may log in; no secrets.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_user_scram_credentials_request::DescribeUserScramCredentialsRequest;
use kafka_wire::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};
use std::collections::BTreeMap;

pub const API: Api =
    Api::new(ApiKey::DescribeUserScramCredentials, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeUserScramCredentialsRequest) -> Outcome {
    if let Err(error) = call.permit_cluster() {
        return call
            .reply(&DescribeUserScramCredentialsResponse { error_code: code(error), ..Default::default() });
    }
    let rules = call.broker.rules.current();
    // No names, or none given, asks for everybody.
    let mut asked: BTreeMap<String, u32> = BTreeMap::new();
    match request.users.filter(|users| !users.is_empty()) {
        None => asked.extend(rules.users().map(|(user, _)| (user.to_string(), 1))),
        Some(users) => users.into_iter().for_each(|user| *asked.entry(user.name).or_default() += 1),
    }
    let results = asked.into_iter().map(|(user, times)| {
        let credentials = rules.credentials(&user);
        let refusal = match (times, credentials.is_empty()) {
            (2.., _) => Some((ErrorCode::DuplicateResource, "the user is named twice")),
            (_, true) => Some((ErrorCode::ResourceNotFound, "there is no such user")),
            _ => None,
        };
        let credential_infos = match refusal {
            Some(_) => Vec::new(),
            None => credentials
                .iter()
                .map(|credential| CredentialInfo {
                    mechanism: credential.mechanism.number(),
                    iterations: i32::try_from(credential.iterations).unwrap_or(i32::MAX),
                })
                .collect(),
        };
        DescribeUserScramCredentialsResult {
            user,
            error_code: refusal.map_or(NONE, |(error, _)| code(error)),
            error_message: refusal.map(|(_, message)| message.to_string()),
            credential_infos,
        }
    });
    let results = results.collect();
    call.after_all(move |error| match error {
        None => DescribeUserScramCredentialsResponse { results, ..Default::default() },
        Some(error) => DescribeUserScramCredentialsResponse { error_code: code(error), ..Default::default() },
    })
}
