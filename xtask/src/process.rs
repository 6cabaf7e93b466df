//! Runs other programs: with a deadline, with their output seen, and never left behind.
//!
//! Every program gets a process group of its own, which is killed as a whole at the deadline or when its guard
//! is dropped: the JVMs and nodes of a failed test must not outlive it. On Linux a program also dies with this one, so that
//! an interrupted run leaves nothing behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// What a finished program left.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub seconds: f64,
}

/// Runs a command to its end, its output shown as it comes; fails unless it exits with 0.
pub fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let shown = show(command);
    let mut group = Group::spawn(command)?;
    let status = group.wait(limit).with_context(|| format!("command={shown}"))?;
    if !status.success() {
        bail!("{status} from command={shown}");
    }
    Ok(())
}

/// Runs a command to its end and returns what it wrote to its standard output, whatever its exit status.
pub fn capture(command: &mut Command, limit: Duration) -> Result<Finished> {
    read_to_end(command, limit, false)
}

/// Like [`capture`], and shows the lines as they come.
pub fn capture_shown(command: &mut Command, limit: Duration) -> Result<Finished> {
    read_to_end(command, limit, true)
}

fn read_to_end(command: &mut Command, limit: Duration, show_lines: bool) -> Result<Finished> {
    let shown = show(command);
    let start = Instant::now();
    let mut group = Group::spawn(command.stdout(Stdio::piped()))?;
    let pipe = group.child.stdout.take().context("no pipe to the program's standard output")?;
    let reader = std::thread::spawn(move || -> std::io::Result<String> {
        let mut pipe = BufReader::new(pipe);
        let (mut text, mut line) = (String::new(), Vec::new());
        while pipe.read_until(b'\n', &mut line)? > 0 {
            let decoded = String::from_utf8_lossy(&line);
            if show_lines {
                print!("{decoded}");
            }
            text.push_str(&decoded);
            line.clear();
        }
        Ok(text)
    });
    let status = group.wait(limit).with_context(|| format!("command={shown}"))?;
    drop(group);
    let stdout = match reader.join() {
        Ok(read) => read.with_context(|| format!("cannot read the output of command={shown}"))?,
        Err(_) => bail!("the reader of command={shown} panicked"),
    };
    Ok(Finished { status, stdout, seconds: start.elapsed().as_secs_f64() })
}

/// Like [`capture`], but an exit status other than 0 is an error.
pub fn output(command: &mut Command, limit: Duration) -> Result<String> {
    let shown = show(command);
    let finished = capture(command, limit)?;
    if !finished.status.success() {
        bail!("{} from command={shown}\n{}", finished.status, finished.stdout.trim_end());
    }
    Ok(finished.stdout)
}

/// The same command with its standard error in its standard output, for those who wait for a line of either.
pub fn joined_output(command: &Command) -> Command {
    let mut joined = Command::new("sh");
    joined.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => joined.env(name, value),
            None => joined.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        joined.current_dir(folder);
    }
    joined
}

/// Whether the program can be found on the search path; a path is looked up as it is.
pub fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// A program with everything that it starts; killed when dropped.
pub struct Group {
    child: Child,
    finished: bool,
}

impl Group {
    pub fn spawn(command: &mut Command) -> Result<Group> {
        let shown = show(command);
        command.stdin(Stdio::null()).process_group(0);
        die_with_parent(command);
        let child = command.spawn().with_context(|| format!("cannot start command={shown}"))?;
        Ok(Group { child, finished: false })
    }

