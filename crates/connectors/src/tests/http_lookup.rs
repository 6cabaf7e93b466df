//! Keys that a scripted server is asked for: how they are sent, what is made of the answers.

use super::*;
use crate::service::testing::{Answer, Asked, Served};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::source::SourceError;

const COLUMNS: &[(&str, DataType)] =
    &[("id", DataType::Int64), ("region", DataType::Utf8), ("name", DataType::Utf8)];

fn customers(url: &str, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let own = [("connector", "http"), ("url", url), ("format", "json"), ("timeout", "5 s")];
    let mut all: BTreeMap<&str, &str> = own.into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    table(schema(COLUMNS), &all)
}

struct Trial {
    served: Served,
    lookup: Box<dyn Lookup>,
}

impl Trial {
    /// Asks for the name, by the columns of `keys`.
    fn start(
        path: &str,
        options: &[(&str, &str)],
        keys: &[usize],
        answer: impl FnMut(&Asked) -> Answer + Send + 'static,
    ) -> Trial {
        let served = Served::start_with(answer);
        let table = customers(&format!("{}{path}", served.url), options);
        Trial { lookup: lookup(&table, &[2], keys).unwrap(), served }
    }

    fn find(
        &mut self,
        keys: &[(i64, &str)],
        columns: &[usize],
    ) -> Result<(Vec<String>, Vec<u32>), SourceError> {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.iter().map(|(id, _)| *id)));
        let regions: ArrayRef =
            Arc::new(StringArray::from_iter_values(keys.iter().map(|(_, region)| region)));
        let all = [("id", ids), ("region", regions)];
        let keys = RecordBatch::try_from_iter(columns.iter().map(|column| all[*column].clone())).unwrap();
        let Found { rows, counts } = self.lookup.find(&keys)?;
        Ok((
            rows.column(0).as_string::<i32>().iter().map(|name| name.unwrap_or("-").to_string()).collect(),
            counts,
        ))
    }

    /// The first line and the body of each request, in order.
    fn asked(&self) -> Vec<String> {
        let asked = self.served.asked().into_iter().map(|asked| {
            let (head, body) = asked.split_once("\r\n\r\n").unwrap();
            format!("{} {body}", head.split(" HTTP/").next().unwrap())
        });
        let mut asked: Vec<String> = asked.collect();
        asked.sort();
        asked
    }
}

fn lookup(
    table: &Arc<TableDefinition>,
    projection: &[usize],
    keys: &[usize],
) -> Result<Box<dyn Lookup>, dataflow::connector::ConnectorError> {
    let request = LookupRequest {
        table: table.clone(),
        projection: projection.to_vec(),
        keys: keys.to_vec(),
        timeout_ms: 10_000,
    };
    Node::start().connector("http").lookup(request)
}

fn name(asked: &Asked) -> Answer {
    let line = asked.head.split(' ').nth(1).unwrap();
    let id = line.rsplit(['=', '/']).next().unwrap();
    Some((200, Vec::new(), format!("{{\"name\": \"n{id}\", \"more\": [1]}}").into_bytes()))
}

#[test]
fn each_key_is_a_request_and_rows_stay_in_their_order() {
    let threads =
        [("http.source.lookup.request.thread-pool.size", "3"), ("http.source.lookup.header.X-Key", "k")];
    let mut trial = Trial::start("/customers?a=b", &threads, &[0], name);
    let keys: Vec<(i64, &str)> = (0..20).map(|id| (id, "")).collect();
    let (names, counts) = trial.find(&keys, &[0]).unwrap();
    assert_eq!(names, (0..20).map(|id| format!("n{id}")).collect::<Vec<_>>());
    assert_eq!(counts, [1; 20]);
    assert!(trial.asked().contains(&"GET /customers?a=b&id=7 ".to_string()), "{:?}", trial.asked());
    assert!(trial.served.asked()[0].contains("\r\nX-Key: k\r\n"));
    assert_eq!(trial.find(&[], &[0]).unwrap().1, Vec::<u32>::new());
}

