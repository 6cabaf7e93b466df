//! Random operations against the model, with clean ends and with kills between them.

mod common;

use common::World;

fn run(seed: u64, steps: u32) -> World {
    let mut world = World::new(seed);
    world.sim.disk.short_reads(seed.is_multiple_of(4).then_some(seed));
    world.open().unwrap();
    for number in 0..steps {
        world.step().unwrap_or_else(|error| panic!("{}: {error}", world.name()));
        if number % 40 == 0 {
            world.check();
        }
        match world.random.below(150) {
            0 => {
                world.log().shutdown().unwrap();
                world.acknowledged = world.log().durable();
                world.open().unwrap();
            }
            // A kill: what was written is in the page cache and stays, what was pending is gone.
            1 => world.open().unwrap(),
            _ => {}
        }
    }
    world.commit().unwrap();
    world.check();
    world
}

#[test]
fn the_log_does_what_the_model_does() {
    let mut recycled = 0;
    for seed in 0..60 {
        let world = run(seed, 400);
        let metrics = world.log().metrics();
        assert!(metrics.index_cache_bytes <= 8 << 10, "{}: the cache is bounded", world.name());
        let path = |sequence| world.sim.disk.contents(&common::log_path(sequence));
        recycled += u64::from(path(1).is_err());
    }
    assert!(recycled > 20, "files must be recycled: {recycled}");
}
