//! One telnet session: login, prompt, help, and the commands that only a terminal has. Sans-IO: octets in, octets
//! out; what the daemon must answer is handed out as [`Do::Ask`].

use super::TerminalSettings;
use super::editor::{Asked, Editor};
use super::pager::Screen;
use super::wire::{Decoder, OPENING};
use crate::session::{Help, Step};
use crate::{Command, HelpWords, Monitoring, Node, Pending, Reply, Session, Show, WriteTarget};

/// Wrong passwords before the connection ends; FRR's 3.
const TRIES: u8 = 3;
const CONTROL_C: u8 = 3;
/// Columns that words for a Tab are set in.
const COLUMNS: usize = 6;

/// What the connection has to do.
#[derive(Debug)]
pub(super) enum Do {
    /// Read on.
    Nothing,
    /// Ask the daemon and give its answer to [`Terminal::answered`].
    Ask(Command, Asking),
    /// Say who is connected, likewise.
    Who,
    /// Hang up.
    Close,
}

/// A command that the daemon is asked.
#[derive(Debug)]
pub(super) struct Asking {
    pending: Pending,
    /// It prints the configuration, which on a terminal has a beginning and an end.
    configuration: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Login,
    Enable,
    Commands,
}

/// The session.
#[derive(Debug)]
pub(super) struct Terminal {
    decoder: Decoder,
    editor: Editor,
    session: Session,
    stage: Stage,
    failures: u8,
    /// Octets at the beginning of the output that are no answer but the echo of what was typed.
    echoed: usize,
    /// Whoever may open the vty socket needs no password.
    local: bool,
    /// Who types, as the log says it.
    from: String,
    /// What was typed and is to be logged.
    logged: Option<Command>,
}

impl Terminal {
    /// A terminal on the vty socket: in ENABLE at once, as vtysh is.
    pub(super) fn local(settings: &TerminalSettings, out: &mut Vec<u8>) -> Self {
        let mut terminal = Self::new(true);
        terminal.session.raise();
        terminal.prompt(settings, out);
        terminal
    }

    fn new(local: bool) -> Self {
        Self {
            decoder: Decoder::default(),
            editor: Editor::default(),
            session: Session::new(),
            stage: Stage::Commands,
            failures: 0,
            echoed: 0,
            local,
            from: String::new(),
            logged: None,
        }
    }

    /// Whose lines they are ([`Session::origin`]).
    pub(super) fn typed_by(self, from: String) -> Self {
        Self { from, ..self }
    }

    /// The log's message about the line that was typed, before it is carried out.
    pub(super) fn take_logged(&mut self) -> Option<Command> {
        self.logged.take()
    }

    /// Greets a client. None if nobody may log in.
    pub(super) fn open(settings: &TerminalSettings, out: &mut Vec<u8>) -> Option<Self> {
        if settings.login && settings.password.is_none() {
            print("Vty password is not set.\n", out);
            return None;
        }
        print(&settings.greeting(), out);
        let mut terminal = Self::new(false);
        if settings.login {
            print("\nUser Access Verification\n\n", out);
            out.extend_from_slice(&OPENING);
            terminal.ask_password(Stage::Login, out);
        } else {
            out.extend_from_slice(&OPENING);
            if settings.advanced {
                terminal.session.raise();
            }
            terminal.prompt(settings, out);
        }
        Some(terminal)
    }

    /// How much is shown at once, if that is limited: by the client's window, or by `terminal length`.
    pub(super) fn screen(&self, settings: &TerminalSettings) -> Option<Screen> {
        let (width, height) = self.decoder.window();
        if width == 0 || height == 0 {
            return None;
        }
        let lines = self.session.page_length().unwrap_or(settings.page_length).unwrap_or(height);
        (lines > 0).then(|| Screen { width: width.into(), lines: lines.into() })
    }

    /// How much of the output is echo of lines that were entered. Asked for when it is sent.
    pub(super) fn take_echoed(&mut self) -> usize {
        std::mem::take(&mut self.echoed)
    }

