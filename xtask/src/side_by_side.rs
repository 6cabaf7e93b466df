//! Work that mostly waits, some of it at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does the work for each item, in so many threads, and answers in the order of the items.
///
/// A program that is started in a thread dies with it ([`crate::process`]): none may be left when the work is done.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::side_by_side;

    #[test]
    fn two_at_a_time_and_in_order() {
        // None of the first two goes on before the other has begun.
        let both = Barrier::new(2);
        let doubled = side_by_side(&[1, 2, 3, 4], 2, |number| {
            if *number <= 2 {
                both.wait();
            }
            number * 2
        });
        assert_eq!(doubled, [2, 4, 6, 8]);
        assert!(side_by_side(&[0; 0], 2, |number| *number).is_empty());
    }
}
