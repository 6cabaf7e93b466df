//! Where an account's service is, and who we are there, from each of the places where that is looked for.

use super::*;
use crate::objects::options as all;
use crate::service::testing::Served;
use crate::service::{Call, Client, Done};
use base::ErrorKind;
use base::options::OptionSpec;
use std::collections::BTreeMap;
use std::sync::Mutex;

const SPECS: [OptionSpec; all::COUNT + 1] =
    all::with_common([crate::optional("topic", base::options::OptionKind::Text, None, "", "")]);
const KEY: &str = "c2VjcmV0IG9mIHRoZSBhY2NvdW50";

fn options(given: &[(&str, &str)]) -> Options {
    let given: BTreeMap<String, String> =
        given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Options::check(&given, &SPECS).unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    let pairs: BTreeMap<String, String> =
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Arc::new(move |name| pairs.get(name).cloned())
}

#[test]
fn a_service_is_where_address_options_and_environment_say() {
    let place = |host: &str, given: &[(&str, &str)], env: &[(&str, &str)]| {
        let account = if host.is_empty() { Ok(Account::default()) } else { Account::of_host(host) };
        let found = account.and_then(|account| found(&options(given), &variables(env), &account));
        found.map(|(url, name)| format!("{name} {} {}", url.address(), url.path))
    };
    let of = |text: &str| Ok(text.to_string());
    let host = "shop.dfs.core.windows.net";
    assert_eq!(place(host, &[], &[]), of("shop shop.blob.core.windows.net:443 /"));
    assert_eq!(
        place("shop.blob.core.chinacloudapi.cn", &[], &[]),
        of("shop shop.blob.core.chinacloudapi.cn:443 /")
    );
    let env = [("AZURE_STORAGE_ACCOUNT", "shop2")];
    assert_eq!(place("", &[], &env), of("shop2 shop2.blob.core.windows.net:443 /"));
    let account = [("azure.account", "shop3")];
    assert_eq!(place("", &account, &env), of("shop3 shop3.blob.core.windows.net:443 /"));
    let emulator = [("azure.endpoint", "http://localhost:10000/shop")];
    assert_eq!(place(host, &emulator, &[]), of("shop localhost:10000 /shop"));
    // What an address names counts more than the environment does, and nothing but an option sends it elsewhere.
    let env =
        [("AZURE_STORAGE_ACCOUNT", "shop2"), ("AZURE_STORAGE_SERVICE_ENDPOINT", "http://localhost:1/shop2")];
    assert_eq!(place("", &[], &env), of("shop2 localhost:1 /shop2"));
    assert_eq!(place(host, &[], &env), of("shop shop.blob.core.windows.net:443 /"));
    let gov = "shop.dfs.core.usgovcloudapi.net";
    assert_eq!(place(gov, &[], &env), of("shop shop.blob.core.usgovcloudapi.net:443 /"));
    for evil in ["shop.dfs.evil.example", "shop.dfs.core.windows.net.evil.example", "shop.blob.windows.net"] {
        let told = place(evil, &[], &env).unwrap_err();
        assert!(told.contains("none of Azure's clouds") && told.contains("azure.endpoint"), "{told}");
        assert_eq!(place(evil, &emulator, &[]), of("shop localhost:10000 /shop"));
    }
    for (host, given, words) in [
        ("", &[][..], "no storage account is said"),
        ("", &[("azure.account", "Shop")], "no name of a storage account"),
        (host, &account, "another: leave it out"),
        (host, &[("azure.endpoint", "localhost")], "not an address of the web"),
    ] {
        let told = place(host, given, &[]).unwrap_err();
        assert!(told.contains(words), "{given:?}: {told}");
    }
}

