//! Topics of Amazon SNS: moto, which keeps what was published.
//!
//! It keeps nothing over a restart, so a server that is away is one whose gate is shut.

use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, text};
use super::trial::number;
use crate::aws::{ACCOUNT, KEY_ID, Moto, REGION};
use crate::process::Server;

pub struct Sns {
    moto: Moto,
    gate: Gate,
}

impl Sns {
    pub fn new(folder: &Path) -> Result<Sns> {
        let moto = Moto::start(folder, FIRST_PASSWORD)?;
        Ok(Sns { gate: Gate::to(moto.port)?, moto })
    }
}

impl Outside for Sns {
    fn name(&self) -> &'static str {
        "sns"
    }

    fn connector(&self) -> &'static str {
        "sns"
    }

    fn version(&self) -> Result<String> {
        let moto = Moto::version();
        Ok(format!("standard topics of {moto}; away is a shut gate, for it keeps nothing over a restart"))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Sink]
    }

    fn exempt(&self, _direction: Direction, case: &str) -> Option<&'static str> {
        match case {
            "poison" => {
                Some("a topic refuses a message for its size or its characters, and numbers have neither")
            }
            _ => None,
        }
    }

    fn may_repeat(&self, _direction: Direction) -> bool {
        true
    }

    fn refusal(&self) -> &'static str {
        "SignatureDoesNotMatch"
    }

    fn server(&self) -> Result<&Server> {
        Ok(&self.moto.server)
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.moto.ask("topic", &[("name", &place.name)], b"").map(drop)
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'sns', 'topic-arn' = 'arn:aws:sns:{REGION}:{ACCOUNT}:{}', \
             'aws.endpoint' = 'http://127.0.0.1:{}', 'format' = 'json', 'aws.credentials.provider' = 'BASIC', \
             'aws.credentials.basic.accesskeyid' = '{KEY_ID}', \
             'aws.credentials.basic.secretkey' = '${{file:{}}}', 'timeout' = '4 s'",
            place.name,
            self.gate.port,
            text(&place.password_file()),
        )
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let rows = self.moto.ask("read_topic", &[("name", &place.name)], b"")?;
        rows.lines().map(|row| number(row.as_bytes())).collect()
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.moto.ask("secret", &[], password.as_bytes()).map(drop)
    }

    fn mismatch(&mut self, _place: &Place, _direction: Direction) -> Result<String> {
        // A topic has no columns; what does not fit is that it is not there.
        Ok("create the topic".to_owned())
    }
}
