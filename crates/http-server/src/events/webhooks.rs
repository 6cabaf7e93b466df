//! Topics that a webhook writes: whoever sends shows by a signature that it may, and needs no other log-in.

use super::posted::Posted;
use auth::webhook::{Scheme, Secret};
use bytes::Bytes;
use hyper::HeaderMap;
use std::collections::BTreeMap;

/// By topic, the secrets that are in use: two, while the sender changes its own.
#[derive(Debug, Clone, Default)]
pub struct Webhooks(BTreeMap<String, Vec<Secret>>);

const SIGNATURE: &str = "signature";
const SECRETS: [&str; 2] = ["secret", "previous-secret"];

impl Webhooks {
    /// From `TOPIC.signature`, `TOPIC.secret` and `TOPIC.previous-secret`; secrets may be `${env:NAME}` or `${file:PATH}`.
    pub fn parse(given: &BTreeMap<String, String>) -> Result<Webhooks, String> {
        let mut hooks = BTreeMap::new();
        for key in given.keys() {
            match key.rsplit_once('.') {
                Some((topic, SIGNATURE)) => {
                    hooks.insert(topic.to_owned(), secrets(given, topic)?);
                }
                Some((topic, name))
                    if SECRETS.contains(&name) && given.contains_key(&format!("{topic}.{SIGNATURE}")) => {}
                _ => {
                    return Err(format!(
                        "'{key}' is nothing of a webhook: write TOPIC.signature={}, and TOPIC.secret beside it",
                        Scheme::ALL.map(|(name, _)| name).join("|")
                    ));
                }
            }
        }
        Ok(Webhooks(hooks))
    }

    pub(super) fn has(&self, topic: &str) -> bool {
        self.0.contains_key(topic)
    }

    /// The record of a delivery whose signature fits.
    pub(super) fn read(
        &self,
        topic: &str,
        headers: &HeaderMap,
        body: &Bytes,
        now_ms: i64,
    ) -> Result<Posted, &'static str> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut refusal = "the topic has no webhook";
        for secret in self.0.get(topic).into_iter().flatten() {
            match secret.check(&header, body, now_ms) {
                Err(reason) => refusal = reason,
                Ok(id) => {
                    let telling = secret.scheme().telling().iter().copied().chain(["content-type"]);
                    let headers =
                        telling.filter_map(|name| Some((name.to_owned(), header(name)?.as_bytes().to_vec())));
                    let id = id.map(|id| ["\0\0", &id].concat().into_bytes());
                    return Ok(Posted {
                        id,
                        key: None,
                        value: Some(body.to_vec()),
                        headers: headers.collect(),
                    });
                }
            }
        }
        Err(refusal)
    }
}

fn secrets(given: &BTreeMap<String, String>, topic: &str) -> Result<Vec<Secret>, String> {
    let value = |name: &str| given.get(&format!("{topic}.{name}"));
    let name = value(SIGNATURE).map(String::as_str).unwrap_or_default();
    let scheme = Scheme::parse(name).ok_or_else(|| {
        let known = Scheme::ALL.map(|(name, _)| name).join(", ");
        format!("{topic}.{SIGNATURE}='{name}' is not known; there are {known}")
    })?;
    eventlog::check_topic_name(topic).map_err(|error| error.to_string())?;
    let mut secrets = Vec::new();
    for name in SECRETS {
        let Some(text) = value(name) else { continue };
        let of_this = |reason: String| format!("{topic}.{name}: {reason}");
        let text = auth::secrets::resolved(text).map_err(|error| of_this(error.to_string()))?;
        secrets.push(Secret::new(scheme, &text).map_err(|reason| of_this(reason.to_owned()))?);
    }
    match value(SECRETS[0]) {
        Some(_) => Ok(secrets),
        None => Err(format!("{topic}.{} is missing: what the sender signs with", SECRETS[0])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[(&str, &str)]) -> Result<Webhooks, String> {
        Webhooks::parse(&lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn topics_have_a_scheme_and_secrets() {
        let hooks =
            parse(&[("a.b.signature", "github"), ("a.b.secret", "x"), ("a.b.previous-secret", "y")]).unwrap();
        assert!(hooks.has("a.b") && !hooks.has("a"));
        assert!(parse(&[]).is_ok());
        for (lines, why) in [
            (&[("a.signature", "gitlab"), ("a.secret", "x")][..], "'gitlab' is not known; there are github"),
            (&[("a.signature", "github")], "a.secret is missing"),
            (&[("a.secret", "x")], "'a.secret' is nothing of a webhook"),
            (&[("signature", "github")], "'signature' is nothing"),
            (
                &[("a.signature", "github"), ("a.secret", "${env:NO_SUCH_NAME_AT_ALL}")],
                "a.secret: the environment",
            ),
            (&[("a.signature", "github"), ("a.secret", "")], "a.secret: the secret is empty"),
            (&[("a b.signature", "github"), ("a b.secret", "x")], "a b"),
        ] {
            let error = parse(lines).unwrap_err();
            assert!(error.contains(why), "{lines:?}: {error}");
        }
    }
}
