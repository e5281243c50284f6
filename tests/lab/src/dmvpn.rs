//! The lab's DMVPN: a transport router, a hub and spokes, with FRR on the hub and the spokes.
//!
//! Owns addresses, tunnels, firewall rule and configuration, and the questions that scenarios ask of a
//! running network. Never asserts what a scenario is about.
//!
//! ```text
//!                    hub  gre1 10.255.255.1   LAN 10.0.0.1/24
//!                     | 192.0.2.2/30
//!        +----------inet----------+           the transport network: knows no 10/8
//!        | 192.0.2.6/30           | 192.0.2.10/30
//!       s1                       s2           … sN
//!   gre1 10.255.255.2        gre1 10.255.255.3
//!   LAN 10.1.0.1/24          LAN 10.2.0.1/24
//! ```

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::capture::Capture;
use crate::failure::{Context, Result, ensure};
use crate::frr::Frr;
use crate::judge::{Type, Verdict, judge};
use crate::mix::{Kind, Mix};
use crate::net::{Network, Node, wait_until};
use crate::release::Release;

/// What a scenario may choose about the network.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Number of spokes, from 1.
    pub(crate) spokes: u8,
    /// `ip nhrp holdtime` everywhere, seconds.
    pub(crate) holdtime: u16,
    /// `ip nhrp redirect` on the hub, with the firewall rule that feeds it.
    pub(crate) redirect: bool,
    /// `ip nhrp shortcut` on the spokes.
    pub(crate) shortcut: bool,
    /// More lines for `interface gre1`, by node name.
    pub(crate) interface_lines: Vec<(String, String)>,
    /// FRR's daemons that run on hub and spokes besides zebra, staticd and nhrpd: `bgpd`, `ospfd`.
    pub(crate) daemons: &'static [&'static str],
    /// More of `frr.conf` at its top level, such as a whole `router bgp` block, by node name.
    pub(crate) blocks: Vec<(String, String)>,
    /// Static routes over the tunnel: a summary to the hub on spokes, every LAN on the hub. Without them a
    /// routing protocol is to find them.
    pub(crate) static_routes: bool,
    /// More options for our nhrpd.
    pub(crate) nhrpd_options: &'static [&'static str],
    /// Prefix length of the tunnel's addresses, on nodes with our nhrpd: FRR's up to 10.4 takes host prefixes only,
    /// and later ones do not answer for an address within the prefix of their own.
    pub(crate) overlay_length: u8,
    /// Multicast over the tunnel, as FRR's manual says: to every client on the hub, to the hub on spokes, with the
    /// firewall rules that feed it.
    pub(crate) multicast: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            spokes: 2,
            holdtime: 30,
            redirect: true,
            shortcut: true,
            interface_lines: Vec::new(),
            daemons: &[],
            blocks: Vec::new(),
            static_routes: true,
            nhrpd_options: &[],
            overlay_length: 32,
            multicast: false,
        }
    }
}

/// A running DMVPN.
#[derive(Debug)]
pub(crate) struct Dmvpn {
    /// What was chosen.
    pub(crate) shape: Shape,
    network: Network,
    routers: Vec<Frr>,
    wire: Option<Capture>,
}

/// One row of a path trace: the router that answered, or none.
pub(crate) type Hop = Option<Ipv4Addr>;

/// Position of a node: 0 is the hub, N is sN.
fn position(node: &str) -> Result<u8> {
    match node.strip_prefix('s') {
        Some(number) => number.parse().context(|| format!("no node {node}")),
        None => Ok(0),
    }
}

/// Name of the node at a position.
fn name(position: u8) -> String {
    if position == 0 { "hub".to_owned() } else { format!("s{position}") }
}

/// Address in the transport network.
pub(crate) fn nbma(node: &str) -> Result<Ipv4Addr> {
    Ok(Ipv4Addr::new(192, 0, 2, position(node)? * 4 + 2))
}

/// Address in the overlay.
pub(crate) fn overlay(node: &str) -> Result<Ipv4Addr> {
    Ok(Ipv4Addr::new(10, 255, 255, position(node)? + 1))
}

/// Address in the node's own LAN, a /24.
pub(crate) fn lan(node: &str) -> Result<Ipv4Addr> {
    Ok(Ipv4Addr::new(10, position(node)?, 0, 1))
}

