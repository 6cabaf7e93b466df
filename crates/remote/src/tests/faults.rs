//! What goes wrong on the way, one thing at a time.

use super::node::{DATA, TOPICS, open_log, options, settings};
use super::restoring::{manifest_at, written};
use super::{Memory, SimNode};
use crate::bases::{Bases, Merge};
use crate::claim::{Claimant, Claimed, Head, claim};
use crate::directory::DirectoryPlace;
use crate::identity::{Identity, random_name};
use crate::kept::KeptDisk;
use crate::shipper::{PIN, Settings};
use crate::standby::{Standby, TAKEOVER_FILE, Watch};
use crate::store::{Place, SharedPlace};
use eventlog::{LogError, LogOptions, Recovery};
use os::Disk;
use os::sim::SimOs;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

fn ship_all(node: &mut SimNode) {
    node.log.commit_pending().unwrap();
    while node.shipper.step().unwrap() {}
}

/// Writes more, with all that belongs to it.
fn write(node: &mut SimNode, values: std::ops::Range<u64>) {
    for value in values {
        node.sim.clock.advance_ms(1000);
        node.append((value % 2) as usize, value).unwrap();
        ship_all(node);
        while node.keeper.step().unwrap() {}
    }
}

/// Everything that is there goes.
fn delete_records(node: &mut SimNode) {
    for (topic, _) in TOPICS {
        let partition = node.log.topic(topic).unwrap().partitions[0];
        let end = node.log.bounds(partition).unwrap().high_watermark;
        node.log.append::<_, LogError>(|frame| frame.delete_records(partition, end)).unwrap();
    }
    ship_all(node);
}

fn standby(sim: &SimOs, store: &Memory) -> Standby {
    let place: SharedPlace = Arc::new(store.clone());
    let watch = Watch { takeover_after: Duration::from_secs(1 << 30) };
    Standby::open(&sim.os(), Path::new(DATA), &place, watch).unwrap()
}

#[test]
fn files_that_were_put_before_a_fault_are_named() {
    let store = Memory::new(20);
    let mut node = SimNode::open(&SimOs::new(20), &store, &settings()).unwrap();
    node.create_topics();
    ship_all(&mut node);
    let disk = node.keeper.os.disk.clone();
    let folders = ["state/job-1", "state/job-2"].map(|folder| Path::new(DATA).join(folder));
    for folder in &folders {
        disk.create_dir_all(folder).unwrap();
        manifest_at(&disk, folder, "1.snapshot");
    }
    store.fail_put_of("side/", 1);
    node.append(1, 1).unwrap();
    node.log.commit_pending().unwrap();
    assert!(node.shipper.step().is_err());
    ship_all(&mut node);
    let sim = SimOs::new(21);
    let place: SharedPlace = Arc::new(store.clone());
    crate::restore(&sim.os(), Path::new(DATA), &place, None).unwrap();
    for folder in &folders {
        assert_eq!(sim.disk.list(folder).unwrap(), ["1.snapshot"], "{}", folder.display());
    }
}

#[test]
fn a_store_that_has_less_than_before_is_another_one() {
    let store = Memory::new(22);
    let (node, ..) = written(&store, &settings(), 5);
    let sim = node.sim.clone();
    drop(node);
    let empty = Memory::new(23);
    let refused = SimNode::open(&sim, &empty, &settings()).err().unwrap();
    assert!(refused.to_string().contains("mounted"), "{refused}");
    assert!(empty.keys("").is_empty(), "nothing is put there");
    SimNode::open(&sim, &store, &settings()).unwrap();
    // So is one that has taken over.
    let taker = SimOs::new(24);
    let mut follower = standby(&taker, &store);
    taker.disk.create(&Path::new(DATA).join(TAKEOVER_FILE), 0).unwrap();
    assert!(follower.turn().unwrap());
    drop(follower);
    let refused = SimNode::open(&taker, &empty, &settings()).err().unwrap();
    assert!(refused.to_string().contains("mounted"), "{refused}");
}

#[test]
fn a_directory_that_is_not_mounted_is_not_made() {
    let sim = SimOs::new(25);
    let root = tempfile::tempdir().unwrap().path().join("mount");
    let place: SharedPlace = Arc::new(DirectoryPlace { os: sim.os(), root: root.clone() });
    let known = Identity { claimed: Some(3), ..Identity::new(&sim.os(), &place.name(), None) };
    known.write(&sim.os(), Path::new(DATA)).unwrap();
    let disk = KeptDisk::new(sim.disk.clone(), Path::new(DATA)).unwrap();
    let log = open_log(&sim.os()).unwrap();
    let opened = crate::thread::open(&sim.os(), (Path::new(DATA), disk), &log, &place, &settings());
    let refused = opened.err().unwrap();
    assert!(refused.to_string().contains("mounted"), "{refused}");
    assert!(!root.exists());
}

