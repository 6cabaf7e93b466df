//! ApiVersions (18): what this broker speaks, computed from the table of APIs.

use super::{APIS, Api, code, typed};
use crate::call::{Call, Outcome};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::api_versions_request::ApiVersionsRequest;
use kafka_wire::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

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
    call.reply(&response(if valid { ErrorCode::None } else { ErrorCode::InvalidRequest }))
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