impl Dmvpn {
    /// Makes the network and starts everything, with FRR's other daemons configured before `nhrpd` starts.
    pub(crate) fn start(out: &Path, release: Release, mix: &Mix, shape: Shape) -> Result<Self> {
        let mut network = Network::new(out);
        let inet = network.add("inet")?;
        inet.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")?;
        let mut routers = Vec::new();
        for position in 0..=shape.spokes {
            let node = network.add(&name(position))?;
            let kind = mix.of(node.name());
            routers.push(Frr::new(node, release, kind));
        }
        for position in 0..=shape.spokes {
            let node = name(position);
            let (near, far) = (nbma(&node)?, Ipv4Addr::new(192, 0, 2, position * 4 + 1));
            let port = format!("to-{node}");
            network.link((&node, "eth0", &format!("{near}/30")), ("inet", &port, &format!("{far}/30")))?;
            let length = if mix.of(&node) == Kind::Ours { shape.overlay_length } else { 32 };
            build_node(network.node(&node)?, far, &shape, length)?;
        }
        let wire = Capture::start(&inet, out.join("wire.pcap"), "any", "ip proto 47")?;
        for router in &routers {
            router.write_config(&configuration(router.node().name(), &shape)?)?;
        }
        // Every node at once: a daemon's start is mostly waiting.
        parallel(&mut routers, |router| {
            router.start_base()?;
            shape.daemons.iter().try_for_each(|daemon| router.start_daemon(daemon))?;
            router.load(None)
        })?;
        // Then nhrpd, hub first and one by one: what is measured is its start, not the competition for a processor.
        for router in &mut routers {
            router.set_nhrpd_options(shape.nhrpd_options);
            router.start_nhrpd()?;
            router.load(Some("nhrpd"))?;
        }
        Ok(Self { shape, network, routers, wire: Some(wire) })
    }

    /// The names of the hub and the spokes.
    pub(crate) fn names(&self) -> Vec<String> {
        (0..=self.shape.spokes).map(name).collect()
    }

    /// The names of the spokes.
    pub(crate) fn spokes(&self) -> Vec<String> {
        (1..=self.shape.spokes).map(name).collect()
    }

