//! Frames from hostile and honest bytes, over in-memory pipes.

use super::*;
use crate::budget::Budget;
use tokio::io::AsyncWriteExt;

const MAX: usize = 1 << 20;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn requests(bytes_max: usize) -> Arc<Requests> {
    Requests::new(Budget::of_requests(bytes_max))
}

fn patient(idle: Duration, stall: Duration) -> Frames {
    Frames::new(MAX, idle, stall, Arc::default(), requests(4 * MAX))
}

fn frames() -> Frames {
    patient(Duration::from_secs(5), Duration::from_secs(5))
}

fn sized(size: usize) -> Vec<u8> {
    [(size as u32).to_be_bytes().to_vec(), vec![7; size]].concat()
}

#[test]
fn frames_come_out_whole_however_the_bytes_come_in() {
    run(async {
        let mut bytes = Vec::new();
        for size in [8usize, 9, 5_000, 300_000, 8, MAX] {
            bytes.extend_from_slice(&(size as u32).to_be_bytes());
            bytes.extend(std::iter::repeat_n(size as u8, size));
        }
        for step in [1_000_003, 65_536, 4_099] {
            let (mut write, mut read) = tokio::io::duplex(16 << 10);
            let sent = bytes.clone();
            let writer = tokio::spawn(async move {
                for part in sent.chunks(step) {
                    write.write_all(part).await.unwrap();
                }
            });
            let mut frames = frames();
            let mut sizes = Vec::new();
            while let Some(frame) = frames.next(&mut read).await.unwrap() {
                assert!(frame.iter().all(|byte| *byte == frame.len() as u8));
                sizes.push(frame.len());
            }
            assert_eq!(sizes, [8, 9, 5_000, 300_000, 8, MAX]);
            assert!(frames.buffer.capacity() < GROWTH_BYTES_MIN, "the long ones were in lent buffers");
            writer.await.unwrap();
        }
    });
}

#[test]
fn a_hostile_size_ends_the_connection_before_anything_is_allocated() {
    run(async {
        for size in [-1, 0, 7, i32::MAX, MAX as i32 + 1, i32::MIN] {
            let mut bytes = size.to_be_bytes().to_vec();
            bytes.extend([0; 64]);
            let mut frames = frames();
            let result = frames.next(&mut &bytes[..]).await;
            assert!(matches!(result, Err(FrameError::Size(_) | FrameError::TooShort(_))), "{size}");
            assert!(frames.buffer.capacity() <= GROWTH_BYTES_MIN);
        }
    });
}

#[test]
fn memory_grows_with_what_came_and_not_with_what_was_announced() {
    run(async {
        let mut bytes = (MAX as u32).to_be_bytes().to_vec();
        bytes.extend([0; 100]);
        let mut frames = frames();
        let result = frames.next(&mut &bytes[..]).await;
        assert!(matches!(result, Err(FrameError::CutOff)));
        assert!(frames.buffer.capacity() < 2 * GROWTH_BYTES_MIN, "{}", frames.buffer.capacity());
        assert!(frames.long.is_none(), "it has hardly begun");
    });
}

#[test]
fn a_request_that_does_not_go_on_and_a_silent_client_are_told_apart() {
    run(async {
        let (mut write, mut read) = tokio::io::duplex(64);
        let soon = Duration::from_millis(10);
        let result = patient(soon, Duration::from_secs(60)).next(&mut read).await;
        assert!(matches!(result, Err(FrameError::Idle(_))));
        write.write_all(&[0, 0]).await.unwrap();
        let result = patient(Duration::from_secs(60), soon).next(&mut read).await;
        assert!(matches!(result, Err(FrameError::Stalled(_))));
    });
}

#[test]
fn a_longer_frame_is_not_received_before_there_is_room_for_it() {
    run(async {
        let minute = Duration::from_secs(60);
        let requests = requests(100_000);
        let new = || Frames::new(MAX, minute, minute, Arc::default(), requests.clone());
        let (mut first, mut second, mut third) = (new(), new(), new());
        let (mut write, mut read) = tokio::io::duplex(1 << 20);
        let long = sized(90_000);
        write.write_all(&long[..50_000]).await.unwrap();
        let mut receiving = Box::pin(first.next(&mut read));
        let given = tokio::time::timeout(Duration::ZERO, receiving.as_mut()).await;
        assert!(given.is_err(), "the rest has not come");
        // Another one of that length waits, though all of it could be received; a short one does not.
        let mut other = &long[..];
        let mut waiting = std::pin::pin!(second.next(&mut other));
        assert!(tokio::time::timeout(Duration::ZERO, waiting.as_mut()).await.is_err());
        assert_eq!(third.next(&mut &sized(5_000)[..]).await.unwrap().unwrap().len(), 5_000);
        write.write_all(&long[50_000..]).await.unwrap();
        assert_eq!(receiving.await.unwrap().unwrap().len(), 90_000);
        assert!(tokio::time::timeout(Duration::ZERO, waiting.as_mut()).await.is_err(), "it is being handled");
        first.handled();
        assert_eq!(waiting.await.unwrap().unwrap().len(), 90_000);
    });
}

#[test]
fn a_frame_that_has_room_must_come_in_a_time_that_its_length_allows() {
    run(async {
        let (minute, soon) = (Duration::from_secs(60), Duration::from_millis(50));
        let mut frames = Frames::new(MAX, minute, soon, Arc::default(), requests(MAX));
        let (mut write, mut read) = tokio::io::duplex(64);
        let bytes = sized(20_000);
        // A byte now and then, each well within the time for the next one.
        let trickling = tokio::spawn(async move {
            for byte in &bytes {
                if write.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(soon / 10).await;
            }
        });
        assert!(matches!(frames.next(&mut read).await, Err(FrameError::Stalled(_))));
        drop(read);
        trickling.await.unwrap();
    });
}
