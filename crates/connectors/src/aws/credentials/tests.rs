//! Keys from each of the places where they are looked for, asked of servers on loopback.

use super::super::options::COMMON;
use super::*;
use crate::service::testing::Served;
use os::clock::SimClock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;

/// A home of its own, an environment, and options.
struct Given {
    home: TempDir,
    env: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
    os: Os,
}

impl Given {
    fn new() -> Given {
        let home = tempfile::tempdir().unwrap();
        let env = [("HOME".to_string(), home.path().display().to_string())];
        Given { home, env: env.into(), options: BTreeMap::new(), os: Os::real() }
    }

    fn env(mut self, name: &str, value: impl Into<String>) -> Given {
        self.env.insert(name.into(), value.into());
        self
    }

    fn option(mut self, name: &str, value: impl Into<String>) -> Given {
        self.options.insert(name.into(), value.into());
        self
    }

    fn file(self, name: &str, text: &str) -> Given {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn credentials(&self) -> Credentials {
        let env = self.env.clone();
        let options = Options::check(&self.options, &COMMON).unwrap();
        Credentials::new(&self.os, &options, Arc::new(move |name| env.get(name).cloned()), "eu-west-1")
    }

    fn get(&self) -> Keys {
        self.credentials().get().map_err(|error| error.message).unwrap()
    }

    fn error(&self) -> String {
        self.credentials().get().err().expect("no keys").message
    }
}

const NOWHERE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const FILES: &str = "[default]\naws_access_key_id = d\naws_secret_access_key=ds\n# no\n[shop]\naws_access_key_id = s\n\
                     aws_secret_access_key = ss\naws_session_token = st\n";

#[test]
fn the_first_place_that_has_keys_is_taken() {
    let given = Given::new().file(".aws/credentials", FILES);
    assert_eq!(given.get().access_key_id, "d");
    let given = given.env("AWS_PROFILE", "shop");
    let keys = given.get();
    assert_eq!((keys.access_key_id.as_str(), keys.session_token.as_deref()), ("s", Some("st")));
    let given = given.env("AWS_ACCESS_KEY_ID", "e").env("AWS_SECRET_ACCESS_KEY", "es");
    assert_eq!(given.get().access_key_id, "e");
    let given = given.option("aws.credentials.profile.name", "default");
    assert_eq!(given.get().access_key_id, "d");
    let given = given
        .option("aws.credentials.basic.accesskeyid", "b")
        .option("aws.credentials.basic.secretkey", "bs");
    assert_eq!(given.get().access_key_id, "b");
    for (provider, id) in [("ENV_VAR", "e"), ("PROFILE", "d"), ("BASIC", "b")] {
        let mut credentials = given.credentials();
        let options = [given.options.clone(), [("aws.credentials.provider".into(), provider.into())].into()];
        let options: BTreeMap<String, String> = options.into_iter().flatten().collect();
        credentials.options = Options::check(&options, &COMMON).unwrap();
        assert!(credentials.get().is_ok_and(|keys| keys.access_key_id == id), "{provider}");
    }
}

#[test]
fn regions_and_unsupported_profiles_are_read_from_the_configuration() {
    let given = Given::new().env(NOWHERE.0, NOWHERE.1).file(
        ".aws/config",
        "[default]\nregion = eu-north-1\n[profile a]\nsso_session = x\nregion=b\ns3 =\n  region = no\n",
    );
    assert_eq!(region(&given.credentials()).as_deref(), Some("eu-north-1"));
    assert!(given.error().contains("no credentials are found"), "{}", given.error());
    let given = given.env("AWS_PROFILE", "a");
    assert_eq!(region(&given.credentials()).as_deref(), Some("b"));
    assert!(given.error().contains("has sso_session, which is not supported"), "{}", given.error());
    let given = Given::new().option("aws.credentials.provider", "PROFILE");
    assert!(given.error().contains("no profile 'default'"), "{}", given.error());
}

fn sts(prefix: &'static str) -> Served {
    Served::start(move |request| {
        let name = if request.contains("AssumeRoleWithWebIdentity") { "web" } else { "role" };
        let keys = format!(
            "<AccessKeyId>{prefix}{name}</AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>2100-01-01T00:00:00Z</Expiration>"
        );
        (200, format!("<R xmlns=\"https://sts\"><Result><Credentials>{keys}</Credentials></Result></R>"))
    })
}

#[test]
fn roles_are_taken_with_other_keys_and_with_the_token_of_a_web_identity() {
    let served = sts("");
    let config = "[profile r]\nrole_arn = arn:r\nsource_profile = shop\nexternal_id = 42\n[profile loop]\nrole_arn = a\n\
                  source_profile = pool\n[profile pool]\nrole_arn = a\nsource_profile = loop\n";
    let given = Given::new()
        .file(".aws/credentials", FILES)
        .file(".aws/config", config)
        .file("token", "a.b.c\n")
        .env("AWS_ENDPOINT_URL_STS", &served.url)
        .env("AWS_PROFILE", "r");
    let keys = given.get();
    assert_eq!((keys.access_key_id.as_str(), keys.expires_ms), ("role", Some(4_102_444_800_000)));
    let asked = served.asked().remove(0);
    for part in
        ["Credential=s/", "/eu-west-1/sts/", "x-amz-security-token: st", "RoleArn=arn%3Ar", "ExternalId=42"]
    {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    let looped = given.env("AWS_PROFILE", "loop");
    assert!(looped.error().contains("leads to itself"), "{}", looped.error());
    let token = looped.home.path().join("token").display().to_string();
    let web = looped.env("AWS_WEB_IDENTITY_TOKEN_FILE", token).env("AWS_ROLE_ARN", "arn:w");
    assert_eq!(web.get().access_key_id, "web");
    let asked = served.asked().pop().unwrap();
    assert!(
        asked.contains("WebIdentityToken=a.b.c&") || asked.ends_with("WebIdentityToken=a.b.c"),
        "{asked}"
    );
    assert!(!asked.contains("authorization"), "{asked}");
    let assumed = Given::new()
        .option("aws.credentials.provider", "ASSUME_ROLE")
        .option("aws.credentials.role.arn", "arn:x")
        .option("aws.credentials.role.provider", "ENV_VAR")
        .option("aws.credentials.role.stsEndpoint", &served.url)
        .env("AWS_ACCESS_KEY_ID", "e")
        .env("AWS_SECRET_ACCESS_KEY", "es");
    assert_eq!(assumed.get().access_key_id, "role");
}

fn machine(expires: &'static str) -> Served {
    Served::start(move |request| match request.split(' ').nth(1).unwrap() {
        "/latest/api/token" if request.starts_with("PUT") => (200, "token-of-session".into()),
        _ if !request.contains("x-aws-ec2-metadata-token: token-of-session")
            && !request.contains("authorization: a b") =>
        {
            (401, String::new())
        }
        "/latest/meta-data/iam/security-credentials/" => (200, "my role".into()),
        "/latest/meta-data/iam/security-credentials/my%20role" | "/container" => (
            200,
            format!(
                "{{\"AccessKeyId\":\"m\",\"SecretAccessKey\":\"ms\",\"Token\":\"mt\",\"Expiration\":\"{expires}\"}}"
            ),
        ),
        _ => (404, String::new()),
    })
}

#[test]
fn a_machine_and_a_container_hand_out_keys() {
    let served = machine("2100-01-01T00:00:00Z");
    let given = Given::new().env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &served.url);
    let keys = given.get();
    assert_eq!((keys.access_key_id.as_str(), keys.session_token.as_deref()), ("m", Some("mt")));
    assert_eq!(served.asked().len(), 3);
    let given = Given::new()
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", served.url))
        .file("token", "a b\n");
    let token = given.home.path().join("token").display().to_string();
    let given = given.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token);
    assert_eq!(given.get().access_key_id, "m");
    let evil = Given::new().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/x");
    assert!(evil.error().contains("over https only"), "{}", evil.error());
}

