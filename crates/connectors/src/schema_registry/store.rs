//! What schema registries have answered, kept in an internal topic of the embedded log.
//!
//! A record's key says what was asked, as JSON, and its value what was answered. The topic is read once, when the first
//! question comes; an answer is durable before it is used.

use crate::internal_topic;
use eventlog::EventLog;
use os::Os;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub(crate) const TOPIC: &str = "__schemas";

pub(crate) struct SchemaStore {
    os: Os,
    log: EventLog,
    /// By question; none before the topic was read.
    answers: Mutex<Option<HashMap<String, Value>>>,
}

impl SchemaStore {
    pub(crate) fn new(os: Os, log: EventLog) -> SchemaStore {
        SchemaStore { os, log, answers: Mutex::default() }
    }

    pub(super) fn get(&self, key: &Value) -> Result<Option<Value>, String> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.is_none() {
            *answers = Some(self.read()?);
        }
        Ok(answers.as_ref().and_then(|answers| answers.get(&key.to_string()).cloned()))
    }

    /// Keeps an answer; it is durable afterwards.
    pub(super) fn put(&self, key: &Value, value: &Value) -> Result<(), String> {
        let (key, text) = (key.to_string(), value.to_string());
        internal_topic::put(&self.log, TOPIC, self.os.clock.now_ms(), key.as_bytes(), text.as_bytes())
            .map_err(|error| format!("the answer of a schema registry cannot be stored: {error}"))?;
        if let Some(answers) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            answers.insert(key, value.clone());
        }
        Ok(())
    }

    fn read(&self) -> Result<HashMap<String, Value>, String> {
        let mut answers = HashMap::new();
        internal_topic::read(&self.log, TOPIC, &mut |key, value| {
            let value = serde_json::from_slice(value).map_err(|error| error.to_string())?;
            answers.insert(String::from_utf8_lossy(key).into_owned(), value);
            Ok(())
        })?;
        Ok(answers)
    }
}
