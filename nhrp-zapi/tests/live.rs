//! The client against real zebras, with what the kernel and vtysh say as judges.
//!
//! `NHRPD_TREES` lists root file systems with FRR, separated by colons. Each zebra runs in a network and mount
//! namespace of its own, what it writes to covered by tmpfs, so the tree stays as it is. Needs root. Where the
//! kernel has GRE, neighbours and tunnel parameters are tested too; where it has not, that part is named as skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ipnet::IpNet;
use nhrp_zapi::{
    Afi, Backoff, DisconnectReason, Epoch, Event, Options, Release, Request, Route, RouteNexthop,
    ZebraClient, ZebraError, release_in_text,
};
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const KERNEL_ROUTES: usize = 1000;

/// A network with `v0` (10.9.8.7/24, a veth) and, if the kernel can, `gre1` (172.16.0.1/32, key 42).
struct Network {
    holder: Child,
    tree: PathBuf,
    gre: bool,
}

impl Network {
    fn new(tree: PathBuf) -> Self {
        let script = r#"
            set -e
            tree=$1
            mount -t tmpfs tmpfs "$tree/run"
            mount -t tmpfs tmpfs "$tree/var/tmp"
            mount -t proc proc "$tree/proc"
            mkdir -p "$tree/run/frr"
            : > "$tree/run/frr/zebra.conf"
            chroot "$tree" chown -R frr:frr /run/frr
            sysctl -qw net.ipv4.ip_forward=1 || echo 1 > /proc/sys/net/ipv4/ip_forward
            ip link set lo up
            ip link add v0 type veth peer name v1
            ip addr add 10.9.8.7/24 dev v0
            ip link set v0 up
            ip link set v1 up
            gre=no
            if ip link add gre1 type gre key 42 ttl 64 local 10.9.8.7 2>/dev/null; then
                ip addr add 172.16.0.1/32 dev gre1
                ip link set gre1 up
                gre=yes
            fi
            i=0
            while [ $i -lt 1000 ]; do
                echo "route add 10.100.$((i / 250)).$((i % 250))/32 via 10.9.8.1"
                i=$((i + 1))
            done | ip -batch -
            echo "gre=$gre"
            exec sleep 600
        "#;
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(&tree)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("gre="), "the network could not be made: {line:?}");
        Self { holder, tree, gre: line.trim() == "gre=yes" }
    }

    /// A command in the namespaces.
    fn command(&self, chrooted: bool, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target"]).arg(self.holder.id().to_string());
        if chrooted {
            command.arg("chroot").arg(&self.tree);
        }
        // vtysh writes its history there.
        command.args(words).env("HOME", "/run").stdin(Stdio::null());
        command
    }

    fn output(&self, chrooted: bool, words: &[&str]) -> String {
        let output = self.command(chrooted, words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn zebra(&self) -> Child {
        let run = ["-f", "/run/frr/zebra.conf", "-i", "/run/frr/zebra.pid", "--vty_socket", "/run/frr"];
        let mut words = vec!["/usr/lib/frr/zebra", "-z", "/run/frr/zserv.api", "-A", "127.0.0.1"];
        words.extend(run);
        self.command(true, &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The socket as seen from outside of the namespace.
    fn socket(&self) -> PathBuf {
        let tree = self.tree.strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(tree).join("run/frr/zserv.api")
    }

    fn release(&self) -> Release {
        release_in_text(&self.output(true, &["/usr/lib/frr/zebra", "--version"])).unwrap()
    }

    /// The kernel's routes of protocol NHRP, as text.
    fn kernel_routes(&self) -> String {
        self.output(false, &["ip", "-4", "route", "show", "proto", "191"])
    }

    /// What zebra says of its routes of NHRP.
    fn zebras_routes(&self) -> String {
        self.output(true, &["vtysh", "--vty_socket", "/run/frr", "-c", "show ip route nhrp"])
    }

    /// After zebra's restart: waits until the kernel's routes satisfy the condition.
    ///
    /// zebra 10.7.1 that was killed and started again says in one of some ten starts that it has installed a route that
    /// rejects, and has not: it takes its former self's out of the kernel, and this one with it. That is told, and no
    /// fault of the client, which has said all three.
    async fn zebra_has_again(&self, condition: impl Fn(&str) -> bool) {
        const REJECTS: &str = "172.16.77.0/24";
        let deadline = Instant::now() + PATIENCE / 2;
        while !condition(&self.kernel_routes()) {
            if Instant::now() > deadline {
                let (routes, said) = (self.kernel_routes(), self.zebras_routes());
                let with_lost = format!("{routes}unreachable {REJECTS} metric 20\n");
                let claimed = said
                    .lines()
                    .any(|line| line.starts_with("N>*") && line.contains(&format!(" {REJECTS} ")));
                assert!(
                    claimed && condition(&with_lost),
                    "routes after zebra's restart; the kernel has:\n{routes}\nzebra says:\n{said}"
                );
                return eprintln!("zebra lost {REJECTS}, and says that it is installed");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the kernel's routes of NHRP satisfy the condition.
    async fn kernel_has(&self, what: &str, condition: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let routes = self.kernel_routes();
            if condition(&routes) {
                return;
            }
            if Instant::now() > deadline {
                panic!("{what}; the kernel has:\n{routes}\nzebra says:\n{}", self.zebras_routes());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A zebra that does not outlive the test.
struct Zebra(Child);

impl Zebra {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Zebra {
    fn drop(&mut self) {
        self.kill();
    }
}

fn client(network: &Network, forced_release: Option<Release>) -> ZebraClient {
    let pause = Duration::from_millis(100);
    ZebraClient::new(Options {
        forced_release,
        reconnect: Backoff { fast: pause, fast_tries: 30, slow: pause },
        ..Options::new(network.socket())
    })
}

/// Events up to and including the first that is wanted.
async fn until(client: &mut ZebraClient, what: &str, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    let collect = async {
        loop {
            let event = client.next().await;
            let last = wanted(&event);
            events.push(event);
            if last {
                return;
            }
        }
    };
    let done = timeout(PATIENCE, collect).await;
    assert!(done.is_ok(), "{what} did not come; the last of {} events: {:?}", events.len(), events.last());
    events
}

async fn synced(client: &mut ZebraClient) -> Vec<Event> {
    until(client, "Synced", |event| matches!(event, Event::Synced)).await
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ifindex(events: &[Event], name: &str) -> u32 {
    let found = events.iter().find_map(|event| match event {
        Event::Interface(interface) if interface.name == name => Some(interface.ifindex),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("zebra did not tell of {name}"))
}

fn kernel_route_count(events: &[Event]) -> usize {
    let block = net("10.100.0.0/16");
    events
        .iter()
        .filter(|event| matches!(event, Event::RouteAdded(route) if block.contains(&route.prefix)))
        .count()
}

/// The routes a daemon would send after each `Connected`.
fn announce(client: &mut ZebraClient, dev: u32) {
    let mut on_link = Route::new(net("172.16.0.2/32"), RouteNexthop::Interface { ifindex: dev });
    on_link.mtu = Some(1400);
    let gateway = RouteNexthop::Gateway { addr: Ipv4Addr::new(10, 9, 8, 9).into(), ifindex: Some(dev) };
    for route in [
        on_link,
        Route::new(net("172.16.9.0/24"), gateway),
        Route::new(net("172.16.77.0/24"), RouteNexthop::Blackhole),
    ] {
        client.send(Request::RouteAdd(route));
    }
}

fn announced(routes: &str) -> bool {
    let line = |start: &str| routes.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    line("172.16.0.2 ").contains("dev v0")
        && line("172.16.0.2 ").contains("mtu 1400")
        && line("172.16.9.0/24 ").contains("via 10.9.8.9")
        && line("unreachable 172.16.77.0/24").contains("metric 20")
}

async fn scenario(tree: PathBuf) {
    let network = Network::new(tree);
    let release = network.release();
    let epoch = release.epoch().unwrap();
    eprintln!(
        "zebra {release}: {}",
        if network.gre { "with GRE" } else { "without GRE, that part is SKIPPED" }
    );

    // Late: the client is there first.
    let mut early = client(&network, None);
    assert!(timeout(Duration::from_millis(300), early.next()).await.is_err(), "an event without zebra");
    let mut zebra = Zebra(network.zebra());
    let events = synced(&mut early).await;
    assert!(
        matches!(&events[0], Event::Connected { epoch: found, .. } if *found == epoch),
        "{release} is of {epoch:?}, found {:?}",
        events[0]
    );
    assert!(early.statistics().failed_attempts > 0);
    early.close().await;
    drop(early);

    // A second time zebra has read the kernel: all of it must come before Synced.
    let deadline = Instant::now() + PATIENCE;
    let read = || network.output(true, &["vtysh", "--vty_socket", "/run/frr", "-c", "show ip route kernel"]);
    while read().matches(" 10.100.").count() < KERNEL_ROUTES {
        assert!(Instant::now() < deadline, "{release}: zebra did not read the kernel");
        sleep(Duration::from_millis(50)).await;
    }
    let mut client = client(&network, None);
    let events = synced(&mut client).await;
    assert_eq!(kernel_route_count(&events), KERNEL_ROUTES, "{release}: routes before Synced");
    let links = network.output(false, &["ip", "-o", "link", "show"]);
    for line in links.lines() {
        let mut words = line.split([' ', ':', '@']).filter(|word| !word.is_empty());
        let (index, name) = (words.next().unwrap().parse::<u32>().unwrap(), words.next().unwrap());
        assert_eq!(ifindex(&events, name), index, "{release}");
    }
    let v0 = ifindex(&events, "v0");
    let address = events.iter().any(|event| {
        matches!(event, Event::AddressAdded(address) if address.ifindex == v0 && address.prefix == net("10.9.8.7/24"))
    });
    assert!(address, "{release}: address of v0");

    // Routes: into the kernel, back as own, away again.
    announce(&mut client, v0);
    until(&mut client, "own route", |event| {
        matches!(event, Event::RouteAdded(route) if route.is_nhrp && route.prefix == net("172.16.77.0/24"))
    })
    .await;
    network.kernel_has("three routes", announced).await;
    let shown = network.output(true, &["vtysh", "--vty_socket", "/run/frr", "-c", "show ip route nhrp json"]);
    assert!(shown.contains("\"172.16.9.0/24\"") && shown.contains("\"nhrp\""), "{release}: {shown}");
    client.send(Request::RouteDelete(net("172.16.9.0/24")));
    let gone = until(&mut client, "withdrawal", |event| matches!(event, Event::RouteDeleted(_))).await;
    assert!(
        matches!(gone.last(), Some(Event::RouteDeleted(route)) if route.prefix == net("172.16.9.0/24") && route.is_nhrp)
    );
    network.kernel_has("route withdrawn", |routes| !routes.contains("172.16.9.0/24")).await;

    // A question has exactly one answer, also for what is no GRE.
    client.send(Request::GreGet { ifindex: v0 });
    let answer = until(&mut client, "answer", |event| matches!(event, Event::GreUpdate(_))).await;
    assert!(
        matches!(answer.last(), Some(Event::GreUpdate(gre)) if gre.ifindex == v0 && gre.is_empty()),
        "{answer:?}"
    );
    // The link goes down and up.
    network.output(false, &["ip", "link", "set", "v1", "down"]);
    until(&mut client, "interface down", |event| {
        matches!(event, Event::Interface(interface) if interface.ifindex == v0 && !interface.is_operative())
    })
    .await;
    network.output(false, &["ip", "link", "set", "v1", "up"]);
    until(&mut client, "interface up", |event| {
        matches!(event, Event::Interface(interface) if interface.ifindex == v0 && interface.is_operative())
    })
    .await;
    if network.gre {
        tunnel(&network, &mut client, &events).await;
    }
    assert_eq!(client.statistics().decode_errors, 0, "{release}");
    assert_eq!(client.statistics().refused, 0, "{release}");

    // zebra dies and comes back: all is told again, and the routes are back in the kernel.
    zebra.kill();
    let end = until(&mut client, "Disconnected", |event| matches!(event, Event::Disconnected { .. })).await;
    assert_eq!(end.last(), Some(&Event::Disconnected { reason: DisconnectReason::ClosedByZebra }));
    assert!(!client.is_connected());
    client.send(Request::RouteDelete(net("172.16.77.0/24")));
    assert_eq!(client.statistics().dropped_requests, 1);
    let zebra = Zebra(network.zebra());
    until(&mut client, "Connected", |event| matches!(event, Event::Connected { .. })).await;
    assert!(client.is_connected());
    announce(&mut client, v0);
    let events = synced(&mut client).await;
    assert_eq!(ifindex(&events, "v0"), v0);
    network.zebra_has_again(announced).await;

    // Leaving takes the routes along.
    client.close().await;
    network.kernel_has("no routes after the farewell", str::is_empty).await;

    wrong_release(&network, release).await;
    drop(zebra);
}

/// With a real GRE: its parameters, and neighbours in the kernel.
async fn tunnel(network: &Network, client: &mut ZebraClient, events: &[Event]) {
    let gre1 = ifindex(events, "gre1");
    client.send(Request::GreGet { ifindex: gre1 });
    let answer = until(client, "GRE", |event| matches!(event, Event::GreUpdate(_))).await;
    let Some(Event::GreUpdate(gre)) = answer.last() else { panic!("{answer:?}") };
    assert_eq!((gre.ifindex, gre.key, gre.local), (gre1, Some(42), Some(Ipv4Addr::new(10, 9, 8, 7))));

    if client.table().unwrap().has_set_arp() {
        client.send(Request::SetArp { ifindex: gre1, enable: true });
    } else {
        network.output(false, &["ip", "link", "set", "gre1", "arp", "on"]);
    }
    client.send(Request::ConfigureArp { ifindex: gre1, family: Afi::Ip });
    client.send(Request::NeighAdd {
        ifindex: gre1,
        protocol: Ipv4Addr::new(172, 16, 0, 2).into(),
        nbma: Ipv4Addr::new(10, 9, 8, 1),
    });
    let deadline = Instant::now() + PATIENCE;
    let neighbours = || network.output(false, &["ip", "neigh", "show", "dev", "gre1"]);
    while !neighbours().contains("172.16.0.2 lladdr 10.9.8.1") {
        assert!(Instant::now() < deadline, "no neighbour: {}", neighbours());
        let _ = timeout(Duration::from_millis(50), client.next()).await;
    }
    let solicit = network.output(false, &["cat", "/proc/sys/net/ipv4/neigh/gre1/app_solicit"]);
    assert_eq!(solicit.trim(), "1", "CONFIGURE_ARP");

    // Somebody unknown: the kernel asks, zebra passes it on.
    network.output(false, &["ip", "route", "add", "172.16.5.5/32", "dev", "gre1"]);
    let mut ping = network
        .command(true, &["ping", "-c", "1", "-W", "1", "172.16.5.5"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(client, "question for a neighbour", |event| {
        matches!(event, Event::Neighbour(neighbour)
            if neighbour.ifindex == gre1 && neighbour.protocol == Ipv4Addr::new(172, 16, 5, 5))
    })
    .await;
    let _ = ping.wait();
    client.send(Request::NeighDelete { ifindex: gre1, protocol: Ipv4Addr::new(172, 16, 0, 2).into() });
    while neighbours().contains("172.16.0.2 lladdr") {
        assert!(Instant::now() < deadline, "neighbour stays: {}", neighbours());
        let _ = timeout(Duration::from_millis(50), client.next()).await;
    }
}

/// A release that the running zebra is not: an error that says what to do, and no session.
async fn wrong_release(network: &Network, release: Release) {
    for epoch in Epoch::ALL {
        let wrong = epoch.first_release();
        let right = epoch == release.epoch().unwrap();
        let mut client = client(network, Some(wrong));
        let event = timeout(PATIENCE, client.next()).await.expect("an answer to a forced release");
        if right {
            assert!(matches!(event, Event::Connected { release, .. } if release == wrong), "{event:?}");
            client.close().await;
            continue;
        }
        let Event::Error(error) = event else { panic!("{release} forced to {wrong}: {event:?}") };
        assert!(
            matches!(error, ZebraError::ReleaseContradiction { forced, .. } if forced == wrong),
            "{error:?}"
        );
        assert!(error.to_string().contains("--zebra-release"), "{error}");
        assert!(!client.is_connected());
        // Said once, tried on.
        assert!(timeout(Duration::from_millis(300), client.next()).await.is_err());
        assert!(client.statistics().failed_attempts > 1);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn real_zebras() {
    let Some(trees) = std::env::var_os("NHRPD_TREES") else {
        eprintln!("SKIPPED: NHRPD_TREES names no root file systems with FRR, no zebra was tested");
        return;
    };
    let trees: Vec<PathBuf> = std::env::split_paths(&trees).collect();
    assert!(!trees.is_empty(), "NHRPD_TREES is empty");
    for tree in trees {
        scenario(tree).await;
    }
}
