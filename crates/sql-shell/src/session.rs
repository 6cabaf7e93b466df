//! A session on a server: statements and what comes of them, interrupts that cancel.

use crate::told::printable;
use os::Os;
use pg_client::{
    Address, CancelKey, Connection, Described, Report, TextRows, WireError, broken, cancel, command_tag,
    described, row,
};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a connection, or a message that has begun, may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer is waited for at a time; there is no limit to all of it.
const WAIT: Duration = Duration::from_secs(3600);
/// What a question may take that nobody can interrupt; cancelling it may take as long again.
const QUESTION_WAIT: Duration = Duration::from_secs(3);
/// Rows of a statement that never ends are shown when the oldest of them has waited for so long.
const ROW_WAIT: Duration = Duration::from_millis(100);

/// Why a session does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{}", printable(&.0.message))]
    Lost(WireError),
    #[error("{0}")]
    Output(#[from] io::Error),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Failure {
        Failure::Lost(error)
    }
}

/// What comes of a statement.
pub enum Event {
    Columns(Vec<Described>),
    Row(Vec<Option<String>>),
    Copied(Vec<u8>),
    Done(String),
    Notice(Report),
    Failed(Report),
    /// What came of a statement that never ends is to be shown now, even if more of it is about to come.
    Due,
}

#[derive(Default)]
struct Interrupted {
    is_asked_for: bool,
    /// Somebody sits before it: an interrupt ends no process.
    is_interactive: bool,
    running: Option<(Os, Address, CancelKey)>,
}

/// Interrupts of the process, such as Ctrl-C; a signal's thread tells, the shell's looks.
#[derive(Clone, Default)]
pub struct Interrupts {
    shared: Arc<(Mutex<Interrupted>, Condvar)>,
}

impl Interrupts {
    fn lock(&self) -> MutexGuard<'_, Interrupted> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels what runs. False if there is nothing to cancel: the process is to end.
    pub fn interrupt(&self) -> bool {
        let mut state = self.lock();
        state.is_asked_for = true;
        self.shared.1.notify_all();
        let (running, is_interactive) = (state.running.clone(), state.is_interactive);
        drop(state);
        let Some((os, address, key)) = running else { return is_interactive };
        if let Err(error) = cancel(&os, &address, key, TIMEOUT) {
            eprintln!("the statement cannot be cancelled: {}", printable(&error.message));
        }
        true
    }

    pub(crate) fn set_interactive(&self) {
        self.lock().is_interactive = true;
    }

    /// Whether there was an interrupt since [`Interrupts::clear`].
    pub(crate) fn was_asked(&self) -> bool {
        self.lock().is_asked_for
    }

    /// Waits for an interrupt for so long at most; whether it came.
    pub(crate) fn wait(&self, wait: Duration) -> bool {
        let mut state = self.lock();
        // Where nobody sits, an interrupt of the wait has to end it rather than the process.
        let was_interactive = std::mem::replace(&mut state.is_interactive, true);
        let waited = self.shared.1.wait_timeout_while(state, wait, |state| !state.is_asked_for);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_interactive = was_interactive;
        state.is_asked_for
    }

    /// What was asked for before is not about what comes now.
    pub(crate) fn clear(&self) {
        self.lock().is_asked_for = false;
    }

    /// False if the statement is not to begin.
    fn begin(&self, running: Option<(Os, Address, CancelKey)>) -> bool {
        let mut state = self.lock();
        state.running = running.filter(|_| !state.is_asked_for);
        !state.is_asked_for
    }

    fn end(&self) {
        self.lock().running = None;
    }
}

pub struct Session {
    os: Os,
    pub address: Address,
    connection: Connection,
    pub interrupts: Interrupts,
    /// `I` outside of a transaction, `T` within one, `E` in one that has failed.
    pub status: u8,
    /// An answer is still owed that nobody waits for.
    is_given_up: bool,
}

impl Session {
    pub fn open(os: &Os, address: Address, interrupts: Interrupts) -> Result<Session, Failure> {
        let connection = Connection::open(os, &address, TIMEOUT, &[])?;
        Ok(Session { os: os.clone(), address, connection, interrupts, status: b'I', is_given_up: false })
    }

    pub fn is_broken(&self) -> bool {
        self.is_given_up || self.connection.is_broken()
    }

    /// In the place of a connection that is of no more use.
    pub fn reconnect(&mut self, address: Address) -> Result<(), Failure> {
        self.connection = Connection::open(&self.os, &address, TIMEOUT, &[])?;
        self.address = address;
        self.status = b'I';
        self.is_given_up = false;
        Ok(())
    }

    /// Runs a statement and hands on what comes of it; of one that `is_live` also when to show it.
    pub fn run(
        &mut self,
        statement: &str,
        is_live: bool,
        each: &mut dyn FnMut(Event) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if self.is_given_up {
            return Err(Failure::Lost(broken("the server did not answer what completion asked")));
        }
        if statement.contains('\0') {
            return refuse(each, "a statement cannot hold a zero byte: leave it out");
        }
        let key = self.connection.cancel_key();
        if !self.interrupts.begin(key.map(|key| (self.os.clone(), self.address.clone(), key))) {
            // In the server's words: whether it had begun makes no difference to who cancelled it.
            return refuse(each, "canceling statement due to user request");
        }
        let begun = self.connection.begin_rows(statement).map_err(Failure::Lost);
        let ran = begun.and_then(|()| self.answers(is_live, None, each)).map(|_| ());
        self.interrupts.end();
        // The interrupt was how it ends: it is not about what comes next.
        if is_live {
            self.interrupts.clear();
        }
        ran
    }

