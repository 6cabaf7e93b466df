//! DeleteAcls (31): takes away the access rules that pass the filters, and says which they were.

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::security::{Acl, AclFilter, RulesChange};
use base::Lsn;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::delete_acls_request::{DeleteAclsFilter, DeleteAclsRequest};
use kafka_wire::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsResponse,
};
use std::collections::BTreeSet;

pub const API: Api = Api::new(ApiKey::DeleteAcls, (1, 3), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DeleteAclsRequest) -> Outcome {
    let permitted = call.permit_cluster();
    let rules = call.broker.rules.current();
    // All filters look at the same rules, as in Kafka: a rule that two of them fit is told twice.
    let found = request.filters.into_iter().map(|asked| {
        let filter = permitted.map_err(ApiError::from).and_then(|()| filter_of(asked));
        filter.map(|filter| rules.matching(&filter))
    });
    let mut found: Vec<Result<Vec<Acl>, ApiError>> = found.collect();
    let written = delete(call, found.iter().flatten().flatten().cloned().collect());
    if let Err(error) = &written {
        found.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(error.clone()));
    }
    call.after_durable(written.unwrap_or(Lsn(0)), move |fenced| {
        let results = found.into_iter().map(|result| {
            let failed = |error: ErrorCode| Err(ApiError::from(error));
            match fenced.map_or(result, failed) {
                Ok(acls) => DeleteAclsFilterResult {
                    error_code: NONE,
                    error_message: None,
                    matching_acls: acls.into_iter().map(matching).collect(),
                },
                Err(error) => DeleteAclsFilterResult {
                    error_code: code(error.code),
                    error_message: some_text(error.message),
                    matching_acls: Vec::new(),
                },
            }
        });
        DeleteAclsResponse { filter_results: results.collect(), ..Default::default() }
    })
}

fn filter_of(asked: DeleteAclsFilter) -> Result<AclFilter, ApiError> {
    let filter = AclFilter::from_wire(
        asked.resource_type_filter,
        asked.resource_name_filter,
        asked.pattern_type_filter,
        asked.principal_filter,
        asked.host_filter,
        asked.operation,
        asked.permission_type,
    );
    filter.ok_or_else(|| ApiError::new(ErrorCode::InvalidRequest, "a number of the filter is not known"))
}

fn delete(call: &Call<'_>, acls: BTreeSet<Acl>) -> Result<Lsn, ApiError> {
    if acls.is_empty() {
        // Somebody may be deleting them at this moment.
        return Ok(call.broker.last_lsn());
    }
    let changes = vec![RulesChange::AclsRemoved(acls.into_iter().collect())];
    call.access.keeps_out_nobody(call.broker, &changes)?;
    call.broker.change_rules(changes)
}

fn matching(acl: Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        error_code: NONE,
        error_message: None,
        resource_type: acl.pattern.resource.number(),
        resource_name: acl.pattern.name,
        pattern_type: acl.pattern.kind.number(),
        principal: acl.principal,
        host: acl.host,
        operation: acl.operation.number(),
        permission_type: acl.permission.number(),
    }
}