#[test]
fn what_lies_unfinished_in_a_directory_is_not_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let place = |seed: u64| DirectoryPlace { os: SimOs::new(seed).os(), root: root.clone() };
    let mut store = place(26).open().unwrap();
    assert!(store.put_new("log/1", b"first").unwrap());
    assert!(!store.put_new("log/1", b"other").unwrap());
    // A process was killed between the link and its end; another one draws the same name.
    let name = random_name(&SimOs::new(27).os());
    let left_over = root.join("unfinished").join(name);
    fs::hard_link(root.join("log/1"), &left_over).unwrap();
    let mut other = place(27).open().unwrap();
    assert!(other.put_new("log/2", b"second").is_err());
    assert_eq!(fs::read(root.join("log/1")).unwrap(), b"first");
    assert!(other.put_new("log/2", b"second").unwrap());
    // Some day it goes; what another node may be writing stays.
    let fresh = root.join("unfinished/fresh");
    fs::write(&fresh, b"").unwrap();
    fs::File::options().write(true).open(&left_over).unwrap().set_modified(UNIX_EPOCH).unwrap();
    let later = SimOs::new(28);
    later.clock.advance_ms(3 * 24 * 3600 * 1000);
    DirectoryPlace { os: later.os(), root: root.clone() }.open().unwrap();
    assert!(!left_over.exists() && fresh.exists());
    assert_eq!(fs::read(root.join("log/1")).unwrap(), b"first");
}

#[test]
fn no_key_leads_out_of_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::write(&outside, b"kept").unwrap();
    let place = DirectoryPlace { os: SimOs::new(29).os(), root: folder.path().join("store") };
    let mut store = place.open().unwrap();
    for key in ["../outside", outside.to_str().unwrap(), "log/../../outside", ""] {
        assert!(store.delete(key).is_err(), "{key}");
        assert!(store.get(key, 0, 9).is_err(), "{key}");
        assert!(store.put(key, b"x").is_err(), "{key}");
        assert!(store.put_new(key, b"x").is_err(), "{key}");
    }
    assert_eq!(fs::read(&outside).unwrap(), b"kept");
}

#[test]
fn a_claim_where_an_object_was_removed_is_none() {
    let store = Memory::new(30);
    let (mut node, ..) = written(&store, &settings(), 5);
    let mut head = Head::read(&mut *store.handle()).unwrap();
    let key = crate::object::log_key(head.next);
    write(&mut node, 5..300);
    assert!(!store.keys("log/").contains(&key), "it is removed by now");
    let claimant = Claimant { node: "n", writer: "w", now_ms: 0 };
    assert_eq!(claim(&mut *store.handle(), &mut head, &claimant).unwrap(), Claimed::Hole);
    write(&mut node, 300..310);
}

#[test]
fn a_standby_that_was_away_begins_anew_instead_of_taking_over_in_the_middle() {
    let store = Memory::new(31);
    let (node, ..) = written(&store, &settings(), 5);
    let taker = SimOs::new(32);
    let mut follower = standby(&taker, &store);
    assert!(!follower.turn().unwrap());
    // The next object is an epoch, which stays, and those behind it go.
    let sim = node.sim.clone();
    drop(node);
    let mut node = SimNode::open(&sim, &store, &settings()).unwrap();
    write(&mut node, 5..300);
    taker.disk.create(&Path::new(DATA).join(TAKEOVER_FILE), 0).unwrap();
    assert!(follower.turn().unwrap());
    assert!(node.append(0, 300).is_ok());
    node.log.commit_pending().unwrap();
    assert!(matches!(node.shipper.step(), Err(crate::RemoteError::Fenced(_))));
    drop(follower);
    let taken = SimNode::open(&taker, &store, &settings()).unwrap();
    assert_eq!(taken.values(0), (0..300).step_by(2).collect::<Vec<u64>>());
}

#[test]
fn a_standby_is_no_larger_than_the_log() {
    let store = Memory::new(33);
    let mut node = SimNode::open(&SimOs::new(33), &store, &settings()).unwrap();
    node.create_topics();
    ship_all(&mut node);
    let sim = SimOs::new(34);
    let mut follower = standby(&sim, &store);
    for round in 0..8 {
        for value in round * 100..(round + 1) * 100 {
            write(&mut node, value..value + 1);
            assert!(!follower.turn().unwrap());
        }
        delete_records(&mut node);
        node.log.enforce_retention(0).unwrap();
    }
    let written = node.log.log_files().last().unwrap().file;
    let names = sim.disk.list(&Path::new(DATA).join("log")).unwrap();
    let kept = names.iter().filter(|name| name.ends_with(".log")).count();
    assert!(written > 12 && kept < written as usize / 2, "{kept} of {written}");
}

