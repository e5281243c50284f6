//! Names of next hop servers, looked up as the system does (hosts file, DNS), without holding up the loop.
//!
//! The system's resolver (`getaddrinfo`) blocks, for half a minute if no name server answers, and cannot be called off.
//! So each lookup has a thread of its own, which nobody waits for at the end; there are never two for one name, nor more
//! than [`MAX_THREADS`]. Owns these threads and the words for their failures; never decides when a name is looked up.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// FRR's c-ares gives up after three tries of two seconds.
const TIMEOUT: Duration = Duration::from_secs(6);
/// A lookup cannot be called off, so there must not be many of them.
const MAX_THREADS: usize = 16;

/// What a lookup found: addresses of both families in the resolver's order.
type Found = Result<Vec<IpAddr>, String>;

/// The system's resolver, or a test's.
type Lookup = fn(&str) -> Found;

/// The answer to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// As in the question.
    pub(crate) token: u64,
    /// Addresses, or what is wrong and what to look at.
    pub(crate) addresses: Found,
}

/// A question without an answer yet.
#[derive(Debug)]
struct Question {
    token: u64,
    name: String,
    deadline: Instant,
}

/// Starts lookups and collects their answers.
#[derive(Debug)]
pub(crate) struct Resolver {
    lookup: Lookup,
    sender: mpsc::UnboundedSender<(String, Found)>,
    results: mpsc::UnboundedReceiver<(String, Found)>,
    questions: VecDeque<Question>,
    running: HashSet<String>,
    ready: VecDeque<Answer>,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        Self::with(system)
    }

    fn with(lookup: Lookup) -> Self {
        // As many results as threads at most.
        let (sender, results) = mpsc::unbounded_channel();
        Self {
            lookup,
            sender,
            results,
            questions: VecDeque::new(),
            running: HashSet::new(),
            ready: VecDeque::new(),
        }
    }

    /// Looks `name` up in the background.
    pub(crate) fn start(&mut self, token: u64, name: String) {
        self.questions.push_back(Question { token, name, deadline: Instant::now() + TIMEOUT });
        self.start_threads();
    }

    /// Threads for names that have none, as far as there may be more.
    fn start_threads(&mut self) {
        for question in &self.questions {
            if self.running.len() >= MAX_THREADS {
                return;
            }
            if self.running.contains(&question.name) {
                continue;
            }
            let (name, sender, lookup) = (question.name.clone(), self.sender.clone(), self.lookup);
            let work = move || {
                let found = lookup(&name);
                // The daemon is gone: nobody wants to know any more.
                let _ = sender.send((name, found));
            };
            match std::thread::Builder::new().name("resolver".to_owned()).spawn(work) {
                Ok(_) => {
                    self.running.insert(question.name.clone());
                }
                // The question times out, and is asked again.
                Err(error) => {
                    tracing::debug!(target: "nhrp::common", "no thread for a lookup: {error}");
                    return;
                }
            }
        }
    }

    /// The next answer. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return answer;
            }
            let deadline = self.questions.iter().map(|q| q.deadline).min();
            tokio::select! {
                // `self` holds a sender, so the channel never ends.
                Some((name, found)) = self.results.recv() => self.on_result(&name, &found),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.on_timeout();
                }
            }
        }
    }

    fn on_result(&mut self, name: &str, found: &Found) {
        self.running.remove(name);
        let (answered, others): (VecDeque<Question>, _) =
            self.questions.drain(..).partition(|q| q.name == name);
        self.questions = others;
        self.ready.extend(answered.into_iter().map(|q| Answer { token: q.token, addresses: found.clone() }));
        self.start_threads();
    }

    fn on_timeout(&mut self) {
        let now = Instant::now();
        let error = format!(
            "no answer within {} s; is a name server of /etc/resolv.conf reachable outside the tunnel?",
            TIMEOUT.as_secs()
        );
        let (late, others): (VecDeque<Question>, _) =
            self.questions.drain(..).partition(|q| q.deadline <= now);
        self.questions = others;
        self.ready.extend(late.into_iter().map(|q| Answer { token: q.token, addresses: Err(error.clone()) }));
    }
}

/// Asks the system, and blocks.
fn system(name: &str) -> Found {
    match (name, 0_u16).to_socket_addrs() {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(explained(&error.to_string())),
    }
}

/// The kinds of failure that glibc tells apart, with what to look at.
fn explained(error: &str) -> String {
    let words = error.rsplit(": ").next().unwrap_or(error);
    let remedy = match words {
        "Name or service not known" => "; is it spelt right, and in DNS or /etc/hosts?",
        "Temporary failure in name resolution" => {
            "; is a name server of /etc/resolv.conf reachable outside the tunnel?"
        }
        "No address associated with hostname" => "; it is in DNS, but without A and AAAA",
        _ => "",
    };
    format!("{words}{remedy}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_hosts_file_is_read() {
        let mut resolver = Resolver::new();
        resolver.start(7, "localhost".to_owned());
        let answer = resolver.next().await;
        assert_eq!(answer.token, 7);
        assert!(answer.addresses.unwrap().contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_is_one_thread_a_name_and_holds_up_nothing() {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        fn hangs(name: &str) -> Found {
            if name == "good.example" {
                return Ok(vec![IpAddr::from([192, 0, 2, 1])]);
            }
            THREADS.fetch_add(1, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        }
        let mut resolver = Resolver::with(hangs);
        for token in 0..5 {
            resolver.start(token, "bad.example".to_owned());
            let answer = resolver.next().await;
            assert_eq!(answer.token, token);
            assert!(answer.addresses.unwrap_err().contains("no answer within 6 s"));
        }
        // The thread may not have come to run yet: paused time does not wait for it.
        assert_eq!(resolver.running.len(), 1);
        assert!(THREADS.load(Ordering::SeqCst) <= 1);
        // Another name has an answer all the same. Time is real again for the thread that finds it.
        tokio::time::resume();
        resolver.start(9, "good.example".to_owned());
        assert_eq!(
            resolver.next().await,
            Answer { token: 9, addresses: Ok(vec![IpAddr::from([192, 0, 2, 1])]) }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_threads_than_allowed() {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        fn hangs(_: &str) -> Found {
            THREADS.fetch_add(1, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        }
        let mut resolver = Resolver::with(hangs);
        for token in 0..40 {
            resolver.start(token, format!("n{token}.example"));
        }
        for _ in 0..40 {
            assert!(resolver.next().await.addresses.is_err());
        }
        assert_eq!((resolver.running.len(), resolver.questions.len()), (MAX_THREADS, 0));
        assert!(THREADS.load(Ordering::SeqCst) <= MAX_THREADS);
    }

    #[test]
    fn failures_come_with_what_to_look_at() {
        let text = explained("failed to lookup address information: Name or service not known");
        assert_eq!(text, "Name or service not known; is it spelt right, and in DNS or /etc/hosts?");
        assert_eq!(explained("Bad value for ai_flags"), "Bad value for ai_flags");
    }
}
