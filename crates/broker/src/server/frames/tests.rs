//! Frames from hostile and honest bytes, over in-memory pipes.

use super::*;
use tokio::io::AsyncWriteExt;

const MAX: usize = 1 << 20;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn frames() -> Frames {
    Frames::new(MAX, Duration::from_secs(5), Duration::from_secs(5), Arc::default())
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
        let result = Frames::new(MAX, soon, Duration::from_secs(60), Arc::default()).next(&mut read).await;
        assert!(matches!(result, Err(FrameError::Idle(_))));
        write.write_all(&[0, 0]).await.unwrap();
        let result = Frames::new(MAX, Duration::from_secs(60), soon, Arc::default()).next(&mut read).await;
        assert!(matches!(result, Err(FrameError::Stalled(_))));
    });
}
