//! `nhrpd.v1.Show` and `nhrpd.v1.Exec`: command lines by vtysh's grammar, carried out by the daemon's loop like those of
//! the vty socket, with the same answers.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use vtysh_plugin::{
    Command, Help, MAX_REQUEST, Monitoring, Node, Reply, ReturnCode, Session, Step, VtyRequest, WriteTarget,
};

use super::EventLoop;
use super::parts::Parts;
use crate::Gone;
use crate::credentials::caller;
use crate::proto_v1::complete_request::Mode;
use crate::proto_v1::complete_response::Outcome;
use crate::proto_v1::exec_response::ReturnCode as WireCode;
use crate::proto_v1::exec_server::Exec;
use crate::proto_v1::show_server::Show;
use crate::proto_v1::{
    Candidate, CompleteRequest, CompleteResponse, ExecRequest, ExecResponse, ShowRequest, ShowResponse,
};

/// Answers that are being made or read. A long one takes some memory until its reader has it.
const ANSWERS: usize = 64;

/// Who types.
#[derive(Clone)]
pub(super) struct Console {
    daemon: Arc<dyn EventLoop>,
    slots: Arc<Semaphore>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    pub(super) fn new(daemon: Arc<dyn EventLoop>) -> Self {
        Self { daemon, slots: Arc::new(Semaphore::new(ANSWERS)) }
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| Status::resource_exhausted(format!("{ANSWERS} answers are under way; try again")))
    }

    /// Has the daemon's loop carry it out.
    async fn ask(&self, command: Command) -> Result<Reply, Gone> {
        let (reply, answer) = oneshot::channel();
        self.daemon.command(VtyRequest { command, reply }).await?;
        answer.await.map_err(|_| Gone)
    }

    /// The message of `log commands`, if it is wanted, before the line is carried out.
    async fn log(&self, session: &Session, line: &str, from: &str) -> Result<(), Gone> {
        if self.daemon.logs_commands()
            && let Some(command) = session.logged(line, from)
        {
            // In the order of the commands; the answer says nothing.
            self.daemon.command(VtyRequest { command, reply: oneshot::channel().0 }).await?;
        }
        Ok(())
    }

    async fn line(&self, session: &mut Session, line: &str, from: &str) -> Result<Reply, Gone> {
        self.log(session, line, from).await?;
        match session.begin(line) {
            Step::Reply(reply) => Ok(reply),
            // Its messages go into a descriptor, and there is none here; FRR's words on a terminal.
            Step::Ask(Command::TerminalMonitor(Monitoring::Session | Monitoring::Detached), _) => {
                Ok(Reply::warning("% not supported"))
            }
            Step::Ask(command, pending) => Ok(session.finish(pending, self.ask(command).await?)),
        }
    }

    async fn lines(
        &self,
        request: ExecRequest,
        from: &str,
        answers: mpsc::Sender<Result<ExecResponse, Status>>,
    ) {
        let mut session = Session::at(Node::Enable);
        for (number, line) in (0..).zip(&request.lines) {
            // A client that is gone wants nothing more done.
            let Ok(slot) = answers.reserve().await else { break };
            let reply = match self.line(&mut session, line, from).await {
                Ok(reply) => reply,
                Err(gone) => return slot.send(Err(gone.into())),
            };
            drop(slot);
            let mut parts = Parts::new(reply.text);
            while let Some(text) = parts.next() {
                let last = parts.is_over();
                let code = if last { code(reply.rc).into() } else { 0 };
                if answers.send(Ok(ExecResponse { line: number, text, last, code })).await.is_err() {
                    break;
                }
            }
            let refused =
                !matches!(reply.rc, ReturnCode::Success | ReturnCode::Warning | ReturnCode::NothingToDo);
            if reply.close || (refused && !request.keep_going) {
                break;
            }
        }
        if let Some(command) = session.left_behind() {
            // Nobody waits for it.
            let _ = self.ask(command).await;
        }
    }

    /// The words that the daemon knows for a placeholder.
    async fn values(&self, placeholder: &str, partial: &str) -> Result<Vec<String>, Gone> {
        if !matches!(placeholder, "IFNAME" | "INTERFACE") {
            return Ok(Vec::new());
        }
        let token = placeholder.to_owned();
        let reply = self.ask(Command::Autocomplete { token, variable: "-".to_owned() }).await?;
        Ok(reply.text.lines().filter(|word| word.starts_with(partial)).map(str::to_owned).collect())
    }
}

fn code(code: ReturnCode) -> WireCode {
    match code {
        ReturnCode::Success => WireCode::Success,
        ReturnCode::Warning => WireCode::Warning,
        ReturnCode::NoMatch => WireCode::NoMatch,
        ReturnCode::Ambiguous => WireCode::Ambiguous,
        ReturnCode::Incomplete => WireCode::Incomplete,
        ReturnCode::NothingToDo => WireCode::NothingToDo,
        ReturnCode::ConfigFailed => WireCode::ConfigFailed,
    }
}

