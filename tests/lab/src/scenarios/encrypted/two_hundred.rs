//! 200 peers of one nhrpd: their SAs are up no later than if a program with nothing else to do had asked charon for them,
//! and the daemon's loop hardly notices.
//!
//! The peers are addresses of the hub, whose charon answers for all. Twice in turn a driver, which speaks VICI and nothing
//! else, and nhrpd bring up the same connections between the same charons, each time new ones. Both are timed by charon's
//! events, and have as many negotiations under way at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Encrypted, REGISTER};
use crate::charon::Profile;
use crate::dmvpn::{Shape, nbma};
use crate::failure::{Context, Result, ensure};
use crate::net::{Node, wait_until};
use crate::scenarios::Lab;
use crate::scenarios::shown::counter;

const PEERS: u8 = 200;
/// Negotiations that nhrpd has under way at a time.
const PARALLEL: &str = "32";
/// Rounds of each; the best counts.
const ROUNDS: usize = 3;
/// What was promised: in hundredths of the driver's time, and above the longest turn while the driver does it, when the loop
/// wants nobody: it is put off as often for charon's work then.
const AT_MOST: u32 = 110;
const LONGER_BY: Duration = Duration::from_millis(20);

/// With the lab's 5 s, 400 ends of SAs ask each other 80 times a second whether they are alive, which is more than the guest's
/// one processor can answer besides: what was measured was that, and not what is asked of charon.
const SELDOM: &str = "dpd_delay = 10m";

/// What docs/ipsec.md advises. Otherwise charon looks through all routes for each address that it wonders about, and wonders
/// about those of all its peers whenever a route is new, as a tunnel's are that has a peer more.
const MANY_PEERS: &str = "charon {\\n install_routes = no\\n process_route = no\\n}\\n";

/// For one of the two in one round.
const PATIENCE: Duration = Duration::from_secs(240);

/// `drive SOCKET COUNT LOCAL PARALLEL REMOTE…` loads a connection to each remote address and has it initiated;
/// `watch SOCKET COUNT COMMAND` runs a command. Both print the seconds until charon has told of so many new CHILD SAs.
const VICI: &str = r#"
import socket, struct, subprocess, sys, time

def name(text):
    return bytes([len(text)]) + text.encode()

def value(text):
    return struct.pack('!H', len(text)) + text.encode()

def message(items):
    out = b''
    for key, item in items.items():
        if isinstance(item, dict):
            out += b'\1' + name(key) + message(item) + b'\2'
        elif isinstance(item, list):
            out += b'\4' + name(key) + b''.join(b'\5' + value(text) for text in item) + b'\6'
        else:
            out += b'\3' + name(key) + value(item)
    return out

class Vici:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(path)

    def send(self, kind, what, items={}):
        packet = bytes([kind]) + name(what) + message(items)
        self.socket.sendall(struct.pack('!I', len(packet)) + packet)

    def exactly(self, count):
        got = b''
        while len(got) < count:
            part = self.socket.recv(count - len(got))
            if not part:
                raise EOFError
            got += part
        return got

    def receive(self):
        return self.exactly(struct.unpack('!I', self.exactly(4))[0])

    def command(self, what, items):
        self.send(0, what, items)
        answer = self.receive()
        assert b'success' + value('yes') in answer, (what, answer)

kind, path, count = sys.argv[1:4]
count = int(count)
events = Vici(path)
events.send(3, 'child-updown')
assert events.receive()[0] == 5

if kind == 'drive':
    local, parallel, remotes = sys.argv[4], int(sys.argv[5]), sys.argv[6:]
    commands = Vici(path)

    def begin(remote):
        own = 'direct-' + remote
        commands.command('load-conn', {own: {
            'version': '2', 'proposals': ['aes128-sha256-modp2048'], 'dpd_delay': '10m',
            'local_addrs': [local], 'remote_addrs': [remote],
            'local': {'auth': 'psk'}, 'remote': {'auth': 'psk'},
            'children': {'dmvpn': {'mode': 'transport', 'esp_proposals': ['aes128-sha256'],
                                   'local_ts': ['dynamic[gre]'], 'remote_ts': ['dynamic[gre]']}}}})
        commands.command('initiate', {'ike': own, 'child': 'dmvpn', 'timeout': '-1'})

    began = time.monotonic()
    for remote in remotes[:parallel]:
        begin(remote)
    remotes = remotes[parallel:]
