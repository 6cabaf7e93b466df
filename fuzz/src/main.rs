//! One target under libFuzzer: `fuzz --target=NAME` and libFuzzer's own arguments.
//!
//! That is what `cargo xtask fuzz` builds, with `--cfg fuzzing`. In a plain build the same program gives single inputs to a
//! target, for a debugger: `cargo run -p fuzz -- --target=NAME FILE…`. With `--seeds=FOLDER` it writes the target's
//! seeds first. libFuzzer passes over what begins with two dashes, and hands it to the processes that it starts.

#![cfg_attr(fuzzing, no_main)]

use fuzz::Target;
use std::path::Path;
use std::process::exit;
use std::sync::LazyLock;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = argument("--target=");
    name.as_deref().and_then(fuzz::target).unwrap_or_else(|| {
        let known: Vec<&str> = fuzz::TARGETS.iter().map(|target| target.name).collect();
        stop(&format!("no such target; give --target=NAME, one of {}", known.join(", ")))
    })
});

fn argument(name: &str) -> Option<String> {
    std::env::args().find_map(|argument| argument.strip_prefix(name).map(str::to_owned))
}

fn stop(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(2)
}

fn write_seeds() {
    let Some(folder) = argument("--seeds=") else { return };
    for (number, seed) in (TARGET.seeds)().iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{number}"));
        std::fs::write(&path, seed)
            .unwrap_or_else(|error| stop(&format!("cannot write {}: {error}", path.display())));
    }
}

/// Takes away libFuzzer's hook, which ends the program at every panic: one that a decoder catches is no finding. What is
/// not caught ends it all the same.
#[cfg(fuzzing)]
fn begin() {
    drop(std::panic::take_hook());
    write_seeds();
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(init: begin(), |data: &[u8]| (TARGET.run)(data));

#[cfg(not(fuzzing))]
fn main() {
    write_seeds();
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        let input = std::fs::read(&path);
        (TARGET.run)(&input.unwrap_or_else(|error| stop(&format!("cannot read {path}: {error}"))));
    }
}
