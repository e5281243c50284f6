//! What changes, on its way from the daemon's loop to those who follow: the half that belongs to the loop.
//!
//! A follower has a queue of its own. What finds no room in it is lost for that follower alone and only counted, until it
//! asks for a new snapshot; nothing here waits, and while nobody follows nothing is kept.

use std::sync::{Arc, Weak};

use nhrp_yang::state::{CacheEntry, FamilyState, Registration, SecurityAssociation, Shortcut};
use tokio::sync::{mpsc, oneshot};

use crate::proto_v1::subscribe_request::Kind;

/// Followers at once.
const FOLLOWERS: usize = 16;
/// Changes that wait for one of them.
const QUEUE: usize = 4096;

/// Something that is followed. Words and units are those of the model.
#[derive(Clone, Debug)]
pub enum Row {
    /// An interface for one family; its own address, and that after translation, belong to both families.
    Interface {
        /// Name.
        name: String,
        /// Own NBMA address.
        nbma: Option<std::net::IpAddr>,
        /// As the servers see it, if that differs.
        nat: Option<std::net::IpAddr>,
        /// The rest.
        family: FamilyState,
    },
    /// A cache entry of an interface.
    Binding(String, CacheEntry),
    /// A server of an interface.
    Server(String, Registration),
    /// A shortcut.
    Shortcut(Shortcut),
    /// An IPsec association that is up.
    Association(SecurityAssociation),
}

impl Row {
    fn kind(&self) -> Kind {
        match self {
            Self::Interface { .. } => Kind::Interfaces,
            Self::Binding(..) => Kind::Bindings,
            Self::Server(..) => Kind::Servers,
            Self::Shortcut(_) => Kind::Shortcuts,
            Self::Association(_) => Kind::Associations,
        }
    }

    fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface { name, .. } | Self::Binding(name, _) | Self::Server(name, _) => Some(name),
            Self::Shortcut(shortcut) => shortcut.interface.as_deref(),
            Self::Association(_) => None,
        }
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is new.
    Added,
    /// It is another one.
    Changed,
    /// It is gone, for this reason.
    Removed(String),
}

/// A change, the same for all followers.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) time_ms: i64,
    pub(super) operation: Operation,
    pub(super) row: Row,
}

/// A change as one follower counts it.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) change: Arc<Change>,
}

/// What a follower wants to know.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Empty: everything.
    pub(super) kinds: Vec<Kind>,
    /// Empty: any.
    pub(super) interfaces: Vec<String>,
}

impl Filter {
    fn wants(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether cache entries are wanted, of which there may be many.
    #[must_use]
    pub fn wants_bindings(&self) -> bool {
        self.wants(Kind::Bindings)
    }

    /// Whether shortcuts are.
    #[must_use]
    pub fn wants_shortcuts(&self) -> bool {
        self.wants(Kind::Shortcuts)
    }

    fn admits(&self, row: &Row) -> bool {
        self.wants(row.kind())
            && (self.interfaces.is_empty()
                || row.interface().is_some_and(|name| self.interfaces.iter().any(|wanted| wanted == name)))
    }
}

/// A follower, for as long as this lives.
#[derive(Debug)]
pub(super) struct Ticket(pub(super) Filter);

/// A snapshot is wanted, and the changes behind it.
#[derive(Debug)]
pub struct Subscribe {
    pub(super) ticket: Arc<Ticket>,
    pub(super) answer: oneshot::Sender<Result<Subscribed, TooMany>>,
}

/// All that there is, and what comes.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub(super) number: u64,
    pub(super) time_ms: i64,
    pub(super) rows: Vec<Row>,
    pub(super) changes: mpsc::Receiver<Numbered>,
}

/// Others follow already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{FOLLOWERS} clients follow already; end one of them")]
pub(super) struct TooMany;

#[derive(Debug)]
struct Follower {
    ticket: Weak<Ticket>,
    number: u64,
    /// None: something did not find room, and until the next snapshot nothing is to.
    queue: Option<mpsc::Sender<Numbered>>,
}

/// Those who follow.
#[derive(Debug, Default)]
pub struct Followers(Vec<Follower>);

impl Followers {
    /// Nobody follows, and nobody has since the last change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells those who want to know.
    pub fn tell(&mut self, time_ms: i64, operation: Operation, row: Row) {
        let change = Arc::new(Change { time_ms, operation, row });
        self.0.retain_mut(|follower| {
            let Some(ticket) = follower.ticket.upgrade() else { return false };
            if ticket.0.admits(&change.row) {
                follower.number += 1;
                let item = Numbered { number: follower.number, change: Arc::clone(&change) };
                if follower.queue.as_ref().is_some_and(|queue| queue.try_send(item).is_err()) {
                    follower.queue = None;
                }
            }
            true
        });
    }