else:
    began = time.monotonic()
    subprocess.run(sys.argv[4], shell=True, check=True)
    remotes = []

up = 0
while up < count:
    event = events.receive()
    if event[0] == 7 and b'\3' + name('up') + value('yes') in event:
        up += 1
        if remotes:
            begin(remotes.pop(0))
print('%.3f' % (time.monotonic() - began))
"#;

const VICI_SOCKET: &str = "/run/charon.vici";

pub(in crate::scenarios) fn run(lab: &mut Lab) -> Result<()> {
    let hub = nbma("hub")?;
    let remote = |peer: u8| format!("198.51.103.{peer}");
    let maps = (1..=PEERS).map(|peer| format!("ip nhrp map 10.255.103.{peer} {}", remote(peer)));
    let interface_lines = maps.map(|line| ("s1".to_owned(), line)).collect();
    let shape = Shape { spokes: 1, redirect: false, shortcut: false, interface_lines, ..Shape::default() };
    let mut net = Encrypted::start(lab, shape, |_| Ok(Profile { connection: SELDOM, ..Profile::default() }))?;
    let addresses: String =
        (1..=PEERS).map(|peer| format!("address add {}/32 dev eth0\n", remote(peer))).collect();
    let on_hub = net.dmvpn.node("hub")?.clone();
    on_hub.write_file("/run/addresses", &addresses)?;
    on_hub.sh("ip -batch /run/addresses")?;
    net.dmvpn.node("inet")?.sh(&format!("ip route add 198.51.103.0/24 via {hub}"))?;
    // All come from one address, of which charon otherwise hears no more than five at a time.
    on_hub.sh("printf 'charon {\\n dos_protection = no\\n}\\n' >> /run/strongswan.conf")?;
    for node in ["hub", "s1"] {
        net.dmvpn.node(node)?.sh(&format!("printf '{MANY_PEERS}' >> /run/strongswan.conf"))?;
    }

    let s1 = net.dmvpn.node("s1")?.clone();
    s1.write_file("/run/vici.py", VICI)?;
    // The hub is a peer like the others.
    let count = (usize::from(PEERS) + 1).to_string();
    let own = nbma("s1")?.to_string();
    let remotes: Vec<String> = std::iter::once(hub.to_string()).chain((1..=PEERS).map(remote)).collect();
    let remotes: Vec<&str> = remotes.iter().map(String::as_str).collect();
    let drive = [&["drive", VICI_SOCKET, &count, &own, PARALLEL], remotes.as_slice()].concat();
    let watch = ["watch", VICI_SOCKET, &count, "ip link set gre1 up"];

    net.start_charons()?;
    s1.sh("ip link set gre1 down")?;
    let mut idle = Duration::MAX;
    let (mut direct, mut ours, mut turn) = (Vec::new(), Vec::new(), Duration::MAX);
    for round in 0..ROUNDS {
        anew(&mut net)?;
        let before = processor(&s1)?;
        // The loop wants nobody then, and shares the processor with the same work.
        let mut driver = Duration::MAX;
        let meanwhile = longest(&net, || {
            driver = timed(&s1, &format!("direct-{round}"), &drive)?;
            Ok(())
        })?;
        direct.push(driver);
        idle = idle.min(meanwhile);
        lab.note(format!("driver: {}", busiest(&s1, &before)?));
        anew(&mut net)?;
        let before = processor(&s1)?;
        let mut took = Duration::MAX;
        let during = longest(&net, || {
            took = timed(&s1, &format!("nhrpd-{round}"), &watch)?;
            Ok(())
        })?;
        lab.note(format!("nhrpd: {}", busiest(&s1, &before)?));
        ours.push(took);
        turn = turn.min(during);
        let up = net.asked("s1", "show nhrp ipsec")?;
        lab.note(format!(
            "round {}: driver {:.1?}, nhrpd {:.1?}, longest turn {during:.1?}, meanwhile with the driver {meanwhile:.1?}",
            round + 1,
            driver,
            took
        ));
        ensure!(up.contains(&remote(PEERS)), "the last peer is unknown: {up}");
        s1.sh("ip link set gre1 down")?;
    }
    let best = |all: &[Duration]| all.iter().min().copied().unwrap_or_default();
    let (direct, ours) = (best(&direct), best(&ours));
    lab.note(format!(
        "{} peers: {:.2} times the driver's time; longest turn {turn:.1?}, without peers {idle:.1?}",
        remotes.len(),
        ours.as_secs_f64() / direct.as_secs_f64()
    ));
    ensure!(ours * 100 <= direct * AT_MOST, "nhrpd took {ours:.1?}, the driver {direct:.1?}");
    ensure!(turn <= idle + LONGER_BY, "a turn of the loop took {turn:.1?}, without peers {idle:.1?}");
    Ok(())
}

