//! Transactional ids that nobody has used for `transactional.id.expiration.ms`.

use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::state::transactions::TransactionChange;
use crate::sync::lock;
use eventlog::Layer;
use std::ops::Bound;

/// How many are looked at while the append lock is held, and forgotten by one frame.
const LOOKED_AT_ONCE: usize = 10_000;

impl Broker {
    pub(super) fn forget_unused_ids(&self, now: Now) {
        let oldest_ms =
            self.explained_wall_ms(now).saturating_sub(self.config.transactional_id_expiration_ms);
        let mut from = Bound::Unbounded;
        // An error is no harm: the next round finds the same ids.
        while let Ok((Some(last), _)) = self.log.append(|frame| {
            let mut state = lock(&self.state.0);
            let looked = state.transactions.unused_since(from.as_ref(), oldest_ms, LOOKED_AT_ONCE);
            let changes = looked.unused.into_iter().map(|id| TransactionChange::Forgotten { id });
            let changes: Vec<_> = changes.collect();
            for change in &changes {
                frame.layer(Layer::TRANSACTIONS, &change.encode())?;
            }
            changes.iter().for_each(|change| state.apply_transaction(change));
            Ok::<_, ApiError>(looked.last)
        }) {
            from = Bound::Excluded(last);
        }
    }
}
