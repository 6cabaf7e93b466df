//! Runs the targets of the crate `fuzz` under libFuzzer, keeps what found new ways through the code, and adds to the
//! ledger of proofs.
//!
//! 1. The stable compiler has what libFuzzer needs, behind flags of LLVM. With them everything is built anew, into a
//!    folder of its own below the target folder; a plain build knows nothing of libFuzzer.
//! 2. A target runs on its seeds and its corpus in a working folder. It ends at its first finding: the input is kept
//!    beside the build, and belongs into the corpus when it is mended.
//! 3. What is left is made small: of the inputs that reach the same code the smallest stay, up to a limit.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::places;
use crate::process::{self, Group};
use crate::proofs::{self, Proof};

/// For counters, their places, and what values are compared with.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
const PROFILE: &str = "fuzz";
const BUILD_LIMIT: Duration = Duration::from_secs(3 * 3600);
/// Beyond the time that a run was given.
const OVERTIME: Duration = Duration::from_secs(600);

/// Beyond these an input is a finding. The machine may be busy.
const INPUT_SECONDS_MAX: u32 = 60;
const MEMORY_MB_MAX: u32 = 2048;
const INPUT_BYTES_MAX: u32 = 16 << 10;
/// Of one target's corpus.
const CORPUS_BYTES_MAX: u64 = 80 << 10;
const CORPUS_FILES_MAX: usize = 250;

#[derive(Args)]
pub struct Options {
    /// The targets to run, all if there are none (`fuzz/src/lib.rs` lists them)
    targets: Vec<String>,
    /// Of each target
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// How many run at once
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Run this program, a copy of what an earlier run built, rather than build it
    #[arg(long)]
    program: Option<PathBuf>,
}

/// What one target came to.
struct Ran {
    executions: u64,
    /// libFuzzer's last words, where it stopped at an input.
    finding: Option<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let known = known_targets()?;
    for name in &options.targets {
        ensure!(known.contains(name), "there is no target={name}; there are {}", known.join(", "));
    }
    ensure!(options.minutes > 0.0 && options.jobs > 0, "--minutes and --jobs are more than 0");
    let targets = if options.targets.is_empty() { known } else { options.targets.clone() };
    let work = tempfile::tempdir().context("cannot make a working folder")?;
    let program = match &options.program {
        Some(program) => program
            .canonicalize()
            .with_context(|| format!("there is no program={}; leave --program out", program.display()))?,
        None => build(work.path())?,
    };
    let begun = Instant::now();
    let ran = run_all(&program, work.path(), &targets, options)?;
    let executions: u64 = ran.iter().map(|(_, ran)| ran.executions).sum();
    let findings: Vec<&str> =
        ran.iter().filter(|(_, ran)| ran.finding.is_some()).map(|(name, _)| name.as_str()).collect();
    let named = if options.targets.is_empty() { "all".to_owned() } else { targets.join(" ") };
    proofs::append(&Proof {
        command: format!("fuzz {named} --minutes {} ({executions} inputs)", options.minutes),
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: findings.len() as u64,
        ..Proof::default()
    })?;
    ensure!(
        findings.is_empty(),
        "findings of {}; mend them, and put the inputs into fuzz/corpus/TARGET. To run one: cargo run -p fuzz -- \
         --target=TARGET FILE",
        findings.join(", ")
    );
    Ok(())
}

/// The targets that the crate lists.
fn known_targets() -> Result<Vec<String>> {
    let text =
        fs::read_to_string(places::root().join("fuzz/src/lib.rs")).context("there is no crate fuzz")?;
    let name = |line: &str| {
        let rest = line.trim().strip_prefix("Target { name: \"")?;
        rest.split_once('"').map(|(name, _)| name.to_owned())
    };
    Ok(text.lines().filter_map(name).collect())
}

/// Builds the program, and copies it to where the next build does not change it.
fn build(work: &Path) -> Result<PathBuf> {
    let triple = triple()?;
    let target = folder();
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // With a triple the flags are not those of build scripts and macros.
    command
        .current_dir(places::root())
        .args(["build", "--package", "fuzz", "--profile", PROFILE, "--target", &triple])
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", COVERAGE)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(&mut command, BUILD_LIMIT)?;
    let program = work.join("fuzz");
    fs::copy(target.join(&triple).join(PROFILE).join("fuzz"), &program)
        .context("the build made no program")?;
    Ok(program)
}

fn folder() -> PathBuf {
    places::target().join("libfuzzer")
}

fn triple() -> Result<String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let told = process::output(Command::new(rustc).arg("-vV"), Duration::from_secs(60))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what machine it is for")
}

fn run_all(program: &Path, work: &Path, targets: &[String], options: &Options) -> Result<Vec<(String, Ran)>> {
    let next = AtomicUsize::new(0);
    let ran = Mutex::new(Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        let runners: Vec<_> = (0..options.jobs.min(targets.len()))
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(name) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let one = run_one(program, work, name, options.minutes)
                            .with_context(|| format!("target {name}"))?;
                        ran.lock().expect("no runner panics").push((name.clone(), one));
                    }
                    Ok(())
                })
            })
            .collect();
        runners.into_iter().try_for_each(|runner| runner.join().expect("no runner panics"))
    })?;
    Ok(ran.into_inner().expect("no runner panics"))
}

