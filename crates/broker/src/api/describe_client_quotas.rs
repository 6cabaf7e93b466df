//! DescribeClientQuotas (48): the quotas that fit a filter (KIP-546).

use super::{Api, NONE, code, some_text, typed};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::quotas::Limits;
use crate::quotas::entity::{CLIENT_ID, Entity, IP, USER};
use crate::security::shown;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_client_quotas_request::{ComponentData, DescribeClientQuotasRequest};
use kafka_wire::messages::describe_client_quotas_response::{
    DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};
use std::collections::BTreeMap;

pub const API: Api = Api::new(ApiKey::DescribeClientQuotas, (0, 1), |call, body| typed(call, body, handle));

fn handle(call: &Call<'_>, request: DescribeClientQuotasRequest) -> Outcome {
    let permitted = call.permit_cluster().map_err(ApiError::from);
    let filter = permitted.and_then(|()| Filter::of(request.components, request.strict));
    let quotas = call.broker.quotas.current();
    let entries = filter.map(|filter| {
        let fitting = quotas.entities().filter(|(entity, _)| filter.fits(entity));
        fitting.map(|(entity, limits)| entry(&entity, limits)).collect::<Vec<_>>()
    });
    let refused = |error: ApiError| DescribeClientQuotasResponse {
        error_code: code(error.code),
        error_message: some_text(error.message),
        entries: None,
        ..Default::default()
    };
    match entries {
        Err(error) => call.reply(&refused(error)),
        Ok(entries) => call.after_all(move |error| match error {
            Some(error) => refused(error.into()),
            None => DescribeClientQuotasResponse {
                error_code: NONE,
                entries: Some(entries),
                ..Default::default()
            },
        }),
    }
}

fn entry(entity: &Entity, limits: &Limits) -> EntryData {
    let parts = entity.parts().into_iter();
    let named = parts.map(|(kind, entity_name)| EntityData { entity_type: kind.into(), entity_name });
    let values = limits.iter().map(|(key, value)| ValueData { key: key.name().into(), value: *value });
    EntryData { entity: named.collect(), values: values.collect() }
}

/// What the name of one type has to be.
enum Match {
    Exactly(Option<String>),
    Any,
}

struct Filter {
    components: BTreeMap<String, Match>,
    /// Nothing but the named types.
    strict: bool,
}

impl Filter {
    fn of(asked: Vec<ComponentData>, strict: bool) -> Result<Filter, ApiError> {
        let mut components = BTreeMap::new();
        for component in asked {
            let kind = component.entity_type.clone();
            let wanted = match_of(component)?;
            if components.insert(kind.clone(), wanted).is_some() {
                return Err(invalid(format!("the entity type {kind} is in the filter twice")));
            }
        }
        let has = |kind| components.contains_key(kind);
        if has(IP) && (has(USER) || has(CLIENT_ID)) {
            return Err(invalid("an ip cannot be combined with a user or a client-id".into()));
        }
        Ok(Filter { components, strict })
    }

    fn fits(&self, entity: &Entity) -> bool {
        let parts = entity.parts();
        let fits = |(kind, wanted): (&String, &Match)| {
            let found = parts.iter().find(|(known, _)| known == kind);
            found.is_some_and(|(_, name)| match wanted {
                Match::Any => true,
                Match::Exactly(wanted) => name == wanted,
            })
        };
        (!self.strict || parts.len() == self.components.len()) && self.components.iter().all(fits)
    }
}

fn match_of(component: ComponentData) -> Result<Match, ApiError> {
    const EXACT: i8 = 0;
    const DEFAULT: i8 = 1;
    const ANY: i8 = 2;
    let ComponentData { entity_type, match_type, r#match: name } = component;
    if entity_type.is_empty() {
        return Err(invalid("an entity type in the filter is empty".into()));
    }
    if ![USER, CLIENT_ID, IP].contains(&entity_type.as_str()) {
        let shown = shown(&entity_type);
        let message = format!("the entity type '{shown}' is not known; there are user, client-id and ip");
        return Err(ApiError::new(ErrorCode::UnsupportedVersion, message));
    }
    match (match_type, name) {
        (EXACT, Some(name)) => Ok(Match::Exactly(Some(name))),
        (EXACT, None) => Err(invalid(format!("the filter's name of the {entity_type} is null"))),
        (DEFAULT, None) => Ok(Match::Exactly(None)),
        (ANY, None) => Ok(Match::Any),
        (DEFAULT | ANY, Some(_)) => {
            Err(invalid(format!("match_type={match_type} of the {entity_type} goes without a name")))
        }
        (other, _) => Err(invalid(format!("match_type={other} is not known; there are 0, 1 and 2"))),
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}
