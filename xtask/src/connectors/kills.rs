//! Connectors under many faults at once: `cargo xtask kill-connectors`.
//!
//! 1. A round is a job in a new place of its server. In each of its lives the node works under load and is killed with
//!    SIGKILL: at a random time, at a point of its own commits, or when the gate sees a moment on the wire that lies between
//!    the write into the target and what tells the node of it ([`Window`]). What the gate holds then is lost with the
//!    connection, or reaches the server late, when the node's next life is there already.
//! 2. In some lives the server is killed and started again, in some the network parts for a while: connections stay and
//!    nothing passes, or no answer does; or all connections are refused.
//! 3. At the end of a round everything is compared: every number is there once, and those of a key in their order. Where no
//!    more is promised than at least once, what came again is counted.
//!
//! The seed is printed; the same seed places the same faults, but for those that come by time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use verify::Random;

use super::cases::{FEW, LIFE_MS, MANY, PASSES_MAX, POINTS};
use super::gate::{Trap, Way};
use super::outside::{Direction, Outside, Place};
use super::trial::Trial;
use super::{SIDE_BY_SIDE, systems};
use crate::counts::Counts;
use crate::peers;
use crate::proofs::{self, Proof};
use crate::side_by_side::side_by_side;

/// What is done, over all subjects.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub kills: u64,
    pub restarts: u64,
    pub partitions: u64,
    pub seed: u64,
}

/// In a run of all tests.
pub const KILLS: u64 = 24;
pub const RESTARTS: u64 = 3;
pub const PARTITIONS: u64 = 6;

/// Lives of a round, at most.
const ROUND_KILLS: u64 = 12;
/// With so many kills of a subject each of its windows must have been met.
const ENOUGH_KILLS: u64 = 40;
/// How long a server is away, and how long the network is parted; a table's time-outs lie in between.
const AWAY_MS_MAX: u64 = 500;
const PARTED_MS: (u64, u64) = (100, 3_000);
/// How often a window goes by before it is the one.
const WINDOWS_MAX: u64 = 5;

/// A life that should end at a point or in a window lasts so long at most.
const AIMED_LIFE: Duration = Duration::from_secs(4);
/// Of the few numbers that come all the time.
const BETWEEN_PUTS: Duration = Duration::from_millis(100);

/// A moment that shows on the wire.
struct Window {
    name: &'static str,
    way: Way,
    bytes: &'static [u8],
    /// The piece reaches its end, and nothing behind it does.
    passes: bool,
}

struct Subject {
    system: &'static str,
    direction: Direction,
    windows: &'static [Window],
}

const AMQP_PUBLISH: &[u8] = &[0, 60, 0, 40];
const AMQP_DELIVER: &[u8] = &[0, 60, 0, 60];
const AMQP_ACK: &[u8] = &[0, 60, 0, 80];
/// The key of the request EndTxn, and the first byte of its version.
const KAFKA_END: &[u8] = &[0, 26, 0];
/// The message in which a client tells how far a slot is safe: its type, its length, and what it copies.
const SLOT_STATUS: &[u8] = &[b'd', 0, 0, 0, 38, b'r'];

