//! ApiVersions (18): what this broker speaks, computed from the table of APIs, and the features it has.

use super::{APIS, Api, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::api_versions_request::ApiVersionsRequest;
use kafka_wire::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

pub const API: Api = Api::new(ApiKey::ApiVersions, (0, 4), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: ApiVersionsRequest) -> Outcome {
    // KIP-511: a client's name is checked, so that it can be used as a label.
    let named = |text: &str| {
        !text.is_empty()
            && text.len() <= 255
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
    };
    let valid = call.version() < 3
        || (named(&request.client_software_name) && named(&request.client_software_version));
    let error = if valid { ErrorCode::None } else { ErrorCode::InvalidRequest };
    call.reply(&ApiVersionsResponse {
        supported_features: FEATURES.iter().map(|feature| feature.supported(call.version())).collect(),
        finalized_features_epoch: FEATURES_EPOCH,
        finalized_features: FEATURES.iter().map(Feature::finalized).collect(),
        ..response(error)
    })
}

/// Clients take the features with the greatest epoch; ours never change while a node runs.
const FEATURES_EPOCH: i64 = 1;

/// What clients do only if the broker says that it is in force (KIP-584).
const FEATURES: &[Feature] = &[
    // Version 1 is KIP-848: consumers may ask for group.protocol=consumer.
    Feature { name: "group.version", level_max: 1 },
    // Version 1 is KIP-932: share consumers.
    Feature { name: "share.version", level_max: 1 },
    // Version 2 is KIP-890: partitions join a transaction by being written to, and each end moves the epoch on.
    Feature { name: "transaction.version", level_max: 2 },
];

struct Feature {
    name: &'static str,
    level_max: i16,
}

impl Feature {
    fn supported(&self, version: i16) -> SupportedFeatureKey {
        // Clients before version 4 fail on a feature that may be at level 0 (KAFKA-17011).
        let min_version = if version >= 4 { 0 } else { 1 };
        SupportedFeatureKey { name: self.name.into(), min_version, max_version: self.level_max }
    }

    fn finalized(&self) -> FinalizedFeatureKey {
        let level = self.level_max;
        FinalizedFeatureKey { name: self.name.into(), max_version_level: level, min_version_level: level }
    }
}

/// The answer, also given when the version is unknown.
pub(super) fn response(error: ErrorCode) -> ApiVersionsResponse {
    let api_keys = APIS
        .iter()
        .map(|api| ApiVersion {
            api_key: api.key as i16,
            min_version: api.advertised_min,
            max_version: api.versions.1,
        })
        .collect();
    ApiVersionsResponse { error_code: code(error), api_keys, ..Default::default() }
}
