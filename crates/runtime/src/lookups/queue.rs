//! The questions of a lookup join that nobody has answered yet.

use crate::job::lock;
use dataflow::engine::Question;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// A question on its way.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub question: Question,
    /// When it was taken up first, by the monotonic clock.
    pub begun_ns: Option<u64>,
    /// Times that nothing was found.
    pub misses: u32,
}

/// Shared by the steps, who ask, and the drivers.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Asked>,
    /// To be asked again, by the moment and the number.
    later: BTreeMap<(u64, u64), Asked>,
}

impl Queue {
    pub(crate) fn ask(&self, questions: Vec<Question>) {
        let asked = questions.into_iter().map(|question| Asked { question, begun_ns: None, misses: 0 });
        lock(&self.state).ready.extend(asked);
    }

    pub(crate) fn ask_later(&self, asked: Asked, due_ns: u64) {
        lock(&self.state).later.insert((due_ns, asked.question.number), asked);
    }

    /// Some questions, those that are asked again first; or when the next is due.
    pub(crate) fn take(&self, count_max: usize, now_ns: u64) -> Result<Vec<Asked>, Option<u64>> {
        let mut state = lock(&self.state);
        let mut taken = Vec::new();
        while taken.len() < count_max {
            let due = state.later.first_entry().filter(|entry| entry.key().0 <= now_ns);
            let Some(mut asked) = due.map(|entry| entry.remove()).or_else(|| state.ready.pop_front()) else {
                break;
            };
            asked.begun_ns.get_or_insert(now_ns);
            taken.push(asked);
        }
        if taken.is_empty() {
            Err(state.later.first_key_value().map(|((due_ns, _), _)| *due_ns))
        } else {
            Ok(taken)
        }
    }
}
