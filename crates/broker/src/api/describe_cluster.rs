//! DescribeCluster (60): the node as a cluster of one.

use super::{Api, OPERATIONS_NOT_ASKED, code, typed};
use crate::call::{Call, Outcome};
use crate::security::ResourceType;
use crate::security::acl::CLUSTER_NAME;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_cluster_request::DescribeClusterRequest;
use kafka_wire::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

pub const API: Api = Api::new(ApiKey::DescribeCluster, (0, 2), |call, body| typed(call, body, handle));

/// Brokers; 2 would be the controllers, which have no address of their own here (KIP-919).
const BROKERS: i8 = 1;

fn handle(call: &Call<'_>, request: DescribeClusterRequest) -> Outcome {
    let node_id = call.broker.config.node_id;
    if request.endpoint_type != BROKERS {
        return call.reply(&DescribeClusterResponse {
            error_code: code(ErrorCode::MismatchedEndpointType),
            error_message: Some("this is the address of a broker, not of a controller".into()),
            ..Default::default()
        });
    }
    call.reply(&DescribeClusterResponse {
        cluster_id: call.broker.cluster_id().to_string(),
        controller_id: node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: node_id,
            host: call.peer.advertised_host.clone(),
            port: i32::from(call.peer.advertised_port),
            ..Default::default()
        }],
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => call.access.operations(ResourceType::Cluster, CLUSTER_NAME),
            false => OPERATIONS_NOT_ASKED,
        },
        ..Default::default()
    })
}
