//! A charon that hangs, loses its profile, closes in the middle of a message, announces 4 GiB or says what nobody asked:
//! a message each, another attempt, nothing in clear, and nothing of it for other peers.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::running_ping::RunningPing;
use super::{Encrypted, REGISTER};
use crate::charon::Profile;
use crate::dmvpn::{Shape, nbma, now, overlay, took};
use crate::failure::{Result, ensure};
use crate::net::{Process, wait_until};
use crate::scenarios::shown::{log, resident};
use crate::scenarios::{Lab, RESOLVE};

/// Between echo requests.
const EVERY: Duration = Duration::from_millis(200);

/// A charon that does not answer counts as hung after 30 s, and the hub misses it sooner.
const HUNG: Duration = Duration::from_secs(45);

/// Awake again, a charon finds that its peer has forgotten it after 5 s (`dpd_delay`) and four transmissions (14 s).
const HEALED: Duration = Duration::from_secs(60);

/// Growth of the resident memory by what charon announces, kB.
const GROWTH: u64 = 1024;

/// Stands between nhrpd and charon and passes everything on, but for what the file beside it commands.
const BETWEEN: &str = r#"
import os, select, socket, struct, sys
path, command = '/run/between.vici', '/run/between.command'
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o777)
listener.listen(8)
pairs = []
def drop(pair):
    pairs.remove(pair)
    for end in pair:
        end.close()
def packet(octets):
    return struct.pack('>I', len(octets)) + octets
print('ready', flush=True)
while True:
    ends = [end for pair in pairs for end in pair]
    readable, _, _ = select.select([listener, *ends], [], [], 0.1)
    if listener in readable:
        client, _ = listener.accept()
        charon = socket.socket(socket.AF_UNIX)
        try:
            charon.connect('/run/charon.vici')
            pairs.append((client, charon))
        except OSError:
            client.close()
    for pair in list(pairs):
        client, charon = pair
        try:
            for near, far in ((client, charon), (charon, client)):
                if near in readable:
                    octets = near.recv(65536)
                    if not octets:
                        raise OSError
                    far.sendall(octets)
        except OSError:
            drop(pair)
    if pairs and os.path.exists(command):
        what = open(command).read()
        os.remove(command)
        for pair in list(pairs):
            client, charon = pair
            try:
                if what == 'cut':
                    # The first half of a long answer.
                    client.sendall(struct.pack('>I', 3000) + b'\1' + bytes(1000))
                elif what == 'huge':
                    client.sendall(b'\xff\xff\xff\xff' + b'\1' + bytes(60000))
                elif what == 'odd':
                    client.sendall(packet(b'\7\x08nonsense') + packet(b'\xc8rubbish'))
            except OSError:
                # Whoever has read enough of it hangs up.
                pass
            if what == 'cut':
                drop(pair)
        print(what, flush=True)
"#;

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let mut net = Encrypted::start(lab, Shape::default(), |_| Ok(Profile::default()))?;
    net.start_charons()?;
    net.dmvpn.wait_registered(REGISTER)?;
    // Somebody else's SAs, all the time.
    let hub = overlay("hub")?.to_string();
    let other = RunningPing::start(net.dmvpn.node("s2")?, "ping-other", &hub, EVERY)?;

    hangs(lab, &mut net)?;
    loses_its_profile(lab, &mut net)?;
    speaks_badly(lab, &mut net)?;

    let pings = other.stop()?;
    ensure!(pings.lost == 0 && pings.received > 100, "of another spoke: {pings:?}");
    let esp = net.nothing_in_clear()?;
    ensure!(esp > 200, "only {esp} ESP packets");
    Ok(())
}

