//! AlterClientQuotas (49): what users, client ids and addresses may use of the node (KIP-546, KIP-612).

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::quotas::entity::Entity;
use crate::quotas::{QuotaChange, QuotaKey, QuotaRules, check_value};
use crate::security::shown;
use base::Lsn;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::alter_client_quotas_request::{AlterClientQuotasRequest, EntryData, OpData};
use kafka_wire::messages::alter_client_quotas_response::{
    AlterClientQuotasResponse, EntityData, EntryData as Altered,
};
use std::collections::BTreeSet;

pub const API: Api = Api::new(ApiKey::AlterClientQuotas, (0, 1), |call, body| typed(call, body, handle));

/// They are all in memory.
const QUOTAS_MAX: usize = 100_000;

fn handle(call: &Call<'_>, request: AlterClientQuotasRequest) -> Outcome {
    let quotas = call.broker.quotas.current();
    let permitted = call.permit_cluster();
    let mut known = BTreeSet::new();
    let mut changes = Vec::new();
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let entity = entry.entity.iter().map(|part| EntityData {
            entity_type: part.entity_type.clone(),
            entity_name: part.entity_name.clone(),
        });
        let entity = entity.collect();
        let altered = permitted.map_err(ApiError::from).and_then(|()| alter(&quotas, entry));
        let altered = altered.and_then(|(named, altered)| match known.insert(named) {
            true => Ok(altered),
            false => Err(invalid("the entity is named twice".into())),
        });
        let error = match altered {
            Ok(altered) => {
                changes.extend(altered);
                None
            }
            Err(error) => Some(error),
        };
        entries.push((entity, error));
    }
    let written = match request.validate_only || changes.is_empty() {
        true => Ok(Lsn(0)),
        false if quotas.count() + changes.len() > QUOTAS_MAX => {
            let message = format!("there may be {QUOTAS_MAX} quotas at most");
            Err(ApiError::new(ErrorCode::PolicyViolation, message))
        }
        false => call.broker.change_quotas(&changes),
    };
    let lsn = *written.as_ref().unwrap_or(&Lsn(0));
    call.after_durable(lsn, move |fenced| {
        let failed = written.err().or(fenced.map(ApiError::from));
        let entries = entries.into_iter().map(|(entity, error)| {
            let error = error.or(failed.clone());
            Altered {
                error_code: error.as_ref().map_or(NONE, |error| code(error.code)),
                error_message: error.and_then(|error| some_text(error.message)),
                entity,
            }
        });
        AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() }
    })
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

/// The changes that an entry asks for; what is so already is none.
fn alter(quotas: &QuotaRules, entry: EntryData) -> Result<(Entity, Vec<QuotaChange>), ApiError> {
    let parts = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
    let entity = Entity::from_parts(parts).map_err(invalid)?;
    let limits = quotas.get(&entity);
    let mut changes = Vec::new();
    let mut known = BTreeSet::new();
    for op in entry.ops {
        if !known.insert(op.key.clone()) {
            return Err(invalid(format!("the key '{}' is named twice", shown(&op.key))));
        }
        let key = match key_of(&entity, &op) {
            Ok(key) => key,
            // As in Kafka, what cannot be set is not set.
            Err(_) if op.remove => continue,
            Err(error) => return Err(error),
        };
        let before = limits.and_then(|limits| limits.get(&key)).copied();
        let entity = entity.clone();
        if op.remove {
            changes.extend(before.map(|_| QuotaChange::Removed { entity, key }));
            continue;
        }
        check_value(key, op.value).map_err(invalid)?;
        if before != Some(op.value) {
            changes.push(QuotaChange::Set { entity, key, value: op.value });
        }
    }
    Ok((entity, changes))
}

fn key_of(entity: &Entity, op: &OpData) -> Result<QuotaKey, ApiError> {
    let of_addresses = matches!(entity, Entity::Ip(_));
    let fitting = |key: &QuotaKey| key.is_of_addresses() == of_addresses;
    QuotaKey::from_name(&op.key).filter(fitting).ok_or_else(|| {
        let names: Vec<&str> =
            QuotaKey::ALL.iter().filter(|key| fitting(key)).map(|key| key.name()).collect();
        let whose = if of_addresses { "an ip" } else { "users and client-ids" };
        invalid(format!("'{}' is no quota of {whose}; there is {}", shown(&op.key), names.join(", ")))
    })
}
