//! AlterReplicaLogDirs (34): all partitions lie in the one directory; they can be told to stay there.

use super::{Api, NONE, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use kafka_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};

pub const API: Api = Api::new(ApiKey::AlterReplicaLogDirs, (1, 2), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: AlterReplicaLogDirsRequest) -> Outcome {
    let permitted = call.permit_cluster();
    let alter = |path: &str, topic: &str, index: i32| -> Result<(), ErrorCode> {
        permitted?;
        if path != call.broker.log_directory() {
            return Err(ErrorCode::LogDirNotFound);
        }
        let topic = call.broker.find_topic(topic).map_err(|error| error.code)?;
        super::produce::partition_of(&topic, index).map(drop).map_err(|error| error.code)
    };
    let mut results = Vec::new();
    for directory in request.dirs {
        for topic in directory.topics {
            let partitions = topic.partitions.iter().map(|index| AlterReplicaLogDirPartitionResult {
                partition_index: *index,
                error_code: alter(&directory.path, &topic.name, *index).map_or_else(code, |()| NONE),
            });
            let partitions = partitions.collect();
            results.push(AlterReplicaLogDirTopicResult { topic_name: topic.name.clone(), partitions });
        }
    }
    call.reply(&AlterReplicaLogDirsResponse { results, ..Default::default() })
}
