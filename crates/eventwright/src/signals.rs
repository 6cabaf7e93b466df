//! Interrupts: the first asks for an orderly stop, the second ends the process at once.

use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Set by SIGINT and SIGTERM.
#[derive(Clone, Default)]
pub struct Interrupt {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// Listens from now on, on a thread of its own.
    pub fn listen() -> anyhow::Result<Interrupt> {
        let interrupt = Interrupt::default();
        let told = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot listen for signals")?;
        let seen = AtomicBool::new(false);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async {
                    use tokio::signal::unix::{SignalKind, signal};
                    let (Ok(mut int), Ok(mut term)) =
                        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                    else {
                        return;
                    };
                    loop {
                        tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                        if seen.swap(true, Ordering::AcqRel) {
                            std::process::exit(130);
                        }
                        told.set();
                    }
                });
            })
            .context("cannot listen for signals")?;
        Ok(interrupt)
    }

    fn set(&self) {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.1.notify_all();
    }

    pub fn is_set(&self) -> bool {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the interrupt comes.
    pub fn wait(&self) {
        let guard = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.shared.1.wait_while(guard, |set| !*set));
    }

    /// Waits for the interrupt, at most `timeout_ms`; whether it came.
    pub fn wait_timeout(&self, timeout_ms: u64) -> bool {
        let guard = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.1.wait_timeout_while(guard, Duration::from_millis(timeout_ms), |set| !*set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Calls `act` at each SIGINT from now on, on a thread of its own.
pub fn on_interrupt(act: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot listen for signals")?;
    let mut interrupts = {
        let _in_runtime = runtime.enter();
        signal(SignalKind::interrupt()).context("cannot listen for signals")?
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                while interrupts.recv().await.is_some() {
                    act();
                }
            });
        })
        .context("cannot listen for signals")?;
    Ok(())
}