    /// A node, `inet` included.
    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        self.network.node(name)
    }

    /// Adds a host to the transport network: its `ADDRESS/LENGTH`, and the router's address in the same network.
    pub(crate) fn add_host(&mut self, name: &str, address: &str, gateway: &str) -> Result<Node> {
        let node = self.network.add(name)?;
        let length = address.split_once('/').map_or("32", |(_, length)| length);
        let far = format!("{gateway}/{length}");
        self.network.link((name, "eth0", address), ("inet", &format!("to-{name}"), &far))?;
        node.sh(&format!("ip route add default via {gateway}"))?;
        Ok(node)
    }

    /// FRR on a node.
    pub(crate) fn frr(&mut self, name: &str) -> Result<&mut Frr> {
        self.routers
            .iter_mut()
            .find(|router| router.node().name() == name)
            .context(|| format!("no router {name}"))
    }

    /// What the hub has registered for a spoke: the row of `show ip nhrp cache json`.
    pub(crate) fn registration(&mut self, spoke: &str) -> Result<Option<Value>> {
        let address = overlay(spoke)?.to_string();
        let rows = self.frr("hub")?.table("show ip nhrp cache json")?;
        Ok(rows.into_iter().find(|row| text(row, "protocol") == address && text(row, "type") == "dynamic"))
    }

    /// Waits until the hub knows every spoke and every spoke its hub.
    pub(crate) fn wait_registered(&mut self, timeout: Duration) -> Result<()> {
        for spoke in self.spokes() {
            self.wait_spoke_registered(&spoke, timeout)?;
        }
        Ok(())
    }

    /// Waits until the hub knows a spoke and the spoke its hub.
    pub(crate) fn wait_spoke_registered(&mut self, spoke: &str, timeout: Duration) -> Result<()> {
        let expected = nbma(spoke)?.to_string();
        wait_until(&format!("{spoke} in the hub's cache"), timeout, || match self.registration(spoke) {
            Ok(Some(row)) if text(&row, "nbma") == expected => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        let hub = overlay("hub")?.to_string();
        wait_until(&format!("the hub as NHS of {spoke}"), timeout, || {
            let rows = self.frr(spoke).and_then(|frr| frr.table("show ip nhrp nhs json"));
            match rows {
                Ok(rows) if rows.iter().any(|row| text(row, "protocol") == hub) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// The shortcuts of a node: `PREFIX via ADDRESS` of every one that is bound to a peer.
    pub(crate) fn shortcuts(&mut self, node: &str) -> Result<Vec<String>> {
        let rows = self.frr(node)?.table("show ip nhrp shortcut json")?;
        let bound = rows.iter().filter(|row| text(row, "type") == "dynamic");
        Ok(bound.map(|row| format!("{} via {}", text(row, "prefix"), text(row, "via"))).collect())
    }

    /// Waits until `from` has a shortcut that covers the LAN of `to`, leads to `to`, and is in the kernel.
    pub(crate) fn wait_shortcut(&mut self, from: &str, to: &str, timeout: Duration) -> Result<()> {
        let (via, hub) = (overlay(to)?, format!("via {}", overlay("hub")?));
        let target = lan(to)?.to_string();
        // FRR adds a route to the very host that was asked for, straight into the tunnel, besides the one
        // to its prefix via the peer's overlay address.
        wait_until(&format!("a direct route from {from} to {target}"), timeout, || {
            let route = self.node(from).and_then(|node| node.sh(&format!("ip route get {target}")));
            match route {
                Ok(route) if route.contains("dev gre1") && !route.contains(&hub) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        let suffix = format!(" via {via}");
        wait_until(&format!("a shortcut{suffix} on {from}"), timeout, || match self.shortcuts(from) {
            Ok(shortcuts) if shortcuts.iter().any(|shortcut| shortcut.ends_with(&suffix)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }

    /// Whether the kernel of `from` sends traffic for the LAN of `to` another way than through the hub.
    pub(crate) fn is_direct(&self, from: &str, to: &str) -> Result<bool> {
        let route = self.node(from)?.sh(&format!("ip route get {}", lan(to)?))?;
        Ok(route.contains("dev gre1") && !route.contains(&format!("via {}", overlay("hub")?)))
    }

    /// Waits until the kernel of `from` sends traffic for the LAN of `to` through the hub.
    pub(crate) fn wait_no_shortcut(&mut self, from: &str, to: &str, timeout: Duration) -> Result<()> {
        let (via, target) = (overlay("hub")?.to_string(), lan(to)?.to_string());
        wait_until(&format!("{from} to send {target} through the hub again"), timeout, || {
            match self.node(from).and_then(|node| node.sh(&format!("ip route get {target}"))) {
                Ok(route) if route.contains(&via) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// Sends `count` echo requests from LAN to LAN, one every `interval`; returns how many came back.
    pub(crate) fn ping(&self, from: &str, to: &str, count: u32, interval: Duration) -> Result<u32> {
        let (source, target) = (lan(from)?, lan(to)?);
        let (count_text, interval) = (count.to_string(), format!("{:.2}", interval.as_secs_f64()));
        let (source, target) = (source.to_string(), target.to_string());
        let output = self.node(from)?.run(&[
            "ping",
            "-n",
            "-D",
            "-W",
            "2",
            "-c",
            &count_text,
            "-i",
            &interval,
            "-I",
            &source,
            &target,
        ])?;
        let received = output
            .stdout
            .split(", ")
            .find_map(|part| part.strip_suffix(" received"))
            .and_then(|number| number.parse().ok());
        received.context(|| format!("ping on {from}: {}{}", output.stdout, output.stderr))
    }

    /// The path from LAN to LAN by traceroute.
    pub(crate) fn trace(&self, from: &str, to: &str) -> Result<Vec<Hop>> {
        let (source, target) = (lan(from)?, lan(to)?);
        let text = self.node(from)?.sh(&format!("traceroute -n -q 1 -N 4 -m 4 -w 2 -s {source} {target}"))?;
        Ok(text
            .lines()
            .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
            .map(|line| line.split_whitespace().nth(1).and_then(|word| word.parse().ok()))
            .collect())
    }

    /// Begins a new capture file, for another scenario on the same network.
    pub(crate) fn new_capture(&mut self, out: &Path) -> Result<()> {
        let inet = self.node("inet")?;
        self.wire = Some(Capture::start(inet, out.join("wire.pcap"), "any", "ip proto 47")?);
        Ok(())
    }

    /// The file with everything on the transport network so far, each packet once.
    pub(crate) fn wire_file(&self) -> Result<&Path> {
        self.wire.as_ref().map(Capture::file).context(|| "nothing is being captured".to_owned())
    }

    /// What tshark makes of everything on the transport network so far, each packet once.
    pub(crate) fn wire(&self) -> Result<Verdict> {
        let wire = self.wire.as_ref().context(|| "nothing is being captured".to_owned())?;
        judge(wire.file())
    }

    /// When the packets were captured so far that match a filter, in seconds since the epoch. Far quicker than
    /// [`wire`](Self::wire), which judges: for waiting.
    pub(crate) fn captured(&self, filter: &str) -> Result<Vec<f64>> {
        let file = self.wire_file()?.to_string_lossy().into_owned();
        let output = self.node("inet")?.run(&["tcpdump", "-n", "-q", "-tt", "-r", &file, filter])?;
        // A packet that is being written is cut short, and tcpdump says so; the rest counts.
        Ok(output.stdout.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect())
    }

    /// Waits until so many packets that match the filter were captured since then.
    pub(crate) fn wait_captured(
        &self,
        what: &str,
        filter: &str,
        since: f64,
        count: usize,
        timeout: Duration,
    ) -> Result<()> {
        wait_until(&format!("{count} times {what} on the wire"), timeout, || match self.captured(filter) {
            Ok(times) if times.iter().filter(|time| **time >= since).count() >= count => Ok(()),
            other => Err(format!("{other:?} since {since}")),
        })
    }

    /// Time from the start of a spoke's nhrpd to the first registration reply that reached its side of
    /// the transport network.
    pub(crate) fn time_to_register(&mut self, spoke: &str, wire: &Verdict) -> Result<Duration> {
        let started = seconds(self.frr(spoke)?.nhrpd_started())?;
        let target = nbma(spoke)?;
        let reply = wire
            .of(Type::RegistrationReply)
            .find(|(packet, _)| packet.nbma.1 == target && packet.time >= started)
            .context(|| format!("no registration reply to {spoke} on the wire"))?;
        Ok(Duration::from_secs_f64(reply.0.time - started))
    }

    /// Forgets the shortcuts between two nodes, sends a packet every 20 ms, and tells the time from the first
    /// one, which the hub redirected, to the first one that `from` sent straight to `to`, by the clock of the capture.
    pub(crate) fn time_to_direct(&mut self, from: &str, to: &str) -> Result<Duration> {
        for node in [from, to] {
            self.frr(node)?.vtysh(&["clear ip nhrp shortcut"])?;
        }
        self.wait_no_shortcut(from, to, Duration::from_secs(3))?;
        self.wait_no_shortcut(to, from, Duration::from_secs(3))?;
        // The firewall rule lets one indication a second pass.
        std::thread::sleep(Duration::from_secs(2));
        let since = seconds(SystemTime::now())?;
        let received = self.ping(from, to, 60, Duration::from_millis(20))?;
        ensure!(received >= 59, "{received} of 60 echo replies while the path became direct");
        let (wire, inner) = (self.wire()?, (lan(from)?, lan(to)?));
        let first = wire
            .first_carried(inner, (nbma(from)?, nbma("hub")?), since)
            .context(|| format!("no packet from {from} to {to} went through the hub"))?;
        let direct = wire
            .first_carried(inner, (nbma(from)?, nbma(to)?), since)
            .context(|| format!("no packet from {from} to {to} went the direct way"))?;
        Ok(Duration::from_secs_f64((direct.time - first.time).max(0.0)))
    }

    /// Fails if any daemon has ended by itself.
    pub(crate) fn all_alive(&mut self) -> Result<()> {
        self.routers.iter_mut().try_for_each(Frr::all_alive)
    }

    /// The end of the capture: every daemon alive, and on the wire at least `minimum` of each type, none
    /// malformed, none with a bad checksum.
    pub(crate) fn finish(&mut self, minimum: &[(Type, usize)]) -> Result<Verdict> {
        self.all_alive()?;
        let wire = self.wire.take().context(|| "nothing is being captured".to_owned())?;
        let wire = judge(&wire.stop()?)?;
        wire.require(minimum)?;
        Ok(wire)
    }
}

/// Runs the same work for all at once; the first failure wins.
fn parallel<T: Send>(items: &mut [T], work: impl Fn(&mut T) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter_mut().map(|item| scope.spawn(|| work(item))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| crate::failure::Failure::new("a thread of the lab panicked"))?
        })
    })
}

/// Now, by the clock of the captures.
pub(crate) fn now() -> Result<f64> {
    seconds(SystemTime::now())
}

/// A filter for [`Dmvpn::captured`]: NHRP packets of a type number from one address to another. In the IPv4 packet the
/// GRE header is at 20, its key's end and the NHRP packet at 28; its type is 17 octets further.
pub(crate) fn nhrp_filter(kind: u8, from: Ipv4Addr, to: Ipv4Addr) -> String {
    format!("src host {from} and dst host {to} and ip[22:2] = 0x2001 and ip[45] = {kind}")
}

fn seconds(time: SystemTime) -> Result<f64> {
    Ok(time.duration_since(UNIX_EPOCH).context(|| "the clock".to_owned())?.as_secs_f64())
}

/// A string field of a row of JSON; empty if there is none.
pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Tunnel, LAN, forwarding and, on the hub, the rule that tells nhrpd of traffic that makes a detour.
fn build_node(node: &Node, gateway: Ipv4Addr, shape: &Shape, length: u8) -> Result<()> {
    let name = node.name();
    let (nbma, overlay, lan) = (nbma(name)?, overlay(name)?, lan(name)?);
    node.sh(&format!(
        "ip route add default via {gateway}
         ip link add gre1 type gre key 42 ttl 64 local {nbma} dev eth0
         ip address add {overlay}/{length} dev gre1
         ip link set gre1 mtu 1400 up
         ip link add lan0 type dummy
         ip address add {lan}/24 dev lan0
         ip link set lan0 up
         echo 1 > /proc/sys/net/ipv4/ip_forward"
    ))?;
    if name == "hub" && shape.redirect {
        // The threshold of 1 makes the kernel report at once instead of up to a second later.
        firewall(
            node,
            "iptables",
            "-A FORWARD -i gre1 -o gre1 -m hashlimit --hashlimit-upto 1/second \
             --hashlimit-burst 1 --hashlimit-mode srcip,dstip --hashlimit-srcmask 24 \
             --hashlimit-dstmask 24 --hashlimit-name nhrp -j NFLOG --nflog-group 1 \
             --nflog-size 128 --nflog-threshold 1",
        )?;
    }
    if shape.multicast {
        for target in ["NFLOG --nflog-group 2", "DROP"] {
            firewall(node, "iptables", &format!("-A OUTPUT -d 224.0.0.0/24 -o gre1 -j {target}"))?;
        }
    }
    Ok(())
}

/// Adds a rule with `iptables` or `ip6tables`. Of their two kinds a kernel may support only one.
pub(crate) fn firewall(node: &Node, program: &str, rule: &str) -> Result<()> {
    node.sh(&format!("{program}-nft {rule} || {program}-legacy {rule}")).map(drop)
}

/// `frr.conf` of a node.
fn configuration(node: &str, shape: &Shape) -> Result<String> {
    let holdtime = shape.holdtime;
    let hub = overlay("hub")?;
    let mut text = format!("hostname {node}\ndebug nhrp common\n");
    let mut interface = format!(" ip nhrp network-id 1\n ip nhrp holdtime {holdtime}\n");
    if node == "hub" {
        for position in (1..=shape.spokes).filter(|_| shape.static_routes) {
            let spoke = name(position);
            let (network, gateway) = (Ipv4Addr::new(10, position, 0, 0), overlay(&spoke)?);
            text.push_str(&format!("ip route {network}/24 {gateway} gre1 onlink\n"));
        }
        if shape.redirect {
            text.push_str("nhrp nflog-group 1\n");
            interface.push_str(" ip nhrp redirect\n");
        }
        if shape.multicast {
            interface.push_str(" ip nhrp map multicast dynamic\n");
        }
    } else {
        if shape.static_routes {
            text.push_str(&format!("ip route 10.0.0.0/8 {hub} gre1 onlink\n"));
        }
        interface.push_str(&format!(
            " ip nhrp nhs dynamic nbma {}\n ip nhrp registration no-unique\n",
            nbma("hub")?
        ));
        if shape.shortcut {
            interface.push_str(" ip nhrp shortcut\n");
        }
        if shape.multicast {
            interface.push_str(&format!(" ip nhrp map multicast {}\n", nbma("hub")?));
        }
    }
    if shape.multicast {
        text.push_str("nhrp multicast-nflog-group 2\n");
    }
    for (_, line) in shape.interface_lines.iter().filter(|(name, _)| name == node) {
        interface.push_str(&format!(" {line}\n"));
    }
    text.push_str(&format!("interface gre1\n{interface} tunnel source eth0\nexit\n"));
    for (_, block) in shape.blocks.iter().filter(|(name, _)| name == node) {
        text.push_str(block);
    }
    Ok(text)
}

/// How long something took, for people.
pub(crate) fn took(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
