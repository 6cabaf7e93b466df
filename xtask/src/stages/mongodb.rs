//! The stage at real servers of MongoDB's protocol: what the conformance suite does not ask of the connectors. The statements
//! of the guide run as they stand there; types, TLS, changes that are lost, and what the user is told.
//!
//! PyMongo puts documents there, changes them, and looks at what was written.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::mongodb::{DATABASE, Kind, MongoDb};
use crate::{node, peers, places, process};

const GUIDE: &str = "docs/guide/mongodb.md";
/// The job is who the guide says.
const USER: &str = "shop";
const PASSWORD: &str = "pencil 'n' paper";
const VARIABLES: [&str; 2] = ["SHOP_PASSWORD", "READER_PASSWORD"];
/// With no patience an error is the end.
const NO_PATIENCE: &str = "SET 'restart-strategy.type' = 'none';\n";
const SEEN: &str = "CREATE TABLE seen (id STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'debezium-json');\n";

pub fn run() -> Result<Counts> {
    peers::install(&["mongodb".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let world = |kind: Kind, name: &str| -> Result<World> {
        let folder = scratch.path().join(name);
        std::fs::create_dir(&folder)?;
        Ok(World { server: MongoDb::start(kind, USER, PASSWORD)?, scratch: folder })
    };
    let mut counts = Counts::default();
    let set = world(Kind::JavaServer, "set")?;
    counts.check("mongodb: the statements of the guide", guide(&set));
    counts.check("mongodb: types that are written", written(&set));
    counts.check("mongodb: types that are read", read(&set));
    counts.check("mongodb: what is wrong is told", told(&set));
    counts.check("mongodb: a collection that is dropped", dropped(&set));
    counts.check("mongodb: changes that were lost", lost(&set));
    counts.check("mongodb: the test of a table's connection", probed(&set));
    drop(set);
    let alone = world(Kind::FerretDb, "alone")?;
    counts.check("mongodb: one server alone tells no changes", alone_without_changes(&alone));
    counts.check("mongodb: TLS, and documents that are looked up over it", secured(&alone));
    Ok(counts)
}

/// The server, and where folders for nodes are made.
struct World {
    server: MongoDb,
    scratch: PathBuf,
}

impl World {
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.server.ask(arguments)
    }

    fn insert(&self, collection: &str, documents: &[Value]) -> Result<()> {
        let documents: Vec<String> = documents.iter().map(Value::to_string).collect();
        let mut arguments = vec!["insert", collection];
        arguments.extend(documents.iter().map(String::as_str));
        self.ask(&arguments).map(drop)
    }

    /// All documents in the order of their ids, as canonical extended JSON.
    fn find(&self, collection: &str) -> Result<Vec<Value>> {
        self.ask(&["find", collection])?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn job(&self, name: &str, sql: &str) -> Result<Job> {
        Job::make(&self.scratch.join(name), sql)
    }

    /// A table of documents; what follows are more options.
    fn table(&self, name: &str, columns: &str, collection: &str, options: &str) -> String {
        format!(
            "CREATE TABLE {name} ({columns}) WITH ('connector' = 'mongodb', 'uri' = 'mongodb://127.0.0.1:{}', \
             'database' = '{DATABASE}', 'collection' = '{collection}', {}{options});\n",
            self.server.port,
            login()
        )
    }

    /// A table of changes.
    fn changes(&self, name: &str, columns: &str, collection: &str, options: &str) -> String {
        format!(
            "CREATE TABLE {name} ({columns}, PRIMARY KEY (_id) NOT ENFORCED) WITH ('connector' = 'mongodb-cdc', \
             'hosts' = '127.0.0.1:{}', 'database' = '{DATABASE}', 'collection' = '{collection}', {}{options});\n",
            self.server.port,
            login()
        )
    }
}

fn login() -> String {
    format!("'username' = '{USER}', 'password' = '${{env:{}}}'", VARIABLES[0])
}

fn start(job: &Job) -> Result<process::Group> {
    let mut command = job.command()?;
    process::Group::spawn(command.envs(VARIABLES.map(|name| (name, PASSWORD))))
}

fn fails_with(job: &Job, words: &str) -> Result<()> {
    let status = start(job)?.wait(LIMIT)?;
    let said = job.said();
    ensure!(!status.success() && said.contains(words), "no '{words}' in\n{said}");
    ensure!(!said.contains(PASSWORD), "the password was told: {said}");
    Ok(())
}

fn ends_well(job: &Job) -> Result<()> {
    let status = start(job)?.wait(LIMIT)?;
    ensure!(status.success(), "the job ended with {status}:\n{}", job.said());
    Ok(())
}

/// The statements of the page, at this server.
fn statements(world: &World) -> Result<Vec<String>> {
    let page = std::fs::read_to_string(places::root().join(GUIDE))?;
    let blocks = page.split("```sql\n").skip(1).filter_map(|block| block.split("```").next());
    let here = format!("127.0.0.1:{}", world.server.port);
    let at = |block: &str| {
        let block =
            block.replace("db-1:27017,db-2:27017", &here).replace("replicaSet=shop", "replicaSet=suite");
        block.replace("'username' = 'reader'", &format!("'username' = '{USER}'"))
    };
    Ok(blocks.map(at).collect())
}

fn guide(world: &World) -> Result<()> {
    let statements = statements(world)?;
    ensure!(statements.len() == 3, "the page has {} statements", statements.len());
    let order = |id: i64, shop: &str, price: &str| json!({ "_id": id, "shop": shop, "price": { "$numberDecimal": price }, "items": [{ "name": "pen", "n": 2 }] });
    world
        .insert("orders", &[order(1, "east", "1.50"), order(2, "east", "2.25"), order(3, "west", "9.00")])?;
    let customer = json!({ "_id": "2", "name": "Ada", "address": { "city": "Bern", "zip": "3000" } });
    world.insert("customers", &[customer])?;
    let job = world.job(
        "guide",
        &format!(
            "{}CREATE TABLE visits (n BIGINT, p AS PROCTIME()) WITH ('connector' = 'datagen', 'number-of-rows' = '3', \
             'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '3');\n\
             CREATE TABLE greeted (n BIGINT, name STRING, city STRING) \
             WITH ('connector' = 'kafka', 'topic' = 'greeted', 'format' = 'json');\n\
             EXECUTE STATEMENT SET BEGIN\n\
             INSERT INTO totals SELECT shop, COUNT(*), CAST(SUM(price) AS DECIMAL(10, 2)) FROM orders GROUP BY shop;\n\
             INSERT INTO greeted SELECT v.n, c.name, c.address.city FROM visits v \
             JOIN customers FOR SYSTEM_TIME AS OF v.p AS c ON CAST(v.n AS STRING) = c._id;\nEND;\n",
            statements.concat()
        ),
    )?;
    let mut running = start(&job)?;
    let total = |shop: &str, orders: u32, turnover: &str| {
        json!({
            "_id": shop, "shop": shop, "orders": { "$numberLong": orders.to_string() },
            "turnover": { "$numberDecimal": turnover },
        })
    };
    wait_until(&job, || Ok(world.find("totals")? == [total("east", 2, "3.75"), total("west", 1, "9.00")]))?;
    let greeted = job.records("greeted", 1)?;
    ensure!(greeted[0].json()? == json!({ "n": 2, "name": "Ada", "city": "Bern" }), "{}", greeted[0].json()?);
    world.ask(&["set", "orders", "1", &json!({ "price": { "$numberDecimal": "2.00" } }).to_string()])?;
    world.ask(&["delete", "orders", "3"])?;
    world.ask(&["replace", "orders", "2", &order(2, "north", "4.00").to_string()])?;
    wait_until(&job, || Ok(world.find("totals")? == [total("east", 1, "2.00"), total("north", 1, "4.00")]))?;
    running.stop(LIMIT)?;
    Ok(())
}

fn written(world: &World) -> Result<()> {
    let columns = "k STRING, b BOOLEAN, i INT, l BIGINT, f FLOAT, d DOUBLE, m DECIMAL(20, 3), s STRING, y BYTES, \
                   t TIMESTAMP(3), z TIMESTAMP_LTZ(3), a ARRAY<INT>, r ROW<x INT, y STRING>, p MAP<STRING, INT>, o INT";
    let key = format!("{columns}, PRIMARY KEY (k) NOT ENFORCED");
    let two = "k STRING, o INT, PRIMARY KEY (k, o) NOT ENFORCED";
    let values = "'0102030405060708090a0b0c', TRUE, 7, CAST(8 AS BIGINT), CAST(1.5 AS FLOAT), CAST(2.5 AS DOUBLE), \
                  CAST(-12.345 AS DECIMAL(20, 3)), 'ä', X'00ff', TIMESTAMP '2023-11-14 22:13:20.123', \
                  CAST(TIMESTAMP '2023-11-14 22:13:20.123' AS TIMESTAMP_LTZ(3)), ARRAY[1, 2], ROW(1, 'a'), \
                  MAP['q', 5], CAST(NULL AS INT)";
    let job = world.job(
        "written",
        &format!(
            "SET 'table.local-time-zone' = 'UTC';\n{}{}EXECUTE STATEMENT SET BEGIN\nINSERT INTO written VALUES ({values});\n\
             INSERT INTO twice VALUES ('a', 1);\nEND;\n",
            world.table("written", &key, "written", ""),
            world.table("twice", two, "twice", "")
        ),
    )?;
    ends_well(&job)?;
    let date = json!({ "$date": { "$numberLong": "1700000000123" } });
    let int = |number: i32| json!({ "$numberInt": number.to_string() });
    let expected = json!({
        "_id": { "$oid": "0102030405060708090a0b0c" }, "k": "0102030405060708090a0b0c", "b": true, "i": int(7),
        "l": { "$numberLong": "8" }, "f": { "$numberDouble": "1.5" }, "d": { "$numberDouble": "2.5" },
        "m": { "$numberDecimal": "-12.345" }, "s": "ä", "y": { "$binary": { "base64": "AP8=", "subType": "00" } },
        "t": date, "z": date, "a": [int(1), int(2)], "r": { "x": int(1), "y": "a" }, "p": { "q": int(5) }, "o": null,
    });
    let found = world.find("written")?;
    ensure!(found == [expected.clone()], "{found:?} and not {expected}");
    let found = world.find("twice")?;
    let expected = json!({ "_id": { "k": "a", "o": int(1) }, "k": "a", "o": int(1) });
    ensure!(found == [expected.clone()], "{found:?} and not {expected}");
    Ok(())
}

fn read(world: &World) -> Result<()> {
    let id = json!({ "$oid": "0102030405060708090a0b0c" });
    let date = json!({ "$date": { "$numberLong": "1700000000123" } });
    world.insert(
        "read",
        &[
            json!({
                "_id": id, "i": 7, "l": { "$numberLong": "8" }, "d": 2.5, "m": { "$numberDecimal": "12.50" }, "t": date,
                "y": { "$binary": { "base64": "AP8=", "subType": "00" } }, "o": { "a": [1, "b"] },
                "r": { "x": 1, "y": [{ "z": "deep" }] }, "u": { "$timestamp": { "t": 5, "i": 1 } }, "none": null,
            }),
            json!({ "_id": 5, "i": "9", "extra": true }),
        ],
    )?;
    let columns = "_id STRING, i INT, l BIGINT, d DOUBLE, m DECIMAL(6, 2), t TIMESTAMP(3), y BYTES, o STRING, \
                   r ROW<x INT, y ARRAY<ROW<z STRING>>>, u TIMESTAMP_LTZ(0), `none` INT, \
                   c STRING METADATA FROM 'collection_name' VIRTUAL, k STRING METADATA FROM 'row_kind' VIRTUAL";
    let job = world.job(
        "read",
        &format!(
            "SET 'table.local-time-zone' = 'UTC';\n{}CREATE TABLE seen (_id STRING, i INT, l BIGINT, d DOUBLE, m DECIMAL(6, 2), \
             t TIMESTAMP(3), y BYTES, o STRING, r ROW<x INT, y ARRAY<ROW<z STRING>>>, u TIMESTAMP_LTZ(0), `none` INT, c STRING, \
             k STRING) WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'debezium-json');\n\
             INSERT INTO seen SELECT * FROM t;\n",
            world.changes("t", columns, "read", "")
        ),
    )?;
    let mut running = start(&job)?;
    let seen = job.records("seen", 2)?;
    let after =
        seen.iter().map(|record| Ok(record.json()?["after"].clone())).collect::<Result<Vec<Value>>>()?;
    let first = after.iter().find(|row| row["i"] == json!(7)).context("the first document is not there")?;
    let expected = json!({
        "_id": "0102030405060708090a0b0c", "i": 7, "l": 8, "d": 2.5, "m": 12.5, "t": "2023-11-14 22:13:20.123",
        "y": "AP8=", "o": "{\"a\": [1, \"b\"]}", "r": { "x": 1, "y": [{ "z": "deep" }] },
        "u": "1970-01-01 00:00:05Z", "none": null, "c": "read", "k": "+I",
    });
    ensure!(*first == expected, "{first}\nand not\n{expected}");
    let second =
        after.iter().find(|row| row["_id"] == json!("5")).context("the second document is not there")?;
    ensure!(second["i"] == json!(9) && second["l"].is_null(), "{second}");
    running.stop(LIMIT)?;
    Ok(())
}

fn told(world: &World) -> Result<()> {
    world.ask(&["refuse", "told", "7"])?;
    world.insert("unfit", &[json!({ "_id": 1, "n": "seven" })])?;
    let write = "INSERT INTO t VALUES (1, 7);\n";
    let columns = "id BIGINT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED";
    let show = format!("{SEEN}INSERT INTO seen SELECT _id, n FROM t;\n");
    let set = ", 'connection.options' = 'replicaSet=other'";
    let cases = [
        (
            "refused",
            world.table("t", columns, "told", ""),
            write,
            "is refused: the server refuses it: E11000",
        ),
        (
            "set",
            world.changes("t", "_id STRING, n BIGINT", "told", set),
            &show,
            "in the replica set 'other' but in 'suite'",
        ),
        (
            "unfit",
            world.changes("t", "_id STRING, n BIGINT", "unfit", ""),
            &show,
            "the field 'n' is declared BIGINT and holds the string 'seven'",
        ),
    ];
    for (name, table, rest, words) in cases {
        let job = world.job(name, &format!("{NO_PATIENCE}{table}{rest}"))?;
        fails_with(&job, words).with_context(|| name.to_string())?;
    }
    Ok(())
}

/// A job with the changes of a collection, which has one document.
fn follow(world: &World, name: &str) -> Result<(Job, process::Group)> {
    world.insert(name, &[json!({ "_id": "a", "n": 1 })])?;
    let table = world.changes("t", "_id STRING, n BIGINT", name, "");
    let job =
        world.job(name, &format!("{NO_PATIENCE}{table}{SEEN}INSERT INTO seen SELECT _id, n FROM t;\n"))?;
    let running = start(&job)?;
    job.records("seen", 1)?;
    // The stream of changes is open when one has come.
    world.ask(&["set", name, "\"a\"", "{\"n\": 2}"])?;
    job.records("seen", 3)?;
    Ok((job, running))
}

fn dropped(world: &World) -> Result<()> {
    let (job, mut running) = follow(world, "dropped")?;
    world.ask(&["drop", "dropped"])?;
    let status = running.wait(LIMIT)?;
    ensure!(
        !status.success() && job.said().contains("shop.dropped was dropped or renamed (drop)"),
        "{}",
        job.said()
    );
    Ok(())
}

fn lost(world: &World) -> Result<()> {
    let (job, mut running) = follow(world, "lost")?;
    running.stop(LIMIT)?;
    world.insert("lost", &[json!({ "_id": "b", "n": 3 })])?;
    world.server.run("admin", &json!({ "suiteForget": 1 }))?;
    fails_with(&job, "begin with a new job, which reads all documents anew")
}

fn probed(world: &World) -> Result<()> {
    world.insert("there", &[json!({ "n": 1 })])?;
    let columns = "_id STRING, n BIGINT";
    let sql = format!(
        "{}{}INSERT INTO w SELECT n FROM t;\n",
        world.changes("t", columns, "there", ""),
        world.table("w", "n BIGINT, PRIMARY KEY (n) NOT ENFORCED", "absent", "")
    );
    let job = world.job("probed", &sql)?;
    let mut command = node::command()?;
    command.current_dir(&job.folder).args(["connector", "test", "job.sql"]);
    let said = process::output(command.envs(VARIABLES.map(|name| (name, PASSWORD))), LIMIT)?;
    for words in ["the replica set 'suite'", "shop.there", "the server tells them", "the first row makes it"]
    {
        ensure!(said.contains(words), "no '{words}' in\n{said}");
    }
    ensure!(world.find("absent")?.is_empty(), "the test of the connection wrote something");
    Ok(())
}

fn alone_without_changes(world: &World) -> Result<()> {
    let table = world.changes("t", "_id STRING, n BIGINT", "alone", "");
    let job =
        world.job("alone", &format!("{NO_PATIENCE}{table}{SEEN}INSERT INTO seen SELECT _id, n FROM t;\n"))?;
    fails_with(&job, "the server is in no replica set, and tells no changes")
}

fn secured(world: &World) -> Result<()> {
    let authority = world.server.file("ca.pem");
    let other = world.server.file("client.pem");
    let table = |columns: &str, ca: &std::path::Path| {
        format!(
            "CREATE TABLE t ({columns}) WITH ('connector' = 'mongodb', 'uri' = \
             'mongodb://127.0.0.1:{}/?tls=true&tlsCAFile={}', 'database' = '{DATABASE}', 'collection' = 'secured', {});\n",
            world.server.tls_port,
            ca.display(),
            login()
        )
    };
    let write = "INSERT INTO t VALUES ('a', 5), ('b', 6);\n";
    let job =
        world.job("untrusted", &format!("{NO_PATIENCE}{}{write}", table("name STRING, n BIGINT", &other)))?;
    fails_with(&job, "certificate")?;
    let job = world.job("secured", &format!("{}{write}", table("name STRING, n BIGINT", &authority)))?;
    ends_well(&job)?;
    ensure!(world.find("secured")?.len() == 2, "{:?}", world.find("secured")?);
    let job = world.job(
        "looked-up",
        &format!(
            "{}CREATE TABLE visits (n BIGINT, p AS PROCTIME()) WITH ('connector' = 'datagen', 'number-of-rows' = '7', \
             'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '7');\n\
             CREATE TABLE found (n BIGINT, name STRING) WITH ('connector' = 'filesystem', 'path' = 'found', 'format' = 'csv');\n\
             INSERT INTO found SELECT v.n, t.name FROM visits v JOIN t FOR SYSTEM_TIME AS OF v.p ON v.n = t.n;\n",
            table("name STRING, n BIGINT", &authority)
        ),
    )?;
    ends_well(&job)?;
    let mut lines = Vec::new();
    for file in std::fs::read_dir(job.folder.join("found"))? {
        let file = file?;
        // What begins with a dot is the sink's own.
        if !file.file_name().to_string_lossy().starts_with('.') {
            lines.extend(std::fs::read_to_string(file.path())?.lines().map(str::to_owned));
        }
    }
    lines.sort();
    ensure!(lines == ["5,a", "6,b"], "{lines:?}");
    Ok(())
}
