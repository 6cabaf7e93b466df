//! Jobs whose files change: the page about it, changes under load and under kills, and what older versions have left.

mod guide;

use guide::{Node, blocks, run, shell};
use std::collections::BTreeMap;
use std::path::Path;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/changing-jobs.md");
const FORMATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/formats");

/// Asks a node to stop, and waits until it has.
fn interrupt(mut node: Node) {
    run(Path::new("."), &format!("kill -INT {}", node.started.0.id()));
    node.started.0.wait().unwrap();
}

/// The last record of each key, and how many records there are.
fn latest(node: &Node, folder: &Path, topic: &str) -> (BTreeMap<String, String>, usize) {
    let text = run(folder, &node.script(&format!("eventwright topic consume {topic}")));
    let records = text.lines().map(|line| line.split_once('\t').unwrap_or(("", line)));
    let records: Vec<_> = records.map(|(key, value)| (key.to_string(), value.to_string())).collect();
    (records.iter().cloned().collect(), records.len())
}

#[test]
fn the_page_shows_what_becomes_of_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (statements, commands, shown) = (blocks(GUIDE, "sql"), blocks(GUIDE, "sh"), blocks(GUIDE, "text"));
    let command = "eventwright run totals.sql --data data --keep-running";
    std::fs::write(folder.join("totals.sql"), &statements[0]).unwrap();
    let node = Node::start(folder, command, command);
    run(folder, &node.script(&commands[0]));
    node.run_until(folder, "eventwright topic consume totals", |shown| shown.lines().count() == 2);
    interrupt(node);
    let unchanged = run(folder, "eventwright explain totals.sql --data data");
    assert!(!unchanged.contains("goes on with another statement"), "{unchanged}");

    std::fs::write(folder.join("totals.sql"), &statements[1]).unwrap();
    let explained = run(folder, "eventwright explain totals.sql --data data");
    assert!(explained.contains(&shown[0]), "{explained}");
    let json = run(folder, "eventwright explain totals.sql --data data -o json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let change = &json["jobs"][0]["change"];
    assert_eq!((&change["possible"], &change["needs_consent"]), (&true.into(), &false.into()), "{change}");
    assert_eq!(change["operators"][1]["fate"], "rebuilt", "{change}");

    let node = Node::start(folder, command, command);
    run(folder, &node.script(&commands[1]));
    let both = "eventwright topic consume totals | tail -n 1; eventwright topic consume averages";
    node.run_until(folder, both, |both| both == shown[1]);
    interrupt(node);

    std::fs::write(folder.join("totals.sql"), &statements[2]).unwrap();
    let explained = run(folder, "eventwright explain totals.sql --data data");
    assert!(explained.contains(&shown[2]), "{explained}");
    let node = Node::start(folder, command, command);
    run(folder, &node.script(&commands[2]));
    node.run_until(folder, both, |both| both == shown[3]);
    interrupt(node);

    // Back to the first one: the averages would be lost, and nothing is done.
    std::fs::write(folder.join("totals.sql"), &statements[0]).unwrap();
    let again =
        shell(folder, "eventwright run totals.sql --data data --kafka 127.0.0.1:0 --http none --pg none");
    let refused = { again }.output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("--allow-non-restored-state"), "{error}");
    let agreed = format!("{command} --allow-non-restored-state");
    let node = Node::start(folder, &agreed, &agreed);
    run(folder, &node.script(&commands[1]));
    let consume = "eventwright topic consume totals | tail -n 1";
    node.run_until(folder, consume, |last| last.contains("\"payments\":4,\"amount\":47"));
    interrupt(node);
}

const TABLES: &str = "
CREATE TABLE orders (id INT, customer STRING, amount INT)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE copies (id INT) WITH ('connector' = 'kafka', 'topic' = 'copies', 'format' = 'json');
CREATE TABLE totals (customer STRING, orders BIGINT, amount BIGINT, PRIMARY KEY (customer) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'raw', 'value.format' = 'json');
CREATE TABLE spread (customer STRING, least INT, most INT, PRIMARY KEY (customer) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'spread', 'key.format' = 'raw', 'value.format' = 'json');
SET 'pipeline.name' = 'shop';
";

