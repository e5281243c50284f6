//! Ready-made routers of a DMVPN: one underlay interface, one GRE tunnel, one LAN, numbered throughout.
//!
//! Number N has NBMA address 172.16.0.0 + N, overlay address 10.255.0.0 + N (fd00:255::N), LAN 10.N.0.0/24 (fd00:N::/64,
//! for N below 255).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nhrp_config::{Afi, InterfaceConfig, NhsConfig, NhsProtocol};
use nhrp_engine::{Input, Limits, Link};

use crate::kernel::Hop;
use crate::node::Tunnel;

/// Interface index of the underlay interface.
pub(crate) const UNDERLAY: u32 = 2;
/// Interface index of the LAN.
pub(crate) const LAN: u32 = 3;

/// How to build a router. All of it may be changed before it is handed to [`crate::Network::add_router`].
#[derive(Clone, Debug)]
pub struct Router {
    /// Number.
    pub number: u16,
    /// Own address in the transport network.
    pub nbma: IpAddr,
    /// Source address after translation, if there is NAT.
    pub nat: Option<IpAddr>,
    /// Overlay addresses with their prefix length.
    pub overlay: Vec<IpNet>,
    /// Networks on the LAN.
    pub lan: Vec<IpNet>,
    /// Routes through the tunnel: destination and gateway.
    pub routes: Vec<(IpNet, IpAddr)>,
    /// Configuration of the tunnel.
    pub config: InterfaceConfig,
    /// The tunnel is a GRE interface with a fixed `local` address.
    pub gre: bool,
    /// Bounds of the engine's tables.
    pub limits: Limits,
}

impl Router {
    /// Interface index of the tunnel.
    pub const TUNNEL: u32 = 10;

    fn new(number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        let overlay = vec![host(Self::overlay4(number))];
        let mut config = InterfaceConfig::default();
        config.ip.network_id = 1;
        let lan = IpNet::new(IpAddr::V4(Ipv4Addr::new(10, low, 0, 0)), 24).expect("a prefix");
        Self {
            number,
            nbma: IpAddr::V4(Ipv4Addr::new(172, 16, high, low)),
            nat: None,
            overlay,
            lan: if number < 255 { vec![lan] } else { Vec::new() },
            routes: Vec::new(),
            config,
            gre: true,
            limits: Limits::default(),
        }
    }

