//! Where a service is, and how a client deals with refusals.

use super::*;
use crate::service::testing::Served;
use crate::service::{Call, Client};
use base::ErrorKind;
use std::collections::BTreeMap;

fn options(given: &[(&str, &str)]) -> Options {
    let given: BTreeMap<String, String> =
        given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Options::check(&given, &options::COMMON).unwrap()
}

fn environment(pairs: &'static [(&'static str, &'static str)]) -> Environment {
    Arc::new(move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string()))
}

type Variables = &'static [(&'static str, &'static str)];

fn place(given: &[(&str, &str)], env: Variables, region: Option<&str>) -> Result<(String, String), String> {
    let found = found(&Os::real(), &options(given), &environment(env), "sqs", region, None)?;
    Ok((found.0.address(), found.1))
}

#[test]
fn a_service_is_where_options_environment_or_its_own_name_say() {
    let of = |given: &[(&str, &str)], env, region| place(given, env, region).unwrap();
    let amazon = |region: &str| (format!("sqs.{region}.amazonaws.com:443"), region.to_string());
    assert_eq!(
        of(&[("aws.region", "eu-west-1")], &[("AWS_REGION", "x-1")], Some("y-1")),
        amazon("eu-west-1")
    );
    assert_eq!(of(&[], &[("AWS_REGION", "x-1")], Some("us-east-2")), amazon("us-east-2"));
    assert_eq!(of(&[], &[("AWS_DEFAULT_REGION", "us-west-1")], None), amazon("us-west-1"));
    let china = of(&[("aws.region", "cn-north-1")], &[], None).0;
    assert_eq!(china, "sqs.cn-north-1.amazonaws.com.cn:443");
    let other = ("localhost:4566".to_string(), "us-east-1".to_string());
    assert_eq!(of(&[("aws.endpoint", "http://localhost:4566")], &[], None), other);
    assert_eq!(of(&[], &[("AWS_ENDPOINT_URL_SQS", "http://localhost:4566")], None), other);
    assert!(place(&[], &[], None).err().unwrap().contains("'aws.region'"));
    assert!(place(&[("aws.region", "x/evil.example")], &[], None).err().unwrap().contains("no region"));
}

#[test]
fn regions_are_found_in_names() {
    assert_eq!(region_of_host("sqs.eu-west-1.amazonaws.com"), Some("eu-west-1"));
    assert_eq!(region_of_host("vpce-1.sqs.us-east-1.vpce.amazonaws.com"), None);
    assert_eq!(region_of_host("localhost"), None);
}

#[test]
fn hosts_are_signed_as_they_are_sent() {
    let host = |url: &str| crate::http_host::host_header(&Url::parse(url).unwrap());
    assert_eq!(host("https://sqs.eu-west-1.amazonaws.com/"), "sqs.eu-west-1.amazonaws.com");
    assert_eq!((host("http://a:80/"), host("http://a:443/")), ("a".to_string(), "a:443".to_string()));
    assert_eq!(host("http://[::1]:4566/"), "[::1]:4566");
}

fn client(served: &Served, secret: &str) -> Client {
    let given = [
        ("aws.endpoint", served.url.as_str()),
        ("aws.credentials.basic.accesskeyid", "id"),
        ("aws.credentials.basic.secretkey", secret),
        ("timeout", "5 s"),
    ];
    access_within(&Os::real(), &options(&given), environment(&[]), "sqs", None, None)
        .unwrap()
        .client(2)
        .unwrap()
}

const CALL: fn() -> Call = || Call::json("1.0", "AmazonSQS.X", &serde_json::json!({}));

#[test]
fn what_is_throttled_is_asked_again_and_what_is_wrong_is_not() {
    let mut times = 0;
    let served = Served::start(move |_| {
        times += 1;
        match times {
            1 => (400, r#"{"__type":"ThrottlingException","message":"slowly"}"#.into()),
            2 => (503, String::new()),
            3 => (200, "{\"a\":1}".into()),
            _ => (400, r#"{"__type":"InvalidParameterValue","message":"no"}"#.into()),
        }
    });
    let mut client = client(&served, "secret");
    let clock = Os::real().clock;
    let begun = auth::socket::monotonic(&*clock);
    assert_eq!(client.call(&CALL()).unwrap().body, b"{\"a\":1}");
    let taken = auth::socket::monotonic(&*clock).saturating_sub(begun);
    assert!(taken >= Duration::from_millis(300), "no pause between the tries: {taken:?}");
    let refused = client.call(&CALL()).unwrap_err();
    assert_eq!((refused.kind, served.asked().len()), (ErrorKind::Invalid, 4));
    assert!(served.asked()[0].contains("authorization: AWS4-HMAC-SHA256 Credential=id/"));
}

#[test]
fn keys_that_were_rotated_are_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "old").unwrap();
    let path = file.clone();
    let mut times = 0;
    let served = Served::start(move |_| {
        times += 1;
        if times > 2 {
            return (200, String::new());
        }
        // Whoever rotates them is a moment late.
        if times == 2 {
            std::fs::write(&path, "new").unwrap();
        }
        (403, r#"{"__type":"InvalidSignatureException","message":"does not match"}"#.into())
    });
    let mut client = client(&served, &format!("${{file:{}}}", file.display()));
    client.call(&CALL()).unwrap();
    let signatures: Vec<String> = served
        .asked()
        .iter()
        .map(|request| request.split("Signature=").nth(1).unwrap()[..64].to_string())
        .collect();
    assert_eq!(signatures.len(), 3);
    assert_ne!(signatures[1], signatures[2]);
}

#[test]
fn keys_that_stay_wrong_are_an_error_without_them() {
    let served = Served::start(|_| {
        (403, r#"{"__type":"UnrecognizedClientException","message":"who are you"}"#.into())
    });
    let refused = client(&served, "hidden-Secret").call(&CALL()).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(
        refused.message.contains("who are you") && !refused.message.contains("hidden"),
        "{}",
        refused.message
    );
}

#[test]
fn a_long_poll_ends_when_its_answer_comes_and_calls_pass_it_by() {
    let served = Served::start(|_| (200, "{}".into()));
    let mut client = client(&served, "secret");
    client.begin_long(&CALL(), Duration::from_secs(1)).unwrap();
    assert!(client.is_long_under_way());
    let mut answer = None;
    while answer.is_none() {
        answer = client.end_long(Duration::from_millis(50)).unwrap();
    }
    assert_eq!(answer.unwrap().body, b"{}");
    assert!(!client.is_long_under_way());
    assert_eq!(client.end_long(Duration::ZERO).unwrap(), None);
}

#[test]
fn problems_of_the_options_are_told() {
    let table = |given: &[(&str, &str)]| {
        let options = options(given);
        let table = crate::tests::table(crate::tests::schema(&[]), &[]);
        let problems = super::options::problems(&table, &options);
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")
    };
    for (given, words) in [
        (&[("aws.credentials.basic.accesskeyid", "x")][..], "belong together"),
        (&[("aws.credentials.provider", "BASIC")], "needs 'aws.credentials.basic.accesskeyid'"),
        (&[("aws.credentials.provider", "ASSUME_ROLE")], "needs 'aws.credentials.role.arn'"),
        (&[("aws.endpoint", "localhost")], "not an address of the web"),
        (&[], ""),
    ] {
        let told = table(given);
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{given:?}: {told}");
    }
}