const COPIES: &str = "INSERT INTO copies SELECT id FROM orders;";
const TOTALS: &str = "INSERT INTO totals SELECT customer, COUNT(*), SUM(CAST(amount AS BIGINT)) FROM orders GROUP BY customer;";
const SPREAD: &str =
    "INSERT INTO spread SELECT customer, MIN(amount), MAX(amount) FROM orders GROUP BY customer;";

const CUSTOMERS: usize = 7;

/// Orders of these ids, to be produced.
fn orders(ids: std::ops::Range<usize>) -> String {
    ids.map(|id| format!("{{\"id\": {id}, \"customer\": \"c{}\", \"amount\": {id}}}\n", id % CUSTOMERS))
        .collect()
}

fn script(inserts: &[&str]) -> String {
    format!("{TABLES}EXECUTE STATEMENT SET BEGIN {} END;", inserts.concat())
}

#[test]
fn a_job_that_is_changed_under_load_and_killed_on_the_way_loses_nothing_and_doubles_nothing() {
    let command = "eventwright run shop.sql --data data --keep-running --snapshot-steps 5 --step-rows-max 50";
    for point in ["before-change", "during-change", "after-change"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::write(folder.join("shop.sql"), script(&[COPIES, TOTALS])).unwrap();
        std::fs::write(folder.join("first"), orders(0..2000)).unwrap();
        std::fs::write(folder.join("second"), orders(2000..3000)).unwrap();
        let node = Node::start(folder, command, command);
        run(folder, &node.script("eventwright topic produce orders --file first"));
        // Killed wherever it is by now.
        drop(node);
        std::fs::write(folder.join("shop.sql"), script(&[SPREAD, TOTALS, COPIES])).unwrap();
        let killed = format!("{command} --kill-at {point}:1 --kafka 127.0.0.1:0 --http none --pg none");
        let status = shell(folder, &format!("exec {killed}")).output().unwrap().status;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}: {status}");
        let node = Node::start(folder, command, command);
        run(folder, &node.script("eventwright topic produce orders --file second"));
        let all = "eventwright topic consume copies";
        let copies = node.run_until(folder, all, |shown| shown.lines().count() >= 3000);
        let mut ids: Vec<usize> = copies
            .lines()
            .map(|line| line.trim_start_matches("{\"id\":").trim_end_matches('}').parse().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..3000).collect::<Vec<_>>(), "{point}");
        let (totals, _) = latest(&node, folder, "totals");
        let (spread, _) = latest(&node, folder, "spread");
        for customer in 0..CUSTOMERS {
            let ids: Vec<usize> = (0..3000).filter(|id| id % CUSTOMERS == customer).collect();
            let name = format!("c{customer}");
            let expected = format!(
                "{{\"customer\":\"{name}\",\"orders\":{},\"amount\":{}}}",
                ids.len(),
                ids.iter().sum::<usize>()
            );
            assert_eq!(totals[&name], expected, "{point}");
            // It knows what came before the change.
            let expected =
                format!("{{\"customer\":\"{name}\",\"least\":{},\"most\":{}}}", ids[0], ids[ids.len() - 1]);
            assert_eq!(spread[&name], expected, "{point}");
        }
        interrupt(node);
    }
}

