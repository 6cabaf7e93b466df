//! The stage at a real MariaDB and a real MySQL: the tests of the connectors' crate, what a job says of TLS, and a table that is copied over
//! TLS while it changes, the node is killed, and the server falls over. What every connector must do is in `connectors`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use verify::Random;

use super::cargo;
use crate::counts::Counts;
use crate::mysql::{Brand, DATABASE, MySql, PASSWORD, USER};
use crate::process::Group;
use crate::stages::seed;
use crate::{node, peers, places};

const FOLDER: &str = "tests/mysql";
const KILLS: u64 = 15;
const RESTARTS: u64 = 2;
/// How long a life of the node is before it is killed: from its start into its steady work.
const LIFE_MS: (u64, u64) = (50, 1_200);
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// Transactions of the writer between two looks at whether it should stop.
const ROUNDS: u64 = 50;

/// Rows that two tables do not have in common.
const DIFFERENCES: &str = "SELECT \
     (SELECT COUNT(*) FROM ((SELECT * FROM items EXCEPT SELECT * FROM copied_items) UNION ALL \
       (SELECT * FROM copied_items EXCEPT SELECT * FROM items)) d), \
     (SELECT COUNT(*) FROM ((SELECT grp, COUNT(*), SUM(n) FROM items GROUP BY grp EXCEPT SELECT * FROM totals) UNION ALL \
       (SELECT * FROM totals EXCEPT SELECT grp, COUNT(*), SUM(n) FROM items GROUP BY grp)) d)";

pub fn run() -> Result<Counts> {
    peers::install(&["debian", "mysql"].map(str::to_owned))?;
    let scratch = tempfile::tempdir()?;
    let log = |name: &str| scratch.path().join(name);
    let [mut mysql, replica] = MySql::pair(Brand::MariaDb, [&log("mysql.log"), &log("replica.log")])?;
    let mut counts = tests(&[&mysql, &replica])?;
    drop(replica);
    let [old, replica] = MySql::pair(Brand::MySql, [&log("old.log"), &log("old-replica.log")])?;
    counts.add(tests(&[&old, &replica])?);
    drop((old, replica));
    let script = places::root().join(FOLDER).join("shop.sql");
    mysql.run(DATABASE, &format!("source {}", script.display()))?;
    counts.check("mysql: what is told of TLS", told(&mysql, scratch.path()));
    counts.check("mysql: copied under faults", copied(&mut mysql, scratch.path()));
    Ok(counts)
}

/// At a server, and another one that goes on when it is away.
fn tests(servers: &[&MySql; 2]) -> Result<Counts> {
    let given = format!("{} {} {USER} {PASSWORD}", servers[0].port, servers[1].port);
    cargo::test_program("mysql", ("EVENTWRIGHT_TEST_MYSQL", &given))
}

/// Runs `copy.sql`; what it says goes to `node.log` in the folder.
fn start(mysql: &MySql, folder: &Path, authorities: &Path) -> Result<Group> {
    let job = places::root().join(FOLDER).join("copy.sql");
    let mut command = node::command()?;
    command.current_dir(folder).arg("run").arg(job).args(["--data", "data", "--kafka", "127.0.0.1:0"]);
    let (port, authorities) = (mysql.port.to_string(), authorities.display().to_string());
    for (name, value) in
        [("PORT", port.as_str()), ("WHO", USER), ("PASSWORD", PASSWORD), ("CA", &authorities)]
    {
        command.args(["--var", &format!("{name}={value}")]);
    }
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("node.log"))?;
    Group::spawn(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("node.log")).unwrap_or_default()
}

/// A server whose certificate is of another authority is not heeded.
fn told(mysql: &MySql, scratch: &Path) -> Result<()> {
    let folder = scratch.join("told");
    std::fs::create_dir(&folder)?;
    let mut running = start(mysql, &folder, &mysql.file("client.pem"))?;
    let begun = Instant::now();
    while !log_of(&folder).contains("TLS with the server failed") {
        let log = || log_of(&folder);
        ensure!(running.ended()?.is_none() && begun.elapsed() < LIMIT, "it does not say so:\n{}", log());
        std::thread::sleep(PAUSE);
    }
    drop(running);
    ensure!(!log_of(&folder).contains(PASSWORD), "the password was told:\n{}", log_of(&folder));
    Ok(())
}

fn copied(mysql: &mut MySql, scratch: &Path) -> Result<()> {
    let begun = Instant::now();
    let seed = seed();
    println!("mysql: seed={seed}");
    let folder = scratch.join("copied");
    std::fs::create_dir(&folder)?;
    let stop = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| -> Result<u64> {
        let (socket, stop) = (mysql.file("socket"), &stop);
        let writer = scope.spawn(move || write(&socket, stop));
        let ran = faulted(mysql, &folder, seed);
        stop.store(true, Ordering::Release);
        let rounds = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        ran.map(|()| rounds)
    })?;
    let authorities = mysql.file("ca.pem");
    let mut last = start(mysql, &folder, &authorities)?;
    wait_for(mysql, &folder, DIFFERENCES, "0\t0")?;
    // What would come twice would have come before this.
    mysql.run(DATABASE, "INSERT INTO items VALUES (-1, -1, 1, 'last')")?;
    wait_for(mysql, &folder, "SELECT COUNT(*) FROM totals WHERE grp = -1", "1")?;
    wait_for(mysql, &folder, DIFFERENCES, "0\t0")?;
    last.stop(LIMIT)?;
    let count = mysql.run(DATABASE, "SELECT COUNT(*) FROM items")?;
    println!(
        "mysql: {} items are copied after {rounds} rounds of changes, {KILLS} kills of the node and {RESTARTS} of the \
         server, in {:.0} s",
        count.trim(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Lives of the node, and falls of the server.
fn faulted(mysql: &mut MySql, folder: &Path, seed: u64) -> Result<()> {
    let mut random = Random(seed);
    let authorities = mysql.file("ca.pem");
    for life in 0..KILLS {
        let running = start(mysql, folder, &authorities)?;
        std::thread::sleep(Duration::from_millis(LIFE_MS.0 + random.below(LIFE_MS.1 - LIFE_MS.0)));
        if life % (KILLS / RESTARTS) == KILLS / RESTARTS / 2 {
            mysql.kill();
            mysql.serve()?;
            std::thread::sleep(Duration::from_millis(random.below(1_000)));
        }
        // Dropped, it is killed.
        drop(running);
    }
    Ok(())
}

/// Changes the table until it is told to stop; answers how many rounds were run whole.
fn write(socket: &Path, stop: &AtomicBool) -> Result<u64> {
    let mut rounds = 0;
    while !stop.load(Ordering::Acquire) {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--user=root", "--database", DATABASE]);
        command.arg(format!("--socket={}", socket.display()));
        command.args(["--execute", &format!("CALL work({ROUNDS})")]).stdin(Stdio::null());
        // The server falls over now and then.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("mariadb")?;
        if status.success() {
            rounds += ROUNDS;
        } else {
            std::thread::sleep(PAUSE);
        }
    }
    ensure!(rounds > 0, "the writer did nothing");
    Ok(rounds)
}

/// Asks until the answer is the one that is wanted.
fn wait_for(mysql: &MySql, folder: &Path, sql: &str, wanted: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found = mysql.run(DATABASE, sql)?;
        if found.trim() == wanted {
            return Ok(());
        }
        let log = || log_of(folder);
        ensure!(begun.elapsed() < LIMIT, "{sql} is\n{found}and not {wanted}; the node said\n{}", log());
        std::thread::sleep(PAUSE);
    }
}
