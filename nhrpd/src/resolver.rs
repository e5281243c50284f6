//! Names of next hop servers, looked up as the system does (hosts file, DNS), without holding up the loop.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc;

/// FRR's c-ares gives up after three tries of two seconds.
const TIMEOUT: Duration = Duration::from_secs(6);
/// A lookup cannot be called off, so there must not be many of them.
const MAX_IN_FLIGHT: usize = 16;

/// What a lookup found.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) token: u64,
    pub(crate) addresses: Result<Vec<IpAddr>, String>,
}

/// Starts lookups and collects their answers.
#[derive(Debug)]
pub(crate) struct Resolver {
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    slots: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        let (sender, answers) = mpsc::channel(64);
        Self { sender, answers, slots: std::sync::Arc::new(tokio::sync::Semaphore::new(MAX_IN_FLIGHT)) }
    }

    /// Looks `name` up in the background.
    pub(crate) fn start(&self, token: u64, name: String) {
        let (sender, slots) = (self.sender.clone(), std::sync::Arc::clone(&self.slots));
        tokio::spawn(async move {
            let Ok(_slot) = slots.acquire().await else { return };
            let lookup = tokio::net::lookup_host((name.as_str(), 0));
            let addresses = match tokio::time::timeout(TIMEOUT, lookup).await {
                // The NBMA network is IPv4: GRE over IPv6 is another kind of tunnel.
                Ok(Ok(found)) => Ok(found.map(|a| a.ip()).filter(IpAddr::is_ipv4).collect()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
            };
            // The daemon is gone: nobody wants to know any more.
            let _ = sender.send(Answer { token, addresses }).await;
        });
    }

    /// The next answer. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Answer {
        match self.answers.recv().await {
            Some(answer) => answer,
            // `self` holds a sender, so the channel never ends.
            None => std::future::pending().await,
        }
    }
}
