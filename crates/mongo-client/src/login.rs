//! How a user is proven: SCRAM in commands of the server.

use crate::connection::Connection;
use crate::scram::{Mechanism, Scram};
use crate::{Address, WireError, Wired, broken, code, wrong};
use formats::bson::{Bson, Document};
use os::Os;

/// The first version whose servers know SCRAM-SHA-256: 4.0.
const SHA_256_WIRE_VERSION: i64 = 7;

/// The way to log in, from what the address says, and what the server says of the user.
pub(crate) fn mechanism(address: &Address, hello: &Document) -> Wired<Mechanism> {
    let named = |name: &str| [Mechanism::Sha256, Mechanism::Sha1].into_iter().find(|one| one.name() == name);
    if let Some(name) = &address.mechanism {
        return named(name).ok_or_else(|| wrong("there is no such way to log in"));
    }
    let Some(offered) = hello.array("saslSupportedMechs") else {
        // It says nothing of a user that it does not know.
        let is_new = hello.number("maxWireVersion").unwrap_or(0) >= SHA_256_WIRE_VERSION;
        return Ok(if is_new { Mechanism::Sha256 } else { Mechanism::Sha1 });
    };
    let has = |mechanism: &Mechanism| offered.contains(&Bson::from(mechanism.name()));
    [Mechanism::Sha256, Mechanism::Sha1].into_iter().find(has).ok_or_else(|| {
        let offered: Vec<String> = offered.iter().take(8).filter_map(Bson::to_text).collect();
        wrong(format!(
            "the server offers this user only other ways to log in ({}); SCRAM-SHA-256 and SCRAM-SHA-1 are supported",
            offered.join(", ")
        ))
    })
}

pub(crate) fn log_in(connection: &mut Connection, os: &Os, address: &Address, hello: &Document) -> Wired<()> {
    let Some(user) = &address.user else { return Ok(()) };
    let password = address.password.as_deref().unwrap_or_default();
    let password = auth::secrets::resolved(password)
        .map_err(|error| wrong(format!("{}: {error}", address.options.password)))?;
    let mechanism = mechanism(address, hello)?;
    let mut nonce = [0; 18];
    os.random.fill(&mut nonce);
    let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
    let scram = Scram::new(mechanism, user, &password, &nonce);
    let begin = Document::new()
        .with("saslStart", 1)
        .with("mechanism", mechanism.name())
        .with("payload", payload(&scram.first()))
        .with("autoAuthorize", 1)
        .with("options", Document::new().with("skipEmptyExchange", true));
    let database = &address.auth_database;
    let answer = connection.command(database, begin).map_err(|error| refused(error, database))?;
    let proof = scram.answer(&said(&answer)?).map_err(broken)?;
    let answer = go_on(connection, database, &answer, &proof.message)?;
    proof.check(&said(&answer)?).map_err(wrong)?;
    // Older servers want a last word.
    if !answer.is_true("done") && !go_on(connection, database, &answer, "")?.is_true("done") {
        return Err(broken("the server goes on asking who we are"));
    }
    Ok(())
}

fn go_on(connection: &mut Connection, database: &str, answer: &Document, message: &str) -> Wired<Document> {
    let command = Document::new()
        .with("saslContinue", 1)
        .with("conversationId", answer.get("conversationId").cloned().unwrap_or(Bson::Null))
        .with("payload", payload(message));
    connection.command(database, command).map_err(|error| refused(error, database))
}

fn payload(message: &str) -> Bson {
    Bson::Binary { subtype: 0, bytes: message.as_bytes().to_vec() }
}

fn said(answer: &Document) -> Wired<String> {
    match answer.get("payload") {
        Some(Bson::Binary { bytes, .. }) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err(broken("the server does not speak MongoDB's protocol")),
    }
}

/// The server does not say whether it is the name or the password.
fn refused(error: WireError, database: &str) -> WireError {
    match error.code {
        code::AUTHENTICATION_FAILED => {
            let message = format!(
                "{}; look at the user and the password, and at the database that knows the user (authSource={database})",
                error.message
            );
            WireError { message, ..error }
        }
        _ => error,
    }
}
