//! Kills the node, and cuts its power, while transactional and idempotent producers write: the crate `verify` with the
//! release build, and a line in the ledger.

use std::time::Instant;

use anyhow::{Context, Result};
use verify::{Life, Tally, Wanted};

use crate::node;
use crate::process::die_with_parent;
use crate::proofs::{self, Proof};

/// Fails at the first violation.
pub fn run(wanted: Wanted) -> Result<Tally> {
    let mut folder = tempfile::tempdir().context("cannot make a working folder")?;
    let Wanted { kills, power_cuts, seed } = wanted;
    eprintln!("kill-producers: seed={seed} cycles={kills} power-cuts={power_cuts}");
    let program = |life: Life<'_>| {
        let mut command = node::command()?;
        command.args(life.arguments());
        die_with_parent(&mut command);
        Ok(command)
    };
    let done = verify::run(wanted, folder.path(), &program, &mut |_| {});
    // The data folder of a failure is worth more than a clean temporary directory.
    folder.disable_cleanup(done.is_err());
    let tally = done?;
    println!("kill-producers: {}; nothing lost, nothing twice", tally.text());
    Ok(tally)
}

/// Like [`run`], as a proof in the ledger.
pub fn prove(wanted: Wanted) -> Result<()> {
    let begun = Instant::now();
    let result = run(wanted);
    let Wanted { kills, power_cuts, seed } = wanted;
    proofs::append(&Proof {
        command: format!("kill-producers --cycles {kills} --power-cuts {power_cuts} --seed {seed}"),
        kills: result.as_ref().map_or(0, |tally| tally.kills),
        power_cuts: result.as_ref().map_or(0, |tally| tally.power_cuts),
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: u64::from(result.is_err()),
        ..Proof::default()
    })?;
    result.map(|_| ())
}
