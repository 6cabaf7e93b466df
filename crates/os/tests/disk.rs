//! One conformance suite for every disk, then what only the simulated one can do.

use os::sim::{SimDisk, SplitMix, SyncFault};
use os::{Disk, Lock};
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

/// What holds for every disk.
fn conforms(disk: &dyn Disk, root: &Path) {
    let directory = root.join("one/two");
    assert!(!disk.exists(&directory).unwrap());
    assert_eq!(disk.list(&directory).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.create_dir(&directory).unwrap_err().kind(), ErrorKind::NotFound);
    disk.create_dir_all(&directory).unwrap();
    disk.create_dir_all(&directory).unwrap();
    assert!(disk.exists(&directory).unwrap());
    assert_eq!(disk.create_dir(&directory).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.list(root).unwrap(), ["one"]);
    assert_eq!(disk.list(&directory).unwrap(), Vec::<String>::new());

    // Creating: preallocated zeros, and only once.
    let path = directory.join("b");
    let file = disk.create(&path, 10_000).unwrap();
    assert_eq!(disk.create(&path, 1).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.create(&root.join("missing/x"), 0).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(file.length().unwrap(), 10_000);
    let mut bytes = vec![1; 10_000];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));

    // Written zeros, of a length that no block divides.
    let zeros = disk.create_zero_filled(&directory.join("zeros"), 1_100_000).unwrap();
    assert_eq!(
        disk.create_zero_filled(&directory.join("zeros"), 1).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    let mut bytes = vec![1; 1_100_000];
    zeros.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    assert_eq!(zeros.length().unwrap(), 1_100_000);
    zeros.write_all_at(b"x", 4097).unwrap();
    zeros.read_exact_at(&mut bytes[..3], 4096).unwrap();
    assert_eq!(bytes[..3], [0, b'x', 0]);
    // Long ones, across the places where a system may cut them.
    let long: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (one, rest) = long.split_at(300_001);
    let slices = [one, &[], &rest[..7], &rest[7..]].map(IoSlice::new);
    zeros.write_all_vectored_at(&slices, 33).unwrap();
    zeros.read_exact_at(&mut bytes[..1_000_000], 33).unwrap();
    assert!(bytes[..1_000_000] == long);
    zeros.write_all_at(&long, 100_000).unwrap();
    zeros.read_exact_at(&mut bytes[..1_000_000], 100_000).unwrap();
    assert!(bytes[..1_000_000] == long && zeros.length().unwrap() == 1_100_000);
    disk.remove(&directory.join("zeros")).unwrap();

    // Writing and reading by position, through two handles.
    let again = disk.open(&path).unwrap();
    file.write_all_at(b"hello", 9_998).unwrap();
    assert_eq!(again.length().unwrap(), 10_003);
    let mut word = [0; 5];
    again.read_exact_at(&mut word, 9_998).unwrap();
    assert_eq!(&word, b"hello");
    assert_eq!(again.read_exact_at(&mut word, 9_999).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(again.read_at(&mut word, 10_003).unwrap(), 0);
    assert_eq!(again.read_at(&mut word, 1 << 40).unwrap(), 0);
    let count = again.read_at(&mut word, 10_001).unwrap();
    assert!((1..=2).contains(&count));
    assert_eq!(word[..count], b"lo"[..count]);
    again.write_all_at(&[], 20_000).unwrap();

    // Pieces as one: more of them than the system takes in one call.
    let pieces: Vec<Vec<u8>> = (0..3000_u32).map(|number| number.to_be_bytes()[2..].to_vec()).collect();
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    file.write_all_vectored_at(&slices, 100).unwrap();
    file.write_all_vectored_at(&[], 100).unwrap();
    file.write_all_vectored_at(&[IoSlice::new(&[]), IoSlice::new(&[])], 100).unwrap();
    let mut bytes = vec![0; 6002];
    file.read_exact_at(&mut bytes, 99).unwrap();
    assert_eq!(bytes[1..6001], pieces.concat());
    assert_eq!((bytes[0], bytes[6001]), (0, 0));
    file.sync_data().unwrap();

    // Lengths: cut, extended with zeros, allocated but never cut by that.
    file.set_length(10_000).unwrap();
    file.set_length(10_003).unwrap();
    file.read_exact_at(&mut word[..3], 10_000).unwrap();
    assert_eq!(word[..3], [0; 3]);
    file.allocate(20_000).unwrap();
    assert_eq!(file.length().unwrap(), 20_000);
    file.allocate(5).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.length().unwrap(), 20_000);

    // Names: sorted lists, renames that replace, handles that stay with their file.
    let other = disk.create(&directory.join("a"), 0).unwrap();
    other.write_all_at(b"a", 0).unwrap();
    assert_eq!(disk.list(&directory).unwrap(), ["a", "b"]);
    disk.rename(&directory.join("a"), &path).unwrap();
    assert_eq!(disk.list(&directory).unwrap(), ["b"]);
    assert_eq!(disk.open(&path).unwrap().length().unwrap(), 1);
    assert_eq!(again.length().unwrap(), 20_000, "the replaced file lives on for who has it open");
    assert_eq!(disk.rename(&directory.join("a"), &path).unwrap_err().kind(), ErrorKind::NotFound);
    disk.sync_directory(&directory).unwrap();
    assert_eq!(disk.sync_directory(&root.join("missing")).unwrap_err().kind(), ErrorKind::NotFound);
    disk.remove(&path).unwrap();
    assert!(!disk.exists(&path).unwrap());
    assert_eq!(disk.remove(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let mut a = [0];
    other.read_exact_at(&mut a, 0).unwrap();
    assert_eq!(&a, b"a", "a removed file too");

    assert_eq!(disk.remove_dir(&root.join("one")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    let empty = root.join("one/empty");
    disk.create_dir(&empty).unwrap();
    disk.remove_dir(&empty).unwrap();
    assert!(!disk.exists(&empty).unwrap());
    assert_eq!(disk.remove_dir(&empty).unwrap_err().kind(), ErrorKind::NotFound);

    // Locks.
    let lock_path = directory.join("lock");
    let Lock::Held(guard) = disk.try_lock(&lock_path).unwrap() else { panic!("the lock is free") };
    let Lock::Busy { pid } = disk.try_lock(&lock_path).unwrap() else { panic!("the lock is taken") };
    assert_eq!(pid, std::process::id());
    drop(guard);
    assert!(matches!(disk.try_lock(&lock_path).unwrap(), Lock::Held(_)));
    assert!(disk.free_bytes(root).unwrap() > 0);
}

#[test]
fn the_real_disk_conforms() {
    let root = tempfile::tempdir().unwrap();
    conforms(&os::disk::real::RealDisk::private(), root.path());
}

#[test]
fn the_simulated_disk_conforms() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/root")).unwrap();
    conforms(&disk, Path::new("/root"));
    disk.short_reads(Some(1));
    disk.create_dir_all(Path::new("/other")).unwrap();
    conforms(&disk, Path::new("/other"));
}

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    for seed in 0..200 {
        let disk = disk();
        let path = Path::new("/d/f");
        let file = disk.create(path, 4096).unwrap();
        file.write_all_at(&[1; 3000], 100).unwrap();
        file.sync_data().unwrap();
        disk.sync_directory(Path::new("/d")).unwrap();
        file.write_all_at(&[2; 2000], 2000).unwrap();
        disk.rename(path, Path::new("/d/g")).unwrap();
        disk.power_cut(seed);
        assert!(file.length().is_err(), "handles die with the machine");
        let name = disk.list(Path::new("/d")).unwrap();
        assert!(name == ["f"] || name == ["g"], "seed={seed}: a rename is atomic: {name:?}");
        let bytes = disk.contents(&Path::new("/d").join(&name[0])).unwrap();
        assert_eq!(bytes.len(), 4096);
        assert!(
            bytes[..100].iter().all(|b| *b == 0) && bytes[100..2000].iter().all(|b| *b == 1),
            "seed={seed}"
        );
        // Each sector of the unsynced write is there or not.
        for sector in bytes[2000..4000].chunks(512) {
            assert!(sector.iter().all(|b| [0, 1, 2].contains(b)), "seed={seed}");
        }
    }
}

/// Over many seeds each fate of an unsynced write occurs, or the simulation proves little.
#[test]
fn power_cuts_lose_keep_tear_reorder_and_zero() {
    let (mut lost, mut kept, mut torn, mut reordered, mut zeroed, mut unnamed) = (0, 0, 0, 0, 0, 0);
    for seed in 0..500 {
        let disk = disk();
        let path = Path::new("/d/f");
        let file = disk.create(path, 0).unwrap();
        file.write_all_at(&[9; 512], 0).unwrap();
        file.sync_data().unwrap();
        if seed % 2 == 0 {
            disk.sync_directory(Path::new("/d")).unwrap();
        }
        file.write_all_at(&[1; 2048], 512).unwrap();
        file.write_all_at(&[2; 512], 2560).unwrap();
        disk.power_cut(seed);
        let Ok(mut bytes) = disk.contents(path) else {
            unnamed += 1;
            assert!(seed % 2 == 1, "seed={seed}: the name was synced");
            continue;
        };
        assert_eq!(bytes[..512], [9; 512], "seed={seed}");
        bytes.resize(3072, 0);
        let first: Vec<bool> = bytes[512..2560].chunks(512).map(|s| s[0] == 1).collect();
        let second = bytes[2560] == 2;
        lost += usize::from(!first.contains(&true) && !second);
        kept += usize::from(!first.contains(&false) && second);
        torn += usize::from(first.contains(&true) && first.contains(&false));
        reordered += usize::from(second && first.contains(&false));
        zeroed += usize::from(bytes[512..1024] == [0; 512] && first.contains(&true));
    }
    for (fate, count) in
        [("lost", lost), ("kept", kept), ("torn", torn), ("reordered", reordered), ("zeroed", zeroed)]
    {
        assert!(count > 10, "{fate}: {count}");
    }
    assert!(unnamed > 50, "{unnamed}");
}

#[test]
fn a_directory_is_durable_with_the_one_above_it() {
    let (mut there, mut gone) = (0, 0);
    for seed in 0..100 {
        let inner = Path::new("/d/inner");
        let made = || {
            let disk = disk();
            disk.create_dir(inner).unwrap();
            disk.create(&inner.join("f"), 0).unwrap().sync_data().unwrap();
            disk.sync_directory(inner).unwrap();
            disk
        };
        let (disk, synced) = (made(), made());
        disk.power_cut(seed);
        let is_there = disk.exists(inner).unwrap();
        assert_eq!(disk.exists(&inner.join("f")).unwrap(), is_there, "seed={seed}");
        there += usize::from(is_there);
        gone += usize::from(!is_there);
        synced.sync_directory(Path::new("/d")).unwrap();
        synced.power_cut(seed);
        assert!(synced.exists(&inner.join("f")).unwrap(), "seed={seed}");
    }
    assert!(there > 10 && gone > 10, "{there} {gone}");
}

/// A process that dies while it makes directories leaves one whose name is not durable; the next one finds it.
#[test]
fn directories_that_were_found_are_durable_too() {
    let path = Path::new("/d/one/two/three");
    for operation in 1..=7 {
        for seed in 0..20 {
            let disk = disk();
            disk.stop_at_operation(Some(disk.operations() + operation));
            assert!(disk.create_dir_all(path).is_err(), "operation={operation}");
            disk.stop_at_operation(None);
            disk.create_dir_all(path).unwrap();
            disk.power_cut(seed);
            assert!(disk.exists(path).unwrap(), "operation={operation} seed={seed}");
        }
    }
}

/// fsyncgate for names: the sync that fails forgets them, and the next one proves nothing.
#[test]
fn a_directory_whose_sync_failed_is_made_anew() {
    let path = Path::new("/d/one/two");
    for sync in 1..=3 {
        for seed in 0..20 {
            let disk = disk();
            disk.fail_sync(sync, SyncFault::DropsWrites);
            disk.create_dir_all(path).unwrap_err();
            disk.create_dir_all(path).unwrap();
            disk.create(&path.join("f"), 0).unwrap();
            disk.sync_directory(path).unwrap();
            disk.power_cut(seed);
            assert!(disk.exists(&path.join("f")).unwrap(), "sync={sync} seed={seed}");
        }
    }
}

#[test]
fn a_power_cut_follows_from_its_seed() {
    let run = |seed| {
        let disk = disk();
        let mut random = SplitMix(7);
        for number in 0..5 {
            let file = disk.create(&Path::new("/d").join(number.to_string()), 1000).unwrap();
            for _ in 0..10 {
                let length = 1 + random.below(2000) as usize;
                file.write_all_at(&vec![random.next_u64() as u8; length], random.below(5000)).unwrap();
                if random.one_in(4) {
                    file.sync_data().unwrap();
                }
            }
        }
        disk.power_cut(seed);
        let names = disk.list(Path::new("/d")).unwrap();
        names.iter().map(|n| disk.contents(&Path::new("/d").join(n)).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

/// fsyncgate: the sync that fails drops the writes; the next one succeeds and proves nothing.
#[test]
fn a_failed_sync_may_drop_the_writes_for_good() {
    for (fault, survives) in [(SyncFault::DropsWrites, false), (SyncFault::KeepsWrites, true)] {
        let disk = disk();
        let file = disk.create(Path::new("/d/f"), 16).unwrap();
        file.sync_data().unwrap();
        disk.sync_directory(Path::new("/d")).unwrap();
        disk.fail_sync(1, fault);
        file.write_all_at(b"x", 3).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 3).unwrap();
        assert_eq!(&byte, b"x", "the page cache still shows it");
        disk.power_cut(1);
        assert_eq!(disk.contents(Path::new("/d/f")).unwrap()[3] == b'x', survives);
    }
}

#[test]
fn a_limited_disk_is_full_and_has_room_again() {
    let disk = disk();
    disk.limit_bytes(Some(1000));
    let file = disk.create(Path::new("/d/f"), 900).unwrap();
    assert!(os::disk::is_full(&disk.create(Path::new("/d/g"), 101).unwrap_err()));
    assert!(os::disk::is_full(&file.write_all_at(&[1; 200], 850).unwrap_err()));
    assert!(os::disk::is_full(&file.allocate(1001).unwrap_err()));
    assert_eq!((file.length().unwrap(), disk.free_bytes(Path::new("/d")).unwrap()), (900, 100));
    file.write_all_at(&[1; 900], 0).unwrap();
    disk.remove(Path::new("/d/f")).unwrap();
    disk.create(Path::new("/d/g"), 1000).unwrap();
}

#[test]
fn armed_faults_hit_once_and_operations_are_counted() {
    let disk = disk();
    let file = disk.create(Path::new("/d/f"), 100).unwrap();
    disk.fail_write(2);
    file.write_all_at(&[1; 10], 0).unwrap();
    assert!(file.write_all_at(&[2; 10], 0).is_err());
    assert_eq!(disk.contents(Path::new("/d/f")).unwrap()[..10], [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
    file.write_all_at(&[3; 10], 0).unwrap();
    disk.flip(Path::new("/d/f"), 4, 0x80).unwrap();
    assert_eq!(disk.contents(Path::new("/d/f")).unwrap()[4], 0x83);

    let before = disk.operations();
    disk.stop_at_operation(Some(before + 2));
    file.sync_data().unwrap();
    assert!(file.write_all_at(&[4; 10], 0).is_err());
    assert!(disk.remove(Path::new("/d/f")).is_err());
    assert_eq!(disk.operations(), before + 3);
    assert_eq!(disk.contents(Path::new("/d/f")).unwrap()[9], 3, "what is stopped does not happen");
    disk.power_cut(0);
    disk.create(Path::new("/d/h"), 1).unwrap();
}

#[test]
fn what_is_created_is_its_owners_alone_unless_it_is_for_others() {
    use os::disk::real::RealDisk;
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let made = |disk: RealDisk, name: &str| {
        let folder = root.path().join(name);
        disk.create_dir_all(&folder).unwrap();
        disk.create(&folder.join("file"), 1).unwrap();
        disk.try_lock(&folder.join("lock")).unwrap();
        [mode(&folder), mode(&folder.join("file")), mode(&folder.join("lock"))]
    };
    assert_eq!(made(RealDisk::private(), "private"), [0o700, 0o600, 0o600]);
    // The same as std's, whatever the umask is.
    std::fs::create_dir(root.path().join("usual")).unwrap();
    std::fs::write(root.path().join("usual/file"), "").unwrap();
    let usual = [mode(&root.path().join("usual")), mode(&root.path().join("usual/file"))];
    let shared = made(RealDisk::shared(), "shared");
    assert_eq!([shared[0], shared[1]], usual);
}
