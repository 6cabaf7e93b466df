//! Commands that the node runs for its jobs: each by a shell, in a process group of its own, which ends as a whole.
//!
//! A command sees no more of the node's environment than a program needs to run; the rest may be secrets.

use crate::clock::{Clock, RealClock};
use crate::{Os, Permits};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

const SHELL: &str = "/bin/sh";
/// Between two looks whether all processes of a command have ended.
const LOOK: Duration = Duration::from_millis(10);
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

    /// Asks it to end, with all that it has started, and ends what has not done so within `grace`.
    pub fn end(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        if !self.has_ended(Duration::ZERO) || has_others(self.group) {
            let clock = RealClock::new();
            // There may be nobody left.
            let _ = kill_process_group(self.group, Signal::TERM);
            self.has_ended(grace);
            // Nobody tells when those end that are not our children.
            while has_others(self.group) && Duration::from_nanos(clock.monotonic_ns()) < grace {
                std::thread::sleep(LOOK.min(grace));
            }
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

/// Whether processes of the group run besides the shell, which is not reaped yet. Where the system has no `/proc`, they have
/// the time that the shell takes.
fn has_others(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let is_other = |name: &str| {
        let of = name.parse::<i32>().ok().filter(|pid| *pid != group.as_raw_nonzero().get());
        let stat = of.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        // PID (NAME) STATE PARENT GROUP, and a name may have brackets and spaces.
        let mut facts =
            stat.as_deref().and_then(|stat| stat.rsplit(')').next()).unwrap_or_default().split_whitespace();
        let state = facts.next();
        let its_group = facts.nth(1).and_then(|number| number.parse().ok());
        its_group == Some(group.as_raw_nonzero().get()) && !matches!(state, Some("Z" | "X"))
    };
    processes.flatten().any(|process| process.file_name().to_str().is_some_and(is_other))
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
    use std::os::unix::process::ExitStatusExt;

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

    /// The other process works on only when the shell has gone.
    #[test]
    fn all_that_a_command_has_started_has_time_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let text = "( trap 'until grep -q \") Z\" /proc/$$/stat; do :; done; echo done > done; exit' TERM
                      echo up; while :; do sleep 0.01; done ) & wait";
        let wanted = Invocation { folder: Some(folder.path()), ..invocation(text) };
        let mut running = run(ALLOWED, &wanted).unwrap();
        let mut up = [0; 3];
        running.output().unwrap().read_exact(&mut up).unwrap();
        assert_eq!(running.end(LONG).unwrap().signal(), Some(Signal::TERM.as_raw()));
        assert_eq!(std::fs::read_to_string(folder.path().join("done")).unwrap(), "done\n");
    }

    /// One that the shell has left behind is asked as well.
    #[test]
    fn what_outlives_the_shell_has_time_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "( trap 'echo done > done; exit' TERM; echo up; while :; do sleep 0.01; done ) & read line";
        let wanted = Invocation { folder: Some(folder.path()), reads_input: true, ..invocation(text) };
        let mut running = run(ALLOWED, &wanted).unwrap();
        let mut up = [0; 3];
        running.output().unwrap().read_exact(&mut up).unwrap();
        drop(running.input());
        assert!(running.has_ended(LONG));
        running.end(LONG).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("done")).unwrap(), "done\n");
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
