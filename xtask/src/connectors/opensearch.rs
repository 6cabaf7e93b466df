//! OpenSearch: an index for each trial, which jobs reach through the gate.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, REFUSED, USER, text};
use crate::opensearch;
use crate::process::Server;

/// More documents than any trial has.
const WINDOW: u64 = 200_000;

pub struct OpenSearch {
    /// Whether documents lie under the numbers, with versions; else each row is a document.
    is_keyed: bool,
    server: opensearch::OpenSearch,
    gate: Gate,
}

impl OpenSearch {
    pub fn new(is_keyed: bool) -> Result<OpenSearch> {
        let server = opensearch::OpenSearch::start(USER, FIRST_PASSWORD)?;
        let gate = Gate::to(server.port)?;
        Ok(OpenSearch { is_keyed, server, gate })
    }

    fn make(&self, place: &Place, more: &Value) -> Result<()> {
        let mut index = json!({ "settings": { "max_result_window": WINDOW, "number_of_replicas": 0 } });
        for (key, value) in more.as_object().into_iter().flatten() {
            index[key] = value.clone();
        }
        self.server.ask("PUT", &format!("/{}", place.name), &index.to_string()).map(drop)
    }
}

impl Outside for OpenSearch {
    fn name(&self) -> &'static str {
        if self.is_keyed { "opensearch-keyed" } else { "opensearch" }
    }

    fn connector(&self) -> &'static str {
        "opensearch"
    }

    fn version(&self) -> Result<String> {
        Ok(opensearch::OpenSearch::version())
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Sink]
    }

    fn refusal(&self) -> &'static str {
        "wrong user or password"
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.server.kill();
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.make(place, &Value::Null)
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'opensearch', 'hosts' = 'http://127.0.0.1:{}', 'index' = '{}', 'username' = '{USER}', \
             'password' = '${{file:{}}}', 'socket.timeout' = '4 s', 'sink.bulk-flush.interval' = '100 ms'",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn key(&self) -> &'static str {
        if self.is_keyed { ", PRIMARY KEY (n) NOT ENFORCED" } else { "" }
    }

    /// A table tells no order in which rows came.
    fn keeps_order(&self, _direction: Direction) -> bool {
        false
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let name = &place.name;
        self.server.ask("POST", &format!("/{name}/_refresh"), "")?;
        let query = json!({ "size": WINDOW, "_source": false, "docvalue_fields": ["n"] });
        let path = format!("/{name}/_search?filter_path=hits.hits.fields.n");
        let found = self.server.ask("POST", &path, &query.to_string())?;
        let hits = found["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
        let number = |hit: &Value| hit["fields"]["n"][0].as_u64().context("a document without its number");
        let mut numbers = hits.iter().map(number).collect::<Result<Vec<u64>>>()?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_password(USER, password)
    }

    fn refuse(&mut self, place: &Place) -> Result<()> {
        let script = format!("if (ctx.n == {REFUSED}) {{ throw new IllegalArgumentException('refused') }}");
        let pipeline = json!({ "processors": [{ "script": { "source": script } }] });
        self.server.ask("PUT", "/_ingest/pipeline/refuse", &pipeline.to_string())?;
        let setting = json!({ "index": { "default_pipeline": "refuse" } });
        self.server.ask("PUT", &format!("/{}/_settings", place.name), &setting.to_string()).map(drop)
    }

    fn mismatch(&mut self, place: &Place, _direction: Direction) -> Result<String> {
        let fields =
            json!({ "k": { "type": "long" }, "n": { "properties": { "inside": { "type": "long" } } } });
        self.make(place, &json!({ "mappings": { "properties": fields } }))?;
        Ok("column 'n'".to_owned())
    }
}