/// Who wants an SA is told that charon hangs. What is up stays for a while; then nobody can say whether it is, and the tunnel
/// waits. The hub's charon may find out sooner and end its side (5.9.8 does not while packets come): charon, awake again, has
/// to see that it is alone.
fn hangs(lab: &mut Lab, net: &mut Encrypted) -> Result<()> {
    net.charon("s1")?.signal(Signal::SIGSTOP)?;
    let hung = Instant::now();
    let hub = overlay("hub")?.to_string();
    let during = RunningPing::start(net.dmvpn.node("s1")?, "ping-hung", &hub, EVERY)?;
    // The shortcut needs an SA, for which charon is asked.
    net.dmvpn.ping("s1", "s2", 5, EVERY)?;
    net.wait_said("s1", "show nhrp ipsec", &["Mode: down", "no answer to '"], HUNG)?;
    lab.note(format!("a hung charon is noticed after {}", took(hung)));
    wait_until("s1 to believe in its SA no longer", HUNG, || match net.reaches("s1", "hub") {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let known = net.dmvpn.registration("s1")?.is_some();
    lab.note(format!("and, for s1 without a mapping, after {}, the hub knowing it: {known}", took(hung)));
    net.charon("s1")?.signal(Signal::SIGCONT)?;
    let back = Instant::now();
    net.wait_said("s1", "show nhrp ipsec", &["Mode: stock"], HUNG)?;
    lab.note(format!("awake again it is used after {}", took(back)));
    net.dmvpn.wait_registered(HEALED)?;
    net.wait_reaches("s1", "hub", RESOLVE)?;
    lab.note(format!("and s1 registered after {}", took(back)));
    let pings = during.stop()?;
    ensure!(pings.received > 20, "what was up when charon began to hang: {pings:?}");
    net.make_shortcut()?;
    let said = log(net.dmvpn.node("s1")?)?.matches("charon is gone: no answer").count();
    ensure!((1..=2).contains(&said), "that charon hangs was said {said} times");
    Ok(())
}

/// Without the profile SAs stay; one that ends does not come back, and the reason names the file.
fn loses_its_profile(lab: &mut Lab, net: &mut Encrypted) -> Result<()> {
    let sas = net.wait_up("s1", "hub", RESOLVE)?;
    net.charon("s1")?.remove_profile()?;
    net.charon("s1")?.load()?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(net.sas("s1", "hub")? == sas && net.reaches("s1", "hub")?, "SAs went with the profile");
    for (ike, _) in sas {
        net.charon("s1")?.swanctl(&["--terminate", "--ike-id", &ike.to_string()])?;
    }
    let waiting = format!("waiting for IPsec with {}: ", nbma("hub")?);
    let words: [&str; 2] = [&waiting, "/etc/swanctl/swanctl.conf has no connection with a child 'dmvpn'"];
    net.wait_said("s1", "show ip nhrp nhs detail", &words, RESOLVE * 2)?;
    ensure!(!net.reaches("s1", "hub")?, "s1 reaches the hub without an SA");
    net.charon("s1")?.write(&Profile::default())?;
    net.charon("s1")?.load()?;
    let back = Instant::now();
    net.dmvpn.wait_registered(REGISTER * 2)?;
    net.wait_reaches("s1", "hub", RESOLVE)?;
    lab.note(format!("registered {} after the profile was back", took(back)));
    Ok(())
}

/// What a broken charon might say comes from somebody between.
fn speaks_badly(lab: &mut Lab, net: &mut Encrypted) -> Result<()> {
    let node = net.dmvpn.node("s1")?.clone();
    node.write_file("/run/between.py", BETWEEN)?;
    let between = node.spawn("between", &["python3", "/run/between.py"])?;
    said_by(&between, "ready")?;
    let frr = net.dmvpn.frr("s1")?;
    frr.set_nhrpd_options(&["--vici-socket", "/run/between.vici"]);
    frr.stop_nhrpd(Signal::SIGTERM)?;
    frr.start_nhrpd()?;
    frr.load(Some("nhrpd"))?;
    net.dmvpn.wait_registered(REGISTER)?;
    let sas = net.wait_up("s1", "hub", REGISTER)?;
    let memory = resident(&node)?;
    let hub = overlay("hub")?.to_string();
    let during = RunningPing::start(&node, "ping-bad-words", &hub, EVERY)?;
    let before = log(&node)?.len();
    for (what, message) in [
        ("odd", "that nobody asked for"),
        ("cut", "charon is gone: it has closed the connection"),
        ("huge", "charon is gone: it sent "),
    ] {
        let since = now()?;
        node.write_file("/run/between.command", what)?;
        said_by(&between, what)?;
        let what = format!("s1 to say '{message}', since {since}");
        wait_until(&what, RESOLVE, || match log(&node) {
            Ok(said) if said.get(before..).unwrap_or_default().contains(message) => Ok(()),
            other => Err(other.map_or_else(|error| error.to_string(), |said| last(&said))),
        })?;
        net.wait_said("s1", "show nhrp ipsec", &["Mode: stock"], RESOLVE)?;
        let after = net.wait_up("s1", "hub", RESOLVE)?;
        ensure!(after == sas, "SAs with the hub before {sas:?} and after {after:?}");
    }
    let pings = during.stop()?;
    ensure!(pings.lost == 0 && pings.received > 10, "while charon spoke badly: {pings:?}");
    let grown = resident(&node)?.saturating_sub(memory);
    ensure!(grown <= GROWTH, "nhrpd has grown by {grown} kB");
    lab.note(format!("bad words cost {grown} kB"));
    let said = log(&node)?.get(before..).unwrap_or_default().matches("charon is gone").count();
    ensure!(said == 2, "that charon was gone was said {said} times");
    Ok(())
}

fn said_by(process: &Process, word: &str) -> Result<()> {
    wait_until(&format!("the one between to say {word}"), RESOLVE, || {
        let said = process.output();
        if said.lines().any(|line| line == word) { Ok(()) } else { Err(said) }
    })
}

fn last(text: &str) -> String {
    text.lines().last().unwrap_or_default().to_owned()
}
