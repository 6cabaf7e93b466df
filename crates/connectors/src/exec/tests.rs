//! Real commands of a shell.

use crate::Connectors;
use crate::tests::script::Texts;
use crate::tests::{Node, schema, table};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest};
use os::{Os, Permits};
use std::path::Path;

fn os() -> Os {
    Os { permits: Permits { exec: true, ..Permits::default() }, ..Os::real() }
}

fn feed(options: &[(&str, &str)]) -> Box<dyn Feed> {
    let connectors = crate::table(Connectors { os: os(), log: None });
    let options = [&[("connector", "exec"), ("format", "raw")], options].concat();
    let table = table(schema(&[("text", DataType::Utf8)]), &options);
    connectors.find("exec").unwrap().feed(FeedRequest { table, identity: "job".into() }).unwrap()
}

/// What comes until the table ends, with the last position.
fn all(feed: &mut dyn Feed) -> Result<(Vec<String>, Option<Vec<u8>>), String> {
    let (mut texts, mut position) = (Vec::new(), None);
    loop {
        let haul = feed.poll(60_000).map_err(|error| error.to_string())?;
        let values = haul.records.iter().map(|record| record.value.clone().unwrap_or_default());
        texts.extend(values.map(|value| String::from_utf8(value).unwrap()));
        position = haul.position.or(position);
        if haul.ended {
            return Ok((texts, position));
        }
    }
}

fn read(options: &[(&str, &str)], position: Option<&[u8]>) -> Result<(Vec<String>, Option<Vec<u8>>), String> {
    let mut feed = feed(options);
    feed.open(position).map_err(|error| error.to_string())?;
    all(&mut *feed)
}

#[test]
fn lines_of_a_command_are_records_and_the_table_ends_with_it() {
    let options = [
        ("command", "echo one; printf 'two\\r\\n\\nthree'; echo no >&2; echo \"$A\""),
        ("environment.A", "!"),
    ];
    assert_eq!(read(&options, None), Ok((vec!["one".into(), "two".into(), "three!".into()], None)));
    // More than a pipe or a queue holds.
    let (texts, _) = read(&[("command", "seq 300000; seq 300000")], None).unwrap();
    assert_eq!((texts.len(), texts.last().unwrap().as_str()), (600_000, "300000"));
}

#[test]
fn a_command_that_fails_says_how_and_what_it_said() {
    let mut feed = feed(&[("command", "echo one; echo because >&2; exit 3")]);
    feed.open(None).unwrap();
    let mut first = feed.poll(60_000).unwrap().records;
    while first.is_empty() {
        first = feed.poll(60_000).unwrap().records;
    }
    assert_eq!(first.len(), 1, "what it wrote before is there");
    let error = loop {
        if let Err(error) = feed.poll(60_000) {
            break error;
        }
    };
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("has ended with exit status 3; it says: because"), "{error}");
    let error = read(&[("command", "kill -9 $$"), ("scan.restart", "never")], None).unwrap_err();
    assert!(error.contains("has ended with signal 9"), "{error}");
    let error = read(&[("command", "true"), ("working-directory", "/no/such/folder")], None).unwrap_err();
    assert!(error.contains("the command cannot be run"), "{error}");
}