const STATES: &str = "
CREATE TABLE orders (id INT, customer STRING, item STRING, amount INT, placed TIMESTAMP(3), WATERMARK FOR placed AS placed)
WITH ('connector' = 'kafka', 'topic' = 'states', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE totals (customer STRING, items BIGINT, average INT, counted BIGINT, PRIMARY KEY (customer) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'raw', 'value.format' = 'json');
CREATE TABLE sizes (orders BIGINT, least INT, most INT, PRIMARY KEY (orders) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'sizes', 'key.format' = 'raw', 'value.format' = 'json');
CREATE TABLE hours (ends TIMESTAMP(3), customer STRING, items BIGINT, most INT)
WITH ('connector' = 'kafka', 'topic' = 'hours', 'format' = 'json');
CREATE TABLE pairs (later INT, earlier INT) WITH ('connector' = 'kafka', 'topic' = 'pairs', 'format' = 'json');
CREATE TABLE best (customer STRING, place BIGINT, item STRING, PRIMARY KEY (customer, place) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'best', 'key.format' = 'json', 'value.format' = 'json');
SET 'pipeline.name' = 'states';
";

/// What keeps each kind of state that can be made of another: groups with and without values beside them, over rows that
/// come and over rows that go, windows, both sides of a join, the first rows of a rank. Others take the places of `{…}`.
const KEEPING: &str = "EXECUTE STATEMENT SET BEGIN
INSERT INTO totals SELECT customer, items, average, counted FROM (
  SELECT customer, {COUNT(*) AS orders, MAX(item) AS last_item, }COUNT(DISTINCT item) AS items, AVG(amount) AS average,
    COUNT(*) FILTER (WHERE amount > 20) AS counted
  FROM orders GROUP BY customer){ WHERE orders > 0 AND last_item <> ''};
INSERT INTO sizes SELECT orders, least, most FROM (
  SELECT orders, {COUNT(*) AS customers, }MIN(total) AS least, MAX(total) AS most
  FROM (SELECT customer, COUNT(*) AS orders, SUM(amount) AS total FROM orders GROUP BY customer)
  GROUP BY orders){ WHERE customers > 0};
INSERT INTO hours SELECT window_end, customer, items, most FROM (
  SELECT window_end, customer, {AVG(amount) AS average, COUNT(DISTINCT amount) AS amounts, }
    COUNT(DISTINCT item) AS items, MAX(amount) AS most
  FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(placed), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, customer)
  { WHERE average + amounts > 0};
INSERT INTO pairs SELECT a.id, b.id FROM orders AS a JOIN orders AS b ON a.item = b.item AND a.id > b.id;
INSERT INTO best SELECT customer, place, item FROM (
  SELECT customer, item, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount DESC, id) AS place FROM orders)
  WHERE place <= 2;
END;";

/// The statements with what stands in braces, or without it.
fn keeping(has_all: bool) -> String {
    let mut text = String::new();
    for (number, part) in KEEPING.split(['{', '}']).enumerate() {
        text += if has_all || number % 2 == 0 { part } else { "" };
    }
    text
}

