//! Iceberg in a REST catalog of the test: what is asked, tokens, and commits whose answers are lost.

use super::*;
use crate::service::testing::{Answer, Asked, Served};
use base::ErrorKind;
use serde_json::{Value, json};
use std::sync::Mutex;

/// A catalog of one table, in memory.
#[derive(Default)]
struct Catalog {
    location: String,
    namespaces: Vec<String>,
    table: Option<Value>,
    /// The token that holds, of so many that were given.
    tokens: usize,
    /// So many commits are done, and answered by an error.
    loses: usize,
    /// Commits are not done yet, and answered by an error.
    keeps: bool,
    kept: Option<Value>,
    /// The status of a conflict.
    conflict: Option<u16>,
    /// What stands before the catalog answers for it.
    is_away: bool,
    leaves_out_metadata: bool,
}

type Said = (u16, Value);

fn refused(status: u16, message: &str) -> Said {
    (status, json!({"error": {"message": message, "type": "Refused", "code": status}}))
}

impl Catalog {
    fn answer(&mut self, asked: &Asked) -> Said {
        let line = asked.head.split(" HTTP/").next().unwrap();
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        if line == "POST /api/v1/oauth/tokens" {
            let form = String::from_utf8(asked.body.clone()).unwrap();
            if !form.contains("client_id=me&client_secret=pencil") {
                return (401, json!({"error": "invalid_client", "error_description": "who is that"}));
            }
            self.tokens += 1;
            return (200, json!({"access_token": format!("token-{}", self.tokens), "expires_in": 3600}));
        }
        if !asked.head.contains(&format!("authorization: Bearer token-{}\r\n", self.tokens)) {
            return refused(401, "no token");
        }
        if self.is_away {
            return (404, json!({"message": "no route"}));
        }
        let namespace = "/api/v1/of%20shop/namespaces/a%1Fb";
        let table = format!("{namespace}/tables/t");
        match line.split_once(' ').unwrap() {
            ("GET", "/api/v1/config?warehouse=w") => (200, json!({"overrides": {"prefix": "of shop"}})),
            ("GET", path) if path == namespace => match self.namespaces.is_empty() {
                true => refused(404, "no namespace"),
                false => (200, json!({})),
            },
            ("POST", "/api/v1/of%20shop/namespaces") => {
                self.namespaces = vec![body["namespace"].to_string()];
                (200, json!({}))
            }
            ("POST", path) if path == format!("{namespace}/tables") => {
                assert_eq!((&body["name"], &body["stage-create"]), (&json!("t"), &json!(false)));
                self.table = Some(json!({
                    "format-version": 2, "table-uuid": "u", "location": self.location, "last-sequence-number": 0,
                    "last-updated-ms": 1, "current-schema-id": 0, "schemas": [body["schema"]], "default-spec-id": 0,
                    "partition-specs": [body["partition-spec"]], "properties": body["properties"], "refs": {},
                    "current-snapshot-id": -1, "snapshots": [],
                }));
                self.loaded()
            }
            ("GET", path) if path == table => match self.table {
                Some(_) => self.loaded(),
                None => refused(404, "no table"),
            },
            ("POST", path) if path == table => self.commit(&body),
            (method, path) => refused(400, &format!("what is {method} {path}")),
        }
    }

    fn loaded(&self) -> Said {
        (200, json!({"metadata-location": "there", "metadata": self.table}))
    }

    fn commit(&mut self, body: &Value) -> Said {
        if self.keeps {
            self.kept = Some(body.clone());
            return refused(500, "not yet");
        }
        let table = self.table.as_mut().unwrap();
        let required = &body["requirements"];
        assert_eq!(required[0], json!({"type": "assert-table-uuid", "uuid": "u"}));
        if required[1]["snapshot-id"] != table["refs"]["main"]["snapshot-id"] {
            return refused(self.conflict.unwrap_or(409), "another came first");
        }
        let (snapshot, reference, properties) =
            (&body["updates"][0], &body["updates"][1], &body["updates"][2]);
        assert_eq!(
            (&snapshot["action"], &properties["action"]),
            (&json!("add-snapshot"), &json!("set-properties"))
        );
        let snapshot = &snapshot["snapshot"];
        table["last-sequence-number"] = snapshot["sequence-number"].clone();
        table["snapshots"].as_array_mut().unwrap().push(snapshot.clone());
        table["refs"]["main"] = json!({"snapshot-id": reference["snapshot-id"], "type": "branch"});
        for (key, value) in properties["updates"].as_object().unwrap() {
            table["properties"][key.as_str()] = value.clone();
        }
        if self.loses > 0 {
            self.loses -= 1;
            return refused(500, "done, and not said");
        }
        if std::mem::take(&mut self.leaves_out_metadata) {
            return (200, json!({}));
        }
        self.loaded()
    }
}