    /// IPv4 overlay address of a number.
    #[must_use]
    pub fn overlay4(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, 255, high, low))
    }

    /// IPv6 overlay address of a number.
    #[must_use]
    pub fn overlay6(number: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0x255, 0, 0, 0, 0, 0, number))
    }

    /// A hub: sends indications. Routes to the spokes' LANs are added by [`Router::behind`].
    #[must_use]
    pub fn hub(number: u16) -> Self {
        let mut router = Self::new(number);
        router.config.ip.redirect = true;
        router
    }

    /// A spoke of a hub: registers there, takes shortcuts, sends 10.0.0.0/8 to the hub.
    #[must_use]
    pub fn spoke(number: u16, hub: u16) -> Self {
        let mut router = Self::new(number);
        router.config.ip.shortcut = true;
        router.config.ip.holdtime = 60;
        let all = IpNet::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8).expect("a prefix");
        router.routes.push((all, Self::overlay4(hub)));
        router.registering_with(NhsProtocol::Address(Self::overlay4(hub)), &Self::new(hub).nbma.to_string())
    }

    /// The same with one more `nhs` line.
    #[must_use]
    pub fn registering_with(mut self, protocol: NhsProtocol, nbma: &str) -> Self {
        self.config.ip.nhs.push(NhsConfig { protocol, nbma: nbma.to_owned(), priority: 0 });
        self
    }

    /// The same with a route to the IPv4 LAN of `number` through its overlay address.
    #[must_use]
    pub fn behind(mut self, number: u16) -> Self {
        self.routes.extend(Self::new(number).lan.into_iter().map(|lan| (lan, Self::overlay4(number))));
        self
    }

    /// The same with IPv6 on top: overlay address, LAN, network, and for a spoke NHS and route.
    #[must_use]
    pub fn with_ipv6(mut self, hub: Option<u16>) -> Self {
        self.config.ipv6 = self.config.ip.clone();
        self.config.ipv6.nhs.clear();
        self.overlay.push(host(Self::overlay6(self.number)));
        let lan = |n: u16| IpNet::new(IpAddr::V6(Ipv6Addr::new(0xfd00, n, 0, 0, 0, 0, 0, 0)), 64);
        self.lan.push(lan(self.number).expect("a prefix"));
        if let Some(hub) = hub {
            self.config.ipv6.nhs.push(NhsConfig {
                protocol: NhsProtocol::Address(Self::overlay6(hub)),
                nbma: Self::new(hub).nbma.to_string(),
                priority: 0,
            });
            let all = IpNet::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0)), 16);
            self.routes.push((all.expect("a prefix"), Self::overlay6(hub)));
        } else {
            let numbers: Vec<u16> =
                self.routes.iter().filter_map(|(_, via)| number_of(*via)).filter(|n| *n != 0).collect();
            for n in numbers {
                self.routes.push((lan(n).expect("a prefix"), Self::overlay6(n)));
            }
        }
        self
    }

    /// An IPv4 address of this router: its overlay address.
    #[must_use]
    pub fn address(&self, afi: Afi) -> Option<IpAddr> {
        self.overlay.iter().map(IpNet::addr).find(|a| a.is_ipv4() == (afi == Afi::Ip))
    }

    pub(crate) fn tunnel(&self) -> Tunnel {
        Tunnel { ifindex: Self::TUNNEL, key: 42, nbma: self.nbma }
    }

    /// All that the kernel says when the daemon starts, in the order of a start under zebra: interfaces with their
    /// addresses, GRE parameters, routes; the configuration was read before.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        let link = |ifindex, name: &str, gre| {
            Input::Link(Link { ifindex, name: name.to_owned(), up: true, gre, mtu: 1500 })
        };
        let mut inputs =
            vec![Input::Configure { name: "gre1".to_owned(), config: Box::new(self.config.clone()) }];
        let add = |ifindex, address| Input::AddressAdded { ifindex, address, secondary: false };
        inputs.push(link(UNDERLAY, "eth0", false));
        inputs.push(add(UNDERLAY, host(self.nbma)));
        inputs.push(link(LAN, "eth1", false));
        inputs.push(link(Self::TUNNEL, "gre1", self.gre));
        inputs.extend(self.overlay.iter().map(|a| add(Self::TUNNEL, *a)));
        if let (true, IpAddr::V4(local)) = (self.gre, self.nbma) {
            inputs.push(Input::Gre { ifindex: Self::TUNNEL, local: Some(local), link: Some(UNDERLAY) });
        }
        for (prefix, hop) in self.hops() {
            inputs.push(Input::RouteAdded { prefix, gateway: hop.gateway, ifindex: Some(hop.ifindex) });
        }
        inputs
    }

    pub(crate) fn hops(&self) -> Vec<(IpNet, Hop)> {
        let overlay = self.overlay.iter().map(|a| (a.trunc(), Hop { gateway: None, ifindex: Self::TUNNEL }));
        let lan = self.lan.iter().map(|a| (*a, Hop { gateway: None, ifindex: LAN }));
        let routes = self
            .routes
            .iter()
            .map(|(prefix, via)| (*prefix, Hop { gateway: Some(*via), ifindex: Self::TUNNEL }));
        overlay.chain(lan).chain(routes).collect()
    }
}

fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn number_of(overlay: IpAddr) -> Option<u16> {
    match overlay {
        IpAddr::V4(a) => {
            let [_, _, high, low] = a.octets();
            Some(u16::from_be_bytes([high, low]))
        }
        IpAddr::V6(_) => None,
    }
}