#[test]
fn a_job_whose_state_is_migrated_gives_what_a_new_one_gives() {
    const TOPICS: [&str; 5] = ["totals", "sizes", "hours", "pairs", "best"];
    let order = |id: usize| {
        let (customer, item, amount) = (id * id % 5, id * 7 % 11, id * 13 % 37);
        format!(
            "{{\"id\": {id}, \"customer\": \"c{customer}\", \"item\": \"i{item}\", \"amount\": {amount}, \
             \"placed\": \"2026-12-01 {:02}:{:02}:00\"}}\n",
            9 + id / 60,
            id % 60
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let (changed, fresh) = (folder.path().join("changed"), folder.path().join("fresh"));
    let ttl = "SET 'table.exec.state.ttl' = '1 d';";
    let (before, after) = (keeping(true), format!("{ttl} {}", keeping(false)));
    let (before, after) = (format!("{STATES}{before}"), format!("{STATES}{after}"));
    let command =
        "eventwright run states.sql --data data --keep-running --snapshot-steps 3 --step-rows-max 4";
    for own in [&changed, &fresh] {
        std::fs::create_dir(own).unwrap();
        std::fs::write(own.join("first"), (0..40).map(order).collect::<String>()).unwrap();
        // The last one ends the hours before it.
        std::fs::write(own.join("second"), (40..121).map(order).collect::<String>()).unwrap();
    }
    let is_there = |topic: &str| format!("eventwright topic consume {topic}");
    std::fs::write(changed.join("states.sql"), before).unwrap();
    let node = Node::start(&changed, command, command);
    run(&changed, &node.script("eventwright topic produce states --file first"));
    node.run_until(&changed, &is_there("totals"), |shown| shown.lines().count() > 5);
    interrupt(node);
    std::fs::write(changed.join("states.sql"), &after).unwrap();
    let json = run(&changed, "eventwright explain states.sql --data data -o json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let change = &json["jobs"][0]["change"];
    let fates: BTreeMap<String, String> = change["operators"].as_array().unwrap().iter().fold(
        BTreeMap::new(),
        |mut fates: BTreeMap<String, String>, operator| {
            let name = operator["operator"].as_str().unwrap().split('(').next().unwrap().to_string();
            let fate = operator["fate"].as_str().unwrap();
            let known = fates.entry(name).or_insert_with(|| fate.to_string());
            assert_eq!(known, fate, "{change}");
            fates
        },
    );
    let expected = [
        ("GroupAggregate", "migrated"),
        ("Join", "migrated"),
        ("Rank", "migrated"),
        ("Scan", "kept"),
        ("Sink", "kept"),
        ("WindowAggregate", "migrated"),
    ];
    assert_eq!(fates, expected.map(|(name, fate)| (name.to_string(), fate.to_string())).into(), "{change}");
    assert_eq!((&change["possible"], &change["needs_consent"]), (&true.into(), &false.into()), "{change}");

    std::fs::write(fresh.join("states.sql"), &after).unwrap();
    let mut results = Vec::new();
    for own in [&changed, &fresh] {
        let node = Node::start(own, command, command);
        if own == &fresh {
            run(own, &node.script("eventwright topic produce states --file first"));
        }
        run(own, &node.script("eventwright topic produce states --file second"));
        // Two hours of three customers, and each order with those of its item before it.
        node.run_until(own, &is_there("hours"), |shown| shown.lines().count() == 6);
        let pairs: usize = (0..121).map(|id| id / 11).sum();
        node.run_until(own, &is_there("pairs"), |shown| shown.lines().count() == pairs);
        let mut shown = BTreeMap::new();
        for topic in TOPICS {
            let text = run(own, &node.script(&is_there(topic)));
            let lines: Vec<String> = match topic {
                "hours" | "pairs" => text.lines().map(str::to_string).collect(),
                _ => latest(&node, own, topic).0.into_values().collect(),
            };
            shown.insert(topic, lines.into_iter().collect::<std::collections::BTreeSet<_>>());
        }
        results.push(shown);
        interrupt(node);
    }
    assert_eq!(results[0], results[1]);
}

/// The data directory of an older version, or what goes there.
fn older(folder: &Path) {
    older_job(folder, "job-1", "totals.sql");
}

fn older_job(folder: &Path, job: &str, statement: &str) {
    run(
        folder,
        &format!("mkdir data && cp -r {FORMATS}/{job}/* data/ && cp {FORMATS}/{statement} {statement}"),
    );
}

/// The older version did not note what can be known again, or noted it in another way.
fn assert_not_compared(folder: &Path, command: &str) {
    let early = format!("{command} --kafka 127.0.0.1:0 --http none --pg none");
    let refused = shell(folder, &early.replace(" --keep-running", "")).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("was begun by an older version"), "{error}");
}

#[test]
fn a_job_of_an_older_version_goes_on_and_can_be_changed_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    older(folder);
    let own = std::fs::read_to_string(folder.join("totals.sql")).unwrap();
    let changed = own.replace("SUM(amount)", "MAX(amount)");
    let command = "eventwright run totals.sql --data data --keep-running";
    std::fs::write(folder.join("totals.sql"), &changed).unwrap();
    assert_not_compared(folder, command);
    std::fs::write(folder.join("totals.sql"), &own).unwrap();
    let node = Node::start(folder, command, command);
    let produce = "echo '{\"customer\": \"c1\", \"amount\": 100}' | eventwright topic produce orders";
    let consume = "eventwright topic consume totals | tail -n 1";
    run(folder, &node.script(produce));
    node.run_until(folder, consume, |last| last.contains("\"orders\":6,\"amount\":125"));
    interrupt(node);

    std::fs::write(folder.join("totals.sql"), &changed).unwrap();
    let node = Node::start(folder, command, command);
    run(folder, &node.script(&produce.replace("100", "50")));
    node.run_until(folder, consume, |last| last.contains("\"orders\":7,\"amount\":100"));
    interrupt(node);
}

#[test]
fn a_savepoint_of_an_older_version_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    older(folder);
    // Where its topics are, but not the job.
    run(folder, "rm -r data/state");
    let command = format!(
        "eventwright run totals.sql --data data --keep-running --from-savepoint {FORMATS}/savepoint-1"
    );
    let node = Node::start(folder, &command, &command);
    let consume = "eventwright topic consume totals | tail -n 2";
    // What came behind the savepoint is added to what it holds: 9 and 6.
    node.run_until(folder, consume, |last| {
        last.contains("\"orders\":5,\"amount\":25") && last.contains("\"orders\":4,\"amount\":20")
    });
    interrupt(node);
}

