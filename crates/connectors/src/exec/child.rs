//! A running command with its pipes: what it writes goes into a queue, what it is given is written by a thread, and the end
//! of what it says of errors is kept.

use super::options::Settings;
use crate::arrivals::Arrivals;
use crate::messages::{Done, ServerError};
use crate::text_stream::{Heard, Records, read_all};
use base::ErrorKind;
use os::Os;
use os::command::{Invocation, Running};
use std::io::{Read, Write};
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// What it has written and nobody has taken.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// What it is given and has not read.
const GIVEN_BYTES_MAX: usize = 1 << 20;
/// What is kept of its standard error.
const ERRORS_BYTES_MAX: usize = 2 << 10;
/// How long the end of that is waited for when the command has ended: a process that has left its group may hold it open.
const ERRORS_WAIT_MAX: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 8 << 10;

pub(super) struct Child {
    running: Running,
    timeout: Duration,
    grace: Duration,
    /// What it has written, up to its end.
    pub output: Arc<Arrivals<Heard>>,
    input: Option<Arc<Given>>,
    errors: Arc<Errors>,
}

impl Child {
    /// Starts the table's command. With `records` what it writes is read; otherwise it is given something.
    pub(super) fn start(os: &Os, settings: &Settings, records: Option<Records>) -> Done<Child> {
        let environment = settings.environment().map_err(ServerError::invalid)?;
        let invocation = Invocation {
            text: &settings.command,
            environment: &environment,
            folder: settings.folder.as_deref(),
            reads_input: records.is_none(),
        };
        let running = os.run(&invocation).map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound => ErrorKind::Invalid,
                _ => ErrorKind::Unavailable,
            };
            ServerError::new(kind, format!("the command cannot be run: {error}"))
        })?;
        let mut child = Child {
            running,
            timeout: settings.timeout,
            grace: settings.stop_timeout,
            output: Arrivals::new(WAITING_BYTES_MAX),
            input: None,
            errors: Arc::default(),
        };
        child.threads(records).map_err(|error| {
            ServerError::unavailable(format!("the command cannot be heard: no thread can be made: {error}"))
        })?;
        Ok(child)
    }

    fn threads(&mut self, records: Option<Records>) -> std::io::Result<()> {
        let spawn = |work: Box<dyn FnOnce() + Send>| Builder::new().name("exec".into()).spawn(work).map(drop);
        if let Some(mut errors) = self.running.errors() {
            let kept = self.errors.clone();
            kept.kept().has_begun = true;
            spawn(Box::new(move || kept.keep_end(&mut errors)))?;
        }
        if let Some(mut output) = self.running.output() {
            let arrivals = self.output.clone();
            match records {
                Some(records) => spawn(Box::new(move || read_all(&mut output, records, &arrivals)))?,
                // What nobody takes would stop the command.
                None => spawn(Box::new(move || drop(std::io::copy(&mut output, &mut std::io::sink()))))?,
            }
        }
        if let Some(mut input) = self.running.input() {
            let given = Arc::new(Given { chunks: Arrivals::new(GIVEN_BYTES_MAX), state: Mutex::default() });
            self.input = Some(given.clone());
            spawn(Box::new(move || given.write_all(&mut input)))?;
        }
        Ok(())
    }

    /// Gives it something to read, or says why it does not take it.
    pub(super) fn give(&mut self, bytes: Vec<u8>) -> Done<()> {
        let Some(input) = &self.input else {
            return Err(ServerError::unavailable("the command is given nothing more"));
        };
        let length = bytes.len();
        if input.chunks.push_within(bytes, length, self.timeout) {
            return Ok(());
        }
        Err(self.does_not_read())
    }

    /// Waits until all that it was given lies in its pipe.
    pub(super) fn flush(&mut self) -> Done<()> {
        let is_written = self
            .input
            .as_ref()
            .is_none_or(|input| input.chunks.wait_idle(self.timeout) && input.state().is_none());
        if is_written { Ok(()) } else { Err(self.does_not_read()) }
    }

    fn does_not_read(&mut self) -> ServerError {
        let problem = self.input.as_ref().and_then(|input| input.state().clone());
        match problem {
            // Who does not read any more has mostly ended.
            Some(problem) => match self.running.has_ended(self.grace) {
                true => self.ended(),
                false => self.told(format!("the command does not read: {problem}")),
            },
            None => self.told("the command does not read what it is given ('timeout')".into()),
        }
    }

    /// Nothing more is given: what was given is read to its end, and the command ends. How it did.
    pub(super) fn finish(&mut self) -> Done<ExitStatus> {
        self.flush()?;
        // The pipe is closed by its thread.
        if let Some(input) = self.input.take() {
            input.chunks.close();
        }
        if !self.running.has_ended(self.timeout) {
            return Err(self.told("the command has read everything and does not end ('timeout')".into()));
        }
        self.status()
    }

    /// Whether it has ended, after waiting for that for so long at most.
    pub(super) fn has_ended(&self, wait: Duration) -> bool {
        self.running.has_ended(wait)
    }

    /// How it ended; it is ended if it has not.
    pub(super) fn status(&mut self) -> Done<ExitStatus> {
        let status = self.running.end(self.grace);
        // What it said last may not be read yet.
        self.errors.wait_end(ERRORS_WAIT_MAX);
        status.map_err(|error| ServerError::unavailable(format!("the command cannot be waited for: {error}")))
    }

    /// It has ended by itself: why.
    pub(super) fn ended(&mut self) -> ServerError {
        match self.status() {
            Ok(status) => self.told(format!("the command has ended with {}", exit(status))),
            Err(error) => error,
        }
    }

    /// With the end of what it has said of errors.
    pub(super) fn told(&self, problem: String) -> ServerError {
        let said = self.errors.said();
        let said = said.trim();
        ServerError::unavailable(if said.is_empty() {
            problem
        } else {
            format!("{problem}; it says: {said}")
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.output.close();
        if let Some(input) = self.input.take() {
            // What it was given counts as written: it may read that to its end.
            input.chunks.close();
            self.running.has_ended(self.grace);
        }
        // Threads end with the pipes, which the command's processes hold.
        let _ = self.running.end(self.grace);
    }
}

/// As a user reads it.
pub(super) fn exit(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// What is written to a command by a thread.
struct Given {
    chunks: Arc<Arrivals<Vec<u8>>>,
    /// Why nothing more can be written.
    state: Mutex<Option<String>>,
}

impl Given {
    fn state(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, input: &mut dyn Write) {
        while self.chunks.use_next(|chunk| match pieces(chunk).try_for_each(|piece| input.write_all(piece)) {
            Ok(()) => true,
            Err(error) => {
                *self.state() = Some(error.to_string());
                false
            }
        }) {}
    }
}

/// What a pipe takes at once: should this node die, the command has read none of a line or all of it.
const PIPE_BYTES: usize = 4_096;

/// Cuts at ends of lines into pieces that a pipe takes at once, but for longer lines.
fn pieces(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = chunk;
    std::iter::from_fn(move || {
        let whole = rest.iter().take(PIPE_BYTES).rposition(|byte| *byte == b'\n');
        let end =
            whole.or_else(|| rest.iter().position(|byte| *byte == b'\n')).map_or(rest.len(), |at| at + 1);
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The end of what a command says on its standard error.
#[derive(Default)]
struct Errors {
    kept: Mutex<KeptErrors>,
    ended: Condvar,
}

#[derive(Default)]
struct KeptErrors {
    bytes: Vec<u8>,
    has_begun: bool,
    has_ended: bool,
}

impl Errors {
    fn kept(&self) -> MutexGuard<'_, KeptErrors> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_end(&self, errors: &mut dyn Read) {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = errors.read(&mut buffer) {
            let mut kept = self.kept();
            kept.bytes.extend_from_slice(&buffer[..count]);
            let too_many = kept.bytes.len().saturating_sub(ERRORS_BYTES_MAX);
            kept.bytes.drain(..too_many);
        }
        self.kept().has_ended = true;
        self.ended.notify_all();
    }

    /// Waits for so long at most until nothing more can come.
    fn wait_end(&self, longest: Duration) {
        let waited =
            self.ended.wait_timeout_while(self.kept(), longest, |kept| kept.has_begun && !kept.has_ended);
        drop(waited);
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.kept().bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn a_piece_ends_with_a_line_and_goes_into_a_pipe_at_once() {
        let lines = [vec![b'a'; 3_000], vec![b'b'; 1_000], vec![b'c'; 9_000], vec![b'd'; 10], Vec::new()];
        let chunk = lines.join(&b'\n');
        let lengths: Vec<usize> = pieces(&chunk).map(<[u8]>::len).collect();
        assert_eq!(lengths, [4_002, 9_001, 11]);
        assert_eq!(pieces(b"no end").collect::<Vec<_>>(), [b"no end"]);
        assert_eq!(pieces(b"").count(), 0);
    }
}
