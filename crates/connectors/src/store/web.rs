//! Servers of one cluster that are asked over HTTP, one after the other: a connection is kept, and made to the next server
//! where one is lost.
//!
//! The password is read for each request anew. Where the servers have let us in before and do so no more, it is being changed,
//! and its file may follow.

use crate::http_answers::shown_bytes;
use crate::http_connection::HttpAnswer;
use crate::http_host::{Host, Lane, Lost, host_header, written};
use crate::messages::{Done, ServerError, tls};
use auth::https::Url;
use base::ErrorKind;
use base::options::Options;
use os::Os;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Web {
    os: Os,
    options: Options,
    urls: Vec<Url>,
    /// Which of them is asked.
    at: usize,
    timeout: Duration,
    open: Option<(Host, Lane)>,
    was_let_in: bool,
}

/// One request.
pub(crate) struct Ask<'a> {
    pub method: &'a str,
    /// With its query, encoded; begins with `/`.
    pub target: &'a str,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

/// The addresses in a list that `separator` takes apart. What is wrong with one is said without it: it may hold a password.
pub(crate) fn urls(text: &str, separator: char, key: &str) -> Result<Vec<Url>, String> {
    let one = |text: &str| {
        Url::parse(text.trim()).map_err(|_| {
            format!("'{key}' has to be http://HOST:PORT or https://HOST:PORT, with user and password in options of their own")
        })
    };
    text.split(separator).map(one).collect()
}

impl Web {
    /// From checked options: `username`, `password` and those of TLS.
    pub(crate) fn new(os: &Os, options: &Options, urls: Vec<Url>, timeout: Duration) -> Web {
        let timeout = timeout.max(Duration::from_millis(1));
        let (os, options) = (os.clone(), options.clone());
        Web { os, options, urls, at: 0, timeout, open: None, was_let_in: false }
    }

    /// The same with another time-out.
    pub(crate) fn within(self, timeout: Duration) -> Web {
        Web { timeout: timeout.max(Duration::from_millis(1)), ..self }
    }

    fn place(&self) -> String {
        self.urls.get(self.at).map(Url::address).unwrap_or_default()
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.options.text("username")
    }

    fn connect(&self) -> Done<(Host, Lane)> {
        let url = self.urls.get(self.at).ok_or_else(|| ServerError::invalid("no server is named"))?;
        let tls = match url.tls {
            true => Some(Arc::new(tls(&self.options).map_err(ServerError::invalid)?)),
            false => None,
        };
        let host = Host::new(&self.os, url, tls, self.timeout, ANSWER_BYTES_MAX);
        let mut lane = Lane::default();
        host.connect(&mut lane).map_err(|lost| lost.told(url))?;
        Ok((host, lane))
    }

    /// Connects to the first server that can be reached, beginning with the one that was asked last.
    fn connect_to_any(&mut self) -> Done<(Host, Lane)> {
        let mut last = Err(ServerError::invalid("no server is named"));
        for _ in 0..self.urls.len() {
            last = self.connect();
            match &last {
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    self.at = (self.at + 1) % self.urls.len();
                }
                _ => break,
            }
        }
        last
    }

    fn authorization(&self) -> Done<Option<String>> {
        let Some(user) = self.user() else { return Ok(None) };
        let password = self.options.text("password").unwrap_or_default();
        let password = auth::secrets::resolved(password);
        let password = password.map_err(|error| ServerError::invalid(format!("'password': {error}")))?;
        Ok(Some(auth::plain::Login::basic(user, &password)))
    }

    /// Asks once. Where no answer comes the server may have done what it was asked.
    pub(crate) fn ask(&mut self, ask: &Ask<'_>) -> Done<HttpAnswer> {
        let authorization = self.authorization()?;
        let (host, mut lane) = match self.open.take() {
            Some(open) => open,
            None => self.connect_to_any()?,
        };
        let mut headers = vec![("host".to_string(), host_header(host.url()))];
        headers.extend(authorization.map(|value| ("authorization".to_string(), value)));
        if !ask.content_type.is_empty() {
            headers.push(("content-type".into(), ask.content_type.into()));
        }
        let request = written(ask.method, ask.target, &headers, ask.body);
        let mut answers = host.exchange(std::slice::from_mut(&mut lane), &[request]);
        match answers.pop().unwrap_or(Err(Lost::Late)) {
            Ok(answer) => {
                self.open = Some((host, lane));
                if answer.status == 401 {
                    return Err(self.refused(&words(&answer.body)));
                }
                self.was_let_in |= (200..300).contains(&answer.status);
                Ok(answer)
            }
            // The next one may be well.
            Err(lost) => {
                self.at = (self.at + 1) % self.urls.len().max(1);
                Err(lost.told(host.url()))
            }
        }
    }

    /// The server does not let us in.
    pub(crate) fn refused(&self, words: &str) -> ServerError {
        let who = self.user().map_or_else(|| "nobody".to_string(), |user| format!("the user '{user}'"));
        let kind = if self.was_let_in { ErrorKind::Unavailable } else { ErrorKind::Invalid };
        let message = format!(
            "{}: the server refuses the log-in of {who}: {words}; look at 'username' and 'password'",
            self.place()
        );
        ServerError::new(kind, message)
    }
}

/// What a server says, short enough for an error.
pub(crate) fn words(body: &[u8]) -> String {
    match shown_bytes(body) {
        line if line.is_empty() => "it says nothing more".into(),
        line => line,
    }
}