/// It kept rows as `arrow-row` has them. Such a row falls out of a Top-N, goes from one and from an OVER, and stays beside
/// new ones; a job that begins now gives the same.
#[test]
fn rows_of_an_older_version_go_and_stay_as_new_ones_do() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let command = "eventwright run rows.sql --data data --keep-running";
    let produce = |node: &Node, folder: &Path, number: u32, amount: u32| {
        let (customer, item) = (number % 3, number);
        let order = format!("{{\"customer\": \"c{customer}\", \"item\": \"i{item}\", \"amount\": {amount}}}");
        run(folder, &node.script(&format!("echo '{order}' | eventwright topic produce orders")));
    };
    let topics = ["dearest", "least", "sums"];
    for folder in [&old, &new] {
        std::fs::create_dir(folder).unwrap();
    }
    older_job(&old, "job-3", "rows.sql");
    run(&new, &format!("cp {FORMATS}/rows.sql rows.sql"));
    let given = [&old, &new].map(|folder| {
        let mut node = Node::start(folder, command, command);
        if folder == &new {
            (1..=9).for_each(|number| produce(&node, folder, number, number));
        }
        // The dearest of c1 change; the customer with least is another one. By number and price what the customer has
        // paid then, and all with no more.
        for (number, amount, paid, total) in
            [(10, 5, 17, 32), (13, 100, 117, 150), (12, 1, 19, 34), (15, 4, 23, 38)]
        {
            produce(&node, folder, number, amount);
            let customer = number % 3;
            let last = format!("\"customer\":\"c{customer}\",\"amount\":{paid},\"total\":{total}");
            node.run_until(folder, "eventwright topic consume sums", |shown| shown.contains(&last));
            interrupt(node);
            node = Node::start(folder, command, command);
        }
        let shown = topics.map(|topic| latest(&node, folder, topic).0);
        interrupt(node);
        shown
    });
    assert_eq!(given[0], given[1]);
    let dearest = &given[0][0]["{\"customer\":\"c1\",\"place\":2}"];
    assert_eq!(dearest, "{\"customer\":\"c1\",\"place\":2,\"item\":\"i7\",\"amount\":7}");
}

/// It kept a value once for each filter; a job that begins now keeps it once for all. Both are stopped in between, and
/// give the same.
#[test]
fn values_of_an_older_version_are_counted_on() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let command = "eventwright run values.sql --data data --keep-running";
    let produce = |node: &Node, folder: &Path, (customer, item, amount): (u32, u32, u32)| {
        let order = format!("{{\"customer\": \"c{customer}\", \"item\": \"i{item}\", \"amount\": {amount}}}");
        run(folder, &node.script(&format!("echo '{order}' | eventwright topic produce orders")));
    };
    for folder in [&old, &new] {
        std::fs::create_dir(folder).unwrap();
    }
    older_job(&old, "job-2", "values.sql");
    let own = std::fs::read_to_string(old.join("values.sql")).unwrap();
    std::fs::write(old.join("values.sql"), own.replace("amount >= 5", "amount >= 6")).unwrap();
    assert_not_compared(&old, command);
    std::fs::write(old.join("values.sql"), own).unwrap();
    run(&new, &format!("cp {FORMATS}/values.sql values.sql"));
    for folder in [&old, &new] {
        let mut node = Node::start(folder, command, command);
        if folder == &new {
            (1..=9).for_each(|amount| produce(&node, folder, (amount % 2, amount % 4, amount)));
        }
        // New items and items that one of the filters has let pass; in between what changes nothing.
        let steps = [(5, 6, (3, 3, 2)), (5, 2, (3, 3, 3)), (0, 1, (4, 3, 4)), (0, 9, (4, 4, 4))];
        for (item, amount, (items, dear, cheap)) in steps {
            produce(&node, folder, (1, 1, 7));
            produce(&node, folder, (1, item, amount));
            let last = format!("\"items\":{items},\"dear\":{dear},\"cheap\":{cheap}");
            let consume = "eventwright topic consume counts | grep '^{\"customer\":\"c1\"}' | tail -n 1";
            node.run_until(folder, consume, |shown| shown.contains(&last));
            interrupt(node);
            node = Node::start(folder, command, command);
        }
        interrupt(node);
    }
}