fn serve(folder: &Path) -> (Served, Arc<Mutex<Catalog>>) {
    let location = format!("file://{}", folder.join("t").to_str().unwrap());
    let catalog = Arc::new(Mutex::new(Catalog { location, ..Catalog::default() }));
    let shared = catalog.clone();
    let served = Served::start_with(move |asked| -> Answer {
        let (status, body) = shared.lock().unwrap().answer(asked);
        Some((status, Vec::new(), body.to_string().into_bytes()))
    });
    (served, catalog)
}

fn table(url: &str, credential: &str) -> Arc<TableDefinition> {
    table_with(url, credential, &[("rest.local-files", "true")])
}

fn table_with(url: &str, credential: &str, more: &[(&str, &str)]) -> Arc<TableDefinition> {
    let uri = format!("{url}/api/");
    let mut options = vec![
        ("connector", "iceberg"),
        ("catalog-type", "rest"),
        ("uri", uri.as_str()),
        ("warehouse", "w"),
        ("catalog-database", "a.b"),
        ("credential", credential),
        ("timeout", "5 s"),
    ];
    options.extend_from_slice(more);
    numbers(&options, &["t"])
}

fn ids(folder: &Path, catalog: &Mutex<Catalog>) -> Vec<i64> {
    let metadata = catalog.lock().unwrap().table.clone().unwrap();
    let mut ids = ids_of(&super::iceberg::rows(&files_below(&folder.join("t")), &metadata));
    ids.sort();
    ids
}

#[test]
fn a_table_of_a_catalog_is_made_and_written() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (served, catalog) = serve(folder.path());
    let table = table(&served.url, "me:pencil");
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    assert_eq!(run(&node, &mut *first).unwrap(), 1);
    // Its token holds no more.
    catalog.lock().unwrap().tokens += 1;
    write(&node, &table, 4..8);
    assert_eq!(run(&node, &mut *first).unwrap(), 2);
    assert_eq!(ids(folder.path(), &catalog), (0..8).collect::<Vec<i64>>());
    let asked = served.asked();
    assert!(asked.iter().all(|request| !request.split("\r\n\r\n").next().unwrap().contains("pencil")));
    let error = sink(&node, &self::table(&served.url, "me:pen")).open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("who is that") && !error.message.contains("me:pen"), "{}", error.message);
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_again() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (served, catalog) = serve(folder.path());
    let table = table(&served.url, "me:pencil");
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    first.open().unwrap();
    catalog.lock().unwrap().loses = 1;
    first.apply(&outbox(&node, 0)[0]).unwrap();
    // It is sent again, and then another seems to have come first.
    assert_eq!(first.commit(true, 1).unwrap(), 1);
    assert_eq!(ids(folder.path(), &catalog), [0, 1, 2, 3]);
    // Another life goes on where the table stands, and this one is told.
    write(&node, &table, 4..5);
    first.apply(&outbox(&node, 1)[0]).unwrap();
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 2);
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{}", error.message);
    assert_eq!(ids(folder.path(), &catalog), [0, 1, 2, 3, 4]);
}

