//! Every target over its seeds, its corpus, and mutations of both, other ones in every run.
//!
//! `EVENTWRIGHT_FUZZ_SEED=N` repeats a run; a failure prints it.

use fuzz::TARGETS;
use os::Random;
use os::random::RealRandom;
use os::sim::SplitMix;
use std::path::Path;

const CORPUS_BYTES_MAX: u64 = 1 << 20;
const INPUT_BYTES_MAX: usize = 64 << 10;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// One to four edits: a byte, a bit, a piece taken out, a piece of another input put in, a large number.
fn mutated(random: &mut SplitMix, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut below = |limit: usize| (random.next_u64() % limit.max(1) as u64) as usize;
    let mut data = inputs[below(inputs.len())].clone();
    for _ in 0..=below(4) {
        let at = below(data.len());
        match below(5) {
            0 if !data.is_empty() => data[at] = below(256) as u8,
            1 if !data.is_empty() => data[at] ^= 1 << below(8),
            2 if !data.is_empty() => {
                let end = (at + 1 + below(16)).min(data.len());
                data.drain(at..end);
            }
            3 => {
                let other = &inputs[below(inputs.len())];
                let from = below(other.len());
                let to = (from + 1 + below(32)).min(other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let number: &[u8] = [&[0xff; 4][..], &[0x7f, 0xff, 0xff, 0xff], &[0; 4], &[0x80]][below(4)];
                let end = (at + number.len()).min(data.len());
                data.splice(at..end, number.iter().copied());
            }
        }
    }
    data.truncate(INPUT_BYTES_MAX);
    data
}

/// What the mutations follow from.
fn seed() -> u64 {
    match std::env::var("EVENTWRIGHT_FUZZ_SEED") {
        Ok(seed) => seed.parse().expect("EVENTWRIGHT_FUZZ_SEED is a number"),
        Err(_) => RealRandom.next_u64(),
    }
}

fn run(name: &str) {
    let target = fuzz::target(name).unwrap();
    let mut inputs = (target.seeds)();
    inputs.extend(corpus(name));
    assert!(!inputs.is_empty());
    (target.run)(&[]);
    for input in &inputs {
        let result = std::panic::catch_unwind(|| (target.run)(input));
        assert!(result.is_ok(), "an input of {name}: {}", input.escape_ascii());
    }
    let seed = seed();
    println!("EVENTWRIGHT_FUZZ_SEED={seed}");
    let mut random = SplitMix(seed);
    for number in 0..target.mutations {
        let input = mutated(&mut random, &inputs);
        let result = std::panic::catch_unwind(|| (target.run)(&input));
        assert!(result.is_ok(), "mutation {number} of {name}: {}", input.escape_ascii());
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*
        #[test]
        fn every_target_is_run() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! { messages batches log entries state records files sql logins schemas servers front }

#[test]
fn the_corpora_stay_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut bytes = 0;
    for target in std::fs::read_dir(folder).into_iter().flatten() {
        let target = target.unwrap().path();
        let name = target.file_name().unwrap().to_str().unwrap();
        assert!(fuzz::target(name).is_some(), "a corpus of no target: {name}");
        bytes += std::fs::read_dir(target)
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum::<u64>();
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes");
}
