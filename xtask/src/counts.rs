//! What the checks of a run come to, and which failed: they are named again at its end, for of the log of a long run the
//! end is what people read first.

use std::process::ExitCode;

use anyhow::Result;

/// Of what failed, so much is said again.
const SHOWN_CHARS_MAX: usize = 300;

#[derive(Debug, Default)]
pub struct Counts {
    pub passed: u64,
    failures: Vec<String>,
}

impl Counts {
    /// One check that passed.
    pub fn one() -> Counts {
        Counts { passed: 1, failures: Vec::new() }
    }

    /// One check that failed; says so at once.
    pub fn failure(what: String) -> Counts {
        let mut counts = Counts::default();
        counts.fail(what);
        counts
    }

    /// What was counted and told by a program of its own.
    pub fn told(passed: u64, failures: Vec<String>) -> Counts {
        Counts { passed, failures }
    }

    pub fn failed(&self) -> u64 {
        self.failures.len() as u64
    }

    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// Counts a failure and says so at once.
    pub fn fail(&mut self, what: String) {
        println!("{what}");
        self.failures.push(what);
    }

    pub fn check(&mut self, what: &str, result: Result<()>) {
        match result {
            Ok(()) => self.pass(),
            Err(error) => self.fail(format!("{what}: {error:#}")),
        }
    }

    pub fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
    }

    /// Names what failed once more.
    pub fn name_failures(&self) {
        for failure in &self.failures {
            let line = failure.lines().next().unwrap_or_default();
            println!("FAILED {}", line.chars().take(SHOWN_CHARS_MAX).collect::<String>());
        }
    }

    /// Prints the sum that ends every run of checks, and makes it the exit status.
    pub fn verdict(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed());
        if self.failures.is_empty() && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
