//! Signatures of webhooks: who sends one shows with a shared secret that the body is its own.
//!
//! Each scheme is a sender's: which headers it uses, what it signs, how it writes the signature. All are HMAC-SHA256.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::fmt;
use subtle::ConstantTimeEq;

/// A signature with a time is refused when it is older or newer than this: somebody may have recorded it.
const TOLERANCE_MS: i64 = 5 * 60_000;

/// Who signs, and so how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    GitHub,
    Shopify,
    Slack,
    Standard,
    Stripe,
}

impl Scheme {
    pub const ALL: [(&'static str, Scheme); 5] = [
        ("github", Scheme::GitHub),
        ("shopify", Scheme::Shopify),
        ("slack", Scheme::Slack),
        ("standard-webhooks", Scheme::Standard),
        ("stripe", Scheme::Stripe),
    ];

    pub fn parse(name: &str) -> Option<Scheme> {
        Scheme::ALL.iter().find(|(known, _)| *known == name).map(|(_, scheme)| *scheme)
    }

    /// Headers that say more about the event than its body, in lower case.
    pub fn telling(self) -> &'static [&'static str] {
        match self {
            Scheme::GitHub => &["x-github-event"],
            Scheme::Shopify => &["x-shopify-topic", "x-shopify-shop-domain"],
            Scheme::Slack | Scheme::Standard | Scheme::Stripe => &[],
        }
    }
}

/// What two sides share. It shows itself nowhere.
#[derive(Clone)]
pub struct Secret {
    scheme: Scheme,
    key: hmac::Key,
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Secret({:?})", self.scheme)
    }
}

/// The values of headers, by names in lower case.
pub type Headers<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

impl Secret {
    /// The secret as the sender shows it.
    pub fn new(scheme: Scheme, text: &str) -> Result<Secret, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the secret is empty");
        }
        let bytes = match scheme {
            Scheme::Standard => {
                let bare = text.strip_prefix("whsec_").unwrap_or(text);
                STANDARD.decode(bare).map_err(|_| "the secret is not 'whsec_' and base64")?
            }
            _ => text.as_bytes().to_vec(),
        };
        Ok(Secret { scheme, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the signature is that of the body; answers what tells the delivery from others, if the sender says.
    pub fn check(
        &self,
        header: Headers<'_>,
        body: &[u8],
        now_ms: i64,
    ) -> Result<Option<String>, &'static str> {
        let missing = "the request has no signature";
        match self.scheme {
            Scheme::GitHub => {
                let given = header("x-hub-signature-256").ok_or(missing)?;
                self.verify(&[body], of_hex(given.strip_prefix("sha256=")))?;
                Ok(header("x-github-delivery").map(str::to_owned))
            }
            Scheme::Shopify => {
                let given = header("x-shopify-hmac-sha256").ok_or(missing)?;
                self.verify(&[body], STANDARD.decode(given).ok())?;
                Ok(header("x-shopify-webhook-id").map(str::to_owned))
            }
            Scheme::Slack => {
                let given = header("x-slack-signature").ok_or(missing)?;
                let time = header("x-slack-request-timestamp").ok_or(missing)?;
                is_now(time, now_ms)?;
                self.verify(&[b"v0:", time.as_bytes(), b":", body], of_hex(given.strip_prefix("v0=")))?;
                Ok(None)
            }
            Scheme::Standard => {
                let (id, time) =
                    (header("webhook-id").ok_or(missing)?, header("webhook-timestamp").ok_or(missing)?);
                let given = header("webhook-signature").ok_or(missing)?;
                is_now(time, now_ms)?;
                let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body];
                let versions = given.split(' ').filter_map(|one| one.strip_prefix("v1,"));
                self.verify_any(&signed, versions.map(|one| STANDARD.decode(one).ok()))?;
                Ok(Some(id.to_owned()))
            }
            Scheme::Stripe => {
                let given = header("stripe-signature").ok_or(missing)?;
                let parts = || given.split(',').filter_map(|part| part.trim().split_once('='));
                let time = parts().find(|(name, _)| *name == "t").map(|(_, time)| time).ok_or(missing)?;
                let versions = parts().filter(|(name, _)| *name == "v1").map(|(_, hex)| of_hex(Some(hex)));
                is_now(time, now_ms)?;
                self.verify_any(&[time.as_bytes(), b".", body], versions)?;
                let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
                Ok(body.and_then(|body| Some(body.get("id")?.as_str()?.to_owned())))
            }
        }
    }

    fn verify(&self, signed: &[&[u8]], given: Option<Vec<u8>>) -> Result<(), &'static str> {
        self.verify_any(signed, std::iter::once(given))
    }

    /// Senders that change their secret sign with both for a while. The body is summed once, however many are given.
    fn verify_any(
        &self,
        signed: &[&[u8]],
        given: impl Iterator<Item = Option<Vec<u8>>>,
    ) -> Result<(), &'static str> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in signed {
            context.update(part);
        }
        let tag = context.sign();
        let fits = given.flatten().any(|given| bool::from(tag.as_ref().ct_eq(&given)));
        if fits { Ok(()) } else { Err("the signature is not that of the body and the secret") }
    }
}