fn run_one(program: &Path, work: &Path, name: &str, minutes: f64) -> Result<Ran> {
    let inputs = work.join(format!("{name}-inputs"));
    let findings = folder().join("findings");
    let corpus = places::root().join("fuzz/corpus").join(name);
    for folder in [&inputs, &findings, &corpus] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = work.join(format!("{name}.log"));
    let mut command = program_for(program, name);
    command.args([
        format!("--seeds={}", inputs.display()),
        format!("-max_total_time={}", (minutes * 60.0).ceil()),
        format!("-artifact_prefix={}/{name}-", findings.display()),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={MEMORY_MB_MAX}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let limit = Duration::from_secs_f64(minutes * 60.0) + OVERTIME;
    let status = to_end(command.arg(&inputs).arg(&corpus), &log, limit)?;
    let told = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let ran = Ran { executions: executions(&told), finding: finding(&told) };
    if let Some(finding) = &ran.finding {
        println!("fuzz: {name}: {} inputs, and {finding}", ran.executions);
        return Ok(ran);
    }
    ensure!(status, "libFuzzer ended with an error:\n{}", tail(&told));
    let (files, bytes) = reduce(program, work, name, &inputs, &corpus)?;
    println!("fuzz: {name}: {} inputs; corpus of {files} files, {bytes} bytes", ran.executions);
    Ok(ran)
}

fn program_for(program: &Path, name: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("--target={name}"));
    command
}

/// Runs libFuzzer, which writes to standard error; whether it ended well.
fn to_end(command: &mut Command, log: &Path, limit: Duration) -> Result<bool> {
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdout(out.try_clone()?).stderr(out);
    Ok(Group::spawn(command)?.wait(limit)?.success())
}

/// Makes the corpus what of it and of the inputs reaches all that they reach. Beyond the limits some of each size stay.
fn reduce(program: &Path, work: &Path, name: &str, inputs: &Path, corpus: &Path) -> Result<(usize, u64)> {
    let merged = work.join(format!("{name}-merged"));
    fs::create_dir_all(&merged)?;
    let log = work.join(format!("{name}-merge.log"));
    let mut command = program_for(program, name);
    command.args(["-merge=1".to_owned(), format!("-timeout={INPUT_SECONDS_MAX}")]);
    if !to_end(command.args([&merged, inputs, corpus]), &log, OVERTIME)? {
        bail!("libFuzzer could not merge:\n{}", tail(&fs::read_to_string(&log)?));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&merged)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    files.sort();
    let total: u64 = files.iter().map(|(length, _)| length).sum();
    let excess = (files.len().div_ceil(CORPUS_FILES_MAX)).max(total.div_ceil(CORPUS_BYTES_MAX) as usize);
    fs::remove_dir_all(corpus)?;
    fs::create_dir_all(corpus)?;
    let (mut count, mut bytes) = (0, 0);
    for (length, path) in files.into_iter().step_by(excess.max(1)) {
        if bytes + length > CORPUS_BYTES_MAX {
            break;
        }
        fs::copy(&path, corpus.join(path.file_name().unwrap_or_default()))?;
        (count, bytes) = (count + 1, bytes + length);
    }
    Ok((count, bytes))
}

/// Reads `stat::number_of_executed_units: 12`, or, where libFuzzer could not say it, the last `#12 …`.
fn executions(told: &str) -> u64 {
    let stat = told.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let step = |line: &str| line.strip_prefix('#')?.split_whitespace().next()?.parse().ok();
    stat.and_then(|number| number.trim().parse().ok())
        .or_else(|| told.lines().rev().find_map(step))
        .unwrap_or(0)
}

/// The file that libFuzzer left, and why.
fn finding(told: &str) -> Option<String> {
    let written = told.lines().filter_map(|line| line.split_once("Test unit written to "));
    // A slow input that ended is none.
    let mut files = written.map(|(_, file)| file).filter(|file| !file.contains("-slow-unit-"));
    let file = files.next()?;
    let panicked = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    Some(format!("{}: {}", file.trim(), told.lines().find(panicked).unwrap_or("no reason was told").trim()))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::{executions, finding, known_targets};

    #[test]
    fn the_targets_are_known() {
        let known = known_targets().unwrap();
        assert!((1..=12).contains(&known.len()), "{known:?}");
        assert!(known.iter().any(|name| name == "messages"));
    }

    #[test]
    fn reads_what_libfuzzer_says() {
        let ended = "#7\tNEW cov: 3\nDone 90 runs in 2 second(s)\nstat::number_of_executed_units: 90\n";
        assert_eq!((executions(ended), finding(ended)), (90, None));
        let crashed = "#7\tNEW cov: 3\nthread 'main' panicked at src/a.rs:1:2:\nno\n==3== ERROR: libFuzzer: deadly signal\n\
                       artifact_prefix='/f/log-'; Test unit written to /f/log-crash-12\n";
        assert_eq!(executions(crashed), 7);
        let found = finding(crashed).unwrap();
        assert_eq!(found, "/f/log-crash-12: thread 'main' panicked at src/a.rs:1:2:");
        let slow = "artifact_prefix='/f/log-'; Test unit written to /f/log-slow-unit-12\n";
        assert_eq!(finding(slow), None);
    }
}
