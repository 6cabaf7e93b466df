//! The console: a page for people in `/console/`, and under `/console/api/` what it asks for.
//!
//! The page is plain files of the folder `console` at the root of the repository, which are part of the binary. What it
//! shows comes from the functions that the command line, the metrics and Flink's API use: groups and topics are asked for
//! by Kafka's requests within the process, so that the rights are Kafka's too; jobs and schemas come from their own paths,
//! which are served a second time below `/console/api/`, where the session of a browser counts (ADR 0026).
//!
//! Nothing here is for programs: the shapes change with the page.

mod assets;
mod browse;
mod decoded;
mod groups;
mod letters;
mod node;
mod path;
mod search;
mod sessions;
mod shown;
mod sql;
mod steps;
mod topics;
mod trace;
mod views;
mod wanted;
mod way;

pub use sql::{Asking, Queries};
pub use steps::{known_json, step_json};

use crate::body::Body;
use crate::desk::{Desk, NotDone};
use crate::door::{Caller, Door};
use crate::events::{self, Events};
use crate::reply::Reply;
use crate::router::{Site, parts, query_value};
use auth::plain::Login;
use broker::Broker;
use broker::errors::ApiError;
use broker::security::{Operation, ResourceType, Visitor};
use bytes::Bytes;
use eventlog::EventLog;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Uri};
use kafka_client::{Client, ClientError, ClientOptions, WITHIN};
use kafka_wire::error_code::ErrorCode;
use os::Os;
use registry::SchemaRegistry;
use serde_json::{Value, json};
use sessions::Sessions;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Bytes of a request's body: a record to produce, whose bytes may be escaped.
pub(crate) const BODY_BYTES_MAX: usize = 4 << 20;

/// Bytes of a user and a password, which anybody may send.
pub(crate) const LOG_IN_BYTES_MAX: usize = 4 << 10;

/// Searches at once; each reads as fast as the disk gives.
const SEARCHES_MAX: usize = 4;

const ROOT: &str = "/console";
const API: &str = "/console/api/";

/// A page of another origin cannot send it without being asked for leave, which it does not get.
const OWN_HEADER: HeaderName = HeaderName::from_static("x-eventwright-console");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(crate) struct Console {
    broker: Arc<Broker>,
    log: EventLog,
    os: Os,
    events: Arc<Events>,
    sessions: Sessions,
    /// Where the answers are made, beside the server's thread.
    desk: Arc<Desk>,
    searches: Arc<Semaphore>,
    given: Given,
    is_tls: bool,
}

/// What the console shows besides the broker and the jobs.
pub(crate) struct Given {
    pub schemas: Option<Arc<SchemaRegistry>>,
    pub views: Option<::views::Views>,
    pub queries: Option<Arc<dyn Queries>>,
}

/// Which part of the console a request is for.
pub(crate) enum Meant {
    /// A file of the page, or where it is to be found.
    Page(Response<Full<Bytes>>),
    LogIn,
    LogOut,
    /// The path of another part of the server, for which the browser's session counts.
    Elsewhere(Uri),
    Own,
}

/// Who asks, and what.
struct Asked<'a> {
    site: &'a Site,
    visitor: &'a Visitor,
    query: &'a str,
    body: &'a [u8],
}

impl Asked<'_> {
    fn value(&self, name: &str) -> Option<String> {
        query_value(self.query, name).filter(|value| !value.is_empty())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refused> {
        let number = self.value(name).map(|text| text.parse());
        number.transpose().map_err(|_| Refused::bad(format!("'{name}' is not a number")))
    }

    /// The body, which is a JSON object.
    fn json(&self) -> Result<Value, Refused> {
        match serde_json::from_slice(self.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(Refused::bad("the body is not a JSON object")),
            Err(error) => Err(Refused::bad(format!("the body is not JSON: {error}"))),
        }
    }

    fn permit(&self, operation: Operation, kind: ResourceType, name: &str) -> Result<(), Refused> {
        if self.visitor.may(operation, kind, name) {
            return Ok(());
        }
        let words = format!(
            "{} has no rule for this, which needs {operation:?} on {kind:?} '{name}'",
            self.visitor.shown()
        );
        Err(Refused { status: StatusCode::FORBIDDEN, words })
    }
}