fn is_now(seconds: &str, now_ms: i64) -> Result<(), &'static str> {
    let time_ms = seconds.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000));
    match time_ms {
        Some(time_ms) if now_ms.saturating_sub(time_ms).saturating_abs() <= TOLERANCE_MS => Ok(()),
        _ => Err("the signature's time is more than five minutes off the node's clock"),
    }
}

fn of_hex(text: Option<&str>) -> Option<Vec<u8>> {
    let digits = text?.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits.chunks(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_614_265_330_000;

    fn check(
        secret: &Secret,
        headers: &[(&str, &str)],
        body: &str,
        now_ms: i64,
    ) -> Result<Option<String>, &'static str> {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        secret.check(&header, body.as_bytes(), now_ms)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The examples that the senders' own documents give.
    #[test]
    fn the_senders_own_examples_fit() {
        let github = Secret::new(Scheme::GitHub, "It's a Secret to Everybody").unwrap();
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = [("x-hub-signature-256", signature), ("x-github-delivery", "d1")];
        assert_eq!(check(&github, &headers, "Hello, World!", 0), Ok(Some("d1".into())));
        let standard = Secret::new(Scheme::Standard, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1a,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(check(&standard, &headers, body, NOW_MS), Ok(Some("msg_p5jXN8AQM9LWM0D4loKWxJek".into())));
        assert!(
            check(&standard, &headers, body, NOW_MS + TOLERANCE_MS + 1).unwrap_err().contains("five minutes")
        );
        assert!(check(&standard, &headers, "{}", NOW_MS).unwrap_err().contains("not that of the body"));
        let slack = Secret::new(Scheme::Slack, "8f742231b10e8888abcd99yyyzzz85a5").unwrap();
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                    channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                    response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let headers = [
            ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ("x-slack-request-timestamp", "1531420618"),
        ];
        assert_eq!(check(&slack, &headers, body, 1_531_420_618_000), Ok(None));
    }

    #[test]
    fn stripe_and_shopify_sign_as_they_write_it() {
        let sign = |text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"whsec_x"), text.as_bytes());
        let stripe = Secret::new(Scheme::Stripe, "whsec_x").unwrap();
        let body = r#"{"id": "evt_1"}"#;
        let signature = hex(sign(&format!("1614265330.{body}")).as_ref());
        let both = format!("t=1614265330,v1={},v1={signature},v0=aa", "00".repeat(32));
        assert_eq!(check(&stripe, &[("stripe-signature", &both)], body, NOW_MS), Ok(Some("evt_1".into())));
        let other_time = format!("t=1614265331,v1={signature}");
        check(&stripe, &[("stripe-signature", &other_time)], body, NOW_MS).unwrap_err();
        let shopify = Secret::new(Scheme::Shopify, "whsec_x").unwrap();
        let signature = STANDARD.encode(sign(body).as_ref());
        let headers = [("x-shopify-hmac-sha256", signature.as_str()), ("x-shopify-webhook-id", "w1")];
        assert_eq!(check(&shopify, &headers, body, 0), Ok(Some("w1".into())));
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        for (name, scheme) in Scheme::ALL {
            let secret = Secret::new(scheme, "whsec_AAAA").unwrap();
            assert_eq!(Scheme::parse(name), Some(scheme));
            assert_eq!(check(&secret, &[], "x", 0), Err("the request has no signature"), "{name}");
            for wrong in ["", "x", "sha256=", "sha256=zz", "v1,", "t=1,v1=zz", "v0=1"] {
                let names = [
                    "x-hub-signature-256",
                    "x-shopify-hmac-sha256",
                    "x-slack-signature",
                    "x-slack-request-timestamp",
                    "webhook-id",
                    "webhook-timestamp",
                    "webhook-signature",
                    "stripe-signature",
                ];
                let headers = names.map(|name| (name, wrong));
                check(&secret, &headers, "x", 0).unwrap_err();
            }
            assert!(!format!("{secret:?}").contains("whsec"));
        }
        assert!(Secret::new(Scheme::GitHub, " ").is_err());
        assert!(Secret::new(Scheme::Standard, "whsec_?").is_err());
    }
}
