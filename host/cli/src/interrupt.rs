//! Ctrl-C and SIGTERM as a question to ask: the first one ends the work in an orderly way, the second one at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::exit::{Exit, Failed};

/// Listens for signals as long as the process lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Number of the first signal; 0 before it.
    signal: AtomicU8,
    /// Wakes whoever waits for the first signal.
    wake: Notify,
}

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

impl Interrupt {
    /// Starts to listen; must be called inside a tokio runtime.
    pub(crate) fn listen() -> Result<Interrupt, Failed> {
        let interrupt = Interrupt::default();
        let (ctrl_c, terminate) = (open(SignalKind::interrupt())?, open(SignalKind::terminate())?);
        tokio::spawn(interrupt.clone().hear(ctrl_c, terminate));
        Ok(interrupt)
    }

    async fn hear(self, mut ctrl_c: Signal, mut terminate: Signal) {
        loop {
            let number = tokio::select! {
                _ = ctrl_c.recv() => SIGINT,
                _ = terminate.recv() => SIGTERM,
            };
            if self.heard.signal.compare_exchange(0, number, Relaxed, Relaxed).is_err() {
                // Records are whole lines, so leaving here loses no decision that was answered.
                std::process::exit(i32::from(128 + number));
            }
            self.heard.wake.notify_waiters();
        }
    }

    /// Waits for the first signal.
    pub(crate) async fn wait(self) {
        let woken = self.heard.wake.notified();
        if self.exit().is_none() {
            woken.await;
        }
    }

    /// How to end, if there was a signal.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.heard.signal.load(Relaxed) {
            0 => None,
            signal => Some(Exit::Interrupted(signal)),
        }
    }
}

fn open(kind: SignalKind) -> Result<Signal, Failed> {
    signal(kind).map_err(|error| Failed::environment(anyhow::Error::new(error).context("cannot listen for signals")))
}
