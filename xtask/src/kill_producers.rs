//! Kills the node, and cuts its power, while transactional and idempotent producers write: the crate `verify` with the
//! release build, and a line in the ledger.

use std::time::Instant;

use anyhow::{Context, Result};
use tempfile::TempDir;
use verify::{Life, Machine, Tally, Wanted};

use crate::ext4::Ext4;
use crate::node;
use crate::process::die_with_parent;
use crate::proofs::{self, Proof};

/// Where the node runs and dies.
struct Ground {
    // Unmounted before its folder is removed.
    ext4: Option<Ext4>,
    folder: TempDir,
}

impl Ground {
    /// With `ext4` the power is that of a file system of its own.
    fn make(ext4: bool) -> Result<Ground> {
        let folder = tempfile::tempdir().context("cannot make a working folder")?;
        let ext4 = if ext4 { Some(Ext4::make(folder.path())?) } else { None };
        Ok(Ground { ext4, folder })
    }

    fn run(&mut self, wanted: Wanted) -> Result<Tally> {
        let Wanted { kills, power_cuts, seed } = wanted;
        eprintln!("kill-producers: seed={seed} cycles={kills} power-cuts={power_cuts}");
        let program = |life: Life<'_>| {
            let mut command = node::command()?;
            command.args(life.arguments());
            die_with_parent(&mut command);
            Ok(command)
        };
        let machine = self.ext4.as_ref().map(|ext4| ext4 as &dyn Machine);
        let done = verify::run(wanted, self.folder.path(), machine, &program, &mut |_| {});
        // The data folder of a failure is worth more than a clean temporary directory.
        self.folder.disable_cleanup(done.is_err());
        let tally = done?;
        println!("kill-producers: {}; nothing lost, nothing twice", tally.text());
        Ok(tally)
    }
}

/// Fails at the first violation.
pub fn run(wanted: Wanted) -> Result<Tally> {
    Ground::make(false)?.run(wanted)
}

/// Like [`run`], as a proof in the ledger.
pub fn prove(wanted: Wanted, ext4: bool) -> Result<()> {
    let mut ground = Ground::make(ext4)?;
    let begun = Instant::now();
    let result = ground.run(wanted);
    let Wanted { kills, power_cuts, seed } = wanted;
    proofs::append(&Proof {
        command: format!(
            "kill-producers --cycles {kills} --power-cuts {power_cuts}{} --seed {seed}",
            if ext4 { " --ext4" } else { "" }
        ),
        kills: result.as_ref().map_or(0, |tally| tally.kills),
        power_cuts: result.as_ref().map_or(0, |tally| tally.power_cuts),
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: u64::from(result.is_err()),
        ..Proof::default()
    })?;
    result.map(|_| ())
}
