//! ListPartitionReassignments (46): with one node nothing moves, so none is ever under way.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use kafka_wire::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;

pub const API: Api =
    Api::new(ApiKey::ListPartitionReassignments, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, _request: ListPartitionReassignmentsRequest) -> Outcome {
    let error_code = call.permit_cluster().map_or_else(code, |()| NONE);
    call.reply(&ListPartitionReassignmentsResponse { error_code, ..Default::default() })
}