    /// Takes an octet from a client that sees only a part of the output: whether that is enough.
    pub(super) fn is_enough(&mut self, octet: u8) -> bool {
        matches!(self.decoder.key(octet), Some(b'q' | b'Q' | CONTROL_C))
    }

    /// The prompt and what has been typed, once more.
    pub(super) fn again(&self, settings: &TerminalSettings, out: &mut Vec<u8>) {
        self.redraw(settings, out);
    }

    /// Takes an octet from the client. Commands are answered one after the other.
    pub(super) fn octet(&mut self, octet: u8, settings: &TerminalSettings, out: &mut Vec<u8>) -> Do {
        let Some(key) = self.decoder.key(octet) else { return Do::Nothing };
        let before = out.len();
        let Some(asked) = self.editor.key(key, out) else {
            if self.echoed == before {
                self.echoed = out.len();
            }
            return Do::Nothing;
        };
        if let Asked::Line(line) = asked {
            print("\n", out);
            self.echoed = out.len();
            return match self.stage {
                Stage::Commands => {
                    let next = self.line(&line, settings, out);
                    self.editor.remember(&line);
                    next
                }
                stage => self.password(stage, &line, settings, out),
            };
        }
        if self.stage != Stage::Commands {
            // There is no way out of a password but the right one.
            print("\nPassword: ", out);
            self.editor.forget();
            return Do::Nothing;
        }
        match asked {
            Asked::Help => self.help(settings, out),
            Asked::Completion => self.complete(settings, out),
            Asked::Interrupt | Asked::End => {
                self.editor.forget();
                self.session.leave_configuration();
                print("\n", out);
                self.prompt(settings, out);
            }
            Asked::Leave => {
                print("\n", out);
                let closes = matches!(self.session.begin("exit"), Step::Reply(reply) if reply.close);
                self.prompt(settings, out);
                if closes {
                    return Do::Close;
                }
            }
            Asked::Line(_) => {}
        }
        Do::Nothing
    }

    /// What the daemon must still be told when the connection has ended.
    pub(super) fn left_behind(&self) -> Option<Command> {
        self.session.left_behind()
    }

    /// Takes the daemon's answer.
    pub(super) fn answered(
        &mut self,
        asking: Asking,
        reply: Reply,
        settings: &TerminalSettings,
        out: &mut Vec<u8>,
    ) -> Do {
        let mut reply = self.session.finish(asking.pending, reply);
        if asking.configuration {
            reply.text = format!("\nCurrent configuration:\n!\n{}end\n", reply.text);
        }
        self.say(&reply, settings, out)
    }

    /// Prints a reply and, unless it is the last, a prompt.
    pub(super) fn say(&mut self, reply: &Reply, settings: &TerminalSettings, out: &mut Vec<u8>) -> Do {
        print(&reply.text, out);
        if reply.close {
            return Do::Close;
        }
        self.prompt(settings, out);
        Do::Nothing
    }

    fn line(&mut self, line: &str, settings: &TerminalSettings, out: &mut Vec<u8>) -> Do {
        self.logged = settings.log_commands.then(|| self.session.logged(line, &self.from)).flatten();
        if !self.local
            && *self.session.node() == Node::View
            && settings.enable_password.is_some()
            && self.session.would_enable(line)
        {
            self.ask_password(Stage::Enable, out);
            return Do::Nothing;
        }
        match self.session.begin(line) {
            Step::Reply(reply) => self.say(&reply, settings, out),
            Step::Ask(Command::Show(Show::History), _) => {
                let lines = self.editor.history().map(|line| format!("  {line}\n")).collect::<String>();
                self.say(&Reply::text(lines), settings, out)
            }
            Step::Ask(Command::Show(Show::Who), _) => Do::Who,
            // A descriptor does not go over TCP; FRR's words.
            Step::Ask(Command::TerminalMonitor(Monitoring::Session | Monitoring::Detached), _) => {
                self.say(&Reply::warning("% not supported"), settings, out)
            }
            Step::Ask(command, pending) => {
                let configuration = matches!(
                    command,
                    Command::Show(Show::RunningConfig) | Command::Write(WriteTarget::Terminal)
                );
                Do::Ask(command, Asking { pending, configuration })
            }
        }
    }