/// A service that lets in whoever shows one of these, and token servers.
fn serve(token: &Arc<Mutex<String>>) -> Served {
    let token = token.clone();
    Served::start(move |request| {
        let token = token.lock().unwrap().clone();
        if request.starts_with("POST /tenant/oauth2/v2.0/token ") {
            let is_known = request.contains("client_id=app")
                && (request.contains("client_secret=pencil") || request.contains("client_assertion=a.b.c"));
            return match is_known {
                true => (200, format!(r#"{{"access_token":"{token}","expires_in":3600}}"#)),
                false => (401, r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#.into()),
            };
        }
        if request.starts_with("GET /metadata/identity/") {
            let status = if request.contains("metadata: true") { 200 } else { 400 };
            return (status, format!(r#"{{"access_token":"{token}","expires_in":"3600"}}"#));
        }
        let is_let_in = request.contains(&format!("authorization: Bearer {token}\r\n"))
            || request.contains("&sig=a%2Bb")
            || request.contains("authorization: SharedKey shop:");
        let refused = "<Error><Code>AuthenticationFailed</Code><Message>who are you</Message></Error>";
        if is_let_in { (200, String::new()) } else { (403, refused.into()) }
    })
}

fn client(served: &Served, given: &[(&str, &str)], env: &[(&str, &str)]) -> Client {
    let place = format!("{}/shop", served.url);
    let all: Vec<(&str, &str)> = given
        .iter()
        .copied()
        .chain([("azure.endpoint", place.as_str()), ("azure.account", "shop"), ("timeout", "5 s")])
        .collect();
    let access = access_within(&Os::real(), &options(&all), variables(env), &Account::default());
    access.unwrap().client(1).unwrap()
}

fn ask(client: &mut Client) -> Done<()> {
    client.call(&Call { method: "GET", path: "/c/k".into(), ..Call::default() }).map(drop)
}

#[test]
fn who_we_are_is_found_in_options_in_the_environment_and_on_the_machine() {
    let token = Arc::new(Mutex::new("t1".to_string()));
    let served = serve(&token);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let federated = file("federated", "a.b.c\n");
    let key = format!("${{file:{}}}", file("key", &format!("{KEY}\n")));
    let authority = ("AZURE_AUTHORITY_HOST", served.url.as_str());
    let application = [authority, ("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "app")];
    let with = |more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        application.iter().chain(more).map(|(name, value)| (*name, value.to_string())).collect()
    };
    type Case<'a> = (Vec<(&'a str, &'a str)>, Vec<(&'a str, String)>);
    let cases: Vec<Case<'_>> = vec![
        (vec![("azure.account-key", &key)], vec![]),
        (vec![("azure.sas-token", "?sv=1&sig=a%2Bb")], vec![]),
        (vec![("azure.client-secret", "pencil")], with(&[])),
        (vec![("azure.federated-token-file", &federated)], with(&[])),
        (vec![], vec![("AZURE_STORAGE_KEY", KEY.to_string())]),
        (vec![], vec![("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=a%2Bb".to_string())]),
        (vec![], with(&[("AZURE_CLIENT_SECRET", "pencil")])),
        (vec![], with(&[("AZURE_FEDERATED_TOKEN_FILE", &federated)])),
        (vec![], vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", served.url.clone())]),
    ];
    for (given, env) in cases {
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(ask(&mut client(&served, &given, &env)), Ok(()), "{given:?} {env:?}");
    }
    let asked = served.asked();
    assert!(asked.iter().any(|request| request.starts_with("GET /shop/c/k?sv=1&sig=a%2Bb ")), "{asked:?}");
    assert!(asked[0].contains("x-ms-version: 2026-02-06\r\n") && asked[0].contains("x-ms-date: "));
}

#[test]
fn what_is_refused_is_looked_for_once_more_and_never_told() {
    let token = Arc::new(Mutex::new("t1".to_string()));
    let served = serve(&token);
    let env = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", served.url.as_str())];
    let mut machine = client(&served, &[], &env);
    assert_eq!(ask(&mut machine), Ok(()));
    *token.lock().unwrap() = "t2".into();
    assert_eq!(ask(&mut machine), Ok(()));
    let application = [
        ("AZURE_AUTHORITY_HOST", served.url.as_str()),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "app"),
    ];
    for (given, env, words) in [
        (("azure.account-key", "no base64!"), &[][..], "is no key of an account"),
        (("azure.sas-token", "pencil"), &[], "is no shared access signature"),
        (("azure.client-secret", "crayon"), &application, "AADSTS7000215"),
        (("azure.client-secret", "crayon"), &[], "'azure.tenant-id' is missing"),
    ] {
        let error = ask(&mut client(&served, &[given], env)).unwrap_err();
        assert!(error.message.contains(words), "{given:?}: {error}");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(!error.message.contains("crayon") && !error.message.contains("pencil"), "{error}");
    }
    // A token is told to nobody in the clear; a key signs without being told.
    let far = [("azure.endpoint", "http://storage.example.com"), ("azure.sas-token", "sv=1&sig=x")];
    let given: Vec<(&str, &str)> = far.iter().copied().chain([("azure.account", "shop")]).collect();
    let access = access_within(&Os::real(), &options(&given), variables(&[]), &Account::default());
    let error = ask(&mut access.unwrap().client(1).unwrap()).unwrap_err();
    assert!(error.message.contains("without TLS"), "{error}");
}
