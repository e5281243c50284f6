//! `nhrp event socket`: a program of the operator that accepts bindings. The daemon connects to it, asks in FRR's form,
//! and tries again when the program is gone.
//!
//! Owns the connection and its text. Nothing here waits for the program: what it does not read in time is dropped and
//! counted, and the engine drops the binding after ten seconds as it does when no answer comes.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use nhrp_engine::Authorisation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// After a lost connection, or a new path (FRR).
const SOON: Duration = Duration::from_millis(10);
/// After a connection that was refused (FRR).
const LATER: Duration = Duration::from_secs(10);
/// A connection that lives shorter is no reason to come back at once.
const SHORT: Duration = Duration::from_secs(1);
/// Questions that wait for the program to read; a few hundred octets each.
const QUESTIONS: usize = 1024;
/// Answers that wait for the loop; the program waits for more.
const ANSWERS: usize = 64;
/// Octets of a line from which on it is skipped (FRR).
const LONGEST_LINE: usize = 255;

/// What the loop has to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The connection is there.
    Connected,
    /// It cannot be made, in words; told once for a row of attempts.
    Unreachable(String),
    /// It was lost, in words.
    Lost(String),
    /// The program has decided.
    Answer {
        /// Number of the question.
        event: u32,
        /// The binding may be used.
        accepted: bool,
    },
}

/// The program that is asked, if there is one.
#[derive(Debug, Default)]
pub(crate) struct EventSocket {
    link: Option<Link>,
    lost: u64,
}

