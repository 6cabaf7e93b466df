//! `verify`: kills a node and cuts its power on the user's own disk, and says what became of what was acknowledged.

use crate::cli::{Form, VerifyArguments};
use crate::output::thousands;
use anyhow::{Context, bail};
use os::Os;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::process::Command;
use verify::{Life, Tally, Wanted};

/// What was compared, and held: the first violation is an error.
const HELD: &str = "nothing acknowledged was lost, nothing is there twice or out of order";

pub fn verify(arguments: &VerifyArguments) -> anyhow::Result<()> {
    if arguments.kill + arguments.power_cut == 0 {
        bail!("nothing is to be done; give --kill or --power-cut a number");
    }
    let os = Os::real();
    let seed = arguments.seed.unwrap_or_else(|| os.clock.now_ms().unsigned_abs());
    let folder = arguments.folder.join(format!("eventwright-verify-{}", std::process::id()));
    os.disk.create_dir_all(&folder).with_context(|| format!("cannot make folder={}", folder.display()))?;
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let command = |life: Life<'_>| {
        let mut command = Command::new(&program);
        command.args(life.arguments());
        Ok(command)
    };
    let wanted = Wanted { kills: arguments.kill, power_cuts: arguments.power_cut, seed };
    let begun_ns = os.clock.monotonic_ns();
    let shows = std::io::stderr().is_terminal();
    let tally = verify::run(wanted, &folder, None, &command, &mut |tally| {
        if shows {
            let all = wanted.kills + wanted.power_cuts;
            // The line is a courtesy.
            let _ = write!(std::io::stderr(), "\r\x1b[K{} of {all} deaths", tally.deaths());
        }
    });
    if shows {
        eprint!("\r\x1b[K");
    }
    let tally = tally.with_context(|| format!("violated; the data stays in folder={}", folder.display()))?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove folder={}", folder.display()))?;
    let minutes = os.clock.monotonic_ns().saturating_sub(begun_ns) as f64 / 6e10;
    report(arguments, &tally, seed, minutes);
    Ok(())
}

fn report(arguments: &VerifyArguments, tally: &Tally, seed: u64, minutes: f64) {
    let (median_ms, longest_ms) = tally.ready_ms().unwrap_or_default();
    match arguments.output {
        Form::Text => {
            let line = |name: &str, text: String| println!("{name:<24} {text}");
            line("kills", thousands(tally.kills));
            line("power cuts", thousands(tally.power_cuts));
            line("transactions", {
                let [committed, aborted, left] = [tally.committed, tally.aborted, tally.left].map(thousands);
                format!("{committed} committed, {aborted} aborted, {left} left open by a death")
            });
            line("unanswered commits", {
                let all = thousands(tally.unanswered_there + tally.unanswered_gone);
                format!("{all}, of which {} had taken place", thousands(tally.unanswered_there))
            });
            line("idempotent batches", {
                let [all, again] = [tally.idempotent_batches, tally.sent_again].map(thousands);
                format!("{all}, of which {again} were sent again")
            });
            line("ready again after", format!("{median_ms} ms (median), {longest_ms} ms (longest)"));
            line("result", HELD.into());
            line("seed", format!("{seed}, {minutes:.1} minutes"));
        }
        Form::Json => println!(
            "{}",
            json!({
                "kills": tally.kills,
                "power_cuts": tally.power_cuts,
                "transactions_committed": tally.committed,
                "transactions_aborted": tally.aborted,
                "transactions_left_open": tally.left,
                "unanswered_commits_found": tally.unanswered_there,
                "unanswered_commits_gone": tally.unanswered_gone,
                "idempotent_batches": tally.idempotent_batches,
                "idempotent_batches_sent_again": tally.sent_again,
                "ready_ms_median": median_ms,
                "ready_ms_max": longest_ms,
                "result": HELD,
                "seed": seed,
                "minutes": minutes,
            })
        ),
    }
}
