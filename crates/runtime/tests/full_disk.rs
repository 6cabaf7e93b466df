//! A disk that is full makes jobs wait, and they go on when there is room: nothing is lost, nothing is doubled.

mod world;

use os::sim::SimOs;
use runtime::{JobOptions, Submitted};
use world::{Input, Life, expected};

/// How long anything may take; it takes milliseconds.
const PATIENCE_MS: u64 = 60_000;

fn wait_until(mut holds: impl FnMut() -> bool, wait: impl Fn() -> bool) {
    for _ in 0..PATIENCE_MS {
        if holds() {
            return;
        }
        let _ = wait();
    }
    panic!("it did not come to pass within {PATIENCE_MS} ms");
}

#[test]
fn a_job_waits_for_room_and_goes_on() {
    // Once with a state that lies in memory, once with one that must leave it.
    for memory_bytes_max in [1 << 30, 0] {
        let world = SimOs::new(31);
        let input = Input { rows: 200_000, ..Input::default() };
        let life = Life::begin(&world, &input);
        let mut request = life.request(None);
        request.options = JobOptions { memory_bytes_max, background: true, ..request.options };
        let Submitted::Running(handle) = life.runtime.submit(request).unwrap() else { panic!("it is new") };
        let mut waits = 0;
        for room_bytes in [0, 20_000, 300_000] {
            let begun = handle.progress().steps;
            wait_until(|| handle.progress().steps > begun + 20, || handle.wait_timeout(1));
            world.disk.limit_bytes(Some(world.disk.used_bytes() + room_bytes));
            // It either waits, or came to its end within the room that there was.
            wait_until(
                || handle.progress().waits_for_disk || handle.wait_timeout(0),
                || handle.wait_timeout(1),
            );
            waits += u32::from(handle.progress().waits_for_disk);
            world.disk.limit_bytes(None);
        }
        assert!(waits > 0, "the disk was never full for the job");
        assert!(handle.join().unwrap());
        assert_eq!(life.results(), expected(&input));
        life.end();
    }
}