/// Why a request is not done.
struct Refused {
    status: StatusCode,
    words: String,
}

impl Refused {
    fn bad(words: impl Into<String>) -> Refused {
        Refused { status: StatusCode::BAD_REQUEST, words: words.into() }
    }

    fn into_response(self) -> Response<Body> {
        let response = match self.status {
            StatusCode::TOO_MANY_REQUESTS => events::come_again(self.status, &self.words),
            status => Reply::error(status, self.words).into_response(),
        };
        response.map(Body::from)
    }
}

impl From<NotDone> for Refused {
    fn from(why: NotDone) -> Refused {
        let (status, words) = why.told();
        Refused { status, words: words.into() }
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Refused {
        let reply = events::of_error(&error);
        let words = reply.body["errors"][0].as_str().unwrap_or_default().to_owned();
        Refused { status: reply.status, words }
    }
}

impl From<ClientError> for Refused {
    fn from(error: ClientError) -> Refused {
        use base::ErrorKind;
        use kafka_client::ClientError as E;
        let is_denied = error.code().is_some_and(|code| code.name().ends_with("AUTHORIZATION_FAILED"));
        let status = match error.kind() {
            _ if is_denied => StatusCode::FORBIDDEN,
            _ if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => StatusCode::NOT_FOUND,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict | ErrorKind::Fenced => StatusCode::CONFLICT,
            ErrorKind::Retry | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let words = match &error {
            E::Refused { message: Some(message), .. } if !message.is_empty() => message.clone(),
            _ => error.to_string(),
        };
        Refused { status, words }
    }
}

type Answered = Result<Value, Refused>;

impl Console {
    pub(crate) fn new(
        broker: Arc<Broker>,
        os: Os,
        events: Arc<Events>,
        given: Given,
        is_tls: bool,
    ) -> Console {
        Console {
            log: broker.log().clone(),
            sessions: Sessions::new(broker.cluster_id(), is_tls),
            broker,
            os,
            events,
            desk: Arc::default(),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            given,
            is_tls,
        }
    }

    /// What bodies are paid from, together with those of events.
    pub(crate) fn body_bytes(&self) -> Arc<Semaphore> {
        self.events.body_bytes(false)
    }

    /// What a request is for; none if it is not the console's.
    pub(crate) fn meant(&self, head: &Parts) -> Option<Meant> {
        let path = head.uri.path();
        let looks = head.method == Method::GET || head.method == Method::HEAD;
        // Programs that ask for the root are clients of the schema registry.
        let is_browser =
            head.headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
        if looks && (path == ROOT || (path == "/" && is_browser)) {
            return Some(Meant::Page(moved()));
        }
        let Some(rest) = path.strip_prefix(API) else {
            let file = path.strip_prefix(ROOT)?.strip_prefix('/')?;
            return Some(Meant::Page(assets::answer(file, &head.method, &head.headers)));
        };
        if rest == "session" && head.method == Method::POST {
            return Some(Meant::LogIn);
        }
        if rest == "session" && head.method == Method::DELETE {
            return Some(Meant::LogOut);
        }
        let elsewhere = rest.strip_prefix("flink/").or_else(|| rest.strip_prefix("registry/"));
        let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let elsewhere = elsewhere.and_then(|rest| format!("/{rest}{query}").parse().ok());
        // What is served there is nothing of the console again.
        let elsewhere = elsewhere.filter(|uri: &Uri| !uri.path().starts_with(ROOT));
        Some(elsewhere.map_or(Meant::Own, Meant::Elsewhere))
    }

