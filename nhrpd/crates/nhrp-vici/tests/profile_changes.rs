//! The operator edits `swanctl.conf` while the daemon runs: the next attempt goes by what the file says then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nhrp_vici::backend::{Action, Backend, Pair};
use nhrp_vici::message::Section;
use nhrp_vici::packet::Packet;
use nhrp_vici::settings::Files;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// One file, which changes.
#[derive(Clone)]
struct Conf(Rc<RefCell<String>>);

impl Files for Conf {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.borrow().clone().into_bytes())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

fn conf(proposals: &str) -> String {
    format!(
        "connections {{ dmvpn {{ proposals = {proposals}\n children {{ dmvpn {{ mode = transport\n }} }} }} }}"
    )
}

/// A charon as published that does what it is told, but for installing traps. Gives the commands.
fn serve(backend: &mut Backend, now: Instant) -> Vec<(String, Section)> {
    let mut commands = Vec::new();
    while let Some(action) = backend.poll_action() {
        match action {
            Action::OpenEvents => backend.events_connected(now),
            Action::OpenLog | Action::CloseLog => {}
            Action::Send(channel, Packet::Register(name)) => {
                let known = name != "child-state-installed";
                let answer = if known { Packet::Confirm } else { Packet::UnknownEvent };
                backend.packet(now, channel, &answer);
            }
            Action::Send(channel, Packet::Request(name, arguments)) => {
                let answer = match name.as_str() {
                    "install" => Section::new().with("success", "no").with("errmsg", "no such child"),
                    _ => Section::new().with("success", "yes"),
                };
                commands.push((name, arguments));
                backend.packet(now, channel, &Packet::Response(answer));
            }
            other => panic!("{other:?}"),
        }
    }
    commands
}

/// What the attempt that begins now loads.
fn proposals(commands: &[(String, Section)]) -> Option<String> {
    let (_, arguments) = commands.iter().find(|(name, _)| name == "load-conn")?;
    let (_, connection) = arguments.sections().next()?;
    connection.texts("proposals").next().map(str::to_owned)
}

#[test]
fn an_attempt_goes_by_the_file_as_it_is() {
    let file = Conf(Rc::new(RefCell::new(conf("aes128-sha256-modp2048"))));
    let mut now = Instant::now();
    let random = StdRng::seed_from_u64(7);
    let mut backend = Backend::new(now, Box::new(file.clone()), "/etc/swanctl/swanctl.conf".into(), random);
    let pair = Pair { local: IpAddr::from([192, 0, 2, 1]), remote: IpAddr::from([198, 51, 100, 1]) };
    backend.connected(now);
    serve(&mut backend, now);
    backend.want(now, pair, &"dmvpn".into(), true);
    assert_eq!(proposals(&serve(&mut backend, now)).as_deref(), Some("aes128-sha256-modp2048"));

    // Nobody needs it any more, somebody does again; meanwhile the file was changed.
    backend.release(now, pair, true);
    serve(&mut backend, now);
    *file.0.borrow_mut() = conf("aes256-sha512-modp4096");
    now += Duration::from_secs(5);
    backend.want(now, pair, &"dmvpn".into(), true);
    assert_eq!(proposals(&serve(&mut backend, now)).as_deref(), Some("aes256-sha512-modp4096"));

    // Without the profile the reason names the file and the profile.
    backend.release(now, pair, true);
    serve(&mut backend, now);
    *file.0.borrow_mut() = "connections { }".to_owned();
    now += Duration::from_secs(5);
    backend.want(now, pair, &"dmvpn".into(), true);
    let commands = serve(&mut backend, now);
    assert_eq!(proposals(&commands), None);
    assert!(commands.iter().any(|(name, _)| name == "install"), "{commands:?}");
    let status = backend.status();
    let reason = status.peers[0].last_error.clone().expect("a reason");
    assert!(reason.contains("swanctl.conf has no connection with a child 'dmvpn'"), "{reason}");
    assert!(reason.contains("no such child"), "{reason}");

    // And it is there again.
    *file.0.borrow_mut() = conf("aes128-sha256-modp2048");
    now += Duration::from_secs(5);
    backend.deadline(now);
    assert!(proposals(&serve(&mut backend, now)).is_some());
}