/// New charons that know nothing, and an nhrpd that has found its own and wants nobody.
fn anew(net: &mut Encrypted) -> Result<()> {
    net.stop_charons(Signal::SIGKILL)?;
    for node in ["hub", "s1"] {
        net.dmvpn.node(node)?.sh("ip xfrm state flush")?;
    }
    net.start_charons()?;
    // The promise is about the loop's own time, not about a processor that charon's threads have just now.
    for node in ["hub", "s1"] {
        net.dmvpn.node(node)?.sh("renice -n 19 -p $(pidof charon-systemd) > /dev/null")?;
    }
    net.wait_said("s1", "show nhrp ipsec", &["stock"], REGISTER)
}

/// The longest turn of s1's loop meanwhile.
fn longest(net: &Encrypted, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    net.asked("s1", "clear ip nhrp counters")?;
    work()?;
    Ok(Duration::from_micros(counter(net.dmvpn.node("s1")?, "longest since counters cleared")?))
}

/// Hundredths of a second of processor time that the guest's programs have had, by name.
fn processor(node: &Node) -> Result<BTreeMap<String, u64>> {
    let all = node.sh("cat /proc/[0-9]*/stat 2> /dev/null || true")?;
    let mut sums = BTreeMap::new();
    for line in all.lines() {
        let Some((name, rest)) = line.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
            continue;
        };
        let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok());
        *sums.entry(name.to_owned()).or_insert(0) += ticks.sum::<u64>();
    }
    Ok(sums)
}

/// Who had it most since then, for people.
fn busiest(node: &Node, before: &BTreeMap<String, u64>) -> Result<String> {
    let after = processor(node)?;
    let spent =
        after.iter().map(|(name, now)| (now.saturating_sub(before.get(name).copied().unwrap_or(0)), name));
    let mut spent: Vec<_> = spent.filter(|(ticks, _)| *ticks >= 20).collect();
    spent.sort_unstable_by(|a, b| b.cmp(a));
    let spent = spent.iter().map(|(ticks, name)| format!("{name} {}.{} s", ticks / 100, ticks / 10 % 10));
    Ok(spent.collect::<Vec<_>>().join(", "))
}

/// What the script says that it took.
fn timed(node: &Node, name: &str, words: &[&str]) -> Result<Duration> {
    let mut program = node.spawn(name, &[&["python3", "-u", "/run/vici.py"], words].concat())?;
    let began = Instant::now();
    wait_until(&format!("{name} to be done"), PATIENCE, || match program.ended() {
        Some(_) => Ok(()),
        None => Err(program.output()),
    })?;
    let said = program.output();
    let seconds =
        said.trim().parse().context(|| format!("{name} said after {:?}: {said}", began.elapsed()))?;
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charon::PROFILE;

    #[test]
    fn both_have_the_profile_of_the_lab() {
        assert!(VICI.contains(&format!("'child': '{PROFILE}'")));
        assert!(VICI.contains(&format!("'{}'", SELDOM.replace(" = ", "': '"))));
    }
}