const SUBJECTS: &[Subject] = &[
    Subject {
        system: "postgresql",
        direction: Direction::Sink,
        windows: &[
            Window { name: "commit not sent", way: Way::ToServer, bytes: b"COMMIT", passes: false },
            Window { name: "commit not answered", way: Way::ToServer, bytes: b"COMMIT", passes: true },
        ],
    },
    Subject {
        system: "postgresql-changes",
        direction: Direction::Source,
        windows: &[
            Window { name: "changes just come", way: Way::ToClient, bytes: b"", passes: true },
            Window { name: "position not told", way: Way::ToServer, bytes: SLOT_STATUS, passes: false },
            Window { name: "position just told", way: Way::ToServer, bytes: SLOT_STATUS, passes: true },
        ],
    },
    Subject {
        system: "kafka",
        direction: Direction::Sink,
        windows: &[
            Window { name: "end not sent", way: Way::ToServer, bytes: KAFKA_END, passes: false },
            Window { name: "end not answered", way: Way::ToServer, bytes: KAFKA_END, passes: true },
            Window { name: "request not answered", way: Way::ToServer, bytes: b"", passes: true },
        ],
    },
    Subject {
        system: "kafka",
        direction: Direction::Source,
        windows: &[Window { name: "answer just come", way: Way::ToClient, bytes: b"", passes: true }],
    },
    Subject {
        system: "rabbitmq",
        direction: Direction::Sink,
        windows: &[
            Window { name: "publish not confirmed", way: Way::ToServer, bytes: AMQP_PUBLISH, passes: true },
            Window { name: "confirm not heard", way: Way::ToClient, bytes: AMQP_ACK, passes: false },
            Window { name: "confirm just heard", way: Way::ToClient, bytes: AMQP_ACK, passes: true },
        ],
    },
    Subject {
        system: "rabbitmq",
        direction: Direction::Source,
        windows: &[
            Window { name: "message just come", way: Way::ToClient, bytes: AMQP_DELIVER, passes: true },
            Window { name: "acknowledgement not sent", way: Way::ToServer, bytes: AMQP_ACK, passes: false },
            Window { name: "acknowledgement just sent", way: Way::ToServer, bytes: AMQP_ACK, passes: true },
        ],
    },
];

/// What was done, and what came of it.
#[derive(Default)]
struct Tally {
    kills: u64,
    restarts: u64,
    partitions: u64,
    rounds: u64,
    numbers: u64,
    /// Numbers that came again where that may be.
    repeated: u64,
    by_place: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.kills += other.kills;
        self.restarts += other.restarts;
        self.partitions += other.partitions;
        self.rounds += other.rounds;
        self.numbers += other.numbers;
        self.repeated += other.repeated;
        for (place, count) in other.by_place {
            *self.by_place.entry(place).or_default() += count;
        }
    }

    fn text(&self) -> String {
        let by_place: Vec<String> =
            self.by_place.iter().map(|(place, count)| format!("{place} {count}")).collect();
        format!(
            "{} kills ({}), {} restarts of the server, {} partitions in {} rounds; {} numbers, {} of them again",
            self.kills,
            by_place.join(", "),
            self.restarts,
            self.partitions,
            self.rounds,
            self.numbers,
            self.repeated
        )
    }
}

/// For the ledger of proofs.
pub fn prove(faults: Faults) -> Result<Counts> {
    let begun = Instant::now();
    let (counts, tally) = run(faults)?;
    let Faults { kills, restarts, partitions, seed } = faults;
    proofs::append(&Proof {
        command: format!(
            "kill-connectors --kills {kills} --restarts {restarts} --partitions {partitions} --seed {seed}"
        ),
        kills: tally.kills + tally.restarts,
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: counts.failed(),
        ..Proof::default()
    })?;
    Ok(counts)
}

/// As the test command runs it.
pub fn stage(seed: u64) -> Result<Counts> {
    run(Faults { kills: KILLS, restarts: RESTARTS, partitions: PARTITIONS, seed }).map(|(counts, _)| counts)
}

fn run(faults: Faults) -> Result<(Counts, Tally)> {
    let Faults { kills, restarts, partitions, .. } = faults;
    ensure!(
        kills >= SUBJECTS.len() as u64 && restarts <= kills && partitions <= kills,
        "--kills must be {} or more, and no less than --restarts and --partitions",
        SUBJECTS.len()
    );
    peers::install(&["debian".to_owned(), "kafka".to_owned()])?;
    println!("kill-connectors: seed={}", faults.seed);
    let mut systems: Vec<&str> = SUBJECTS.iter().map(|subject| subject.system).collect();
    systems.dedup();
    let ran = side_by_side(&systems, SIDE_BY_SIDE, |system| of_system(system, faults));
    let (mut counts, mut sum) = (Counts::default(), Tally::default());
    for (system, result) in systems.iter().zip(ran) {
        match result {
            Ok(of_system) => {
                for (name, (tally, result)) in of_system {
                    if result.is_ok() {
                        println!("kill-connectors: {name}: {}", tally.text());
                    }
                    counts.check(&format!("kill-connectors: {name}"), result);
                    sum.add(tally);
                }
            }
            Err(error) => counts.fail(format!("kill-connectors: {system}: {error:#}")),
        }
    }
    println!("kill-connectors: {}", sum.text());
    Ok((counts, sum))
}

