//! The lives of a node on one data folder: each is a process that ends by SIGKILL, and with it perhaps the power.

use crate::{Life, Machine, Program, Random, Tally};
use anyhow::{Context, Result, bail};
use os::Clock;
use os::clock::RealClock;
use os::disk::shadow;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// One of so many deaths comes while the node recovers …
const EARLY_EVERY: u64 = 6;
/// … within so many milliseconds of its start; the others after so many milliseconds of load.
const EARLY_MS_MAX: u64 = 60;
const LOAD_MS_MAX: u64 = 500;
const START_LIMIT: Duration = Duration::from_secs(60);

pub struct Lives<'a> {
    data: PathBuf,
    log: PathBuf,
    power: Power<'a>,
    address: String,
    program: Program<'a>,
    alive: Option<Process>,
}

/// What becomes of the machine when its node dies.
pub enum Power<'a> {
    Stays,
    /// It goes: what the node's disk knows to be durable in this folder is what is left.
    Shadowed(PathBuf),
    /// It goes.
    Of(&'a dyn Machine),
}

/// Dropping it is the kill.
struct Process(Child);

impl Process {
    /// Stops all that it does, and returns when it has stopped.
    fn freeze(&self) -> Result<()> {
        let pid =
            i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        kill_process(pid, Signal::STOP).context("cannot stop the node")?;
        waitpid(Some(pid), WaitOptions::UNTRACED).context("the node does not stop")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and that shows where it is looked for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl<'a> Lives<'a> {
    /// `log` takes the node's messages.
    pub fn new(data: &Path, log: PathBuf, power: Power<'a>, program: Program<'a>) -> Result<Lives<'a>> {
        std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
        Ok(Lives {
            data: data.to_owned(),
            log,
            power,
            address: format!("127.0.0.1:{}", lasting_port()?),
            program,
            alive: None,
        })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts the node, unless it lives, and waits until clients may come.
    pub fn start(&mut self, tally: &mut Tally) -> Result<()> {
        if self.alive.is_some() {
            return Ok(());
        }
        let clock = RealClock::new();
        let mut process = self.spawn()?;
        let out = process.0.stdout.take().context("the node has no output")?;
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if line.contains("listening on") {
                    // Nobody may wait any more.
                    let _ = ready.send(());
                }
            }
        });
        if is_ready.recv_timeout(START_LIMIT).is_err() {
            match process.0.try_wait()? {
                Some(status) => {
                    bail!("the node ended by itself when it was started: {status}; {}", self.last_words())
                }
                None => bail!("the node was not ready within {} s", START_LIMIT.as_secs()),
            }
        }
        tally.ready_ms.push(clock.monotonic_ns() / 1_000_000);
        self.alive = Some(process);
        Ok(())
    }

    /// One life after the other.
    pub fn die(&mut self, deaths: u64, random: &mut Random, tally: &mut Tally) -> Result<()> {
        for _ in 0..deaths {
            if random.below(EARLY_EVERY) == 0 {
                // What runs now dies first; then one more dies while it recovers.
                self.kill(random)?;
                self.alive = Some(self.spawn()?);
                std::thread::sleep(Duration::from_millis(random.below(EARLY_MS_MAX)));
            } else {
                self.start(tally)?;
                std::thread::sleep(Duration::from_millis(5 + random.below(LOAD_MS_MAX)));
            }
            if let Some(process) = &mut self.alive
                && let Some(status) = process.0.try_wait()?
            {
                bail!("the node ended by itself: {status}; {}", self.last_words());
            }
            self.kill(random)?;
            match self.power {
                Power::Stays => tally.kills += 1,
                Power::Shadowed(_) | Power::Of(_) => tally.power_cuts += 1,
            }
        }
        Ok(())
    }

    fn kill(&mut self, random: &mut Random) -> Result<()> {
        let Some(process) = self.alive.take() else { return Ok(()) };
        let failed = || format!("cannot cut the power of {}", self.data.display());
        match &self.power {
            Power::Stays => {}
            Power::Shadowed(durable) => {
                drop(process);
                // Half of the time nothing survives that was not synced, else some of it does.
                let odds = random.below(2) * 2;
                let mut survives = || odds > 0 && random.below(odds) == 0;
                shadow::cut_power(&self.data, durable, &mut survives).with_context(failed)?;
            }
            Power::Of(machine) => {
                // It must not tell of a disk that is gone: its machine is.
                process.freeze()?;
                machine.cut(random.below(2) == 0).with_context(failed)?;
                drop(process);
                machine.restore().with_context(failed)?;
            }
        }
        Ok(())
    }

    /// The last line that it has written to standard error.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or("it has said nothing").to_owned()
    }

    fn spawn(&self) -> Result<Process> {
        let shadow = match &self.power {
            Power::Shadowed(shadow) => Some(shadow.as_path()),
            Power::Stays | Power::Of(_) => None,
        };
        let life = Life { data: &self.data, address: &self.address, shadow };
        let mut command = (self.program)(life)?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .context("cannot keep the node's messages")?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        Ok(Process(child.context("cannot start the node")?))
    }
}

/// A port that was free a moment ago and that no outgoing connection is given: a node that goes down and comes back finds
/// it free.
fn lasting_port() -> Result<u16> {
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..first + 2000).find(free).context("no free port between 20000 and 32000")
}
