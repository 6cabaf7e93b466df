//! Who makes room for whom.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

fn crowd(room: usize) -> Arc<Crowd> {
    Crowd::new(Arc::default(), Shares::of(room), move || room)
}

fn enter(crowd: &Arc<Crowd>, from: [u8; 4]) -> Place {
    crowd.enter(from.into()).expect("there is room")
}

/// One that has had an answer.
fn regular(crowd: &Arc<Crowd>, from: [u8; 4]) -> Place {
    let mut place = enter(crowd, from);
    assert!(place.is_served() && place.idles());
    place
}

/// Whether it has been told to go.
fn goes(place: &Place) -> bool {
    let mut there = place.crowd.there();
    place.waits.is_some_and(|(kind, turn)| !there.queues(kind).has(place.network, turn))
}

fn gone(places: &[Place]) -> Vec<usize> {
    (0..places.len()).filter(|at| goes(&places[*at])).collect()
}

#[test]
fn beginners_make_room_before_regulars_and_the_longest_wait_first() {
    let crowd = crowd(8);
    let mut places: Vec<Place> = (0..4).map(|_| regular(&crowd, A)).collect();
    places.extend((0..4).map(|_| enter(&crowd, A)));
    let mut more: Vec<Place> = (0..2).map(|_| enter(&crowd, A)).collect();
    assert_eq!(gone(&places), [4, 5]);
    // A quarter of eight are spared, for which regulars make room.
    assert!(places[6].is_served() && places[7].is_served());
    more.push(enter(&crowd, A));
    assert_eq!(gone(&places), [0, 4, 5]);
}

#[test]
fn bytes_that_come_one_by_one_prolong_nothing_and_a_request_does() {
    let crowd = crowd(4);
    let mut places: Vec<Place> = (0..4).map(|_| enter(&crowd, A)).collect();
    assert!(places[0].begins(1) && places[0].begins(2));
    let _new = enter(&crowd, A);
    assert_eq!(gone(&places), [0]);
    assert!(!places[0].begins(3) && !places[0].idles() && !places[0].is_served());
    // The one that has asked is the last of the regulars.
    for place in &mut places[1..] {
        assert!(place.is_served() && place.idles());
    }
    assert!(places[1].is_served() && places[1].idles());
    let _newer = (enter(&crowd, A), enter(&crowd, A));
    assert!(goes(&places[2]) && !goes(&places[1]), "{:?}", gone(&places));
    // A regular that begins a head and does not go on is a beginner.
    assert!(places[1].begins(1));
    drop(places.remove(0));
}

#[test]
fn the_network_with_most_makes_room() {
    let crowd = crowd(8);
    let first = enter(&crowd, B);
    let mut flood: Vec<Place> = (0..7).map(|_| enter(&crowd, A)).collect();
    flood.extend((0..20).map(|_| enter(&crowd, A)));
    assert!(!goes(&first));
    assert_eq!(gone(&flood), (0..20).collect::<Vec<_>>());
}

#[test]
fn those_that_are_served_stay_and_a_new_one_is_refused() {
    let crowd = crowd(2);
    let mut places = [enter(&crowd, A), enter(&crowd, A)];
    assert!(places.iter_mut().all(Place::is_served));
    assert!(crowd.enter(A.into()).is_none());
    assert!(places[0].idles());
    let _new = enter(&crowd, A);
    assert_eq!(gone(&places), [0]);
}

#[test]
fn connections_make_room_when_there_is_less_of_it() {
    let room = Arc::new(AtomicUsize::new(8));
    let now = room.clone();
    let crowd = Crowd::new(Arc::default(), Shares::of(4), move || now.load(Ordering::Relaxed));
    let mut places: Vec<Place> = (0..8).map(|_| enter(&crowd, A)).collect();
    crowd.shrink();
    assert!(gone(&places).is_empty());
    room.store(5, Ordering::Relaxed);
    crowd.shrink();
    crowd.shrink();
    assert_eq!(gone(&places), [0, 1, 2]);
    places.drain(..4);
    assert!(crowd.enter(A.into()).is_some(), "those that went have made room");
    crowd.push_out();
    assert_eq!(gone(&places).len(), 1);
}

#[test]
fn parts_of_heads_have_a_limit_in_all() {
    let crowd = crowd(10_000);
    let mut places: Vec<Place> = (0..5_000).map(|_| enter(&crowd, A)).collect();
    for place in &mut places {
        place.begins(16 << 10);
    }
    assert_eq!(gone(&places), (0..5_000 - 4_096).collect::<Vec<_>>());
    assert_eq!(crowd.part_bytes(), PARTS_BYTES_MAX);
    drop(places);
    let there = crowd.there();
    assert_eq!((there.parts.weight(), there.all, there.going), (0, 0, 0));
    assert!(there.networks.is_empty());
}

#[test]
fn parts_of_heads_make_room_for_parts_and_who_has_most_of_them() {
    let crowd = crowd(20_000);
    // A proxy with many that have sent nothing, and little of some; and somebody with few long ones.
    let silent: Vec<Place> = (0..5_000).map(|_| enter(&crowd, B)).collect();
    let mut short: Vec<Place> = (0..100).map(|_| enter(&crowd, B)).collect();
    for place in &mut short {
        assert!(place.begins(100));
    }
    let mut long: Vec<Place> = (0..1_000).map(|_| enter(&crowd, A)).collect();
    for place in &mut long {
        place.begins(128 << 10);
    }
    assert!(gone(&silent).is_empty() && gone(&short).is_empty());
    assert_eq!(gone(&long), (0..1_000 - 511).collect::<Vec<_>>());
}

#[test]
fn of_equal_networks_that_with_the_longest_wait_makes_room() {
    for (first, second) in [(A, B), (B, A)] {
        let crowd = crowd(4);
        let mut places =
            [enter(&crowd, first), enter(&crowd, second), enter(&crowd, second), enter(&crowd, first)];
        let mut new = vec![enter(&crowd, [10, 0, 0, 3])];
        assert_eq!(gone(&places), [0]);
        // Of two and one the two, of ones the eldest.
        new.push(enter(&crowd, [10, 0, 0, 4]));
        assert_eq!(gone(&places), [0, 1]);
        new.push(enter(&crowd, [10, 0, 0, 5]));
        assert_eq!(gone(&places), [0, 1, 2]);
        assert!(places[3].is_served());
    }
}

#[test]
fn a_small_room_is_shared_as_well() {
    let shares = |room| {
        let Shares { seats, seats_of_network, followers } = Shares::of(room);
        (seats, seats_of_network, followers)
    };
    assert_eq!(shares(usize::MAX), (512, 128, 256));
    assert_eq!(shares(512), (512, 128, 256));
    assert_eq!(shares(128), (128, 32, 64));
    assert_eq!(shares(1), (4, 1, 1));
}

#[tokio::test]
async fn seats_are_shared_by_networks_and_the_end_comes_to_those_who_wait() {
    let crowd = crowd(10_000);
    let one = enter(&crowd, A);
    let mut other = enter(&crowd, B);
    let count = Shares::of(usize::MAX).seats_of_network;
    let seats: Vec<Seat> = (0..count).map(|_| one.try_sit().expect("a seat")).collect();
    assert!(one.try_sit().is_none());
    assert!(other.try_sit().is_some());
    drop(seats);
    assert!(one.sit().await.is_some());
    assert!(other.is_served());
    crowd.end();
    one.must_go().await;
    assert!(goes(&one) && !goes(&other) && !other.idles());
    drop((one, other));
    crowd.emptied().await;
}
