//! Where a service of Google is, and tokens from each of the places where they are looked for, asked of servers on loopback.

use super::*;
use crate::service::testing::Served;
use crate::service::{Client, Done};
use auth::testing::RSA_PEM;
use base::ErrorKind;
use base::options::OptionSpec;
use std::collections::BTreeMap;
use std::sync::Mutex;

const NAMED: Named = Named {
    host: "pubsub.googleapis.com",
    emulator: "PUBSUB_EMULATOR_HOST",
    scope: "a scope",
    names: options::OWN,
};
const SPECS: &[OptionSpec] = &[
    options::PROJECT_SPEC,
    options::ENDPOINT_SPEC,
    options::EMULATOR_SPEC,
    options::KEY_FILE_SPEC,
    options::ACCESS_TOKEN_SPEC,
    options::ROOT_CAS_SPEC,
    options::TIMEOUT_SPEC,
    crate::optional("topic", base::options::OptionKind::Text, None, "", ""),
];

fn options(given: &[(&str, &str)]) -> Options {
    let given: BTreeMap<String, String> =
        given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Options::check(&given, SPECS).unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    let pairs: BTreeMap<String, String> =
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Arc::new(move |name| pairs.get(name).cloned())
}

#[test]
fn a_service_is_where_options_and_environment_say() {
    let place = |given: &[(&str, &str)], env: &[(&str, &str)]| {
        let (url, is_emulator) = found(&options(given), &variables(env), NAMED).unwrap();
        (url.address(), url.tls, is_emulator)
    };
    let emulator = [("PUBSUB_EMULATOR_HOST", "localhost:8085")];
    assert_eq!(place(&[], &[]), ("pubsub.googleapis.com:443".to_string(), true, false));
    assert_eq!(place(&[], &emulator), ("localhost:8085".to_string(), false, true));
    let region = [("endpoint", "https://europe-west1-pubsub.googleapis.com")];
    assert_eq!(place(&region, &emulator).0, "europe-west1-pubsub.googleapis.com:443");
    assert_eq!(place(&[("emulator-endpoint", "[::1]:1")], &[]), ("[::1]:1".to_string(), false, true));
    let open = [("endpoint", "http://elsewhere")];
    let told = access_within(&Os::real(), &options(&open), variables(&[]), NAMED).err().unwrap();
    assert!(told.contains("without TLS"), "{told}");
}

#[test]
fn a_name_is_one_of_the_project_or_says_its_own() {
    let of = |given: &[(&str, &str)], env: &[(&str, &str)]| {
        let found = Resource::within(&options(given), &variables(env), "topic", "topics");
        found.map(|resource| resource.call(Some("publish"), None).path)
    };
    let path = |text: &str| Ok(format!("/v1/{text}:publish"));
    assert_eq!(of(&[("topic", "orders"), ("project", "p-1")], &[]), path("projects/p-1/topics/orders"));
    let env = [("GOOGLE_CLOUD_PROJECT", "p-2")];
    assert_eq!(of(&[("topic", "orders")], &env), path("projects/p-2/topics/orders"));
    let whole = "projects/example.com:p/topics/a+b%2F";
    assert_eq!(of(&[("topic", whole)], &env), path("projects/example.com%3Ap/topics/a%2Bb%252F"));
    for (topic, words) in [
        ("or", "is no name"),
        ("1orders", "is no name"),
        ("a/../b", "is no name"),
        ("projects/p/subscriptions/s", "projects/PROJECT/topics/NAME"),
        ("projects//topics/orders", "no project"),
    ] {
        let told = of(&[("topic", topic)], &env).unwrap_err();
        assert!(told.contains(words), "{topic}: {told}");
    }
    assert!(of(&[("topic", "orders")], &[]).unwrap_err().contains("GOOGLE_CLOUD_PROJECT"));
}

