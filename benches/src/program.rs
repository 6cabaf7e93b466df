//! Child programs: started with their output read to its end, stopped in good order, never left behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// Lines kept of what a program says, for the message when it fails.
const LINES_KEPT_MAX: usize = 200;

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    /// Some programs serve until their input ends, so it stays open.
    input: Option<ChildStdin>,
    said: Arc<Mutex<Vec<String>>>,
    lines: Receiver<String>,
    shown: String,
}

impl Program {
    /// Starts a program and reads both its outputs, line by line.
    pub fn start(command: &mut Command) -> Result<Program> {
        let shown = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start command={shown}"))?;
        let said = Arc::<Mutex<Vec<String>>>::default();
        let (sender, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        for pipe in outputs.into_iter().flatten() {
            let (sender, said) = (sender.clone(), said.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(std::result::Result::ok) {
                    let mut kept = said.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() < LINES_KEPT_MAX {
                        kept.push(line.clone());
                    }
                    drop(kept);
                    // Nobody may be listening any more; the pipe is read on, so that it never fills.
                    let _ = sender.send(line);
                }
            });
        }
        let input = child.stdin.take();
        Ok(Program { child, input, said, lines, shown })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `find` makes something of a line.
    pub fn wait_for<T>(&self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(found) = find(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("not ready after {limit:?}: command={}\n{}", self.shown, self.said())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("ended before it was ready: command={}\n{}", self.shown, self.said())
                }
            }
        }
    }

    /// An error once the program has ended. What it has said until now is heard by nobody else.
    pub fn still_runs(&self) -> Result<()> {
        loop {
            match self.lines.try_recv() {
                Ok(_) => {}
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    bail!("ended before it was done: command={}\n{}", self.shown, self.said())
                }
            }
        }
    }

    /// Waits for the end, which must be a success, and returns all lines; at each line and at least every `pause` it calls `look`.
    pub fn run_to_end(
        mut self,
        pause: Duration,
        mut look: impl FnMut(u32, Option<&str>),
    ) -> Result<Vec<String>> {
        let mut all = Vec::new();
        loop {
            match self.lines.recv_timeout(pause) {
                Ok(line) => {
                    look(self.id(), Some(&line));
                    all.push(line);
                }
                Err(RecvTimeoutError::Timeout) => look(self.id(), None),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{status} from command={}\n{}", self.shown, self.said());
        }
        Ok(all)
    }

    /// Asks the program to stop and waits for its end; one that does not end in time is killed, which is an error.
    pub fn stop(self, limit: Duration) -> Result<()> {
        self.signal(Signal::TERM);
        self.wait_end(limit)
    }

    /// The same with one that serves until its input ends.
    pub fn end_input(mut self, limit: Duration) -> Result<()> {
        drop(self.input.take());
        self.wait_end(limit)
    }

    fn wait_end(mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            // The pipes close when the program ends, which ends the wait below at once.
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("not stopped after {limit:?}: command={}", self.shown)
                }
            }
        }
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            // An error means that it is gone already.
            let _ = rustix::process::kill_process(process, signal);
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