#[test]
fn keys_stand_in_the_path_in_the_query_or_in_the_body() {
    let asked = |path: &str, options: &[(&str, &str)]| {
        let mut trial =
            Trial::start(path, options, &[0, 1], |_| Some((200, Vec::new(), br#"{"name":"x"}"#.to_vec())));
        trial.find(&[(7, "a/b ü")], &[0, 1]).unwrap();
        trial.asked().remove(0)
    };
    assert_eq!(asked("/{region}/c/{id}/x", &[]), "GET /a%2Fb%20%C3%BC/c/7/x ");
    assert_eq!(
        asked("/c/{customer}", &[("http.request.url-map", "id:customer")]),
        "GET /c/7?region=a%2Fb%20%C3%BC "
    );
    let post = ("lookup-method", "POST");
    assert_eq!(asked("/c", &[post]), "POST /c {\"id\":7,\"region\":\"a/b ü\"}");
    let query = ("http.request.query-param-fields", "id");
    assert_eq!(asked("/c", &[post, query]), "POST /c?id=7 {\"region\":\"a/b ü\"}");
}

#[test]
fn one_row_or_many_or_none_are_answered() {
    let bodies = ["[{\"name\": \"a\"}, {\"name\": \"b\"}]", "[]", "", " null ", "[{\"id\": 12.50}]"];
    let mut next = bodies.into_iter();
    let one = ("http.source.lookup.request.thread-pool.size", "1");
    let array = [("http.source.lookup.result-type", "array"), one];
    let mut trial = Trial::start("/c", &array, &[0], move |_| {
        Some((200, Vec::new(), next.next().unwrap().as_bytes().to_vec()))
    });
    let (names, counts) = trial.find(&[(0, ""), (1, ""), (2, ""), (3, ""), (4, "")], &[0]).unwrap();
    assert_eq!((names, counts), (vec!["a".into(), "b".into(), "-".into()], vec![2, 0, 0, 0, 1]));
    let mut none = Trial::start("/c", &[], &[0], |_| Some((404, Vec::new(), b"no such customer".to_vec())));
    assert_eq!(none.find(&[(0, "")], &[0]).unwrap(), (Vec::new(), vec![0]));
    // Rows are counted also where no column of theirs is wanted.
    let served = Served::start_with(name);
    let mut lookup = lookup(&customers(&served.url, &[]), &[], &[0]).unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let found = lookup.find(&RecordBatch::try_from_iter([("id", keys)]).unwrap()).unwrap();
    assert_eq!((found.counts, found.rows.num_rows(), found.rows.num_columns()), (vec![1, 1], 2, 0));
}

#[test]
fn what_passes_is_told_from_what_does_not_and_a_lookup_goes_on_afterwards() {
    let answers =
        [(503, "busy"), (429, "slowly"), (400, "no"), (401, "who"), (200, "{"), (409, "wait"), (405, "x")];
    let mut next = answers.into_iter();
    let mut trial = Trial::start("/c", &[("http.source.lookup.retry-codes", "409")], &[0], move |asked| {
        next.next().map_or_else(|| name(asked), |(status, body)| Some((status, Vec::new(), body.into())))
    });
    let expected = [
        (ErrorKind::Unavailable, "answers 503: busy"),
        (ErrorKind::Retry, "answers 429: slowly"),
        (ErrorKind::Invalid, "answers 400: no"),
        (ErrorKind::Invalid, "answers 401: who"),
        (ErrorKind::Invalid, "the answer is no row: "),
        (ErrorKind::Unavailable, "answers 409: wait"),
        (ErrorKind::NotFound, "answers 405: x"),
    ];
    for (kind, words) in expected {
        let error = trial.find(&[(1, "")], &[0]).unwrap_err();
        assert!(error.kind == kind && error.message.contains(words), "{words}: {error}");
    }
    assert_eq!(trial.find(&[(1, "")], &[0]).unwrap().0, ["n1"]);
}

#[test]
fn a_server_that_names_a_pause_is_asked_nothing_before_it_is_over() {
    let served = Served::start_with(|_| Some((503, vec![("Retry-After", "3600".into())], Vec::new())));
    let table = customers(&served.url, &[]);
    let request = LookupRequest { table, projection: vec![2], keys: vec![0], timeout_ms: 200 };
    let mut lookup = Node::start().connector("http").lookup(request).unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let keys = RecordBatch::try_from_iter([("id", keys)]).unwrap();
    assert!(lookup.find(&keys).unwrap_err().message.contains("answers 503"));
    assert!(lookup.pause_ms().is_some_and(|ms| ms > 3_000_000), "the job knows");
    let error = lookup.find(&keys).unwrap_err();
    assert!(error.kind == ErrorKind::Retry && error.message.contains("asked again in 3"), "{error}");
    assert_eq!(served.asked().len(), 1);
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        ("http://a/{id}", &[], ""),
        ("http://a/{id", &[], "a '{' without a '}'"),
        ("http://a/{x}", &[("http.request.url-map", "x")], "'x' is no COLUMN:NAME"),
        ("http://a/", &[("format", "debezium-json")], "without changes"),
        (
            "http://a/",
            &[("format", "csv"), ("http.source.lookup.result-type", "array")],
            "an array is one of JSON",
        ),
        ("http://a/", &[("lookup.cache", "PARTIAL")], "a cache that never forgets"),
        ("http://a/", &[("http.source.lookup.retry-codes", "x")], "'x' is no status"),
    ];
    for (url, options, words) in cases {
        let checked = node.connector("http").check(&customers(url, options), Role::Lookup);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
    let unknown = lookup(&customers("http://a/{name}", &[]), &[2], &[0]).err().unwrap();
    assert!(unknown.message.contains("compares no column 'name'; it compares id"), "{unknown}");
    let query = [("http.request.query-param-fields", "region")];
    let nowhere = lookup(&customers("http://a/", &query), &[2], &[0]).err().unwrap();
    assert!(nowhere.message.contains("no other place for it"), "{nowhere}");
}
