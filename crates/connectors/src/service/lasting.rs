//! What proves who we are and holds for a time: fetched anew before it ends.

use super::error::Done;

/// It is fetched anew when it holds no longer than this, or where it holds for a short time, than a quarter of that.
const AHEAD_MS: i64 = 5 * 60 * 1000;
/// Whoever could not hand one out is asked again after this, while the last one holds.
const AGAIN_MS: i64 = 10 * 1000;

pub(crate) trait Ends: Clone + PartialEq {
    /// None of what does not end.
    fn expires_ms(&self) -> Option<i64>;
}

#[derive(Clone)]
pub(crate) struct Lasting<T> {
    cached: Option<Cached<T>>,
}

#[derive(Clone)]
struct Cached<T> {
    proof: T,
    /// From then on another one is looked for; never for one that does not end.
    anew_ms: Option<i64>,
}

impl<T> Default for Lasting<T> {
    fn default() -> Lasting<T> {
        Lasting { cached: None }
    }
}

impl<T: Ends> Cached<T> {
    fn new(proof: T, now_ms: i64) -> Cached<T> {
        let anew_ms = proof.expires_ms().map(|end| end - (end.saturating_sub(now_ms) / 4).clamp(0, AHEAD_MS));
        Cached { proof, anew_ms }
    }
}

impl<T: Ends> Lasting<T> {
    /// The one that holds now.
    pub(crate) fn get(&mut self, now_ms: i64, find: impl FnOnce() -> Done<T>) -> Done<T> {
        if let Some(cached) =
            self.cached.as_ref().filter(|cached| cached.anew_ms.is_none_or(|at| now_ms < at))
        {
            return Ok(cached.proof.clone());
        }
        match find() {
            Ok(proof) => Ok(self.cached.insert(Cached::new(proof, now_ms)).proof.clone()),
            // Whoever hands them out is away for a moment: the last one does until it ends.
            Err(error) => match &mut self.cached {
                Some(Cached { proof, anew_ms }) if proof.expires_ms().is_some_and(|end| end > now_ms) => {
                    *anew_ms = Some(now_ms.saturating_add(AGAIN_MS));
                    Ok(proof.clone())
                }
                _ => Err(error),
            },
        }
    }

    /// Looks for one once more; whether it is another than before.
    pub(crate) fn renew(&mut self, now_ms: i64, find: impl FnOnce() -> Done<T>) -> Done<bool> {
        let found = find()?;
        let is_new = self.cached.as_ref().is_none_or(|cached| cached.proof != found);
        self.cached = Some(Cached::new(found, now_ms));
        Ok(is_new)
    }
}