    fn ask_password(&mut self, stage: Stage, out: &mut Vec<u8>) {
        self.stage = stage;
        self.failures = 0;
        self.editor.set_secret(true);
        print("Password: ", out);
    }

    fn password(&mut self, stage: Stage, typed: &str, settings: &TerminalSettings, out: &mut Vec<u8>) -> Do {
        let wanted = match stage {
            Stage::Login => &settings.password,
            Stage::Enable | Stage::Commands => &settings.enable_password,
        };
        // Taken away meanwhile: for the login that means closed, for `enable` that it is open.
        let right = wanted.as_ref().map_or(stage == Stage::Enable, |password| password.is(typed));
        if right {
            let raised = match stage {
                Stage::Login => settings.advanced && settings.enable_password.is_none(),
                Stage::Enable | Stage::Commands => true,
            };
            if raised {
                self.session.raise();
            }
            return self.take_commands(settings, out);
        }
        self.failures += 1;
        if self.failures < TRIES {
            print("Password: ", out);
            return Do::Nothing;
        }
        match stage {
            Stage::Login => {
                print("% Bad passwords, too many failures!\n", out);
                Do::Close
            }
            Stage::Enable | Stage::Commands => {
                print("% Bad enable passwords, too many failures!\n", out);
                Do::Close
            }
        }
    }

    fn take_commands(&mut self, settings: &TerminalSettings, out: &mut Vec<u8>) -> Do {
        self.stage = Stage::Commands;
        self.editor.set_secret(false);
        self.editor.forget();
        self.prompt(settings, out);
        Do::Nothing
    }

    fn prompt(&self, settings: &TerminalSettings, out: &mut Vec<u8>) {
        print(&format!("{}{}", settings.hostname, self.session.prompt()), out);
    }

    fn redraw(&self, settings: &TerminalSettings, out: &mut Vec<u8>) {
        self.prompt(settings, out);
        self.editor.redraw(out);
    }

    fn help(&mut self, settings: &TerminalSettings, out: &mut Vec<u8>) {
        let lines = match self.session.help(&self.editor.whole()) {
            Help::NoMatch => "% There is no matched command.\n".to_owned(),
            Help::Ambiguous => "% Ambiguous command.\n".to_owned(),
            Help::Words(words) => {
                let mut rows: Vec<(&str, &str)> = words.choices.into_iter().collect();
                if words.end {
                    rows.push(("<cr>", ""));
                }
                let width = rows.iter().map(|(word, _)| word.len()).max().unwrap_or_default();
                rows.iter().map(|(word, what)| format!("  {word:width$}  {what}\n")).collect()
            }
        };
        print(&format!("\n{lines}"), out);
        self.redraw(settings, out);
    }

    fn complete(&mut self, settings: &TerminalSettings, out: &mut Vec<u8>) {
        let typed = self.editor.whole();
        let partial = typed.rsplit(' ').next().unwrap_or_default();
        let words = match self.session.help(&typed) {
            Help::Words(words) => words,
            Help::NoMatch | Help::Ambiguous => HelpWords::default(),
        };
        let rest = words.tab(partial);
        // As in FRR, every Tab begins a new line with what has been typed so far.
        print("\n", out);
        if rest.is_empty() {
            for row in words.keywords.chunks(COLUMNS) {
                let row: String = row.iter().map(|word| format!("{word:10} ")).collect();
                print(&format!("{row}\n"), out);
            }
        }
        self.redraw(settings, out);
        if !rest.is_empty() {
            self.editor.replace_before(partial.len(), &format!("{partial}{rest}"), out);
        }
    }
}

/// A terminal wants a carriage return with each line feed.
fn print(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes().filter(|byte| *byte != 0) {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests;
