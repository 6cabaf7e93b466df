//! What every connector must do, one case each; the same for sources and sinks, and for all systems.
//!
//! A case begins with an empty place and a job that was not started, and says by an error what is wrong.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use verify::Random;

use super::outside::{Direction, REFUSED};
use super::trial::{LETTERS, Trial};

/// How many numbers are put at once.
pub const FEW: u64 = 40;
pub const MANY: u64 = 4_000;
/// Through a narrow gate; a job with [`MANY`] numbers takes seconds.
const NARROW_BYTES_PER_SECOND: u64 = 16_000;
const FLAPS: usize = 8;
/// How long a life of the node is before it is killed: from its start into its steady work.
pub const LIFE_MS: (u64, u64) = (50, 1_000);
/// The node's own points of a commit at which it can be killed, and how often each is passed before.
pub const POINTS: &[&str] = &["before-commit", "during-commit", "after-commit"];
pub const PASSES_MAX: u64 = 6;

/// One case, for the reports and the matrix.
pub struct Case {
    pub name: &'static str,
    pub doc: &'static str,
    pub run: fn(&mut Trial<'_>) -> Result<()>,
}

/// What a run of all tests does with every system; `cargo xtask connectors` runs all cases.
pub const OF_EVERY_RUN: &[&str] = &["resume", "killed"];

pub const CASES: &[Case] = &[
    Case {
        name: "resume",
        doc: "The node is stopped and started again, and goes on where it was.",
        run: resume,
    },
    Case { name: "away at start", doc: "The server comes up after the job.", run: away_at_start },
    Case {
        name: "away meanwhile",
        doc: "The server is killed, and started again; the job says that it is away, and goes on without it.",
        run: away_meanwhile,
    },
    Case { name: "slow", doc: "The network passes 16 kB a second.", run: slow },
    Case { name: "flapping", doc: "All connections are cut, again and again.", run: flapping },
    Case {
        name: "credentials",
        doc: "A wrong password ends the job with the server's words, and the right one lets it go on.",
        run: credentials,
    },
    Case {
        name: "rotated",
        doc: "The password is changed, in the server and in its file, while the job runs.",
        run: rotated,
    },
    Case {
        name: "poison",
        doc: "What cannot be read or is refused becomes a dead letter, and the rest goes on.",
        run: poison,
    },
    Case {
        name: "cancelled",
        doc: "The node is stopped, in good order, while much is under way.",
        run: cancelled,
    },
    Case {
        name: "killed",
        doc: "The node is killed at random and at points of its commits, and the server too.",
        run: killed,
    },
    Case {
        name: "hang",
        doc: "The server keeps its connections and answers nothing; the node works on.",
        run: hang,
    },
    Case {
        name: "back pressure",
        doc: "The job's other end hangs: the source is read no further, or the job takes no more, and the node works on.",
        run: back_pressure,
    },
    Case { name: "mismatch", doc: "Columns that do not fit are said with their names.", run: mismatch },
];

fn resume(trial: &mut Trial<'_>) -> Result<()> {
    trial.prepare()?;
    trial.put(FEW)?;
    trial.start()?;
    trial.wait_all()?;
    trial.put(FEW)?;
    trial.stop()?;
    trial.put(FEW)?;
    trial.start()?;
    trial.wait_all()?;
    // Once more with nothing new, which must bring nothing again.
    trial.stop()?;
    trial.start()?;
    trial.put(1)?;
    trial.wait_all()?;
    trial.stop()
}

fn away_at_start(trial: &mut Trial<'_>) -> Result<()> {
    trial.prepare()?;
    trial.put(FEW)?;
    trial.outside.kill()?;
    trial.start()?;
    let said = trial.wait_for("the node says that the server is away", |trial| {
        let said = trial.said();
        Ok((said.contains("tried again") || said.contains("run again")).then_some(said))
    });
    trial.node_works()?;
    trial.outside.start()?;
    said?;
    trial.wait_all()?;
    trial.stop()
}

fn away_meanwhile(trial: &mut Trial<'_>) -> Result<()> {
    trial.prepare()?;
    trial.put(FEW)?;
    trial.start()?;
    trial.wait_all()?;
    trial.outside.kill()?;
    // A source has nothing to be put into while it is away.
    if trial.direction == Direction::Sink {
        trial.put(FEW)?;
    }
    let failing = trial.wait_failing();
    let works = trial.node_works();
    trial.outside.start()?;
    failing?;
    works?;
    trial.put(FEW)?;
    trial.wait_all()?;
    trial.stop()
}

fn slow(trial: &mut Trial<'_>) -> Result<()> {
    trial.prepare()?;
    trial.outside.gate()?.narrow(NARROW_BYTES_PER_SECOND);
    trial.put(MANY)?;
    let narrow = slowly(trial);
    trial.outside.gate()?.narrow(0);
    narrow?;
    trial.wait_all()?;
    trial.stop()
}

/// Some of it comes through while the gate is narrow.
fn slowly(trial: &mut Trial<'_>) -> Result<()> {
    trial.start()?;
    let before = trial.outside.gate()?.passed_bytes();
    trial.wait_for("some bytes pass", |trial| {
        Ok((trial.outside.gate()?.passed_bytes() > before + NARROW_BYTES_PER_SECOND).then_some(()))
    })?;
    trial.node_works()
}

fn flapping(trial: &mut Trial<'_>) -> Result<()> {
    trial.prepare()?;
    trial.put(FEW)?;
    trial.start()?;
    for _ in 0..FLAPS {
        trial.wait_some(1)?;
        trial.put(FEW)?;
        trial.outside.gate()?.cut();
        trial.put(FEW)?;
        trial.outside.gate()?.shut();
        trial.node_works()?;
        trial.outside.gate()?.open();
    }
    trial.wait_all()?;
    trial.stop()
}

fn credentials(trial: &mut Trial<'_>) -> Result<()> {
    const WRONG: &str = "wrong-Secret-0";
    trial.prepare()?;
    trial.put(FEW)?;
    let right = std::fs::read(trial.place.password_file())?;
    let wrong = trial.outside.password(WRONG);
    std::fs::write(trial.place.password_file(), &wrong)?;
    trial.start_to_fail()?;
    let succeeded = trial.wait_ended()?;
    let said = trial.said();
    let refusal = trial.outside.refusal();
    ensure!(!succeeded && said.contains(refusal), "it was let in, or does not say why not:\n{said}");
    ensure!(!said.contains(&wrong), "the password was told:\n{said}");
    std::fs::write(trial.place.password_file(), right)?;
    trial.start()?;
    trial.wait_all()?;
    trial.stop()
}

fn rotated(trial: &mut Trial<'_>) -> Result<()> {
    let second = format!("second-Secret-{}", trial.place.name);
    trial.prepare()?;
    trial.put(FEW)?;
    trial.start()?;
    trial.wait_all()?;
    trial.outside.set_password(&second)?;
    let written = trial.outside.password(&second);
    std::fs::write(trial.place.password_file(), &written)?;
    trial.outside.gate()?.cut();
    trial.put(FEW)?;
    let came = trial.wait_all();
    let said = trial.said();
    // The other trials know the first; and so does the job, for there are servers that ask with each request.
    trial.outside.set_password(super::outside::FIRST_PASSWORD)?;
    let first = trial.outside.password(super::outside::FIRST_PASSWORD);
    std::fs::write(trial.place.password_file(), first)?;
    came?;
    ensure!(!said.contains(&written), "the password was told:\n{said}");
    trial.stop()
}

fn poison(trial: &mut Trial<'_>) -> Result<()> {
    trial.options = format!(", 'dead-letter.topic' = '{LETTERS}'");
    trial.prepare()?;
    let (missing, expected) = match trial.direction {
        Direction::Source => {
            trial.put(FEW)?;
            let poison = trial.outside.put_poison(&trial.place)?;
            (Vec::new(), Some(poison))
        }
        Direction::Sink => {
            trial.outside.refuse(&trial.place)?;
            (vec![REFUSED], None)
        }
    };
    trial.put(FEW)?;
    trial.start()?;
    trial.wait_all_but(&missing)?;
    let letters = trial.wait_for("the dead letter comes", |trial| {
        let letters = trial.letters()?;
        Ok((!letters.is_empty()).then_some(letters))
    })?;
    ensure!(letters.len() == 1, "{} dead letters instead of one", letters.len());
    let letter = &letters[0];
    let shown = String::from_utf8_lossy(&letter.value);
    match expected {
        Some(poison) => ensure!(letter.value == poison, "the dead letter is {shown}"),
        None => ensure!(shown.contains(&format!("\"n\":{REFUSED}")), "the dead letter is {shown}"),
    }
    ensure!(!letter.reason.is_empty() && !letter.origin.is_empty(), "it does not say why, or where from");
    trial.put(FEW)?;
    trial.wait_all_but(&missing)?;
    trial.stop()
}

fn cancelled(trial: &mut Trial<'_>) -> Result<()> {
    trial.prepare()?;
    for round in 0..3 {
        trial.put(MANY)?;
        trial.start()?;
        trial.wait_some((round * MANY + 1).min(trial.put_so_far()))?;
        trial.stop()?;
    }
    // With nothing to wait for, the node could be stopped before it has taken the job up, which it says.
    trial.put(FEW)?;
    trial.start()?;
    trial.wait_all()?;
    trial.stop()
}

fn killed(trial: &mut Trial<'_>) -> Result<()> {
    let mut random = Random(trial.seed);
    let (kills, restarts) = (trial.kills, trial.restarts);
    let restart_every = kills.checked_div(restarts).unwrap_or(u64::MAX).max(1);
    trial.prepare()?;
    trial.put(MANY)?;
    let mut restarted = 0;
    for life in 0..kills {
        let at_a_point = random.below(2) == 0;
        if at_a_point {
            let point = POINTS[random.below(POINTS.len() as u64) as usize];
            let point = format!("{point}:{}", 1 + random.below(PASSES_MAX));
            trial.start_with(&["--kill-at", &point, "--step-rows-max", "512"])?;
        } else {
            trial.start_with(&["--step-rows-max", "512"])?;
        }
        trial.put_while_it_lives(0)?;
        let life_ms = Duration::from_millis(LIFE_MS.0 + random.below(LIFE_MS.1 - LIFE_MS.0));
        trial.live(life_ms)?;
        if trial.outside.has_server() && restarted < restarts && life % restart_every == restart_every / 2 {
            restarted += 1;
            trial.outside.kill()?;
            trial.outside.start()?;
        }
        trial.kill();
        trial.put(FEW)?;
    }
    trial.start()?;
    trial.wait_all()?;
    trial.stop()
}

fn hang(trial: &mut Trial<'_>) -> Result<()> {
    trial.prepare()?;
    trial.put(FEW)?;
    trial.start()?;
    trial.wait_all()?;
    if trial.direction == Direction::Source {
        // What is frozen takes nothing more.
        trial.put(FEW)?;
    }
    trial.outside.freeze()?;
    let hung = while_it_hangs(trial);
    trial.outside.thaw()?;
    hung?;
    trial.put(FEW)?;
    trial.wait_all()?;
    trial.stop()
}

/// The time-outs of the table notice it, the node serves others, and a stop does not wait for it.
fn while_it_hangs(trial: &mut Trial<'_>) -> Result<()> {
    const STOP_LIMIT: Duration = Duration::from_secs(20);
    if trial.direction == Direction::Sink {
        trial.put(FEW)?;
    }
    trial.wait_failing()?;
    trial.node_works()?;
    let begun = Instant::now();
    trial.stop()?;
    ensure!(begun.elapsed() < STOP_LIMIT, "the node took {:?} to stop", begun.elapsed());
    trial.start()
}

fn back_pressure(trial: &mut Trial<'_>) -> Result<()> {
    const ROUNDS: u64 = 20;
    trial.settings.push_str(
        "SET 'eventwright.feed.unread-bytes-max' = '1 kb';\nSET 'eventwright.outbox.waiting-bytes-max' = '64 kb';\n",
    );
    trial.prepare()?;
    let blocker = match trial.direction {
        Direction::Source => Some(trial.block()?),
        Direction::Sink => None,
    };
    trial.start_with(&["--step-rows-max", "256"])?;
    if trial.direction == Direction::Sink {
        trial.put(FEW)?;
        trial.wait_all()?;
        trial.outside.freeze()?;
    }
    let mut held = Ok(false);
    for _ in 0..ROUNDS {
        held = trial.put(MANY).and_then(|()| trial.holds_back());
        if !matches!(held, Ok(false)) {
            break;
        }
    }
    let works = trial.node_works();
    match blocker {
        Some(blocker) => drop(blocker),
        None => trial.outside.thaw()?,
    }
    ensure!(held?, "all of it was taken: {} numbers", trial.put_so_far());
    works?;
    trial.wait_all()?;
    trial.stop()
}

fn mismatch(trial: &mut Trial<'_>) -> Result<()> {
    let part = trial.outside.mismatch(&trial.place, trial.direction)?;
    // There are targets that say what they lack when something comes, and nothing before.
    if trial.direction == Direction::Sink {
        trial.put(FEW)?;
    }
    trial.start_to_fail()?;
    trial.wait_refused(&part)
}
