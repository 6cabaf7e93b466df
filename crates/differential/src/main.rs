//! The program behind `cargo xtask flink`: golden results, and differences of a file.
//!
//! `golden-expressions [FAMILY…]` and `golden-statements [TOPIC…]` make the golden files anew. `eval FILE [--all]`
//! evaluates a file of expressions on Flink and on our side and prints where they differ; `query FILE [--all]` does so
//! for a file of statements. `fuzz MINUTES SEED` makes up expressions and queries.

use anyhow::{Result, bail, ensure};
use differential::flink::Flink;
use differential::fuzz::Fuzz;
use differential::{expressions, statements};
use std::path::Path;
use std::time::Duration;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = arguments.last().is_some_and(|last| last == "--all");
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--all").collect();
    // What panics is told as a difference.
    std::panic::set_hook(Box::new(|_| {}));
    match words.as_slice() {
        ["golden-expressions", families @ ..] => {
            let mut flink = Flink::start()?;
            for family in wanted(families, expressions::families()?)? {
                let (written, golden) =
                    (expressions::written_file(&family), expressions::golden_file(&family));
                println!("{family}: {}", flink.expressions(&written, &golden)?);
                print_expressions(&written, &golden, all)?;
            }
            Ok(())
        }
        ["golden-statements", topics @ ..] => {
            let mut flink = Flink::start()?;
            for topic in wanted(topics, statements::topics()?)? {
                let (written, golden) = (statements::written_file(&topic), statements::golden_file(&topic));
                println!("{topic}: {}", flink.statements(&written, &golden)?);
                print_statements(&written, &golden, all)?;
            }
            Ok(())
        }
        ["eval", file] => beside(Path::new(file), |flink, file, results| {
            println!("Flink: {}", flink.expressions(file, results)?);
            print_expressions(file, results, all)
        }),
        ["query", file] => beside(Path::new(file), |flink, file, results| {
            println!("Flink: {}", flink.statements(file, results)?);
            print_statements(file, results, all)
        }),
        ["fuzz", minutes, seed] => {
            let length = Duration::from_secs_f64(minutes.parse::<f64>()? * 60.0);
            let sum = Fuzz::new(seed.parse()?)?.run(length)?;
            // The last line is for the ledger of proofs.
            println!("{} {} {}", sum.expressions, sum.queries, sum.mismatches.len());
            Ok(())
        }
        _ => bail!(
            "usage: differential golden-expressions|golden-statements [NAME…] | eval|query FILE [--all] | \
             fuzz MINUTES SEED"
        ),
    }
}

fn wanted(names: &[&str], all: Vec<String>) -> Result<Vec<String>> {
    for name in names {
        ensure!(all.iter().any(|known| known == name), "there is no {name}; there are {}", all.join(", "));
    }
    Ok(all.into_iter().filter(|name| names.is_empty() || names.contains(&name.as_str())).collect())
}

/// Runs a file on Flink, the results into a file that does not stay.
fn beside(file: &Path, run: impl Fn(&mut Flink, &Path, &Path) -> Result<()>) -> Result<()> {
    let results = std::env::temp_dir().join(format!("flink-results-{}.txt", std::process::id()));
    let told = run(&mut Flink::start()?, file, &results);
    let _ = std::fs::remove_file(&results);
    told
}

fn print_expressions(written: &Path, golden: &Path, all: bool) -> Result<()> {
    let compared = expressions::compare(written, golden)?;
    let equal = compared.iter().filter(|one| one.is_equal).count();
    for one in compared.iter().filter(|one| all || !one.is_equal) {
        println!("{}", expressions::show(one));
    }
    println!("{equal} equal, {} different", compared.len() - equal);
    Ok(())
}

fn print_statements(written: &Path, golden: &Path, all: bool) -> Result<()> {
    let compared = statements::compare(written, golden)?;
    let equal = compared.iter().filter(|one| one.difference.is_none()).count();
    for one in compared.iter().filter(|one| all || one.difference.is_some()) {
        println!("{}", statements::show(one, all));
    }
    println!("{equal} equal, {} different", compared.len() - equal);
    Ok(())
}