#[test]
fn link_local_places_are_asked_only_if_that_is_allowed() {
    let told = Given::new().error();
    assert!(told.contains("no credentials are found") && told.contains("--allow-link-local"), "{told}");
    let told = Given::new().env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x").error();
    assert!(told.contains("--allow-link-local"), "{told}");
}

#[test]
fn keys_are_fetched_anew_before_they_end() {
    let end_ms = time_ms("2030-01-01T00:00:00Z").unwrap();
    // How long they hold when they are got, how much time passes before each look, and how often they were asked for then.
    type Case<'a> = (i64, &'a [(u64, usize)]);
    let cases: [Case<'_>; 2] = [
        (3_600_000, &[(0, 1), (3_299_000, 1), (1_000, 2)]),
        // Those that hold for two minutes are not asked for with each call.
        (120_000, &[(0, 1), (60_000, 1), (29_000, 1), (1_000, 2), (0, 2), (22_000, 2), (500, 3)]),
    ];
    for (holds_ms, looks) in cases {
        let served = machine("2030-01-01T00:00:00Z");
        let clock = Arc::new(SimClock::new(end_ms - holds_ms));
        let mut given = Given::new().env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &served.url);
        given.os = Os { clock: clock.clone(), ..Os::real() };
        let mut credentials = given.credentials();
        for (advance_ms, times) in looks {
            clock.advance_ms(*advance_ms);
            credentials.get().map_err(|error| error.message).unwrap();
            // A token, the role's name, and the keys.
            assert_eq!(served.asked().len(), 3 * times, "{holds_ms} ms, {advance_ms} ms later");
        }
    }
}

#[test]
fn the_last_keys_do_while_whoever_hands_them_out_is_away_and_are_not_asked_for_with_each_call() {
    let end_ms = time_ms("2030-01-01T00:00:00Z").unwrap();
    let clock = Arc::new(SimClock::new(end_ms - 3_600_000));
    let mut times = 0;
    let served = Served::start(move |_| {
        times += 1;
        let keys =
            r#"{"AccessKeyId":"c","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-01T00:00:00Z"}"#;
        if times == 1 { (200, keys.into()) } else { (500, String::new()) }
    });
    let mut given = Given::new().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &served.url);
    given.os = Os { clock: clock.clone(), ..Os::real() };
    let mut credentials = given.credentials();
    for (advance_ms, asked) in [(0, 1), (3_400_000, 2), (9_000, 2), (1_000, 3)] {
        clock.advance_ms(advance_ms);
        assert!(credentials.get().is_ok_and(|keys| keys.access_key_id == "c"));
        assert_eq!(served.asked().len(), asked);
    }
    clock.advance_ms(200_000);
    assert!(credentials.get().is_err(), "keys that have ended");
}