/// What became of each subject of a system, by its name.
type OfSystem = Vec<(String, (Tally, Result<()>))>;

fn of_system(system: &str, faults: Faults) -> Result<OfSystem> {
    let mut folder = tempfile::Builder::new().prefix("kill-connectors-").tempdir()?;
    let (_, start) = systems::all().find(|(name, _)| *name == system).context("there is no such system")?;
    let mut outside = start(folder.path())?;
    let mut all = Vec::new();
    for (number, subject) in (0..).zip(SUBJECTS).filter(|(_, subject)| subject.system == system) {
        // Few faults meet others with each seed.
        let place = (number + faults.seed) % SUBJECTS.len() as u64;
        let share = |all: u64| share(all, place, SUBJECTS.len() as u64);
        let faults = Faults {
            kills: share(faults.kills),
            restarts: share(faults.restarts),
            partitions: share(faults.partitions),
            seed: faults.seed.wrapping_add(number),
        };
        let mut tally = Tally::default();
        let result = of_subject(subject, &mut *outside, folder.path(), faults, &mut tally);
        // The data of a failure is worth more than a clean temporary directory.
        let result = result.with_context(|| format!("data in {}", folder.path().display()));
        if result.is_err() {
            folder.disable_cleanup(true);
        }
        all.push((format!("{system} {}", subject.direction.name()), (tally, result)));
    }
    Ok(all)
}

/// The part of one of so many: all parts together are the whole.
fn share(all: u64, number: u64, of: u64) -> u64 {
    all * (number + 1) / of - all * number / of
}

/// Rounds until all faults have come.
fn of_subject(
    subject: &Subject,
    outside: &mut dyn Outside,
    folder: &Path,
    faults: Faults,
    tally: &mut Tally,
) -> Result<()> {
    let mut random = Random(faults.seed);
    let rounds = faults.kills.div_ceil(ROUND_KILLS);
    for number in 0..rounds {
        let share = |all: u64| share(all, number, rounds);
        let of_round = Faults {
            kills: share(faults.kills),
            restarts: share(faults.restarts),
            partitions: share(faults.partitions),
            seed: random.below(u64::MAX),
        };
        let name = format!("round_{}_{number}", subject.direction.name());
        let place = Place { folder: folder.join(&name), name };
        let kept = place.folder.clone();
        round(subject, outside, place, of_round, tally)
            .with_context(|| format!("round {number}, {of_round:?}"))?;
        let whose = subject.direction.name();
        eprintln!("kill-connectors: {} {whose}: round {number} of {rounds} is whole", subject.system);
        std::fs::remove_dir_all(&kept)?;
    }
    if faults.kills >= ENOUGH_KILLS {
        for window in subject.windows {
            ensure!(tally.by_place.contains_key(window.name), "no kill met the window '{}'", window.name);
        }
    }
    Ok(())
}

/// What comes to pass in a life besides its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Restart,
    Partition,
}

