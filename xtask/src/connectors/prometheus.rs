//! Prometheus, which takes samples by remote-write: a metric for each trial, and a series for each key; jobs reach it through the gate.

use std::path::Path;

use anyhow::{Result, bail};

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, KEYS, Outside, Place, REFUSED, USER, text};
use crate::process::Server;
use crate::prometheus::{self, Receiver};

/// A series says by it that it has ended; queries leave it out.
const STALE: u64 = 0x7ff0_0000_0000_0002;

pub struct RemoteWrite {
    server: Receiver,
    password: String,
    gate: Gate,
}

impl RemoteWrite {
    pub fn new(folder: &Path) -> Result<RemoteWrite> {
        let server = Receiver::start(folder, USER, FIRST_PASSWORD)?;
        Ok(RemoteWrite { gate: Gate::to(server.port)?, password: FIRST_PASSWORD.to_owned(), server })
    }

    fn login(&self) -> String {
        format!("{USER}:{}", self.password)
    }
}

impl Outside for RemoteWrite {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn connector(&self) -> &'static str {
        "prometheus"
    }

    fn version(&self) -> Result<String> {
        prometheus::version()
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Sink]
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.server.end();
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    /// A metric is there with its first sample.
    fn prepare(&mut self, _place: &Place, _direction: Direction) -> Result<()> {
        Ok(())
    }

    /// A number is a value, and its own time in milliseconds.
    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'prometheus', 'metric.endpoint-url' = 'http://127.0.0.1:{}/api/v1/write', \
             'metric.name.fixed' = '{}', 'metric.label.keys' = 'k', 'metric.sample.key' = 'n', \
             'metric.sample.timestamp' = 'n', 'username' = '{USER}', 'password' = '${{file:{}}}', 'timeout' = '4 s', \
             'sink.flush-buffer.timeout' = '100 ms'",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        // What is in a float is a whole number.
        Ok(self.server.samples(&self.login(), &place.name)?.into_iter().map(|value| value as u64).collect())
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.password = password.to_owned();
        self.server.set_password(USER, password)
    }

    fn refusal(&self) -> &'static str {
        "the server answers 401"
    }

    /// A sample behind it is in its series already.
    fn refuse(&mut self, place: &Place) -> Result<()> {
        let key = (REFUSED % KEYS).to_string();
        let labels = [("__name__", place.name.as_str()), ("k", &key)];
        self.server.write(&self.login(), &labels, f64::from_bits(STALE), REFUSED as u8 + 1)
    }

    fn exempt(&self, _direction: Direction, case: &str) -> Option<&'static str> {
        (case == "mismatch").then_some("a metric has no columns")
    }

    fn mismatch(&mut self, _place: &Place, _direction: Direction) -> Result<String> {
        bail!("it does not apply")
    }
}
