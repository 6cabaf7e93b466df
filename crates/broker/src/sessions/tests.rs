//! Fetch sessions by themselves.

use super::*;
use os::random::SimRandom;

const OWNER: &str = "User:alice";

fn sessions(sessions_max: usize) -> Sessions {
    Sessions::new(sessions_max, Arc::new(SimRandom::new(7)))
}

fn spec(topic: &str, partition: i32, fetch_offset: i64) -> FetchSpec {
    FetchSpec {
        topic: TopicRef::Name(topic.into()),
        partition,
        fetch_offset,
        partition_max_bytes: 1,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

fn asked(id: i32, epoch: i32, specs: Vec<FetchSpec>) -> Asked<'static> {
    Asked { owner: OWNER, id, epoch, by_id: false, specs, forgotten: &[], permitted: true }
}

/// The id of a new session with so many partitions.
fn opened(sessions: &mut Sessions, partitions: i32, now_ms: i64) -> i32 {
    let specs = (0..partitions).map(|partition| spec("a", partition, 0)).collect();
    sessions.begin(asked(0, 0, specs), now_ms).unwrap().0.id
}

#[test]
fn a_session_is_its_owners_alone_and_its_id_cannot_be_told_from_another() {
    let mut sessions = sessions(10);
    let id = opened(&mut sessions, 1, 0);
    let stranger = || Asked { owner: "User:mallory", ..asked(id, 1, vec![]) };
    assert_eq!(sessions.begin(stranger(), 0), Err(ErrorCode::FetchSessionIdNotFound));
    sessions.begin(Asked { epoch: -1, ..stranger() }, 0).unwrap();
    assert_eq!(sessions.begin(asked(id, 1, vec![]), 0).unwrap().1, [spec("a", 0, 0)]);
    let ids: Vec<i32> = (0..8).map(|_| opened(&mut sessions, 1, 0)).collect();
    assert!(ids.iter().all(|id| *id > 0));
    assert!(ids.windows(2).all(|pair| (pair[1] - pair[0]).unsigned_abs() > 1_000), "{ids:?}");
}

#[test]
fn a_session_remembers_what_the_client_left_out() {
    let mut sessions = sessions(10);
    let first = vec![spec("a", 0, 0), spec("a", 1, 0), spec("b", 0, 0)];
    let (context, all) = sessions.begin(asked(0, 0, first), 0).unwrap();
    assert!(context.id > 0 && !context.incremental);
    assert_eq!(all.len(), 3);
    let forgotten = [(TopicRef::Name("b".into()), 0)];
    let next = asked(context.id, 1, vec![spec("a", 1, 7), spec("c", 0, 0)]);
    let (again, all) = sessions.begin(Asked { forgotten: &forgotten, ..next }, 0).unwrap();
    assert_eq!(again, SessionContext { id: context.id, incremental: true });
    assert_eq!(all, [spec("a", 0, 0), spec("a", 1, 7), spec("c", 0, 0)]);
    let begin = |sessions: &mut Sessions, id, epoch| sessions.begin(asked(id, epoch, vec![]), 0);
    assert_eq!(begin(&mut sessions, context.id, 1), Err(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(begin(&mut sessions, 99, 1), Err(ErrorCode::FetchSessionIdNotFound));
    let by_id = Asked { by_id: true, ..asked(context.id, 2, vec![]) };
    assert_eq!(sessions.begin(by_id, 0), Err(ErrorCode::FetchSessionTopicIdError));
    // The final request closes it.
    begin(&mut sessions, context.id, -1).unwrap();
    assert_eq!(begin(&mut sessions, context.id, 2), Err(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn only_news_is_told_again() {
    let mut sessions = sessions(10);
    let id = opened(&mut sessions, 2, 0);
    let mut tell = |high_watermark, log_start| {
        let told = Told { high_watermark, log_start };
        sessions.tell(id, [((TopicRef::Name("a".into()), 0), told)].into_iter())[0]
    };
    assert!(tell(10, 0));
    assert!(!tell(10, 0));
    assert!(tell(10, 1));
    assert!(tell(11, 1));
}

#[test]
fn what_was_given_comes_last_next_time() {
    let mut sessions = sessions(10);
    let id = opened(&mut sessions, 3, 0);
    sessions.move_to_end(id, &[(TopicRef::Name("a".into()), 0)]);
    let (_, all) = sessions.begin(asked(id, 1, vec![]), 0).unwrap();
    assert_eq!(all.iter().map(|spec| spec.partition).collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn the_session_idle_for_longest_makes_room_but_not_at_once() {
    let mut sessions = sessions(2);
    let first = opened(&mut sessions, 1, 0);
    let second = opened(&mut sessions, 1, 10);
    assert_eq!(opened(&mut sessions, 1, 1_000), 0);
    sessions.begin(asked(first, 1, vec![]), 100_000).unwrap();
    assert!(opened(&mut sessions, 1, 121_000) > 0);
    assert_eq!(sessions.begin(asked(second, 1, vec![]), 121_000), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(sessions.len(), 2);
}

#[test]
fn a_larger_session_replaces_a_smaller_one_that_has_been_there_for_a_while() {
    let mut sessions = sessions(2);
    let (small, large) = (opened(&mut sessions, 2, 0), opened(&mut sessions, 5, 0));
    assert_eq!(opened(&mut sessions, 9, 1_000), 0, "both are new");
    for id in [small, large] {
        sessions.begin(asked(id, 1, vec![]), 130_000).unwrap();
    }
    assert_eq!(opened(&mut sessions, 2, 131_000), 0, "it is not larger");
    assert!(opened(&mut sessions, 3, 131_000) > 0);
    assert_eq!(sessions.begin(asked(small, 2, vec![]), 131_000), Err(ErrorCode::FetchSessionIdNotFound));
    sessions.begin(asked(large, 2, vec![]), 131_000).unwrap();
}

#[test]
fn sessions_end_with_their_partitions_and_none_begins_for_nothing() {
    let mut sessions = sessions(10);
    assert_eq!(opened(&mut sessions, 0, 0), 0);
    let unpermitted = Asked { permitted: false, ..asked(0, 0, vec![spec("a", 0, 0)]) };
    assert_eq!(sessions.begin(unpermitted, 0).unwrap().0.id, 0);
    let id = opened(&mut sessions, 1, 0);
    let forgotten = [(TopicRef::Name("a".into()), 0)];
    let last = Asked { forgotten: &forgotten, ..asked(id, 1, vec![]) };
    assert_eq!(sessions.begin(last, 0).unwrap().0, SessionContext { id: 0, incremental: true });
    assert_eq!(sessions.len(), 0);
}

#[test]
fn partitions_are_limited_in_a_session_and_in_all() {
    let mut sessions = sessions(100);
    let most = SESSION_PARTITIONS_MAX as i32;
    assert_eq!(opened(&mut sessions, most + 1, 0), 0);
    let ids: Vec<i32> = (0..11).map(|_| opened(&mut sessions, most, 0)).collect();
    assert_eq!(ids.iter().filter(|id| **id > 0).count(), PARTITIONS_MAX / SESSION_PARTITIONS_MAX);
    // One that grows beyond the limit ends, and its client begins anew.
    let more = asked(ids[0], 1, vec![spec("b", 0, 0)]);
    assert_eq!(sessions.begin(more, 0), Err(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(sessions.begin(asked(ids[0], 1, vec![]), 0), Err(ErrorCode::FetchSessionIdNotFound));
    assert!(opened(&mut sessions, most, 0) > 0);
}