#[test]
fn a_node_that_puts_a_large_file_shows_that_it_is_there() {
    let store = Memory::new(35);
    let mut node = SimNode::open(&SimOs::new(35), &store, &settings()).unwrap();
    node.create_topics();
    ship_all(&mut node);
    let disk = node.keeper.os.disk.clone();
    let folder = Path::new(DATA).join("state/job-1");
    disk.create_dir_all(&folder).unwrap();
    let file = disk.create(&folder.join("1.snapshot"), 0).unwrap();
    file.write_all_at(&[7; 20_000], 0).unwrap();
    let clock = node.sim.clock.clone();
    store.on_part(move || clock.advance_ms(1000));
    node.append(1, 1).unwrap();
    assert!(store.keys("alive/").is_empty());
    ship_all(&mut node);
    let key = store.keys("alive/").pop().unwrap();
    let alive = store.handle().get(&key, 0, 4096).unwrap().unwrap();
    let alive: serde_json::Value = serde_json::from_slice(&alive).unwrap();
    assert!(alive["beat"].as_u64().unwrap() >= 8, "{alive}");
}

#[test]
fn a_file_that_follows_one_of_its_path_stays_in_the_store() {
    let store = Memory::new(36);
    let mut node = SimNode::open(&SimOs::new(36), &store, &settings()).unwrap();
    node.create_topics();
    ship_all(&mut node);
    let disk = node.keeper.os.disk.clone();
    let folder = Path::new(DATA).join("state/job-1");
    disk.create_dir_all(&folder).unwrap();
    // A job is dropped and made anew while the store is away.
    store.go_away(true);
    manifest_at(&disk, &folder, "1.snapshot");
    disk.remove(&folder.join("1.snapshot")).unwrap();
    let file = disk.create(&folder.join("1.snapshot"), 0).unwrap();
    file.write_all_at(b"the second", 0).unwrap();
    node.append(1, 1).unwrap();
    node.log.commit_pending().unwrap();
    assert!(node.shipper.step().is_err());
    store.go_away(false);
    write(&mut node, 2..200);
    let sim = SimOs::new(37);
    let place: SharedPlace = Arc::new(store.clone());
    crate::restore(&sim.os(), Path::new(DATA), &place, None).unwrap();
    let file = sim.disk.open(&folder.join("1.snapshot")).unwrap();
    let mut bytes = [0; 10];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"the second");
}

#[test]
fn a_log_that_ends_does_not_wait_for_all_to_be_shipped() {
    let store = Memory::new(38);
    let mut node = SimNode::open(&SimOs::new(38), &store, &settings()).unwrap();
    node.create_topics();
    for value in 0..60 {
        node.append(1, value).unwrap();
    }
    node.log.commit_pending().unwrap();
    node.log.shutdown().unwrap();
    let tell: crate::Tell = Arc::new(|_: &str| {});
    assert_eq!(crate::thread::ship(&mut node.shipper, &node.log, &settings(), &tell), None);
    assert!(node.shipper.shipped() < node.log.durable());
}

#[test]
fn nothing_goes_before_it_is_known_what_the_store_has() {
    let store = Memory::new(39);
    let (mut node, ..) = written(&store, &settings(), 200);
    delete_records(&mut node);
    write(&mut node, 200..400);
    let sim = node.sim.clone();
    drop(node);
    let options = LogOptions { pinned_by: Some(PIN.to_string()), ..options() };
    let log = Recovery::open(&sim.os(), options).unwrap().start(Vec::new()).unwrap();
    log.allow_removal();
    assert_eq!(log.enforce_retention(0).unwrap().files_recycled, 0);
    log.pin_lsn(PIN, None);
    assert!(log.enforce_retention(0).unwrap().files_recycled > 0);
}

#[test]
fn files_that_are_not_merged_count_as_behind() {
    let store = Memory::new(40);
    let settings = Settings { behind_bytes_max: 1 << 10, ..settings() };
    let mut node = SimNode::open(&SimOs::new(40), &store, &settings).unwrap();
    node.create_topics();
    for value in 0..200 {
        node.append(1, value).unwrap();
        ship_all(&mut node);
    }
    store.fail_put_of("files/", 0);
    assert!(node.keeper.step().is_err());
    let remote = node.log.metrics().remote.unwrap();
    assert_eq!(remote.lag_bytes, 0);
    assert!(node.keeper.is_unpinned);
    // One by one the files come to be there whole, and nothing is behind.
    while node.keeper.step().unwrap() {}
    node.keeper.step().unwrap();
    assert!(!node.keeper.is_unpinned);
}

#[test]
fn a_merge_that_fails_lets_others_go_first() {
    let merge = |file: u64, from: u64| Merge { file, generation: 0, from, to: from + 1, next: None };
    let mut bases = Bases::default();
    bases.to_merge.extend([merge(1, 0), merge(2, 0), merge(1, 1), merge(3, 0)]);
    bases.put_off(1);
    assert_eq!(bases.to_merge, [merge(2, 0), merge(3, 0), merge(1, 0), merge(1, 1)]);
}