#[derive(Debug)]
struct Link {
    path: String,
    questions: mpsc::Sender<String>,
    news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EventSocket {
    /// From now on this program is asked, or nobody. Needs a tokio runtime.
    pub(crate) fn connect_to(&mut self, path: Option<&str>) {
        self.link = path.map(|path| {
            let (questions, to_ask) = mpsc::channel(QUESTIONS);
            let (tell, news) = mpsc::channel(ANSWERS);
            let task = tokio::spawn(keep_connected(path.to_owned(), to_ask, tell));
            Link { path: path.to_owned(), questions, news, task }
        });
    }

    /// Puts a question. In words what is wrong, if the program does not read.
    pub(crate) fn ask(&mut self, question: &Authorisation) -> Option<String> {
        let link = self.link.as_ref()?;
        if link.questions.try_send(request(question)).is_ok() {
            return None;
        }
        self.lost += 1;
        Some(format!(
            "the program at {} does not read: a question about {} is dropped, and the binding with it",
            link.path, question.remote
        ))
    }

    /// The next event; never without a program.
    pub(crate) async fn next(&mut self) -> News {
        match &mut self.link {
            Some(link) => match link.news.recv().await {
                Some(news) => news,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Questions that were not read, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

/// A question in FRR's form: the keys, their order, and an empty line at the end.
fn request(question: &Authorisation) -> String {
    let address = |address: Option<IpAddr>| address.map_or_else(|| "(unspec)".to_owned(), |a| a.to_string());
    let Authorisation { event, kind, former, servers, interface, local, local_nbma, remote, remote_nbma } =
        question;
    let former = former.map_or("invalid", nhrp_engine::CacheType::name);
    let mut text = String::new();
    for (key, value) in [
        ("eventid", event.to_string()),
        ("event", "authorize-binding".to_owned()),
        ("type", kind.name().to_owned()),
        ("old_type", former.to_owned()),
        ("num_nhs", servers.to_string()),
        ("interface", interface.clone()),
        ("local_addr", address(*local)),
        // Of IPsec, which nobody initiated here, and which has shown no certificates.
        ("vc_initiated", "no".to_owned()),
        ("local_nbma", address(*local_nbma)),
        ("local_cert", String::new()),
        ("remote_addr", remote.to_string()),
        ("remote_nbma", address(*remote_nbma)),
        ("remote_cert", String::new()),
    ] {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{key}={value}");
    }
    text.push('\n');
    text
}

async fn keep_connected(path: String, mut questions: mpsc::Receiver<String>, news: mpsc::Sender<News>) {
    let (mut wait, mut told) = (SOON, false);
    loop {
        tokio::time::sleep(wait).await;
        let told_news = match UnixStream::connect(&path).await {
            Err(error) => {
                // What waits now would be answered too late, as with FRR.
                while questions.try_recv().is_ok() {}
                wait = LATER;
                let problem = format!(
                    "failure connecting nhrp-event socket {path}: {error}; new bindings are not used until a program \
                     listens there, or 'no nhrp event socket' is configured"
                );
                (!std::mem::replace(&mut told, true)).then_some(News::Unreachable(problem))
            }
            Ok(stream) => {
                if std::mem::take(&mut told) || wait == SOON {
                    let _ = news.send(News::Connected).await;
                }
                let since = Instant::now();
                let problem = converse(stream, &mut questions, &news).await;
                wait = if since.elapsed() < SHORT { (wait * 4).min(LATER) } else { SOON };
                let problem =
                    problem.map_or_else(|| "the program has closed it".to_owned(), |e| e.to_string());
                Some(News::Lost(format!("the connection to nhrp-event socket {path} is lost: {problem}")))
            }
        };
        if let Some(told) = told_news
            && news.send(told).await.is_err()
        {
            return;
        }
    }
}

/// Asks and listens until the connection is lost; the error, if it was not closed in order.
async fn converse(
    mut stream: UnixStream,
    questions: &mut mpsc::Receiver<String>,
    news: &mpsc::Sender<News>,
) -> Option<std::io::Error> {
    let (mut from, mut to) = stream.split();
    let (mut unsent, mut received) = (Vec::new(), vec![0; 4096]);
    let mut answers = Answers::default();
    loop {
        tokio::select! {
            question = questions.recv(), if unsent.is_empty() => unsent = question?.into_bytes(),
            written = to.write(&unsent), if !unsent.is_empty() => match written {
                Ok(count) => drop(unsent.drain(..count)),
                Err(error) => return Some(error),
            },
            count = from.read(&mut received) => match count {
                Ok(0) => return None,
                Ok(count) => {
                    for byte in received.get(..count).unwrap_or_default() {
                        if let Some((event, accepted)) = answers.octet(*byte) {
                            news.send(News::Answer { event, accepted }).await.ok()?;
                        }
                    }
                    // Whatever it sends, and however much: it is somebody else's turn.
                    tokio::task::yield_now().await;
                }
                Err(error) => return Some(error),
            },
        }
    }
}

/// Reads answers: lines `eventid=N` and `result=WORD`, an empty one at the end. Keeps one line, however much comes.
#[derive(Debug, Default)]
struct Answers {
    line: Vec<u8>,
    event: u32,
    result: String,
}

impl Answers {
    /// Takes an octet; the number of the question and whether it was accepted, if this was the last one.
    fn octet(&mut self, octet: u8) -> Option<(u32, bool)> {
        if octet != b'\n' {
            if self.line.len() < LONGEST_LINE {
                self.line.push(octet);
            }
            return None;
        }
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let (event, result) = (std::mem::take(&mut self.event), std::mem::take(&mut self.result));
            return (event != 0 && !result.is_empty()).then(|| (event, result == "accept"));
        }
        if line.len() < LONGEST_LINE {
            let text = String::from_utf8_lossy(&line);
            if let Some(number) = text.strip_prefix("eventid=") {
                // As scanf reads it: what follows the digits does not matter.
                let digits = number.trim_start().split(|c: char| !c.is_ascii_digit()).next();
                self.event = digits.and_then(|digits| digits.parse().ok()).unwrap_or(self.event);
            } else if let Some(word) = text.strip_prefix("result=") {
                let word = word.split_whitespace().next().unwrap_or_default();
                if !word.is_empty() {
                    self.result = word.chars().take(63).collect();
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nhrp_engine::CacheType;
    use tokio::net::UnixListener;

    fn question(event: u32) -> Authorisation {
        Authorisation {
            event,
            kind: CacheType::Nhs,
            former: None,
            servers: 0,
            interface: "gre1".into(),
            local: Some("10.255.255.1".parse().unwrap()),
            local_nbma: Some("10.1.1.1".parse().unwrap()),
            remote: "10.255.255.2".parse().unwrap(),
            remote_nbma: Some("10.2.1.2".parse().unwrap()),
        }
    }

    fn read(text: &[u8]) -> Vec<(u32, bool)> {
        let mut answers = Answers::default();
        text.iter().filter_map(|octet| answers.octet(*octet)).collect()
    }

    #[test]
    fn a_question_is_frrs_to_the_octet() {
        // What FRR 8.4.4 wrote, but for `vc_initiated`, which was `yes` with IPsec.
        let captured = "eventid=1\nevent=authorize-binding\ntype=nhs\nold_type=invalid\nnum_nhs=0\ninterface=gre1\n\
                        local_addr=10.255.255.1\nvc_initiated=no\nlocal_nbma=10.1.1.1\nlocal_cert=\n\
                        remote_addr=10.255.255.2\nremote_nbma=10.2.1.2\nremote_cert=\n\n";
        assert_eq!(request(&question(1)), captured);
    }

    #[test]
    fn answers_are_read_as_frr_does() {
        assert_eq!(read(b"eventid=7\nresult=accept\n\n"), [(7, true)]);
        assert_eq!(read(b"result=accept\neventid= 8 x\nother=1\n\n"), [(8, true)]);
        assert_eq!(
            read(b"eventid=9\nresult=reject\n\neventid=10\nresult=acceptable\n\n"),
            [(9, false), (10, false)]
        );
        // Nothing of one message counts for the next.
        assert_eq!(read(b"eventid=7\n\nresult=accept\n\n"), []);
        assert_eq!(read(b"eventid=0\nresult=accept\n\n\n\neventid=-1\nresult=accept\n\n"), []);
        assert_eq!(read(b"eventid=99999999999\nresult=accept\n\n"), []);
    }

    #[test]
    fn garbage_takes_no_memory_and_the_next_answer_is_read() {
        let mut answers = Answers::default();
        for _ in 0..1_000_000 {
            assert_eq!(answers.octet(0xff), None);
        }
        assert!(answers.line.capacity() <= 2 * LONGEST_LINE);
        let text = b"\neventid=5\nresult=accept\n\n";
        assert_eq!(text.iter().filter_map(|octet| answers.octet(*octet)).collect::<Vec<_>>(), [(5, true)]);
    }

    #[tokio::test]
    async fn a_reader_that_goes_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let listener = UnixListener::bind(&path).unwrap();
        let mut events = EventSocket::default();
        events.connect_to(path.to_str());
        for event in 1..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(events.next().await, News::Connected);
            assert_eq!(events.ask(&question(event)), None);
            let mut got = vec![0; request(&question(event)).len()];
            stream.read_exact(&mut got).await.unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), request(&question(event)));
            stream.write_all(format!("eventid={event}\nresult=accept\n\n").as_bytes()).await.unwrap();
            assert_eq!(events.next().await, News::Answer { event, accepted: true });
            if event == 1 {
                tokio::time::sleep(SHORT).await;
            }
            drop(stream);
            assert!(matches!(events.next().await, News::Lost(_)));
        }
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_fills_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let listener = UnixListener::bind(&path).unwrap();
        let mut events = EventSocket::default();
        events.connect_to(path.to_str());
        let _stream = listener.accept().await.unwrap();
        let mut refused = 0;
        for event in 1..20_000 {
            refused += u64::from(events.ask(&question(event)).is_some());
            tokio::task::yield_now().await;
        }
        assert!(refused > 10_000 && events.lost() == refused, "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_not_there_is_told_once() {
        let mut events = EventSocket::default();
        events.connect_to(Some("/nonexistent/events"));
        assert!(matches!(events.next().await, News::Unreachable(_)));
        let more = tokio::time::timeout(Duration::from_secs(100), events.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}
