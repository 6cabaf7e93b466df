//! What is shown of options that hold secrets: of a password nothing, of an address with one all the rest.

use std::borrow::Cow;
use std::ops::Range;

/// What stands in a secret's place.
pub const HIDDEN: &str = "******";

/// Parts of the names of what is secret.
const PARTS: &[&str] = &[
    "password",
    "secret",
    "jaas",
    "token",
    "api-key",
    "apikey",
    "account-key",
    "private",
    "user-info",
    "authorization",
];

/// What stands before the name of a header that an option gives: who we are may be said in any of them.
const HEADER: &str = ".header.";
/// The whole names of parameters in an address by which many services are told who asks, in small letters.
const PARAMETERS: &[&str] =
    &["key", "access-key", "accesskey", "subscription-key", "auth", "code", "jwt", "pwd", "sig", "signature"];

/// Whether an option's value is nobody's to see: by its name, so that it holds for what stands behind a `*` too.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('_', "-");
    // Iceberg's name for an id and a secret (other keys say of credentials where they are), and what is said to a WebSocket
    // when it is opened.
    let whole = ["credential", "open-message"].contains(&key.as_str());
    // A program's environment is where it has its secrets, under any name.
    whole
        || key.starts_with("environment.")
        || key.contains(HEADER)
        || PARTS.iter().any(|part| key.contains(part))
}

/// The same of a parameter in an address.
fn is_secret_parameter(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    // `X-Amz-Signature`, `X-Goog-Signature`.
    is_secret(&name) || PARAMETERS.contains(&name.as_str()) || name.ends_with("-signature")
}

/// An option's value as it may be shown. What only says where a secret stands (`${env:NAME}`, `${file:PATH}`) is none.
pub fn shown<'a>(key: &str, value: &'a str) -> Cow<'a, str> {
    let places = places(key, value);
    if places.is_empty() {
        return Cow::Borrowed(value);
    }
    let (mut out, mut next) = (String::new(), 0);
    for place in places {
        out.push_str(&value[next..place.start]);
        out.push_str(HIDDEN);
        next = place.end;
    }
    out.push_str(&value[next..]);
    Cow::Owned(out)
}

/// A SQL text with each byte of a secret in its options (`'key' = 'value'`) made a `*`, so that all else stays in its place.
pub fn hidden_in(sql: &str) -> String {
    let mut bytes = sql.as_bytes().to_vec();
    let mut key = "";
    for (literal, follows_equals) in literals(sql) {
        let value = &sql[literal.clone()];
        for place in places(if follows_equals { key } else { "" }, value) {
            bytes[literal.start + place.start..literal.start + place.end].fill(b'*');
        }
        key = value;
    }
    // Whole characters were replaced.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The insides of the literals of a SQL text, and whether nothing but a `=` stands between one and the one before it.
fn literals(sql: &str) -> impl Iterator<Item = (Range<usize>, bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + sql[at..].find('\'')? + 1;
        let follows_equals = sql[at..start - 1].trim() == "=";
        let mut end = start;
        // Two quotes stand for one, inside.
        loop {
            end += sql[end..].find('\'').unwrap_or(sql.len() - end);
            if !sql[end..].starts_with("''") {
                break;
            }
            end += 2;
        }
        at = (end + 1).min(sql.len());
        Some((start..end, follows_equals))
    })
}

fn is_reference(value: &str) -> bool {
    let name = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.starts_with("env:") || name.starts_with("file:"))
}

/// Where secrets stand in a value, in order: all of it, the password of `scheme://user:password@host`, or the values of
/// secret parameters.
fn places(key: &str, value: &str) -> Vec<Range<usize>> {
    if is_reference(value) || value.is_empty() {
        return Vec::new();
    }
    if is_secret(key) {
        return std::iter::once(0..value.len()).collect();
    }
    let Some(start) = value.find("//").map(|at| at + 2) else { return Vec::new() };
    let mut found = Vec::new();
    let place_end = value[start..].find('?').map_or(value.len(), |at| start + at);
    let place = &value[start..place_end];
    // A password may hold an `@` or a `/` of its own: the last `@` parts it from the host.
    let host_end = place.find('/').unwrap_or(place.len());
    if let Some(at) = place.rfind('@')
        && let Some(colon) = place[..at].find(':')
        && (at < host_end || colon < host_end)
    {
        found.push(start + colon + 1..start + at);
    }
    let mut next = place_end + 1;
    for parameter in value.get(next..).unwrap_or_default().split('&') {
        if let Some((name, text)) = parameter.split_once('=')
            && is_secret_parameter(name)
            && !text.is_empty()
        {
            found.push(next + name.len() + 1..next + parameter.len());
        }
        next += parameter.len() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_shown() {
        for (key, value, expected) in [
            ("password", "pencil", HIDDEN),
            ("properties.sasl.password", "pencil", HIDDEN),
            ("properties.sasl.jaas.config", "x password=\"pencil\"", HIDDEN),
            ("avro-confluent.basic-auth.user-info", "me:pencil", HIDDEN),
            ("password", "${env:PENCIL}", "${env:PENCIL}"),
            ("password", "${pencil}", HIDDEN),
            ("credential", "me:pencil", HIDDEN),
            ("aws.credentials.provider", "BASIC", "BASIC"),
            ("topic", "orders", "orders"),
            ("path", "a:b@c", "a:b@c"),
            ("url", "jdbc:postgresql://host:5432/shop", "jdbc:postgresql://host:5432/shop"),
            (
                "url",
                "jdbc:postgresql://host/shop?user=u&password=p%26&sslmode=disable",
                "jdbc:postgresql://host/shop?user=u&password=******&sslmode=disable",
            ),
            ("url", "amqp://me:p@ss@host:5672/v", "amqp://me:******@host:5672/v"),
            ("url", "amqp://me:p/ss@host:5672/v", "amqp://me:******@host:5672/v"),
            ("url", "https://me@host/x@y", "https://me@host/x@y"),
            ("http.sink.header.Cookie", "s=pencil", HIDDEN),
            ("http.source.lookup.header.X-Key", "${env:PENCIL}", "${env:PENCIL}"),
            (
                "url",
                "https://h/p?api_key=p&sig=p&code=p&KEY=p&access_key=p&X-Amz-Signature=p&keys=p&sort=p",
                "https://h/p?api_key=******&sig=******&code=******&KEY=******&access_key=******&X-Amz-Signature=******&keys=p&sort=p",
            ),
        ] {
            assert_eq!(shown(key, value), expected, "{key}={value}");
        }
    }

    #[test]
    fn secrets_in_a_text_keep_their_place() {
        for (text, expected) in [
            ("WITH ('password' = 'pen''cil', 'a' = 'b')", "WITH ('password' = '********', 'a' = 'b')"),
            ("'a.password'\n  =\n 'x\u{fc}' ", "'a.password'\n  =\n '***' "),
            ("'url' = 'x://u:p@h/?password=q&z=1'", "'url' = 'x://u:*@h/?password=*&z=1'"),
            (
                "'password' = '${env:X}', SELECT 'password', 'x'",
                "'password' = '${env:X}', SELECT 'password', 'x'",
            ),
            ("'password' = 'not ended", "'password' = '*********"),
            ("it's", "it's"),
            ("'", "'"),
            ("", ""),
        ] {
            assert_eq!(hidden_in(text), expected);
            assert_eq!(hidden_in(text).len(), text.len());
        }
    }
}
