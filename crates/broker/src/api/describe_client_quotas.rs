//! DescribeClientQuotas (48): no client has a quota here, which tools that describe users must be told.

use super::{Api, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::messages::describe_client_quotas_request::DescribeClientQuotasRequest;
use kafka_wire::messages::describe_client_quotas_response::DescribeClientQuotasResponse;

pub const API: Api = Api::new(ApiKey::DescribeClientQuotas, (0, 1), |call, body| typed(call, body, handle));

/// Whatever the filter asks for, there is nothing that it could fit.
fn handle(call: &Call<'_>, _filter: DescribeClientQuotasRequest) -> Outcome {
    let response = match call.permit_cluster() {
        Ok(()) => DescribeClientQuotasResponse { entries: Some(Vec::new()), ..Default::default() },
        Err(error) => {
            DescribeClientQuotasResponse { error_code: code(error), entries: None, ..Default::default() }
        }
    };
    call.reply(&response)
}
