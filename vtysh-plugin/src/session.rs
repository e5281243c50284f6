//! One vty session: which node it is in, and what a line means there. Sans-IO: the daemon's part of a command is
//! handed out as a [`Step::Ask`] and comes back through [`Session::finish`].

use std::net::IpAddr;
use std::os::fd::RawFd;

use nhrp_config::Edit;

pub use crate::grammar::Next as Help;
use crate::grammar::{self, Action, Context, Match, NodeKind};
use crate::{Command, LogLevel, Reply, ReturnCode};

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Just connected.
    View,
    /// After `enable`.
    Enable,
    /// After `configure`.
    Config,
    /// `interface NAME`
    Interface(String),
    /// `vrf NAME`
    Vrf(String),
    /// `line vty`
    Line,
}

impl Node {
    fn kind(&self) -> NodeKind {
        match self {
            Self::View => NodeKind::View,
            Self::Enable => NodeKind::Enable,
            Self::Config => NodeKind::Config,
            Self::Interface(_) => NodeKind::Interface,
            Self::Vrf(_) => NodeKind::Vrf,
            Self::Line => NodeKind::Line,
        }
    }

    /// What FRR puts behind the host name.
    fn prompt(&self) -> &'static str {
        match self {
            Self::View => "> ",
            Self::Enable => "# ",
            Self::Config => "(config)# ",
            Self::Interface(_) => "(config-if)# ",
            Self::Vrf(_) => "(config-vrf)# ",
            Self::Line => "(config-line)# ",
        }
    }

    fn is_below_config(&self) -> bool {
        matches!(self, Self::Interface(_) | Self::Vrf(_) | Self::Line)
    }
}

/// Answers commands; implemented by the daemon.
pub trait Handler {
    /// Carries out one command.
    fn execute(&mut self, command: Command) -> Reply;
}

/// What a line comes to.
#[derive(Debug)]
pub enum Step {
    /// Answered by the session itself.
    Reply(Reply),
    /// The daemon has to answer; give its reply to [`Session::finish`].
    Ask(Command, Pending),
}

/// What remains to be done when the daemon has answered.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    enter: Option<Node>,
}

/// Node of one connection, or of one configuration file.
#[derive(Clone, Debug)]
pub struct Session {
    node: Node,
    in_file: bool,
    /// What `terminal length` has said, if it was typed: a number of lines, or that the window tells.
    page_length: Option<Option<u16>>,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A connection: begins in VIEW.
    #[must_use]
    pub fn new() -> Self {
        Self { node: Node::View, in_file: false, page_length: None }
    }

    /// A configuration file: begins in CONFIG.
    #[must_use]
    pub fn for_file() -> Self {
        Self { node: Node::Config, in_file: false, page_length: None }
    }

    /// A session that is somewhere already, whoever may have let it: [`Node::Enable`] for those who need no password.
    #[must_use]
    pub fn at(node: Node) -> Self {
        Self { node, in_file: false, page_length: None }
    }

    /// Where the session is.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// One line, with a daemon that answers at once.
    pub fn execute(&mut self, line: &str, handler: &mut dyn Handler) -> Reply {
        match self.begin(line) {
            Step::Reply(reply) => reply,
            Step::Ask(command, pending) => {
                let reply = handler.execute(command);
                self.finish(pending, reply)
            }
        }
    }