#[test]
fn a_command_that_writes_the_same_again_is_read_once() {
    let options = [("command", "seq 5"), ("scan.replays", "true")];
    let (texts, position) = read(&options, None).unwrap();
    assert_eq!(texts, ["1", "2", "3", "4", "5"]);
    assert_eq!(read(&options, position.as_deref()), Ok((vec![], None)));
    let (texts, _) = read(&[("command", "seq 7"), options[1]], position.as_deref()).unwrap();
    assert_eq!(texts, ["6", "7"]);
    for (command, words) in
        [("seq 2 9", "has not written the same 5 lines"), ("seq 3", "has written 3 lines, and wrote 5")]
    {
        let error = read(&[("command", command), options[1]], position.as_deref()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_command_is_run_again_and_again_where_the_table_says_so() {
    let mut feed =
        feed(&[("command", "echo run; false"), ("scan.restart", "always"), ("scan.restart-delay", "1 ms")]);
    feed.open(None).unwrap();
    let mut count = 0;
    while count < 3 {
        count += feed.poll(100).unwrap().records.len();
    }
}

fn sink(node: &Node, options: &[(&str, &str)]) -> Texts {
    Texts::new(os(), node, &[&[("connector", "exec")], options].concat())
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn each_commit_is_a_run_that_confirms_by_its_exit() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("rows");
    let command = format!("cat >> {0}; echo . >> {0}; test ! -e {0}.fail", path.display());
    let mut texts = sink(&node, &[("command", &command)]);
    assert_eq!(texts.sink.open().unwrap(), 0);
    texts.apply(0, &["a", "b"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 2);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 2, "nothing is run for nothing");
    assert_eq!(text(&path), "a\nb\n.\n");
    std::fs::write(folder.path().join("rows.fail"), "").unwrap();
    texts.apply(2, &["c"]);
    let error = texts.sink.commit(false, 1).unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("exit status 1"), "{error}");
    std::fs::remove_file(folder.path().join("rows.fail")).unwrap();
    // It is given again.
    assert_eq!(texts.sink.open().unwrap(), 2);
    texts.apply(2, &["c"]);
    assert_eq!(texts.sink.commit(true, 1).unwrap(), 3);
    assert_eq!(text(&path), "a\nb\n.\nc\n.\nc\n.\n");
}

#[test]
fn one_run_reads_all_rows_and_is_waited_for_at_the_end() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("rows");
    let command = format!("cat > {}", path.display());
    let mut texts = sink(&node, &[("command", &command), ("sink.confirm", "write")]);
    texts.sink.open().unwrap();
    let many: Vec<String> = (0..40_000).map(|n| format!("row {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    texts.apply(0, &many);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 40_000);
    texts.apply(40_000, &["last"]);
    assert_eq!(texts.sink.commit(true, 1).unwrap(), 40_001);
    assert_eq!(text(&path).lines().count(), 40_001);
}

#[test]
fn a_command_that_does_not_read_is_not_waited_for() {
    let node = Node::start();
    let long = "x".repeat(1 << 20);
    let apply = |command: &str| {
        let mut texts = sink(
            &node,
            &[("command", command), ("sink.confirm", "write"), ("timeout", "10 ms"), ("stop-timeout", "0 s")],
        );
        texts.sink.open().unwrap();
        let mut last = None;
        for at in 0..8 {
            let batch = texts.encoded(at, &[&long]);
            if let Err(error) = texts.sink.apply(&batch) {
                last = Some(error);
                break;
            }
        }
        last.unwrap().to_string()
    };
    assert!(apply("sleep 1000").contains("does not read what it is given"));
    let error = apply("exec 0<&-; echo enough >&2; exit 4");
    assert!(error.contains("exit status 4; it says: enough") || error.contains("does not read"), "{error}");
}

#[test]
fn a_row_that_is_no_line_is_a_dead_letter() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("rows");
    let command = format!("cat >> {}", path.display());
    let mut texts = sink(&node, &[("command", &command)]);
    texts.sink.open().unwrap();
    let batch = texts.encoded(0, &["a\nb"]);
    let error = texts.sink.apply(&batch).unwrap_err();
    assert!(
        error.kind == ErrorKind::Invalid && error.message.contains("'dead-letter.topic' = '…'"),
        "{error}"
    );
    let mut texts = sink(&node, &[("command", &command), ("dead-letter.topic", "dead")]);
    texts.sink.open().unwrap();
    texts.apply(0, &["one", "a\nb", "two"]);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 0, "it is in no topic yet");
    let [rejected] = &texts.sink.take_rejected()[..] else { panic!("one is refused") };
    assert_eq!((rejected.value.as_deref(), rejected.topic.as_str()), (Some(&b"a\nb"[..]), "dead"));
    assert!(rejected.reason.contains("the end of a row"), "{}", rejected.reason);
    assert_eq!(texts.sink.commit(false, 1).unwrap(), 3);
    // Between quotes it is the row's own.
    let mut texts = sink(&node, &[("command", &command), ("format", "csv")]);
    texts.sink.open().unwrap();
    texts.apply(3, &["a\nb"]);
    assert_eq!(texts.sink.commit(true, 1).unwrap(), 4);
    assert_eq!(text(&path), "one\ntwo\n\"a\nb\"\n");
}

/// Options, and what has to be told of them.
type Wrong<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let cases: &[Wrong<'_>] = &[
        (Role::Source, &[("command", "true")], ""),
        (Role::Source, &[("command", " ")], "'command' is empty"),
        (Role::Source, &[], "'command'"),
        (Role::Source, &[("command", "true"), ("format", "avro")], "'avro' has no lines of text"),
        (
            Role::Source,
            &[("command", "x"), ("scan.replays", "true"), ("scan.restart", "always")],
            "leave out 'scan.replays'",
        ),
        (Role::Sink, &[("command", "x"), ("dead-letter.topic", "t")], ""),
        (Role::Source, &[("command", "x"), ("environment.A=B", "t")], "'A=B' cannot be a variable's name"),
    ];
    for (role, options, words) in cases {
        let all = [&[("connector", "exec"), ("format", "raw")], *options].concat();
        let table = table(schema(&[("text", DataType::Utf8)]), &all);
        let errors = node.connector("exec").check(&table, *role).err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.is_empty(), words.is_empty(), "{options:?}: {told:?}");
        assert!(told.first().is_none_or(|first| first.contains(words)), "{options:?}: {told:?}");
    }
    // A node that was not told that it may runs nothing, in either direction.
    let table = table(
        schema(&[("text", DataType::Utf8)]),
        &[("connector", "exec"), ("format", "raw"), ("command", "x")],
    );
    let connector = node.connector("exec");
    let refused = [
        connector.feed(FeedRequest { table: table.clone(), identity: "job".into() }).err().unwrap(),
        connector.sink(&table, "job").err().unwrap(),
    ];
    assert!(refused.iter().all(|error| error.message.contains("--allow-exec")), "{refused:?}");
    assert!(connector.probe(&table, Role::Source, 1)[0].found.is_err());
}
