//! DescribeProducers (61): who has written to a partition with sequence numbers (KIP-664).

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::sync::lock;
use kafka_wire::ApiKey;
use kafka_wire::messages::describe_producers_request::DescribeProducersRequest;
use kafka_wire::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

pub const API: Api = Api::new(ApiKey::DescribeProducers, (0, 0), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeProducersRequest) -> Outcome {
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = call.broker.find_topic(&asked.name);
            let partitions = asked
                .partition_indexes
                .into_iter()
                .map(|index| {
                    let id = topic.clone().and_then(|topic| super::produce::partition_of(&topic, index));
                    match id {
                        Ok(id) => PartitionResponse {
                            partition_index: index,
                            error_code: NONE,
                            active_producers: lock(&call.broker.state.0)
                                .producers
                                .of_partition(id)
                                .into_iter()
                                .map(|producer| ProducerState {
                                    producer_id: producer.producer_id,
                                    producer_epoch: i32::from(producer.epoch),
                                    last_sequence: producer.last_sequence,
                                    last_timestamp: producer.last_timestamp_ms,
                                    // There are no transactions yet.
                                    coordinator_epoch: -1,
                                    current_txn_start_offset: -1,
                                })
                                .collect(),
                            ..Default::default()
                        },
                        Err(error) => PartitionResponse {
                            partition_index: index,
                            error_code: code(error.code),
                            error_message: some_text(error.message),
                            ..Default::default()
                        },
                    }
                })
                .collect();
            TopicResponse { name: asked.name, partitions }
        })
        .collect();
    call.reply(&DescribeProducersResponse { topics, ..Default::default() })
}
