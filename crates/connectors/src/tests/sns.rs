//! Topics of SNS without AWS: what a table may say, and a sink against a scripted server.

use super::*;
use crate::percent::percent_decoded;
use crate::service::testing::Served;
use arrow_array::{Int64Array, StringArray};
use dataflow::connector::Role;
use dataflow::sink::{OutboxSink, Sink, SinkError};
use dataflow::table::MetadataColumn;

const ARN: &str = "arn:aws:sns:eu-west-1:123456789012:orders";
const FIFO: (&str, &str) = ("topic-arn", "arn:aws:sns:eu-west-1:123456789012:orders.fifo");

fn orders(options: &[(&str, &str)], metadata: &[&str]) -> Arc<TableDefinition> {
    let mut all: BTreeMap<&str, &str> = [("connector", "sns"), ("topic-arn", ARN), ("format", "json")].into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    let table = table(schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]), &all);
    let column = |key: &&str| MetadataColumn {
        name: key.to_string(),
        key: key.to_string(),
        data_type: DataType::Utf8,
        is_virtual: false,
    };
    Arc::new(TableDefinition { metadata: metadata.iter().map(column).collect(), ..(*table).clone() })
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let group = ("message-group-id", "g");
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Sink, &[], &[], ""),
        (Role::Source, &[], &[], "written only"),
        (Role::Sink, &[FIFO], &[], "give 'message-group-id'"),
        (Role::Sink, &[FIFO, group], &["message-deduplication-id", "subject"], ""),
        (Role::Sink, &[FIFO], &["message-group-id"], ""),
        (Role::Sink, &[], &["message-deduplication-id"], "only a FIFO topic"),
        (Role::Sink, &[("topic-arn", "orders")], &[], "arn:aws:sns:REGION:ACCOUNT:NAME"),
        (Role::Sink, &[("sink.batch.max-size", "11")], &[], "from 1 to 10"),
    ];
    for (role, options, metadata, words) in cases {
        let checked = node.connector("sns").check(&orders(options, metadata), *role);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
    assert!(!node.connector("sns").lands(&orders(&[], &[])));
}

fn form_of(request: &str) -> BTreeMap<String, String> {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    let pairs = body.split('&').map(|part| part.split_once('=').unwrap());
    pairs.map(|(name, value)| (percent_decoded(name).unwrap(), percent_decoded(value).unwrap())).collect()
}

/// Takes all messages, but those of the first call whose places are `failing`.
fn serve(failing: &'static [(usize, &'static str, bool)]) -> Served {
    let mut calls = 0;
    Served::start(move |request| {
        let form = form_of(request);
        if form["Action"] != "PublishBatch" {
            return (200, "<GetTopicAttributesResponse/>".into());
        }
        calls += 1;
        let count = form.keys().filter(|key| key.ends_with(".Id")).count();
        let fails = |index: usize| failing.iter().find(|(place, ..)| *place == index).filter(|_| calls == 1);
        let taken: String = (0..count)
            .filter(|index| fails(*index).is_none())
            .map(|index| format!("<member><Id>{index}</Id><MessageId>m</MessageId></member>"))
            .collect();
        let failed: String = (0..count)
            .filter_map(|index| Some((index, fails(index)?)))
            .map(|(index, (_, code, is_ours))| {
                format!("<member><Id>{index}</Id><Code>{code}</Code><Message>why</Message><SenderFault>{is_ours}</SenderFault></member>")
            })
            .collect();
        let result = format!("<Successful>{taken}</Successful><Failed>{failed}</Failed>");
        (
            200,
            format!(
                "<PublishBatchResponse xmlns=\"x\"><PublishBatchResult>{result}</PublishBatchResult></PublishBatchResponse>"
            ),
        )
    })
}

fn sink(node: &Node, served: &Served, more: &[(&str, &str)]) -> Box<dyn OutboxSink> {
    let mut all = vec![
        ("aws.endpoint", served.url.as_str()),
        ("aws.credentials.basic.accesskeyid", "id"),
        ("aws.credentials.basic.secretkey", "secret"),
        ("timeout", "5 s"),
    ];
    all.extend_from_slice(more);
    match node.connector("sns").sink(&orders(&all, &[]), "job").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("another sink"),
    }
}

fn write(node: &Node, sink: &mut dyn OutboxSink, texts: &[&str]) -> Result<i64, SinkError> {
    let ids = Int64Array::from_iter_values(0..texts.len() as i64);
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(ids), Arc::new(StringArray::from_iter_values(texts))];
    let schema = schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]);
    let batches = sink.encode(&batch(RecordBatch::try_new(schema, columns).unwrap()), 1).unwrap();
    node.create_topic("outbox", 1);
    node.append("outbox", batches);
    sink.open()?;
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    for slice in node.log.read(partition, base::Offset(0), 1 << 20).unwrap() {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        sink.apply(&bytes)?;
    }
    sink.commit(false, 1)
}

/// The messages of each call.
fn sent(served: &Served) -> Vec<Vec<String>> {
    let asked = served.asked();
    let calls = asked.iter().map(|request| form_of(request)).filter(|form| form["Action"] == "PublishBatch");
    let messages = |form: BTreeMap<String, String>| {
        let messages = form.into_iter().filter(|(key, _)| key.ends_with(".Message"));
        messages.map(|(_, message)| message).collect()
    };
    calls.map(messages).collect()
}

#[test]
fn of_a_batch_what_passes_is_sent_again_and_what_is_refused_becomes_a_dead_letter() {
    let (node, served) =
        (Node::start(), serve(&[(1, "InternalError", false), (2, "InvalidParameter", true)]));
    let mut sink = sink(&node, &served, &[("dead-letter.topic", "letters")]);
    assert_eq!(write(&node, &mut *sink, &["a", "b", "c"]).unwrap(), 0);
    let letters = sink.take_rejected();
    assert!(letters.len() == 1 && letters[0].reason.contains("why (code InvalidParameter)"), "{letters:?}");
    assert_eq!(sink.commit(false, 1).unwrap(), 3);
    let sent = sent(&served);
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(sent[1], [r#"{"id":1,"t":"b"}"#]);
    let signed = served.asked().remove(0);
    assert!(signed.contains("/eu-west-1/sns/aws4_request"), "{signed}");
}

#[test]
fn messages_of_a_fifo_topic_have_the_group_and_an_id_of_the_outbox() {
    let (node, served) = (Node::start(), serve(&[]));
    let mut sink = sink(&node, &served, &[FIFO, ("message-group-id", "g"), ("subject", "An order")]);
    assert_eq!(write(&node, &mut *sink, &["a", "b"]).unwrap(), 2);
    let form = form_of(&served.asked()[1]);
    let entry =
        |index: usize, name: &str| form[&format!("PublishBatchRequestEntries.member.{index}.{name}")].clone();
    assert_eq!((entry(1, "MessageGroupId"), entry(2, "Subject")), ("g".to_string(), "An order".to_string()));
    assert!(
        entry(1, "MessageDeduplicationId").ends_with("-0")
            && entry(2, "MessageDeduplicationId").ends_with("-1")
    );
}

#[test]
fn a_topic_that_is_not_there_is_said() {
    let missing = "<ErrorResponse><Error><Code>NotFound</Code><Message>Topic does not exist</Message></Error></ErrorResponse>";
    let (node, served) = (Node::start(), Served::start(move |_| (404, missing.into())));
    let error = sink(&node, &served, &[]).open().unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::NotFound);
    assert!(error.message.contains("create the topic"), "{}", error.message);
}
