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

pub const API: Api = Api::new(ApiKey::DeleteAcls, (1, 3), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DeleteAclsRequest) -> Outcome {
    let permitted = call.permit_cluster();
    let mut last = Lsn(0);
    let mut filter_results = Vec::with_capacity(request.filters.len());
    for filter in request.filters {
        let deleted = permitted.map_err(ApiError::from).and_then(|()| delete(call, filter));
        filter_results.push(match deleted {
            Ok((acls, lsn)) => {
                last = last.max(lsn);
                let matching_acls = acls.into_iter().map(matching).collect();
                DeleteAclsFilterResult { error_code: NONE, error_message: None, matching_acls }
            }
            Err(error) => DeleteAclsFilterResult {
                error_code: code(error.code),
                error_message: some_text(error.message),
                matching_acls: Vec::new(),
            },
        });
    }
    call.after_durable(last, move |fenced| {
        if let Some(error) = fenced {
            for result in filter_results.iter_mut().filter(|result| result.error_code == NONE) {
                result.error_code = code(error);
                result.matching_acls.clear();
            }
        }
        DeleteAclsResponse { filter_results, ..Default::default() }
    })
}

fn delete(call: &Call<'_>, asked: DeleteAclsFilter) -> Result<(Vec<Acl>, Lsn), ApiError> {
    let filter = AclFilter::from_wire(
        asked.resource_type_filter,
        asked.resource_name_filter,
        asked.pattern_type_filter,
        asked.principal_filter,
        asked.host_filter,
        asked.operation,
        asked.permission_type,
    );
    let filter = filter
        .ok_or_else(|| ApiError::new(ErrorCode::InvalidRequest, "a number of the filter is not known"))?;
    let acls = call.broker.rules.current().matching(&filter);
    if acls.is_empty() {
        // Somebody may be deleting them at this moment.
        return Ok((acls, call.broker.last_lsn()?));
    }
    let lsn = call.broker.change_rules(vec![RulesChange::AclsRemoved(acls.clone())])?;
    Ok((acls, lsn))
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
