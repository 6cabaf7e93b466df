//! DescribeAcls (29): the access rules that pass a filter, by resource.

use super::{Api, code, typed};
use crate::call::{Call, Outcome};
use crate::security::AclFilter;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_acls_request::DescribeAclsRequest;
use kafka_wire::messages::describe_acls_response::{
    AclDescription, DescribeAclsResource, DescribeAclsResponse,
};

pub const API: Api = Api::new(ApiKey::DescribeAcls, (1, 3), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeAclsRequest) -> Outcome {
    let refused = |error: ErrorCode, message: Option<String>| DescribeAclsResponse {
        error_code: code(error),
        error_message: message,
        ..Default::default()
    };
    if let Err(error) = call.permit_cluster() {
        return call.reply(&refused(error, None));
    }
    let filter = AclFilter::from_wire(
        request.resource_type_filter,
        request.resource_name_filter,
        request.pattern_type_filter,
        request.principal_filter,
        request.host_filter,
        request.operation,
        request.permission_type,
    );
    let Some(filter) = filter else {
        return call
            .reply(&refused(ErrorCode::InvalidRequest, Some("a number of the filter is not known".into())));
    };
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    for acl in call.broker.rules.current().matching(&filter) {
        let pattern = acl.pattern;
        let same = resources.last().is_some_and(|last| {
            last.resource_type == pattern.resource.number()
                && last.pattern_type == pattern.kind.number()
                && last.resource_name == pattern.name
        });
        if !same {
            resources.push(DescribeAclsResource {
                resource_type: pattern.resource.number(),
                resource_name: pattern.name,
                pattern_type: pattern.kind.number(),
                acls: Vec::new(),
            });
        }
        if let Some(resource) = resources.last_mut() {
            resource.acls.push(AclDescription {
                principal: acl.principal,
                host: acl.host,
                operation: acl.operation.number(),
                permission_type: acl.permission.number(),
            });
        }
    }
    // A rule that is gone from memory must be gone from the disk before anybody is told.
    call.after_all(move |error| match error {
        None => DescribeAclsResponse { resources, ..Default::default() },
        Some(error) => DescribeAclsResponse { error_code: code(error), ..Default::default() },
    })
}
