//! The answers of `Get`, which may be large and wanted by many at once: who asks for the same before it is gathered
//! shares what is gathered, and only a few large answers are written at a time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nhrp_yang::{Format, WithDefaults};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::Stream;
use tonic::Status;

use crate::What;
use crate::fault::Fault;
use crate::job::Stores;

/// Large answers that are being written: each is there twice meanwhile, as text and as octets.
const PLACES: usize = 4;
/// What has more octets than this is large.
const LARGE: usize = 64 << 10;
/// Who has not taken a large answer by then keeps it, but not the others from theirs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) path: String,
    pub(crate) what: What,
    pub(crate) format: Format,
    pub(crate) defaults: WithDefaults,
}

/// Data, and when they were gathered.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) timestamp: i64,
    pub(crate) data: Result<Arc<str>, Fault>,
}

/// Those who wait for the same.
type Waiting = Vec<(Wanted, Vec<oneshot::Sender<Got>>)>;

/// All answers of the service.
#[derive(Clone, Debug)]
pub(crate) struct Gets {
    waiting: Arc<Mutex<Waiting>>,
    places: Arc<Semaphore>,
}

impl Default for Gets {
    fn default() -> Self {
        Self { waiting: Arc::default(), places: Arc::new(Semaphore::new(PLACES)) }
    }
}

impl Gets {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the answer will come, and whether nobody else waits for it: then it is to be
    /// [prepared](Self::prepare).
    pub(crate) fn join(&self, wanted: &Wanted) -> (oneshot::Receiver<Got>, bool) {
        let (answer, reply) = oneshot::channel();
        let mut waiting = self.waiting();
        match waiting.iter_mut().find(|(other, _)| other == wanted) {
            Some((_, all)) => {
                all.push(answer);
                (reply, false)
            }
            None => {
                waiting.push((wanted.clone(), vec![answer]));
                (reply, true)
            }
        }
    }

    /// Those who wait by now; who asks from now on wants what is gathered later.
    fn take(&self, wanted: &Wanted) -> Vec<oneshot::Sender<Got>> {
        let mut waiting = self.waiting();
        let found = waiting.iter().position(|(other, _)| other == wanted);
        found.map(|index| waiting.swap_remove(index).1).unwrap_or_default()
    }

    /// Answers all who wait.
    pub(crate) fn prepare(&self, wanted: &Wanted, stores: &mut Stores) {
        let all = self.take(wanted);
        if all.iter().all(oneshot::Sender::is_closed) {
            return;
        }
        let Wanted { path, what, format, defaults } = wanted;
        let (timestamp, data) = (stores.now(), stores.get(path, *what, *format, *defaults));
        let got = Got { timestamp, data: data.map(Arc::from) };
        for answer in all {
            // Who has hung up needs none.
            let _ = answer.send(got.clone());
        }
    }

    /// Nobody will prepare it.
    pub(crate) fn give_up(&self, wanted: &Wanted) {
        drop(self.take(wanted));
    }

    /// A place for an answer of this length, when there is one.
    pub(crate) async fn place(&self, length: usize) -> Option<Place> {
        if length <= LARGE {
            return None;
        }
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let held = Arc::new(Mutex::new(Some(permit)));
        let place = Arc::downgrade(&held);
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if let Some(place) = place.upgrade() {
                drop(place.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
        });
        Some(Place { _held: held })
    }
}

/// A place among the large answers.
#[derive(Debug)]
pub(crate) struct Place {
    _held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

/// An answer, which is put together when it can be sent.
pub(crate) struct Answer<T> {
    pub(crate) message: Box<dyn FnOnce() -> Result<T, Status> + Send>,
    pub(crate) place: Option<Place>,
}

/// Answers, of which each keeps its place until the connection has taken it.
pub(crate) struct Answers<T> {
    answers: mpsc::Receiver<Answer<T>>,
    place: Option<Place>,
}

impl<T> std::fmt::Debug for Answers<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<T> Answers<T> {
    pub(crate) fn new(answers: mpsc::Receiver<Answer<T>>) -> Self {
        Self { answers, place: None }
    }
}

impl<T> Stream for Answers<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // More is asked for when the connection has taken what was there before.
        self.place = None;
        let Some(answer) = ready!(self.answers.poll_recv(context)) else { return Poll::Ready(None) };
        self.place = answer.place;
        Poll::Ready(Some((answer.message)()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str) -> Wanted {
        Wanted {
            path: path.to_owned(),
            what: What::State,
            format: Format::Json,
            defaults: WithDefaults::Trim,
        }
    }

    #[test]
    fn who_asks_for_the_same_in_time_waits_with_the_first() {
        let gets = Gets::default();
        let (first, to_prepare) = gets.join(&wanted("/a"));
        assert!(to_prepare);
        assert!(!gets.join(&wanted("/a")).1);
        assert!(gets.join(&wanted("/b")).1);
        assert_eq!(gets.take(&wanted("/a")).len(), 2);
        // It is being gathered: what has happened since would not be in it.
        assert!(gets.join(&wanted("/a")).1);
        gets.give_up(&wanted("/a"));
        drop(first);
        assert!(gets.join(&wanted("/a")).1);
    }

    #[tokio::test(start_paused = true)]
    async fn large_answers_are_few_at_a_time_and_nobody_keeps_a_place_for_ever() {
        let gets = Gets::default();
        let mut places = Vec::new();
        for _ in 0..PLACES {
            places.push(gets.place(LARGE + 1).await.unwrap());
        }
        assert!(gets.place(LARGE).await.is_none());
        let soon = Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, gets.place(LARGE + 1)).await.is_err());
        places.pop();
        places.push(tokio::time::timeout(soon, gets.place(LARGE + 1)).await.unwrap().unwrap());
        let later = tokio::time::timeout(PATIENCE * 2, gets.place(LARGE + 1)).await;
        assert!(later.unwrap().is_some());
    }
}