fn round(
    subject: &Subject,
    outside: &mut dyn Outside,
    place: Place,
    faults: Faults,
    tally: &mut Tally,
) -> Result<()> {
    let mut random = Random(faults.seed);
    let Faults { kills, restarts, partitions, seed } = faults;
    let mut trial = Trial::new(outside, subject.direction, place, (kills, restarts, seed))?;
    trial.prepare()?;
    trial.put(MANY / 4)?;
    for life in 0..kills {
        let is_due = |all: u64, life: u64| share(all, life % kills, kills) > 0;
        let due = [
            (Fault::Restart, is_due(restarts, life)),
            (Fault::Partition, is_due(partitions, life + kills / 2)),
        ];
        let due: Vec<Fault> = due.into_iter().filter(|(_, is_due)| *is_due).map(|(fault, _)| fault).collect();
        self::life(subject, &mut trial, &due, &mut random, tally)?;
        trial.put(FEW)?;
    }
    trial.start()?;
    trial.wait_all()?;
    // What would come twice would have come before this.
    trial.put(1)?;
    trial.wait_all()?;
    let arrived = trial.arrived()?.len() as u64;
    trial.stop()?;
    tally.rounds += 1;
    tally.numbers += trial.put_so_far();
    tally.repeated += arrived - trial.put_so_far();
    Ok(())
}

/// From a start to a kill.
fn life(
    subject: &Subject,
    trial: &mut Trial<'_>,
    due: &[Fault],
    random: &mut Random,
    tally: &mut Tally,
) -> Result<()> {
    let point = POINTS[random.below(POINTS.len() as u64) as usize];
    let kill_at = format!("{point}:{}", 1 + random.below(PASSES_MAX));
    let window = &subject.windows[random.below(subject.windows.len() as u64) as usize];
    let time = 1 + random.below(WINDOWS_MAX);
    let at_a_point = random.below(4) == 0;
    let at_a_window = !at_a_point && random.below(3) > 0;
    let mut options = vec!["--step-rows-max", "64"];
    if at_a_point {
        options.extend(["--kill-at", &kill_at]);
    }
    trial.start_with(&options)?;
    trial.put_while_it_lives(0)?;
    for fault in due {
        trial.live(between(random, LIFE_MS))?;
        match fault {
            Fault::Restart => {
                tally.restarts += 1;
                trial.outside.kill()?;
                std::thread::sleep(Duration::from_millis(random.below(AWAY_MS_MAX)));
                trial.outside.start()?;
            }
            Fault::Partition => {
                tally.partitions += 1;
                let gate = trial.outside.gate()?;
                match random.below(3) {
                    0 => gate.shut(),
                    1 => gate.hold(true),
                    _ => gate.hold(false),
                }
                trial.live(between(random, PARTED_MS))?;
                // Some of the nodes die while they are cut off.
                if random.below(3) > 0 {
                    let gate = trial.outside.gate()?;
                    gate.open();
                    gate.release();
                }
            }
        }
    }
    if at_a_window {
        let Window { way, bytes, passes, .. } = *window;
        trial.outside.gate()?.set(Trap { way, bytes, time, passes });
    }
    // What is waited for comes, in most lives.
    let life = if at_a_window || at_a_point { AIMED_LIFE } else { between(random, LIFE_MS) };
    let (end, mut has_sprung) = (Instant::now() + life, false);
    while !has_sprung && Instant::now() < end && !trial.has_ended()? {
        trial.put_while_it_lives(FEW / 4)?;
        has_sprung = trial.live_until(BETWEEN_PUTS, |outside| Ok(outside.gate()?.has_sprung()))?;
    }
    let place = match (has_sprung, trial.has_ended()?) {
        (true, _) => window.name,
        (false, true) => point,
        (false, false) => "by time",
    };
    trial.kill();
    tally.kills += 1;
    *tally.by_place.entry(place).or_default() += 1;
    let gate = trial.outside.gate()?;
    // What is held is lost, or comes late.
    if random.below(2) == 0 {
        gate.cut();
    }
    gate.open();
    gate.release();
    Ok(())
}

fn between(random: &mut Random, (from, to): (u64, u64)) -> Duration {
    Duration::from_millis(from + random.below(to - from))
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_the_whole() {
        for (all, of) in [(0, 3), (2, 3), (7, 3), (100, 12)] {
            let shares: Vec<u64> = (0..of).map(|number| share(all, number, of)).collect();
            assert_eq!(shares.iter().sum::<u64>(), all);
            assert!(shares.iter().all(|share| share.abs_diff(all / of) <= 1), "{shares:?}");
        }
    }
}