/// A service that lets in whoever shows the token of the moment, and a token server that gives it.
fn serve(token: &Arc<Mutex<String>>) -> Served {
    let token = token.clone();
    Served::start(move |request| {
        let token = token.lock().unwrap().clone();
        let given = format!(r#"{{"access_token":"{token}","expires_in":3600}}"#);
        if request.starts_with("POST /token ") {
            let (_, form) = request.split_once("\r\n\r\n").unwrap();
            if form.contains("wrong") {
                return (
                    400,
                    r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#.into(),
                );
            }
            return (200, given);
        }
        if request.starts_with("GET /computeMetadata/") {
            return (if request.contains("metadata-flavor: Google") { 200 } else { 403 }, given);
        }
        let is_let_in = request.contains(&format!("authorization: Bearer {token}\r\n"));
        let refused = r#"{"error":{"code":401,"status":"UNAUTHENTICATED","message":"who are you"}}"#;
        if is_let_in { (200, "{}".into()) } else { (401, refused.into()) }
    })
}

fn client(served: &Served, given: &[(&str, &str)], env: &[(&str, &str)]) -> Client {
    let all: Vec<(&str, &str)> =
        given.iter().copied().chain([("endpoint", served.url.as_str()), ("timeout", "5 s")]).collect();
    access_within(&Os::real(), &options(&all), variables(env), NAMED).unwrap().client(1).unwrap()
}

fn ask(client: &mut Client) -> Done<()> {
    client.call(&Call { method: "GET", path: "/v1/x".into(), ..Call::default() }).map(drop)
}

/// A folder with a file of credentials, which asks the server for tokens.
fn file(served: &Served, kind: &str, more: serde_json::Value) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut all = serde_json::json!({"type": kind, "token_uri": format!("{}/token", served.url)});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let path = folder.path().join("application_default_credentials.json");
    std::fs::write(&path, all.to_string()).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn tokens_come_from_each_of_the_places() {
    let token = Arc::new(Mutex::new("t-1".to_string()));
    let served = serve(&token);
    let account = serde_json::json!({"client_email": "me@p", "private_key": RSA_PEM, "private_key_id": "k"});
    let (_folder, key_file) = file(&served, "service_account", account);
    let user = serde_json::json!({"client_id": "i", "client_secret": "s", "refresh_token": "r", "quota_project_id": "payer"});
    let (of_user, user_file) = file(&served, "authorized_user", user);
    let home = of_user.path().display().to_string();
    let machine = served.url.strip_prefix("http://").unwrap();
    ask(&mut client(&served, &[("access-token", "t-1")], &[])).unwrap();
    ask(&mut client(&served, &[("service-account-key-file", &key_file)], &[])).unwrap();
    ask(&mut client(&served, &[], &[("GOOGLE_APPLICATION_CREDENTIALS", &user_file)])).unwrap();
    ask(&mut client(&served, &[], &[("CLOUDSDK_CONFIG", &home)])).unwrap();
    ask(&mut client(&served, &[], &[("GCE_METADATA_HOST", machine)])).unwrap();
    let asked = served.asked();
    let of_account: Vec<&String> = asked.iter().filter(|request| request.contains("jwt-bearer")).collect();
    let assertion = of_account[0].split("assertion=").nth(1).unwrap();
    assert_eq!((of_account.len(), assertion.split('.').count()), (1, 3));
    let refreshed = "grant_type=refresh_token&client_id=i&client_secret=s&refresh_token=r";
    assert_eq!(asked.iter().filter(|request| request.contains(refreshed)).count(), 2);
    assert_eq!(asked.iter().filter(|request| request.contains("x-goog-user-project: payer")).count(), 2);
    // A token that holds is not asked for again.
    let mut client = client(&served, &[("service-account-key-file", &key_file)], &[]);
    let before = served.asked().len();
    ask(&mut client).unwrap();
    ask(&mut client).unwrap();
    assert_eq!(served.asked().len(), before + 3);
}

#[test]
fn a_token_that_is_refused_is_looked_for_once_more() {
    let token = Arc::new(Mutex::new("t-1".to_string()));
    let served = serve(&token);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "t-1\n").unwrap();
    let option = format!("${{file:{}}}", path.display());
    let mut client = client(&served, &[("access-token", &option)], &[]);
    ask(&mut client).unwrap();
    *token.lock().unwrap() = "t-2".into();
    std::fs::write(&path, "t-2\n").unwrap();
    ask(&mut client).unwrap();
    *token.lock().unwrap() = "t-3".into();
    let refused = ask(&mut client).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(refused.message.contains("who are you") && !refused.message.contains("t-2"), "{refused}");
}

#[test]
fn credentials_that_are_of_no_use_say_why_and_not_what_they_are() {
    let served = serve(&Arc::default());
    let account = |email: &str, key: &str| serde_json::json!({"client_email": email, "private_key": key});
    let (_a, no_key) = file(&served, "service_account", account("me", "hidden"));
    let (_b, no_mail) = file(&served, "service_account", account("", RSA_PEM));
    let (_c, unknown) = file(&served, "external_account", serde_json::json!({}));
    let (_d, user) = file(
        &served,
        "authorized_user",
        serde_json::json!({"client_id": "wrong", "client_secret": "hidden", "refresh_token": "hidden"}),
    );
    let (_e, open) = file(
        &served,
        "service_account",
        serde_json::json!({"client_email": "me", "private_key": RSA_PEM, "token_uri": "http://elsewhere/token"}),
    );
    for (path, words) in [
        (no_key.as_str(), "BEGIN PRIVATE KEY"),
        (&no_mail, "no 'client_email'"),
        (&unknown, "'external_account' are not supported"),
        (&user, "Invalid JWT Signature."),
        (&open, "over https only"),
        ("/nowhere/key.json", "/nowhere/key.json"),
    ] {
        let refused = ask(&mut client(&served, &[("service-account-key-file", path)], &[])).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
        assert!(refused.message.contains(words) && !refused.message.contains("hidden"), "{refused}");
    }
    let two_lines = [("access-token", "a\r\nb")];
    assert!(ask(&mut client(&served, &two_lines, &[])).unwrap_err().message.contains("no token"));
}
