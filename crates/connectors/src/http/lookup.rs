//! Looks rows up by asking a server: one request for each key, several at once over connections that are kept.
//!
//! A key's columns stand in the URL where it has their names in braces, else in its query, or with another method than GET in
//! an object of JSON. What is answered is a row, or an array of them, in the table's format.

use super::access::{self, Access, Head, set_unless};
use super::codes::{Codes, Meaning};
use super::options::{
    IGNORED_CODES, LOOKUP_METHOD, LOOKUP_THREADS, QUERY_FIELDS, RESULT_TYPE, RETRY_CODES, URL_MAP,
};
use crate::http_answers::{shown_bytes, words};
use crate::http_connection::HttpAnswer;
use crate::http_host::{Host, Lane, Lost};
use crate::messages::{Done, ServerError, told};
use crate::table_format::Checked;
use crate::{json_slices, lookup_options};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use auth::socket::monotonic;
use base::ErrorKind;
use base::options::Options;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use formats::print::value_text;
use formats::{FormatKind, RowDecoder, RowEncoder, Surroundings};
use os::http::segment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct HttpLookup {
    table: Arc<TableDefinition>,
    access: Access,
    asking: Asking,
    decoder: Box<dyn RowDecoder>,
    found: SchemaRef,
    is_array: bool,
    ignored: Codes,
    retried: Codes,
    retries_max: u32,
    /// For a call of `find` as a whole.
    timeout: Duration,
    lanes: Vec<Lane>,
    host: Option<Host>,
}

/// How keys become requests.
struct Asking {
    method: String,
    /// The URL's path: a text, and the key's column behind it.
    parts: Vec<(String, Option<usize>)>,
    query: Vec<(String, usize)>,
    /// Of the key's columns, those of an object of JSON.
    body: Option<(Vec<usize>, Box<dyn RowEncoder>)>,
}

/// The names in braces in a URL's path, and the texts before them; the last text has none.
pub(super) fn parts_of(path: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').ok_or("'url' has a '{' without a '}'")?;
        parts.push((before.to_string(), Some(name.to_string())));
        rest = behind;
    }
    parts.push((rest.to_string(), None));
    Ok(parts)
}

/// `column:name,…` as names and their columns.
pub(super) fn url_map(options: &Options) -> Result<BTreeMap<&str, &str>, String> {
    let text = options.text(URL_MAP).unwrap_or_default();
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |pair: &'_ str| pair.split_once(':').is_some();
    if let Some(wrong) = pairs.clone().find(|text| !pair(text)) {
        return Err(format!("'{URL_MAP}': '{wrong}' is no COLUMN:NAME"));
    }
    let found = pairs.filter_map(|pair| pair.split_once(':'));
    Ok(found.map(|(column, name)| (name.trim(), column.trim())).collect())
}

impl Asking {
    fn new(request: &LookupRequest, options: &Options, path: &str) -> Result<Asking, String> {
        let schema = &request.table.schema;
        let names: Vec<&str> = request
            .keys
            .iter()
            .filter_map(|column| schema.fields().get(*column))
            .map(|field| field.name().as_str())
            .collect();
        let map = url_map(options)?;
        let place = |name: &str| {
            let column = map.get(name).copied().unwrap_or(name);
            names.iter().position(|known| *known == column).ok_or_else(|| {
                format!(
                    "'url' has {{{name}}}, and the join compares no column '{column}'; it compares {}",
                    names.join(", ")
                )
            })
        };
        let mut parts = Vec::new();
        for (text, name) in parts_of(path)? {
            parts.push((text, name.as_deref().map(place).transpose()?));
        }
        let mut rest: Vec<usize> =
            (0..names.len()).filter(|key| !parts.iter().any(|(_, part)| part == &Some(*key))).collect();
        let method = options.text(LOOKUP_METHOD).unwrap_or("GET").to_string();
        let is_get = method == "GET";
        let in_query: Option<Vec<&str>> =
            options.text(QUERY_FIELDS).map(|names| names.split(';').map(str::trim).collect());
        let is_in_query = |key: &usize| match &in_query {
            Some(wanted) => wanted.contains(&names[*key]),
            None => is_get,
        };
        let query =
            rest.iter().filter(|key| is_in_query(key)).map(|key| (names[*key].to_string(), *key)).collect();
        rest.retain(|key| !is_in_query(key));
        if is_get && let Some(key) = rest.first() {
            return Err(format!(
                "'{QUERY_FIELDS}' does not name '{}', and a GET has no other place for it",
                names[*key]
            ));
        }
        let body = if is_get {
            None
        } else {
            let fields = rest.iter().map(|key| schema.field(request.keys[*key]).clone());
            let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let options = Options::check(&BTreeMap::new(), FormatKind::Json.specs());
            let options =
                options.map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
            let encoder =
                FormatKind::Json.encoder_with_metadata(&options, &schema, &[], &Surroundings::default());
            Some((rest, encoder.map_err(|error| error.to_string())?))
        };
        Ok(Asking { method, parts, query, body })
    }

    fn request(&mut self, head: &Head, keys: &RecordBatch, key: usize) -> Result<Vec<u8>, String> {
        let text = |column: usize| segment(&value_text(keys.column(column), key).unwrap_or_default());
        let mut target = String::new();
        for (part, column) in &self.parts {
            target.push_str(part);
            target.extend(column.map(text));
        }
        for (name, column) in &self.query {
            let mark = if target.contains('?') { '&' } else { '?' };
            target.push_str(&format!("{mark}{}={}", segment(name), text(*column)));
        }
        let (mut head, mut body) = (head.clone(), Vec::new());
        if let Some((columns, encoder)) = &mut self.body {
            let values = keys.project(columns).map_err(|error| error.to_string())?;
            encoder.encode(&values, key, &mut body).map_err(|error| error.to_string())?;
            set_unless(&mut head, "Content-Type", "application/json");
        }
        set_unless(&mut head, "Accept", "application/json, */*;q=0.5");
        Ok(access::request(&self.method, &target, &head, &body))
    }
}

