//! The registry over a log on a simulated disk; each request goes the way that HTTP's go.

mod compatibility;
mod durability;
mod languages;
mod settings;
mod subjects;

use crate::{Request, SchemaRegistry};
use eventlog::{EventLog, LogOptions, Recovery};
use os::sim::SimOs;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

struct Site {
    world: SimOs,
    log: EventLog,
    registry: SchemaRegistry,
    /// What the operator was told.
    told: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn new() -> Site {
        Site::open(SimOs::new(5))
    }

    fn open(world: SimOs) -> Site {
        let mut recovery = Recovery::open(&world.os(), LogOptions::new("/data")).unwrap();
        recovery.replay(&mut |_, _| Ok(())).unwrap();
        let log = recovery.start(Vec::new()).unwrap();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = {
            let told = told.clone();
            Arc::new(move |line: &str| told.lock().unwrap().push(line.to_string()))
        };
        let registry = SchemaRegistry::new(log.clone(), world.os(), "cluster-1".into(), "0.1".into());
        let registry = registry.telling(tell);
        Site { world, log, registry, told }
    }

    /// The power goes and comes back: what was not synced may be lost.
    fn restart(self) -> Site {
        let Site { world, log, registry, .. } = self;
        drop(registry);
        drop(log);
        world.disk.power_cut(3);
        Site::open(world)
    }

    fn ask(&self, method: &str, target: &str, body: Option<Value>) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let answer = self.registry.answer(&Request {
            method: method.into(),
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_string).collect(),
            query: pairs.map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            ..Request::default()
        });
        let value = serde_json::from_str(&answer.body).unwrap_or_else(|_| Value::String(answer.body.clone()));
        (answer.status, value)
    }

    fn get(&self, target: &str) -> Value {
        let (status, value) = self.ask("GET", target, None);
        assert_eq!(status, 200, "{target}: {value}");
        value
    }

    /// The number of an error.
    fn code(&self, method: &str, target: &str, body: Option<Value>) -> u64 {
        let (status, value) = self.ask(method, target, body);
        let code =
            value["error_code"].as_u64().unwrap_or_else(|| panic!("{target} answers {status}: {value}"));
        assert!(code.to_string().starts_with(&status.to_string()), "{status} {code}");
        assert!(!value["message"].as_str().unwrap().is_empty());
        code
    }

    /// Registers a schema of Avro.
    fn register(&self, subject: &str, schema: &Value) -> u64 {
        self.register_as(subject, json!({"schema": schema.to_string()}))
    }

    fn register_as(&self, subject: &str, body: Value) -> u64 {
        let (status, value) = self.ask("POST", &format!("/subjects/{subject}/versions"), Some(body));
        assert_eq!(status, 200, "{value}");
        value["id"].as_u64().unwrap()
    }

    fn delete(&self, target: &str) -> Value {
        let (status, value) = self.ask("DELETE", target, None);
        assert_eq!(status, 200, "{target}: {value}");
        value
    }

    fn put(&self, target: &str, body: Value) -> Value {
        let (status, value) = self.ask("PUT", target, Some(body));
        assert_eq!(status, 200, "{target}: {value}");
        value
    }
}

/// A record of Avro with fields of type long, those in capitals with a default.
fn record(fields: &[&str]) -> Value {
    let field = |name: &&str| match name.chars().all(char::is_uppercase) {
        true => json!({"name": name, "type": "long", "default": 0}),
        false => json!({"name": name, "type": "long"}),
    };
    json!({"type": "record", "name": "Order", "fields": fields.iter().map(field).collect::<Vec<_>>()})
}
