//! What is asked and what is answered, as values.

use crate::refusal::Refusal;
use serde_json::{Map, Value};

/// Bytes of a schema's text. A record with it must fit where Kafka's defaults take it.
pub const SCHEMA_BYTES_MAX: usize = 1_000_000;

const V1_JSON: &str = "application/vnd.schemaregistry.v1+json";
/// In the order of preference.
const MEDIA_TYPES: [&str; 3] = [V1_JSON, "application/vnd.schemaregistry+json", "application/json"];
const ANY_BYTES: &str = "application/octet-stream";

/// One request, taken apart.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// The parts of the path between the slashes, decoded.
    pub path: Vec<String>,
    /// Decoded.
    pub query: Vec<(String, String)>,
    pub content_type: Option<String>,
    pub accept: Option<String>,
    pub body: Vec<u8>,
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

/// Whether a path is one of the registry's.
pub fn serves(path: &[&str]) -> bool {
    match path {
        [] => true,
        [first, ..]
            if matches!(
                *first,
                "subjects" | "schemas" | "compatibility" | "config" | "mode" | "contexts"
            ) =>
        {
            true
        }
        ["v1", "metadata", ..] => true,
        _ => false,
    }
}

impl Request {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A flag, as Java reads it: anything but `true` is false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The part of a list that `offset` and `limit` leave.
    pub(crate) fn page<T>(&self, all: Vec<T>) -> Vec<T> {
        let number = |name: &str| self.text(name).and_then(|text| text.parse::<i64>().ok());
        let offset = number("offset").and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
        let limit = number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        all.into_iter().skip(offset).take(limit).collect()
    }

    /// The media type of the answer; none if the client takes none of them.
    pub(crate) fn answer_type(&self) -> Option<&'static str> {
        let Some(accept) = self.accept.as_deref().map(str::trim).filter(|accept| !accept.is_empty()) else {
            return Some(V1_JSON);
        };
        let mut best: Option<(f64, usize)> = None;
        for part in accept.split(',') {
            let mut parameters = part.split(';').map(str::trim);
            let wanted = parameters.next().unwrap_or_default();
            let weight =
                parameters.find_map(|parameter| parameter.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            let place = match wanted {
                "*/*" | "application/*" => Some(0),
                wanted => MEDIA_TYPES.iter().position(|known| known.eq_ignore_ascii_case(wanted)),
            };
            if let Some(place) = place
                && weight > 0.0
                && best.is_none_or(|(known, at)| weight > known || weight == known && place < at)
            {
                best = Some((weight, place));
            }
        }
        best.map(|(_, place)| MEDIA_TYPES[place])
    }

    /// Whether the body is of a type that is read. Without one it is taken for JSON.
    pub(crate) fn is_readable(&self) -> bool {
        let Some(given) = &self.content_type else { return true };
        let given = given.split(';').next().unwrap_or_default().trim();
        MEDIA_TYPES.iter().chain([&ANY_BYTES]).any(|known| known.eq_ignore_ascii_case(given))
    }

    /// The body as an object with no other members than these.
    pub(crate) fn object(&self, known: &[&str]) -> Result<Map<String, Value>, Refusal> {
        let value = serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::new(400, format!("the body is no JSON: {error}")))?;
        let Value::Object(object) = value else {
            return Err(Refusal::new(400, "the body is no JSON object"));
        };
        match object.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Refusal::unprocessable(format!("Unrecognized field: {key}"))),
            None => Ok(object),
        }
    }
}

impl Answer {
    pub(crate) fn json(content_type: &'static str, value: &Value) -> Answer {
        Answer { status: 200, content_type, body: value.to_string() }
    }

    pub(crate) fn refusal(content_type: &'static str, refusal: &Refusal) -> Answer {
        let body = serde_json::json!({"error_code": refusal.code, "message": refusal.message}).to_string();
        Answer { status: refusal.status(), content_type, body }
    }
}