impl HttpLookup {
    pub(super) fn new(
        request: &LookupRequest,
        checked: &Checked,
        access: Access,
    ) -> Result<HttpLookup, String> {
        let options = &checked.options;
        let table = &request.table;
        let timeout = Duration::from_millis(request.timeout_ms.max(1));
        let access = access.within(timeout);
        let fields = request.projection.iter().filter_map(|column| table.schema.fields().get(*column));
        // NOT NULL is a promise that only sinks check.
        let relaxed = fields.map(|field| field.as_ref().clone().with_nullable(true));
        let lanes = options.integer(LOOKUP_THREADS).and_then(|lanes| usize::try_from(lanes).ok());
        let codes = |key: &str| Codes::parse(options.text(key).unwrap_or_default());
        Ok(HttpLookup {
            asking: Asking::new(request, options, &access.url().path)?,
            decoder: checked.value.decoder(&table.schema, &request.projection)?,
            found: Arc::new(Schema::new(relaxed.collect::<Vec<_>>())),
            is_array: options.text(RESULT_TYPE) == Some("array"),
            ignored: codes(IGNORED_CODES)?,
            retried: codes(RETRY_CODES)?,
            retries_max: lookup_options::retries_max(options),
            timeout,
            lanes: std::iter::repeat_with(Lane::default).take(lanes.unwrap_or(8).max(1)).collect(),
            host: None,
            table: table.clone(),
            access,
        })
    }

    fn now(&self) -> Duration {
        monotonic(&*self.access.os().clock)
    }

    fn error(&self, error: ServerError) -> SourceError {
        let (kind, message) = told(&self.table, error);
        SourceError { kind, message }
    }

    /// Answers the number of rows of each key; the rows are in the decoder.
    fn counts(&mut self, keys: &RecordBatch) -> Done<Vec<u32>> {
        let until = self.now().saturating_add(self.timeout);
        self.access.wait_pause(Duration::ZERO)?;
        let host = match self.host.take() {
            Some(host) => host,
            None => self.access.host()?,
        };
        let head = self.access.head()?;
        let mut counts = Vec::with_capacity(keys.num_rows());
        while counts.len() < keys.num_rows() {
            let left = until.saturating_sub(self.now());
            if left.is_zero() {
                return Err(self.access.lost(&Lost::Late));
            }
            let together = counts.len()..keys.num_rows().min(counts.len() + self.lanes.len());
            let requests = together.map(|key| self.asking.request(&head, keys, key));
            let requests: Vec<Vec<u8>> = requests.collect::<Result<_, _>>().map_err(ServerError::invalid)?;
            for answer in host.exchange_within(&mut self.lanes, &requests, left) {
                let answer = answer.map_err(|lost| self.access.lost(&lost))?;
                counts.push(self.rows(&answer)?);
            }
        }
        self.host = Some(host);
        Ok(counts)
    }

    /// Decodes the rows of an answer; how many there are.
    fn rows(&mut self, answer: &HttpAnswer) -> Done<u32> {
        let failed = |kind| {
            let place = self.access.url().address();
            Err(ServerError::new(kind, format!("{place}: {}", words(answer))))
        };
        match Meaning::of(answer.status) {
            _ if self.ignored.has(answer.status) => return Ok(0),
            meaning if meaning == Meaning::Passing || self.retried.has(answer.status) => {
                let kind = if answer.status == 429 { ErrorKind::Retry } else { ErrorKind::Unavailable };
                self.access.keep_pause(answer);
                return failed(kind);
            }
            Meaning::Done => {}
            Meaning::NoSuchPlace => return failed(ErrorKind::NotFound),
            Meaning::NotLetIn | Meaning::Refused | Meaning::Passing => return failed(ErrorKind::Invalid),
        }
        let before = self.decoder.len();
        let wrong = |reason: String| {
            ServerError::invalid(format!("the answer is no row: {reason}: {}", shown_bytes(&answer.body)))
        };
        let body = answer.body.as_slice();
        let is_empty = body.iter().all(u8::is_ascii_whitespace) || body.trim_ascii() == b"null";
        if is_empty {
            return Ok(0);
        }
        let rows = if self.is_array { json_slices::elements(body).map_err(wrong)? } else { vec![body] };
        for row in rows {
            self.decoder.decode(row).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(u32::try_from(self.decoder.len() - before).unwrap_or(u32::MAX))
    }
}

impl Lookup for HttpLookup {
    fn find(&mut self, keys: &RecordBatch) -> Result<Found, SourceError> {
        let counts = self.counts(keys);
        // Also where there is an error: what was decoded before it is of no use.
        let decoded = self.decoder.finish();
        let counts = counts.map_err(|error| {
            self.host = None;
            self.error(error)
        })?;
        let wrong = |message: String| self.error(ServerError::new(ErrorKind::Internal, message));
        let decoded = decoded.map_err(|error| wrong(error.to_string()))?;
        let total = counts.iter().map(|count| *count as usize).sum();
        let options = RecordBatchOptions::new().with_match_field_names(false).with_row_count(Some(total));
        let rows =
            RecordBatch::try_new_with_options(self.found.clone(), decoded.columns().to_vec(), &options);
        Ok(Found { rows: rows.map_err(|error| wrong(error.to_string()))?, counts })
    }

    fn retries_max(&self) -> u32 {
        self.retries_max
    }

    fn pause_ms(&self) -> Option<u64> {
        self.access.pause().left_ms(self.access.os())
    }
}