    /// The visitor behind the session that a browser has here.
    pub(crate) fn visitor(&self, headers: &HeaderMap, caller: &Caller) -> Option<Visitor> {
        let user = self.sessions.user(cookies(headers), &self.broker, self.broker.monotonic_ms())?;
        Some(self.broker.returning(&user, caller.host))
    }

    /// Begins a session for who knows a password.
    pub(crate) async fn log_in(&self, door: &Door, caller: &Caller, body: &[u8]) -> Response<Full<Bytes>> {
        // Texts and nothing else; the parser's words would repeat what was sent.
        let given = serde_json::from_slice::<BTreeMap<String, String>>(body).ok();
        let given = given.and_then(|mut given| Some((given.remove("user")?, given.remove("password")?)));
        let Some((user, password)) = given else {
            return Reply::error(StatusCode::BAD_REQUEST, "the body has no user and password")
                .into_response();
        };
        let login = Login { user: user.clone(), password };
        let visitor = match door.log_in(login, caller).await {
            Ok(visitor) if !visitor.is_anonymous => visitor,
            Ok(_) => {
                return Reply::error(StatusCode::CONFLICT, "there are no users here: nobody has to log in")
                    .into_response();
            }
            Err(words) => return Reply::error(StatusCode::UNAUTHORIZED, words).into_response(),
        };
        let cookie = self.sessions.begin(&user, &self.broker, &self.os, self.broker.monotonic_ms());
        let mut response = Reply::ok(self.identity(&visitor)).into_response();
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }

    pub(crate) fn log_out(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let cookie = self.sessions.end(cookies(headers));
        let mut response = Reply::ok(json!({})).into_response();
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }

    /// Answers what is only the console's.
    pub(crate) async fn answer(
        self: Arc<Self>,
        head: &Parts,
        body: Bytes,
        visitor: Visitor,
        site: Arc<Site>,
    ) -> Response<Body> {
        let Some(parts) = parts(head.uri.path().strip_prefix(API).unwrap_or_default()) else {
            return Reply::error(StatusCode::BAD_REQUEST, "the path is not well formed")
                .into_response()
                .map(Body::from);
        };
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let (["topics", topic, "tail"], &Method::GET) = (&names[..], &head.method) {
            let may = visitor.may(Operation::Read, ResourceType::Topic, topic);
            return match may {
                true => self.events.clone().tail(head, topic, shown::line_text, visitor),
                false => denied(&visitor, "Read on the topic").map(Body::from),
            };
        }
        if let (["topics", topic, "search"], &Method::GET) = (&names[..], &head.method) {
            return search::answer(self, head, topic, &visitor).await;
        }
        if let (["sql"], &Method::POST) = (&names[..], &head.method) {
            return sql::answer(&self, &body, visitor);
        }
        let (method, query) = (head.method.clone(), head.uri.query().unwrap_or_default().to_owned());
        let console = self.clone();
        let answered = self.desk.run(move || {
            let names: Vec<&str> = parts.iter().map(String::as_str).collect();
            let asked = Asked { site: &site, visitor: &visitor, query: &query, body: &body };
            console.reply(&method, &names, &asked)
        });
        match answered.await.unwrap_or_else(|why| Err(why.into())) {
            Ok(value) => Reply::ok(value).into_response().map(Body::from),
            Err(refused) => refused.into_response(),
        }
    }