    /// Hands on what comes until the server is ready; false if it is not within `limit`.
    fn answers(
        &mut self,
        is_live: bool,
        limit: Option<Duration>,
        each: &mut dyn FnMut(Event) -> io::Result<()>,
    ) -> Result<bool, Failure> {
        let begun = self.os.clock.monotonic_ns();
        let unreadable = || broken("the server's answer cannot be read");
        // When the oldest came that is not shown yet.
        let mut waits_since = None;
        loop {
            let now = self.os.clock.monotonic_ns();
            let left =
                |of: Duration, since| of.saturating_sub(Duration::from_nanos(now.saturating_sub(since)));
            let left_in_all = limit.map_or(WAIT, |limit| left(limit, begun));
            if left_in_all.is_zero() {
                return Ok(false);
            }
            let wait = waits_since.map_or(WAIT, |since| left(ROW_WAIT, since)).min(left_in_all);
            if wait.is_zero() || !self.connection.has_come(wait)? {
                if waits_since.take().is_some() {
                    each(Event::Due)?;
                }
                continue;
            }
            self.connection.begin_call();
            let (kind, body) = self.connection.receive()?;
            if is_live && matches!(kind, b'T' | b'D' | b'd') {
                waits_since = waits_since.or_else(|| Some(self.os.clock.monotonic_ns()));
            }
            match kind {
                b'T' => each(Event::Columns(described(&body).ok_or_else(unreadable)?))?,
                b'D' => {
                    let values = row(&body).ok_or_else(unreadable)?;
                    each(Event::Row(values.into_iter().map(|value| value.map(str::to_string)).collect()))?;
                }
                b'd' => each(Event::Copied(body))?,
                b'C' => each(Event::Done(command_tag(&body)))?,
                b'N' => each(Event::Notice(Report::parse(&body)))?,
                b'E' => {
                    each(Event::Failed(Report::parse(&body)))?;
                    // The server closes the connection after a fatal one; what it says then is this.
                    if matches!(Report::parse(&body).severity.as_str(), "FATAL" | "PANIC") {
                        let _ = self.connection.receive();
                        return Err(Failure::Lost(broken("the server has closed the connection")));
                    }
                }
                b'G' => {
                    self.connection.push(b'f', b"the shell copies nothing to the server\0");
                    self.connection.send()?;
                }
                b'Z' => {
                    self.status = body.first().copied().unwrap_or(b'I');
                    return Ok(true);
                }
                _ => {}
            }
        }
    }

    /// The rows of a question of the shell's own, or what the server says against it.
    pub fn ask(&mut self, statement: &str) -> Result<Result<TextRows, Report>, Failure> {
        let (mut rows, mut failed) = (Vec::new(), None);
        self.run(statement, false, &mut |event| {
            gather(event, &mut rows, &mut failed);
            Ok(())
        })?;
        Ok(failed.map_or(Ok(rows), Err))
    }

    /// As [`Session::ask`], where interrupts do not come: what takes too long is cancelled, or the connection given up.
    pub fn ask_briefly(&mut self, statement: &str) -> Result<Result<TextRows, Report>, Failure> {
        self.connection.set_timeout(QUESTION_WAIT);
        let (mut rows, mut failed) = (Vec::new(), None);
        let asked = self.brief_answers(statement, &mut |event| {
            gather(event, &mut rows, &mut failed);
            Ok(())
        });
        self.connection.set_timeout(TIMEOUT);
        // Whatever is still on its way would be taken for the answer to the next statement.
        self.is_given_up |= asked.is_err();
        asked?;
        Ok(failed.map_or(Ok(rows), Err))
    }

    fn brief_answers(
        &mut self,
        statement: &str,
        each: &mut dyn FnMut(Event) -> io::Result<()>,
    ) -> Result<(), Failure> {
        self.connection.begin_rows(statement)?;
        if self.answers(false, Some(QUESTION_WAIT), each)? {
            return Ok(());
        }
        if let Some(key) = self.connection.cancel_key() {
            cancel(&self.os, &self.address, key, QUESTION_WAIT)?;
            if self.answers(false, Some(QUESTION_WAIT), each)? {
                return Ok(());
            }
        }
        Err(Failure::Lost(broken("the server does not answer")))
    }
}

/// A statement that is not sent.
fn refuse(each: &mut dyn FnMut(Event) -> io::Result<()>, message: &str) -> Result<(), Failure> {
    let (severity, message) = ("ERROR".into(), message.into());
    Ok(each(Event::Failed(Report { severity, message, ..Report::default() }))?)
}

fn gather(event: Event, rows: &mut TextRows, failed: &mut Option<Report>) {
    match event {
        Event::Row(row) => rows.push(row),
        Event::Failed(report) => *failed = Some(report),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
