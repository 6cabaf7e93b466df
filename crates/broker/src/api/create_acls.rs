//! CreateAcls (30): access rules go into the log; in force from then on.

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::security::acl::{CLUSTER_NAME, Pattern, canonical_host};
use crate::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::create_acls_request::{AclCreation, CreateAclsRequest};
use kafka_wire::messages::create_acls_response::{AclCreationResult, CreateAclsResponse};

pub const API: Api = Api::new(ApiKey::CreateAcls, (1, 3), |call, body| typed(call, body, handle));

/// They are all in memory, and each request goes through those that may fit.
const ACLS_MAX: usize = 100_000;
const TEXT_BYTES_MAX: usize = 1_024;

fn handle(call: &Call<'_>, request: CreateAclsRequest) -> Outcome {
    let permitted = call.permit_cluster();
    let checked = request.creations.into_iter().map(|creation| match permitted {
        Ok(()) => check(creation),
        Err(error) => Err(ApiError::from(error)),
    });
    let checked: Vec<Result<Acl, ApiError>> = checked.collect();
    let acls: Vec<Acl> = checked.iter().filter_map(|acl| acl.as_ref().ok().cloned()).collect();
    let full = call.broker.rules.current().acl_count() + acls.len() > ACLS_MAX;
    let written = match (acls.is_empty(), full) {
        (true, _) => Ok(base::Lsn(0)),
        (false, true) => {
            let message = format!("there may be {ACLS_MAX} access rules at most");
            Err(ApiError::new(ErrorCode::PolicyViolation, message))
        }
        (false, false) => {
            let changes = vec![RulesChange::AclsAdded(acls)];
            let safe = call.access.keeps_out_nobody(call.broker, &changes);
            safe.and_then(|()| call.broker.change_rules(changes))
        }
    };
    let lsn = *written.as_ref().unwrap_or(&base::Lsn(0));
    call.after_durable(lsn, move |fenced| {
        let failed = written.err().or(fenced.map(ApiError::from));
        let results = checked.into_iter().map(|acl| match acl.err().or(failed.clone()) {
            None => AclCreationResult { error_code: NONE, error_message: None },
            Some(error) => {
                AclCreationResult { error_code: code(error.code), error_message: some_text(error.message) }
            }
        });
        CreateAclsResponse { results: results.collect(), ..Default::default() }
    })
}

fn check(asked: AclCreation) -> Result<Acl, ApiError> {
    let wrong = |message: &str| ApiError::new(ErrorCode::InvalidRequest, message);
    let resource = ResourceType::from_number(asked.resource_type)
        .ok_or_else(|| wrong("the resource type is not one that a rule can have"))?;
    let kind = PatternType::from_number(asked.resource_pattern_type)
        .ok_or_else(|| wrong("the pattern type of a rule is LITERAL or PREFIXED"))?;
    let operation = Operation::from_number(asked.operation)
        .ok_or_else(|| wrong("the operation is not one that a rule can have"))?;
    let permission = Permission::from_number(asked.permission_type)
        .ok_or_else(|| wrong("the permission of a rule is ALLOW or DENY"))?;
    if operation != Operation::All && !resource.operations().contains(&operation) {
        return Err(wrong("the operation makes no sense for this type of resource"));
    }
    let name = asked.resource_name;
    if name.is_empty() {
        return Err(wrong("the resource's name is empty"));
    }
    if resource == ResourceType::Cluster && name != CLUSTER_NAME {
        return Err(wrong("the name of the cluster is kafka-cluster"));
    }
    if asked.principal.strip_prefix("User:").is_none_or(str::is_empty) {
        let message = "the principal is written as User:NAME";
        return Err(ApiError::new(ErrorCode::InvalidPrincipalType, message));
    }
    let host = canonical_host(&asked.host).ok_or_else(|| wrong("the host is an address or *"))?;
    if name.len().max(asked.principal.len()) > TEXT_BYTES_MAX {
        return Err(wrong("the name is too long"));
    }
    let pattern = Pattern { resource, kind, name };
    Ok(Acl { pattern, principal: asked.principal, host, operation, permission })
}