#[test]
fn a_conflict_that_is_answered_by_400_is_one() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (served, catalog) = serve(folder.path());
    let table = table(&served.url, "me:pencil");
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    first.open().unwrap();
    first.apply(&outbox(&node, 0)[0]).unwrap();
    let Sink::Outbox(mut other) = node.connector("iceberg").sink(&table, "other").unwrap() else {
        panic!("another sink")
    };
    assert_eq!(run(&node, &mut *other).unwrap(), 1);
    catalog.lock().unwrap().conflict = Some(400);
    assert_eq!(first.commit(true, 1).unwrap(), 1);
    assert_eq!(ids(folder.path(), &catalog), [0, 0, 1, 1, 2, 2, 3, 3]);
    // One that is done, and refused when it is sent again.
    write(&node, &table, 4..5);
    first.apply(&outbox(&node, 1)[0]).unwrap();
    catalog.lock().unwrap().loses = 1;
    assert_eq!(first.commit(true, 1).unwrap(), 2);
    assert_eq!(ids(folder.path(), &catalog).len(), 9);
}

#[test]
fn a_commit_that_comes_late_is_no_other_node() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (served, catalog) = serve(folder.path());
    let table = table(&served.url, "me:pencil");
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    first.open().unwrap();
    let bytes = &outbox(&node, 0)[0];
    first.apply(bytes).unwrap();
    catalog.lock().unwrap().keeps = true;
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.message);
    catalog.lock().unwrap().keeps = false;
    assert_eq!(first.open().unwrap(), 0);
    first.apply(bytes).unwrap();
    let kept = catalog.lock().unwrap().kept.take().unwrap();
    assert_eq!(catalog.lock().unwrap().commit(&kept).0, 200);
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{}", error.message);
    assert_eq!(run(&node, &mut *first).unwrap(), 1);
    assert_eq!(ids(folder.path(), &catalog), [0, 1, 2, 3]);
    // An answer that does not say what is committed ends nothing either.
    write(&node, &table, 4..5);
    first.apply(&outbox(&node, 1)[0]).unwrap();
    catalog.lock().unwrap().leaves_out_metadata = true;
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.message);
    assert_eq!(first.open().unwrap(), 2);
    assert_eq!(ids(folder.path(), &catalog), [0, 1, 2, 3, 4]);
}

#[test]
fn only_the_catalog_itself_says_that_there_is_no_table() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (served, catalog) = serve(folder.path());
    let table = table(&served.url, "me:pencil");
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    assert_eq!(run(&node, &mut *first).unwrap(), 1);
    let asked = served.asked().len();
    catalog.lock().unwrap().is_away = true;
    let error = first.open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.message);
    assert!(error.message.contains("look at 'uri'"), "{}", error.message);
    assert!(served.asked()[asked..].iter().all(|request| request.starts_with("GET ")));
    catalog.lock().unwrap().is_away = false;
    assert_eq!(first.open().unwrap(), 1);
}

#[test]
fn a_catalog_names_no_folder_of_this_machine_unless_it_may() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (served, _catalog) = serve(folder.path());
    let error = sink(&node, &table_with(&served.url, "me:pencil", &[])).open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("set 'rest.local-files' = 'true'"), "{}", error.message);
    assert!(!folder.path().join("t").exists());
}

#[test]
fn a_pause_that_the_catalog_names_is_kept() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let (served, catalog) = serve(folder.path());
    let is_busy = Arc::new(Mutex::new(false));
    let (shared, busy) = (catalog.clone(), is_busy.clone());
    let served_busy = Served::start_with(move |asked| -> Answer {
        if *busy.lock().unwrap() && !asked.head.contains("/oauth/") {
            let headers = vec![("Retry-After", "600".to_string())];
            return Some((429, headers, refused(429, "too much").1.to_string().into_bytes()));
        }
        let (status, body) = shared.lock().unwrap().answer(asked);
        Some((status, Vec::new(), body.to_string().into_bytes()))
    });
    drop(served);
    let table = table(&served_busy.url, "me:pencil");
    let mut first = sink(&node, &table);
    first.open().unwrap();
    *is_busy.lock().unwrap() = true;
    let error = first.open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{}", error.message);
    // It is asked nothing before the time is over.
    let asked = served_busy.asked().len();
    let error = first.open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{}", error.message);
    assert!(error.message.contains("wants to be asked again in"), "{}", error.message);
    assert_eq!(served_busy.asked().len(), asked);
    let pause_ms = first.pause_ms().unwrap();
    assert!((500_000..=600_000).contains(&pause_ms), "the job knows: {pause_ms}");
}
