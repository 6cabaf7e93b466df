//! A split in which nothing lies: after its time-out it no longer holds the watermark back, and a replay sees the same.

mod world;

use eventlog::LogError;
use os::sim::SimOs;
use runtime::{Machine, Turn};
use world::{Input, Life, expected};

const IDLE_MS: u64 = 5000;

/// Asks four times a second until something happens.
fn wait_for_step(world: &SimOs, machine: &mut Machine) {
    for _ in (0..2 * IDLE_MS).step_by(250) {
        if machine.turn().unwrap() == Turn::Stepped {
            return;
        }
        world.clock.advance_ms(250);
    }
    panic!("nothing happened for {} ms", 2 * IDLE_MS);
}

/// The result rows, when all that was appended is durable.
fn results(life: &Life) -> Vec<Vec<i64>> {
    let ((), end) = life.log.append(|_| Ok::<_, LogError>(())).unwrap();
    life.log.wait_durable(end).unwrap();
    life.results()
}

#[test]
fn rows_come_out_although_one_of_two_partitions_is_empty() {
    let world = SimOs::new(1);
    let input = Input { idle_ms: Some(IDLE_MS), ..Input::default() };
    let due = expected(&input);
    let life = Life::begin(&world, &input);
    let mut machine = life.runtime.machine(life.request(None)).unwrap();
    let now_ms = || world.os().clock.now_ms();
    let begun_ms = now_ms();
    while machine.turn().unwrap() == Turn::Stepped {
        world.clock.advance_ms(20);
    }
    assert_eq!(results(&life), [[0i64; 0]; 0], "the empty partition holds the watermark back");
    wait_for_step(&world, &mut machine);
    let waited_ms = now_ms() - begun_ms;
    assert!(waited_ms > IDLE_MS as i64, "no earlier than Flink: {waited_ms} ms");
    assert_eq!(results(&life), due);
    // The partition with rows falls idle as well; that changes nothing, and is said once.
    wait_for_step(&world, &mut machine);
    assert_eq!(machine.turn().unwrap(), Turn::Idle);
    assert_eq!(results(&life), due);
    let (watermark, digest) = (machine.progress().watermark_ms, machine.digest().unwrap());
    assert_eq!(watermark, Some(999));
    drop(machine);
    life.end();
    // The steps are run again long after, by what their records say.
    world.clock.advance_ms(3_600_000);
    let life = Life::begin(&world, &input);
    let mut machine = life.runtime.machine(life.request(None)).unwrap();
    assert_eq!(machine.digest().unwrap(), digest);
    assert_eq!(machine.progress().watermark_ms, watermark);
    assert_eq!(machine.turn().unwrap(), Turn::Idle, "the time begins anew");
    assert_eq!(results(&life), due);
    drop(machine);
    life.end();
}