/// A line is one line, and text: what else came would be in the configuration for good.
fn check(line: &str) -> Result<(), Status> {
    if line.len() > MAX_REQUEST {
        return Err(Status::invalid_argument(format!(
            "a line of {} octets: at most {MAX_REQUEST}",
            line.len()
        )));
    }
    let stray = |c: char| c.is_control() && c != '\t';
    match line.trim_end_matches(['\r', '\n']).chars().find(|c| stray(*c)) {
        Some(c) => Err(Status::invalid_argument(format!(
            "{:?} in \"{}\": a line is one line, of printable text",
            c,
            line.chars().filter(|c| !stray(*c)).take(80).collect::<String>()
        ))),
        None => Ok(()),
    }
}

#[tonic::async_trait]
impl Show for Console {
    type RunStream = tokio_stream::Iter<ShowParts>;

    async fn run(&self, request: Request<ShowRequest>) -> Result<Response<Self::RunStream>, Status> {
        let from = caller(&request);
        let line = request.into_inner().line;
        check(&line)?;
        let slot = self.slot()?;
        let mut session = Session::at(Node::Enable);
        self.log(&session, &line, &from).await?;
        let reply = match session.begin(&line) {
            Step::Ask(command @ (Command::Show(_) | Command::Write(WriteTarget::Terminal)), _) => {
                self.ask(command).await?
            }
            Step::Reply(Reply {
                rc: ReturnCode::NoMatch | ReturnCode::Ambiguous | ReturnCode::Incomplete,
                text,
                ..
            }) => return Err(Status::invalid_argument(text.trim_end())),
            Step::Reply(Reply { rc: ReturnCode::NothingToDo, .. }) => {
                return Err(Status::invalid_argument(format!("\"{line}\" is for another daemon")));
            }
            Step::Reply(_) | Step::Ask(..) => {
                return Err(Status::invalid_argument(format!("\"{line}\" shows nothing; it is for Exec")));
            }
        };
        Ok(Response::new(tokio_stream::iter(ShowParts { parts: Parts::new(reply.text), _slot: slot })))
    }
}

/// The answer, which has its place until it is read.
#[derive(Debug)]
pub(super) struct ShowParts {
    parts: Parts,
    _slot: OwnedSemaphorePermit,
}

impl Iterator for ShowParts {
    type Item = Result<ShowResponse, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        self.parts.next().map(|text| Ok(ShowResponse { text }))
    }
}

#[tonic::async_trait]
impl Exec for Console {
    type RunStream = ReceiverStream<Result<ExecResponse, Status>>;

    async fn run(&self, request: Request<ExecRequest>) -> Result<Response<Self::RunStream>, Status> {
        let from = caller(&request);
        let request = request.into_inner();
        if request.lines.is_empty() {
            return Err(Status::invalid_argument("no lines"));
        }
        request.lines.iter().try_for_each(|line| check(line))?;
        let slot = self.slot()?;
        let (answers, stream) = mpsc::channel(1);
        let console = self.clone();
        tokio::spawn(async move {
            console.lines(request, &from, answers).await;
            drop(slot);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<CompleteResponse>, Status> {
        let CompleteRequest { line, mode } = request.into_inner();
        check(&line)?;
        let node = match Mode::try_from(mode) {
            Ok(Mode::Enable) => Node::Enable,
            Ok(Mode::Configure) => Node::Config,
            Ok(Mode::Interface) => Node::Interface(String::new()),
            Ok(Mode::Vrf) => Node::Vrf(String::new()),
            Ok(Mode::Line) => Node::Line,
            Ok(Mode::View) => Node::View,
            Err(_) => return Err(Status::invalid_argument(format!("unknown mode {mode}"))),
        };
        let _slot = self.slot()?;
        let partial = line.rsplit(char::is_whitespace).next().unwrap_or_default();
        let words = match Session::at(node).help(&line) {
            Help::Words(words) => words,
            Help::NoMatch => return Ok(Response::new(nothing(Outcome::NoMatch))),
            Help::Ambiguous => return Ok(Response::new(nothing(Outcome::Ambiguous))),
        };
        let mut candidates = Vec::with_capacity(words.choices.len());
        for (word, help) in &words.choices {
            candidates.push(Candidate {
                word: (*word).to_owned(),
                help: (*help).to_owned(),
                keyword: words.keywords.contains(word),
                values: self.values(word, partial).await?,
            });
        }
        Ok(Response::new(CompleteResponse {
            outcome: Outcome::Words.into(),
            candidates,
            may_end: words.end,
            tab: words.tab(partial),
        }))
    }
}

fn nothing(outcome: Outcome) -> CompleteResponse {
    CompleteResponse { outcome: outcome.into(), ..CompleteResponse::default() }
}