    /// Waits for the end of the program; at the limit it is killed, which is an error.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let pid = self.pid();
        let (sender, receiver) = mpsc::channel::<()>();
        // The watchdog sleeps on the channel, which closes when the wait is over.
        let watchdog = std::thread::spawn(move || match receiver.recv_timeout(limit) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                kill(pid, Signal::KILL);
                true
            }
            _ => false,
        });
        let status = self.child.wait();
        drop(sender);
        let timed_out = watchdog.join().unwrap_or(false);
        self.finished = true;
        if timed_out {
            bail!("not done after seconds={}, so it was killed", limit.as_secs());
        }
        Ok(status?)
    }

    /// Asks the program to stop, and waits for its end.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        kill(self.pid(), Signal::TERM);
        self.wait(limit)
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.finished |= status.is_some();
        Ok(status)
    }

    /// Signals all of them, those too that come to be meanwhile.
    fn signal_all(&self, signal: Signal) -> Result<()> {
        let mut signalled = Vec::new();
        loop {
            let mut found = descendants(self.child.id())?;
            found.retain(|pid| !signalled.contains(pid));
            if found.is_empty() {
                return Ok(());
            }
            for pid in found {
                match Pid::from_raw(i32::try_from(pid)?).map(|pid| rustix::process::kill_process(pid, signal))
                {
                    // It has ended by itself.
                    Some(Err(rustix::io::Errno::SRCH)) => {}
                    Some(sent) => sent?,
                    None => {}
                }
                signalled.push(pid);
            }
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Also after a regular end: what the program started may still run.
        kill(self.pid(), Signal::KILL);
        if !self.finished {
            let _ = self.child.wait();
        }
    }
}

#[cfg(target_os = "linux")]
pub fn die_with_parent(command: &mut Command) {
    let arrange = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: the closure runs between fork and exec and makes one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(arrange) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

fn kill(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        // An error means that the group is gone already, which is what was wanted.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// A program that stays up, started when a line of its output says so.
pub struct Server {
    group: Group,
}

impl Server {
    /// Starts the command and reads its standard output until `find` makes something of a line.
    ///
    /// What it writes is kept in the log file, whose end is part of the error when the line does not come.
    pub fn start<T: Send + 'static>(
        command: &mut Command,
        log: &Path,
        limit: Duration,
        find: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> Result<(Server, T)> {
        let shown = show(command);
        let errors = File::create(log).with_context(|| format!("cannot create file={}", log.display()))?;
        let mut lines_log = errors.try_clone()?;
        let mut group = Group::spawn(command.stdout(Stdio::piped()).stderr(errors))?;
        let pipe = group.child.stdout.take().context("no pipe to the server's standard output")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // The pipe is read to its end: a server must never block on a full one.
            for line in BufReader::new(pipe).lines().map_while(std::result::Result::ok) {
                let _ = writeln!(lines_log, "{line}");
                if let Some(found) = find(&line) {
                    let _ = sender.send(found);
                }
            }
        });
        match receiver.recv_timeout(limit) {
            Ok(found) => Ok((Server { group }, found)),
            Err(_) => {
                drop(group);
                let tail = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = tail.lines().collect();
                let tail = lines[lines.len().saturating_sub(20)..].join("\n");
                bail!("did not start within seconds={}: command={shown}\n{tail}", limit.as_secs())
            }
        }
    }

    /// Asks the server to stop and waits; whoever does not ask has it killed by the drop.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.group.stop(limit)
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.group.ended()
    }

    /// Stops it in its tracks, with everything that it has started: it keeps its connections and answers nothing.
    pub fn freeze(&self) -> Result<()> {
        self.group.signal_all(Signal::STOP)
    }

    /// Has it read its configuration anew.
    pub fn hang_up(&self) -> Result<()> {
        Ok(rustix::process::kill_process(self.group.pid().context("no process")?, Signal::HUP)?)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.group.signal_all(Signal::CONT)
    }
}

/// The processes that stem from one, whatever groups they are in: of each, who its parent is stands in `/proc`.
fn descendants(of: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ends meanwhile is none.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name stands in brackets, and may hold any.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (pid, parent)));
    }
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(found)
}

fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    let mut shown = words.join(" ");
    if shown.len() > 300 {
        let end = (0..=300).rev().find(|&index| shown.is_char_boundary(index)).unwrap_or(0);
        shown.truncate(end);
        shown.push('…');
    }
    shown
}