    fn reply(&self, method: &Method, parts: &[&str], asked: &Asked<'_>) -> Answered {
        match (method, parts) {
            (&Method::GET, ["session"]) => Ok(self.identity(asked.visitor)),
            (&Method::GET, ["node"]) => node::overview(self, asked),
            (&Method::GET, ["jobs"]) => node::jobs(asked),
            (&Method::GET, ["topics"]) => topics::list(self, asked),
            (&Method::POST, ["topics"]) => topics::create(self, asked),
            (&Method::GET, ["topics", topic]) => topics::one(self, topic, asked),
            (&Method::GET, ["topics", topic, "records"]) => browse::records(self, topic, asked),
            (&Method::POST, ["topics", topic, "records"]) => topics::produce(self, topic, asked),
            (&Method::GET, ["topics", topic, "records", partition, offset]) => {
                browse::record(self, topic, (partition, offset), asked)
            }
            (&Method::GET, ["topics", topic, "records", partition, offset, "way"]) => {
                way::show(self, topic, (partition, offset), asked)
            }
            (&Method::GET, ["topics", topic, "records", partition, offset, "trace"]) => {
                trace::show(self, topic, (partition, offset), asked)
            }
            (&Method::GET, ["jobs", job, "steps"]) => steps::list(job, asked),
            (&Method::GET, ["jobs", job, "steps", step]) => steps::show(job, step, asked),
            (&Method::GET, ["sql", "relations"]) => sql::relations(self, asked),
            (&Method::GET, ["views"]) => views::list(self, asked),
            (&Method::GET, ["views", view]) => views::one(self, view, asked),
            (&Method::GET, ["groups"]) => groups::list(self, asked),
            (&Method::GET, ["groups", group]) => groups::one(self, group, asked),
            (&Method::POST, ["groups", group, "reset"]) => groups::reset(self, group, asked),
            (&Method::GET, ["letters"]) => letters::list(self, asked),
            (&Method::GET, ["letters", topic]) => letters::show(self, topic, asked),
            (&Method::POST, ["letters", topic, "redrive"]) => letters::redrive(self, topic, asked),
            _ => Err(Refused { status: StatusCode::NOT_FOUND, words: "the console has no such path".into() }),
        }
    }

    /// Who somebody is, and what they may do that is not about one topic or group.
    fn identity(&self, visitor: &Visitor) -> Value {
        let cluster = |operation| visitor.may_on_cluster(operation);
        let schemas = |operation| {
            self.given.schemas.is_some() && visitor.may(operation, ResourceType::Topic, "_schemas")
        };
        json!({
            "user": (!visitor.is_anonymous).then(|| visitor.shown()),
            "users": self.broker.config().security.authenticates() || !self.broker.rules().is_empty(),
            "cluster": self.broker.cluster_id(),
            "version": env!("CARGO_PKG_VERSION"),
            "tls": self.is_tls,
            "may": {
                "see_jobs": cluster(Operation::Describe),
                "change_jobs": cluster(Operation::Alter),
                "create_topics": cluster(Operation::Create),
                "see_schemas": schemas(Operation::Read),
                "query": self.given.queries.is_some(),
            },
        })
    }

    /// A client of this node with the visitor's rights.
    fn kafka(&self, visitor: &Visitor) -> Result<Client, Refused> {
        let node = self.broker.within(visitor, WITHIN);
        Ok(Client::within(Box::new(node), ClientOptions::new("console"))?)
    }
}

/// Why a request is one that another page may have made the browser send; none if it is not.
pub(crate) fn forgery(head: &Parts) -> Option<&'static str> {
    let text = |name: &HeaderName| head.headers.get(name).map(HeaderValue::as_bytes);
    if text(&FETCH_SITE).is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Some("the request comes from a page of another origin");
    }
    if head.method == Method::GET || head.method == Method::HEAD {
        return None;
    }
    if text(&OWN_HEADER) != Some(b"1") {
        return Some("what changes something has the header 'X-Eventwright-Console: 1'");
    }
    let is_json = text(&CONTENT_TYPE).is_none_or(|kind| kind.starts_with(b"application/json"));
    (!is_json).then_some("the body of the request is JSON, and said to be: 'Content-Type: application/json'")
}

/// Lines of JSON, which end when nobody makes them any more.
fn lines(parts: mpsc::Receiver<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Stream(parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn denied(visitor: &Visitor, needed: &str) -> Response<Full<Bytes>> {
    Reply::error(StatusCode::FORBIDDEN, denied_words(visitor, needed)).into_response()
}

fn denied_words(visitor: &Visitor, needed: &str) -> String {
    format!("{} has no rule for this, which needs {needed}", visitor.shown())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// Where the page is.
fn moved() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/console/"));
    response
}