    /// Parses one line and does what needs no daemon.
    pub fn begin(&mut self, line: &str) -> Step {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['!', '#']) {
            return Step::Reply(Reply::ok());
        }
        if self.node != Node::View
            && let Some(rest) = strip_do(text)
        {
            let context = self.context();
            return match grammar::parse(NodeKind::Enable, rest, &context) {
                Match::Found(action) => Self::perform_do(action, line),
                other => Step::Reply(Self::refusal(&other, line)),
            };
        }
        if self.node != Node::View && text == "do" {
            return Step::Reply(Self::refusal(&Match::Incomplete, line));
        }
        let first = grammar::parse(self.node.kind(), text, &self.context());
        if matches!(first, Match::None) && self.node.is_below_config() {
            // Files without `exit` lines rely on this: the parent takes the line and the session stays there.
            match grammar::parse(NodeKind::Config, text, &self.context()) {
                Match::None => {}
                Match::Found(action) => {
                    self.node = Node::Config;
                    return self.perform(action);
                }
                other => {
                    self.node = Node::Config;
                    return Step::Reply(Self::refusal(&other, line));
                }
            }
        }
        match first {
            Match::Found(action) => self.perform(action),
            other => Step::Reply(Self::refusal(&other, line)),
        }
    }

    /// Completes a line with the daemon's answer: nodes are entered only if it agreed.
    pub fn finish(&mut self, pending: Pending, reply: Reply) -> Reply {
        if let Some(node) = pending.enter
            && reply.rc == ReturnCode::Success
        {
            self.node = node;
        }
        reply
    }

    /// What the daemon must still be told of a session that has ended: that the file is over of which it was told the
    /// beginning. Whoever read it (`vtysh -f`) may have been killed half-way.
    #[must_use]
    pub fn left_behind(&self) -> Option<Command> {
        self.in_file.then_some(Command::BulkEnd)
    }

    /// Lines that a terminal shows at once, 0 for all: if it was said here, and if a number was.
    pub(crate) fn page_length(&self) -> Option<Option<u16>> {
        self.page_length
    }

    /// Who types, as FRR's log says it: by descriptor and, over the network, address.
    pub(crate) fn origin(descriptor: RawFd, address: Option<IpAddr>) -> String {
        format!("vty[{descriptor}]@{}", address.map(|address| address.to_string()).unwrap_or_default())
    }

    /// The message of `log commands` about a line that is about to be carried out: as it was typed, mistakes included, behind
    /// the prompt. None of a blank line, nor of watchfrr's question whether the daemon is alive.
    #[must_use]
    pub fn logged(&self, line: &str, from: &str) -> Option<Command> {
        let said = !line.trim_start().is_empty() && !line.starts_with("echo PING");
        let text = format!("{from}{}{line}", self.prompt());
        said.then_some(Command::LogMessage { level: LogLevel::Notifications, text })
    }

    /// What a prompt shows of the node.
    pub(crate) fn prompt(&self) -> &'static str {
        self.node.prompt()
    }

    /// To ENABLE, without a word.
    pub(crate) fn raise(&mut self) {
        self.node = Node::Enable;
    }

    /// From any node of the configuration to ENABLE.
    pub(crate) fn leave_configuration(&mut self) {
        if self.node != Node::View {
            self.node = Node::Enable;
        }
    }

    /// Whether the line is `enable`, in whatever abbreviation.
    pub(crate) fn would_enable(&self, line: &str) -> bool {
        grammar::parse(self.node.kind(), line.trim(), &self.context()) == Match::Found(Action::Enable)
    }

    /// What may follow where the cursor is behind `text`.
    #[must_use]
    pub fn help(&self, text: &str) -> Help {
        let (node, text) = match strip_do(text.trim_start()) {
            Some(rest) if self.node != Node::View => (NodeKind::Enable, rest),
            _ => (self.node.kind(), text),
        };
        let (words, partial) = text.rsplit_once(char::is_whitespace).unwrap_or(("", text));
        grammar::next(node, &words.split_whitespace().collect::<Vec<_>>(), partial)
    }

    fn context(&self) -> Context<'_> {
        let interface = match &self.node {
            Node::Interface(name) => Some(name.as_str()),
            _ => None,
        };
        Context { interface }
    }

    fn refusal(result: &Match, line: &str) -> Reply {
        match result {
            Match::Ambiguous => Reply::new(ReturnCode::Ambiguous, "% Ambiguous command.\n"),
            Match::Incomplete => Reply::new(ReturnCode::Incomplete, "% Command incomplete.\n"),
            Match::None | Match::Found(_) => {
                let line = line.trim_end_matches('\n');
                Reply::new(ReturnCode::NoMatch, format!("% [NHRP] Unknown command: {line}\n"))
            }
        }
    }

    /// `do X` never moves the session.
    fn perform_do(action: Action, line: &str) -> Step {
        match action {
            Action::Command(command) => Step::Ask(command, Pending { enter: None }),
            Action::Ignore | Action::PageLength(_) => Step::Reply(Reply::ok()),
            Action::NothingToDo => Step::Reply(Reply::new(ReturnCode::NothingToDo, "")),
            Action::List => Step::Reply(Reply::text(grammar::list(NodeKind::Enable))),
            Action::Find(pattern) => Step::Reply(grammar::find(&pattern)),
            _ => Step::Reply(Self::refusal(&Match::None, line)),
        }
    }

    fn perform(&mut self, action: Action) -> Step {
        let mut reply = Reply::ok();
        match action {
            // The daemon hears of one beginning and one end a file, whatever a client sends.
            Action::Command(Command::BulkStart) if self.in_file => {}
            Action::Command(Command::BulkEnd) if !self.in_file => {}
            Action::Command(command) => {
                match command {
                    Command::BulkStart => self.in_file = true,
                    Command::BulkEnd => self.in_file = false,
                    _ => {}
                }
                return Step::Ask(command, Pending { enter: None });
            }
            Action::EnterInterface(name) => {
                let edit = Command::Edit(Edit::CreateInterface(name.clone()));
                return Step::Ask(edit, Pending { enter: Some(Node::Interface(name)) });
            }
            Action::Ignore => {}
            Action::PageLength(lines) => self.page_length = Some(lines),
            Action::NothingToDo => reply.rc = ReturnCode::NothingToDo,
            Action::Enable => self.node = Node::Enable,
            Action::Disable => self.node = Node::View,
            Action::Configure => self.node = Node::Config,
            // FRR's own daemons always agree, and a session that has another's lock only finds its lines refused. The
            // lines of a file nobody types again.
            Action::ConfigureFile => {
                return Step::Ask(Command::FileLock, Pending { enter: Some(Node::Config) });
            }
            Action::EnterVrf(name) => self.node = Node::Vrf(name),
            Action::EnterLine => self.node = Node::Line,
            Action::End => {
                if !matches!(self.node, Node::View | Node::Enable) {
                    self.node = Node::Enable;
                }
            }
            Action::Exit => match self.node {
                Node::View | Node::Enable => reply.close = true,
                Node::Config => self.node = Node::Enable,
                _ => self.node = Node::Config,
            },
            Action::List => reply.text = grammar::list(self.node.kind()),
            Action::Find(pattern) => reply = grammar::find(&pattern),
            Action::Help => reply.text = grammar::HELP.to_owned(),
        }
        Step::Reply(reply)
    }
}

fn strip_do(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("do")?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim_start())
}
