//! Commands that the node runs for its jobs: each by a shell, in a process group of its own, which ends as a whole.
//!
//! A command sees no more of the node's environment than a program needs to run; the rest may be secrets.

use crate::{Os, Permits};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

const SHELL: &str = "/bin/sh";
/// What a command has of the node's environment.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// What is run.
#[derive(Debug, Clone)]
pub struct Invocation<'a> {
    /// For the shell.
    pub text: &'a str,
    pub environment: &'a [(String, String)],
    pub folder: Option<&'a Path>,
    /// Whether something is written to it; otherwise its input is empty.
    pub reads_input: bool,
}

/// A command that was started; ended when dropped.
pub struct Running {
    child: Child,
    group: Pid,
    ended: Arc<Ended>,
    status: Option<ExitStatus>,
}

#[derive(Default)]
struct Ended {
    has: Mutex<bool>,
    changed: Condvar,
}

impl Os {
    /// Starts a command; an error of the kind `PermissionDenied` where the node may not.
    pub fn run(&self, invocation: &Invocation<'_>) -> io::Result<Running> {
        run(self.permits, invocation)
    }
}

fn run(permits: Permits, invocation: &Invocation<'_>) -> io::Result<Running> {
    if !permits.exec {
        let message = "this node runs no commands for its jobs; if the jobs that it runs may, start it with --allow-exec";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut command = Command::new(SHELL);
    command.arg("-c").arg(invocation.text).env_clear().process_group(0);
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(invocation.environment.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = invocation.folder {
        command.current_dir(folder);
    }
    let input = if invocation.reads_input { Stdio::piped() } else { Stdio::null() };
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let group = Pid::from_child(&child);
    let ended = Arc::new(Ended::default());
    let told = ended.clone();
    let waiter = std::thread::Builder::new().name("command".into()).spawn(move || {
        // Not reaped yet: until then no other process has its number.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(group), options) {}
        *told.has.lock().unwrap_or_else(PoisonError::into_inner) = true;
        told.changed.notify_all();
    });
    if let Err(error) = waiter {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
        return Err(error);
    }
    Ok(Running { child, group, ended, status: None })
}

impl Running {
    /// Where its input goes, once.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub fn errors(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Whether it has ended, after waiting for that for so long at most.
    pub fn has_ended(&self, wait: Duration) -> bool {
        let has = self.ended.has.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.changed.wait_timeout_while(has, wait, |has| !*has);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Asks it to end, with all that it has started, and ends it when it has not done so within `grace`.
    pub fn end(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        if !self.has_ended(Duration::ZERO) {
            // There may be nobody left.
            let _ = kill_process_group(self.group, Signal::TERM);
            self.has_ended(grace);
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const LONG: Duration = Duration::from_secs(60);
    const ALLOWED: Permits = Permits { exec: true, stdin: false, open_syslog: false };

    fn invocation(text: &str) -> Invocation<'_> {
        Invocation { text, environment: &[], folder: None, reads_input: false }
    }

    fn said(mut running: Running) -> String {
        let mut text = String::new();
        running.output().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_node_that_may_not_runs_nothing() {
        let error = run(Permits::default(), &invocation("true")).err().unwrap();
        assert!(
            error.kind() == io::ErrorKind::PermissionDenied && error.to_string().contains("--allow-exec")
        );
    }

    #[test]
    fn a_command_has_its_own_environment_and_folder_and_says_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let environment = [("GIVEN".to_string(), "a b".to_string())];
        let text = "pwd -P; echo \"$GIVEN\"; env | grep -c CARGO";
        let wanted =
            Invocation { environment: &environment, folder: Some(folder.path()), ..invocation(text) };
        let path = folder.path().canonicalize().unwrap().display().to_string();
        assert_eq!(said(run(ALLOWED, &wanted).unwrap()), format!("{path}\na b\n0\n"));
        let mut running = run(ALLOWED, &invocation("cat; exit 7")).unwrap();
        assert!(running.input().is_none() && running.has_ended(LONG));
        assert_eq!(running.end(LONG).unwrap().code(), Some(7));
        let mut running =
            run(ALLOWED, &Invocation { reads_input: true, ..invocation("read line; echo $line") }).unwrap();
        running.input().unwrap().write_all(b"hello\n").unwrap();
        assert_eq!(said(running), "hello\n");
    }

    #[test]
    fn all_that_a_command_has_started_ends_with_it() {
        let mut running =
            run(ALLOWED, &invocation("sleep 1000 & trap '' TERM; echo up; sleep 1000")).unwrap();
        let mut output = running.output().unwrap();
        let mut up = [0; 3];
        output.read_exact(&mut up).unwrap();
        assert!(!running.has_ended(Duration::ZERO));
        drop(running);
        // Who has inherited the pipe has gone, or this would not end.
        assert_eq!(output.read(&mut up).unwrap(), 0);
    }
}