    /// Answers with a snapshot, to a new follower or to one that has lost something. Everything that happened before has to
    /// be told by then.
    pub fn subscribe(
        &mut self,
        request: Subscribe,
        time_ms: i64,
        snapshot: impl FnOnce(&Filter) -> Vec<Row>,
    ) {
        self.0.retain(|follower| follower.ticket.strong_count() > 0);
        let ticket = Arc::downgrade(&request.ticket);
        let (queue, changes) = mpsc::channel(QUEUE);
        let full = self.0.len() >= FOLLOWERS;
        let known = self.0.iter_mut().find(|follower| Weak::ptr_eq(&follower.ticket, &ticket));
        let number = match known {
            Some(follower) => {
                follower.queue = Some(queue);
                follower.number
            }
            None if full => {
                // It may be gone by now.
                let _ = request.answer.send(Err(TooMany));
                return;
            }
            None => {
                self.0.push(Follower { ticket, number: 0, queue: Some(queue) });
                0
            }
        };
        let filter = &request.ticket.0;
        let mut rows = snapshot(filter);
        rows.retain(|row| filter.admits(row));
        let _ = request.answer.send(Ok(Subscribed { number, time_ms, rows, changes }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(interface: &str, remote: u8) -> Row {
        let association = SecurityAssociation {
            local_nbma: None,
            remote_nbma: [192, 0, 2, remote].into(),
            associations: 1,
            identity: String::new(),
        };
        if interface.is_empty() {
            return Row::Association(association);
        }
        let family = FamilyState {
            family: nhrp_yang::state::Family::Ipv4,
            running: true,
            reason: None,
            protocol_address: Some(association.remote_nbma),
        };
        Row::Interface { name: interface.to_owned(), nbma: None, nat: None, family }
    }

    fn subscribe(
        followers: &mut Followers,
        ticket: &Arc<Ticket>,
        rows: Vec<Row>,
    ) -> Result<Subscribed, TooMany> {
        let (answer, mut reply) = oneshot::channel();
        followers.subscribe(Subscribe { ticket: Arc::clone(ticket), answer }, 7, |_| rows);
        reply.try_recv().unwrap()
    }

    fn numbers(subscribed: &mut Subscribed) -> Vec<u64> {
        std::iter::from_fn(|| subscribed.changes.try_recv().ok()).map(|item| item.number).collect()
    }

    #[test]
    fn each_counts_what_it_wants_to_know() {
        let mut followers = Followers::default();
        let all = Arc::new(Ticket(Filter::default()));
        let some =
            Arc::new(Ticket(Filter { kinds: vec![Kind::Interfaces], interfaces: vec!["gre1".to_owned()] }));
        let rows = vec![row("gre1", 1), row("gre2", 1), row("", 1)];
        let mut whole = subscribe(&mut followers, &all, rows.clone()).unwrap();
        let mut part = subscribe(&mut followers, &some, rows.clone()).unwrap();
        assert_eq!((whole.rows.len(), part.rows.len()), (3, 1));
        for row in rows {
            followers.tell(8, Operation::Changed, row);
        }
        assert_eq!((numbers(&mut whole), numbers(&mut part)), (vec![1, 2, 3], vec![1]));
        drop(some);
        followers.tell(9, Operation::Changed, row("gre1", 2));
        assert_eq!(followers.0.len(), 1);
        drop(all);
        followers.tell(9, Operation::Changed, row("gre1", 2));
        assert!(followers.is_empty());
    }

    #[test]
    fn who_does_not_read_loses_and_is_told_how_much() {
        let mut followers = Followers::default();
        let tickets = [(); 2].map(|()| Arc::new(Ticket(Filter::default())));
        let mut both =
            tickets.each_ref().map(|ticket| subscribe(&mut followers, ticket, Vec::new()).unwrap());
        let mut read = Vec::new();
        for _ in 0..QUEUE + 100 {
            followers.tell(8, Operation::Removed(String::new()), row("", 1));
            read.extend(numbers(&mut both[0]));
        }
        let lost = QUEUE as u64 + 100;
        assert_eq!(read, (1..=lost).collect::<Vec<_>>());
        let late = numbers(&mut both[1]);
        assert_eq!(late, (1..=QUEUE as u64).collect::<Vec<_>>());
        assert_eq!(both[1].changes.try_recv().unwrap_err(), mpsc::error::TryRecvError::Disconnected);
        // From now on it is told again.
        let mut again = subscribe(&mut followers, &tickets[1], vec![row("", 2)]).unwrap();
        assert_eq!((again.number, again.rows.len()), (lost, 1));
        followers.tell(8, Operation::Added, row("", 1));
        assert_eq!((numbers(&mut again), numbers(&mut both[0])), (vec![lost + 1], vec![lost + 1]));
    }

    #[test]
    fn there_are_not_too_many() {
        let mut followers = Followers::default();
        let mut tickets: Vec<_> = (0..=FOLLOWERS).map(|_| Arc::new(Ticket(Filter::default()))).collect();
        let last = tickets.pop().unwrap();
        let kept: Vec<_> =
            tickets.iter().map(|ticket| subscribe(&mut followers, ticket, Vec::new()).unwrap()).collect();
        assert_eq!(subscribe(&mut followers, &last, Vec::new()).err(), Some(TooMany));
        tickets.pop();
        assert!(subscribe(&mut followers, &last, Vec::new()).is_ok());
        drop(kept);
    }
}
