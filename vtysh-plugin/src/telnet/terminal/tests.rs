use std::time::Duration;

use super::*;
use crate::{Handler, LibraryConfig, Password, Release};

struct Daemon(nhrp_config::Config, LibraryConfig);

impl Handler for Daemon {
    fn execute(&mut self, command: Command) -> Reply {
        match command {
            Command::Edit(edit) => self.0.apply(&edit).into(),
            Command::Library(edit) => self.1.apply(&edit, Release::new(10, 3)),
            Command::Show(Show::RunningConfig) => Reply::text("frr version 10.3\n!\n"),
            other => Reply::text(format!("{other:?}\n")),
        }
    }
}

fn settings() -> TerminalSettings {
    TerminalSettings {
        hostname: "r1".into(),
        banner: crate::Banner::Line("\nHello".into()),
        login: true,
        password: Some(Password::parse("zebra")),
        enable_password: Some(Password::parse("secret")),
        timeout: Some(Duration::from_secs(600)),
        ..TerminalSettings::default()
    }
}

struct Client {
    terminal: Option<Terminal>,
    settings: TerminalSettings,
    daemon: Daemon,
    greeted: String,
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).replace('\u{fffd}', "~").replace('\r', "")
}

impl Client {
    fn new(settings: TerminalSettings) -> Self {
        let mut out = Vec::new();
        let terminal = Terminal::open(&settings, &mut out);
        let daemon = Daemon(nhrp_config::Config::default(), LibraryConfig::default());
        Self { terminal, settings, daemon, greeted: text(&out) }
    }

    fn logged_in() -> Self {
        let mut client = Self::new(settings());
        assert_eq!(client.types("zebra\n"), "\nr1> ");
        client
    }

    /// What the keys print; `<closed>` at the end of the connection.
    fn types(&mut self, keys: &str) -> String {
        let mut out = Vec::new();
        for octet in keys.bytes() {
            let Some(terminal) = &mut self.terminal else { return text(&out) + "<closed>" };
            let mut next = terminal.octet(octet, &self.settings, &mut out);
            loop {
                next = match next {
                    Do::Nothing => break,
                    Do::Who => terminal.say(&Reply::text(" vty[1]\n"), &self.settings, &mut out),
                    Do::Ask(command, asking) => {
                        let reply = self.daemon.execute(command);
                        terminal.answered(asking, reply, &self.settings, &mut out)
                    }
                    Do::Close => {
                        self.terminal = None;
                        return text(&out) + "<closed>";
                    }
                };
            }
        }
        text(&out)
    }
}

#[test]
fn three_wrong_passwords_are_too_many() {
    let mut client = Client::new(settings());
    assert!(client.greeted.starts_with("\nHello\nUser Access Verification\n\n"), "{:?}", client.greeted);
    assert!(client.greeted.ends_with("Password: "));
    assert_eq!(client.types("a\r\n"), "\nPassword: ");
    assert_eq!(client.types("b\n"), "\nPassword: ");
    assert_eq!(client.types("zebr\n"), "\n% Bad passwords, too many failures!\n<closed>");
}

#[test]
fn without_a_password_nobody_gets_in() {
    let client = Client::new(TerminalSettings { password: None, ..settings() });
    assert!(client.terminal.is_none());
    assert_eq!(client.greeted, "Vty password is not set.\n");
    let mut open = Client::new(TerminalSettings { login: false, password: None, ..settings() });
    assert!(open.greeted.ends_with("r1> ") && !open.greeted.contains("Password"), "{:?}", open.greeted);
    assert_eq!(open.types("exit\n"), "exit\n<closed>");
}

#[test]
fn enable_has_a_password_of_its_own() {
    let mut client = Client::logged_in();
    assert_eq!(client.types("en\n"), "en\nPassword: ");
    assert_eq!(client.types("x\nsecret\n"), "\nPassword: \nr1# ");
    // No key leads out of it.
    assert_eq!(
        client.types("disable\nenable\n\x03\x1a\x04"),
        "disable\nr1> enable\nPassword: \nPassword: \nPassword: \nPassword: "
    );
    let bad = client.types("1\n2\n3\n");
    assert_eq!(bad, "\nPassword: \nPassword: \n% Bad enable passwords, too many failures!\n<closed>");
    let mut open = Client::logged_in();
    open.settings.enable_password = None;
    assert_eq!(open.types("enable\n"), "enable\nr1# ");
}

#[test]
fn advanced_terminals_begin_in_enable_if_that_is_open() {
    let advanced = TerminalSettings { advanced: true, ..settings() };
    assert_eq!(Client::new(advanced.clone()).types("zebra\n"), "\nr1> ");
    let open = TerminalSettings { enable_password: None, ..advanced };
    assert_eq!(Client::new(open).types("zebra\n"), "\nr1# ");
}

#[test]
fn help_and_completion_look_like_frrs() {
    let mut client = Client::logged_in();
    assert_eq!(client.types("sh?"), "sh\n  show  Show\nr1> sh");
    // FRR 10.3, octet for octet: what was typed again, back to the beginning of the word, the whole word.
    assert_eq!(client.types(" ip nh\t"), " ip nh\nr1> sh ip nh\x08\x08nhrp ");
    // The columns of FRR 10.3, with two words more.
    assert_eq!(
        client.types("\t"),
        "\ncache      json       nhs        opennhrp   peer       shortcut   \nstatistics \nr1> sh ip nhrp "
    );
    let listed = client.types("?");
    assert!(
        listed.starts_with("\n  cache       ") && listed.ends_with("\n  <cr>        \nr1> sh ip nhrp "),
        "{listed:?}"
    );
    assert_eq!(
        client.types("\x15bogus ?").rsplit("bogus").nth(1),
        Some(" \n% There is no matched command.\nr1> ")
    );
}

#[test]
fn a_session_like_that_of_frr() {
    let mut client = Client::logged_in();
    client.types("enable\nsecret\n");
    assert_eq!(client.types("conf t\nint gre1\n"), "conf t\nr1(config)# int gre1\nr1(config-if)# ");
    assert_eq!(client.types("ip nhrp holdtime 70\n"), "ip nhrp holdtime 70\nr1(config-if)# ");
    assert_eq!(client.daemon.0.interfaces["gre1"].ip.holdtime, 70);
    assert_eq!(client.types("bogus\n"), "bogus\n% [NHRP] Unknown command: bogus\nr1(config-if)# ");
    assert_eq!(client.types("ip nhrp\n"), "ip nhrp\n% Command incomplete.\nr1(config-if)# ");
    assert!(client.types("do sh\t").ends_with("do sh\x08\x08show "));
    assert_eq!(client.types("\x1a"), "\nr1# ");
    assert_eq!(
        client.types("show run\n"),
        "show run\n\nCurrent configuration:\n!\nfrr version 10.3\n!\nend\nr1# "
    );
    assert_eq!(client.types("who\n"), "who\n vty[1]\nr1# ");
    let history = client.types("show history\n");
    assert!(history.contains("\n  conf t\n  int gre1\n") && !history.contains("secret"), "{history:?}");
    assert_eq!(
        client.types("find ^clear.*cache\n").lines().nth(1),
        Some("  (enable)  clear <ip|ipv6> nhrp <cache|shortcut>")
    );
    assert!(client.types("find (\n").contains("\n% "));
    assert_eq!(
        client.types("conf t\nline vty\n\x04\x04"),
        "conf t\nr1(config)# line vty\nr1(config-line)# \nr1(config)# \nr1# "
    );
    assert_eq!(client.types("\x04"), "\nr1# <closed>");
}
