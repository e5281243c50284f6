//! Changes of a tunnel interface that zebra does not do, or does wrong. Owns one rtnetlink socket; never creates or
//! deletes an interface.

use std::io;
use std::os::fd::AsFd;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoGre, InfoGre6, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use crate::mmsg::Slots;
use crate::netlink::{Messages, Requests};

/// Changes interfaces by rtnetlink; every call is answered by the kernel before it returns.
#[derive(Debug)]
pub struct Links {
    requests: Requests,
    slots: Slots,
}

impl Links {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            requests: Requests::open(netlink_sys::protocols::NETLINK_ROUTE)?,
            slots: Slots::new(1, 32 << 10),
        })
    }

    /// Clears IFF_NOARP, without which the kernel resolves nothing on a GRE interface. zebra does it from FRR 10.0 on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn clear_noarp(&mut self, ifindex: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        // No flag is set; of the flags only this one is looked at.
        message.header.change_mask = LinkFlags::Noarp;
        self.set(message)
    }

    /// Binds a GRE tunnel to `device`, keeping its key, addresses, TTL and all else: FRR's zebra asks the kernel for a
    /// change in such a way that they are lost and the tunnel goes down. Nothing is done if it is bound to it already.
    ///
    /// # Errors
    /// `InvalidInput` if the interface is no GRE tunnel; else what the kernel says.
    pub fn bind_gre(&mut self, ifindex: u32, device: u32) -> io::Result<()> {
        let Tunnel { mtu, infos } = self.tunnel(ifindex)?;
        let kind = infos.iter().find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind.clone()),
            _ => None,
        });
        let data = infos.into_iter().find_map(|info| match info {
            LinkInfo::Data(data) => Some(data),
            _ => None,
        });
        let (Some(kind), Some(data)) = (kind, data) else { return Err(no_gre(ifindex)) };
        let Some(data) = rebound(data, device) else { return Err(no_gre(ifindex)) };
        let Change::To(data) = data else { return Ok(()) };
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        let infos = vec![LinkInfo::Kind(kind), LinkInfo::Data(data)];
        message.attributes.push(LinkAttribute::LinkInfo(infos));
        // The kernel would compute a new one from the device's.
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.set(message)
    }

    /// Changes what the message says and nothing else.
    fn set(&mut self, message: LinkMessage) -> io::Result<()> {
        let message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(message));
        self.requests.batch(std::iter::once(message), 0)?.into_iter().collect()
    }

    fn tunnel(&mut self, ifindex: u32) -> io::Result<Tunnel> {
        let mut query = LinkMessage::default();
        query.header.index = ifindex;
        let query = NetlinkMessage::from(RouteNetlinkMessage::GetLink(query));
        let sequence = self.requests.send(query, 0)?;
        loop {
            match self.slots.receive(self.requests.socket().as_fd()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let mut messages = self.slots.datagrams().flat_map(|datagram| Messages::of(&datagram));
            if let Some(answer) = messages.find(|message| message.sequence == sequence) {
                return match answer.error() {
                    Some(result) => result.map(|()| Tunnel::default()),
                    None => read(answer.octets).map_err(io::Error::other),
                };
            }
        }
    }
}

fn no_gre(ifindex: u32) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("interface {ifindex} is no GRE tunnel"))
}

/// What is read of an interface.
#[derive(Debug, Default)]
struct Tunnel {
    mtu: Option<u32>,
    infos: Vec<LinkInfo>,
}

fn read(octets: &[u8]) -> Result<Tunnel, netlink_packet_core::DecodeError> {
    let mut tunnel = Tunnel::default();
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(octets)?;
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = message.payload {
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::LinkInfo(infos) => tunnel.infos = infos,
                LinkAttribute::Mtu(mtu) => tunnel.mtu = Some(mtu),
                _ => {}
            }
        }
    }
    Ok(tunnel)
}

enum Change {
    None,
    To(InfoData),
}

/// The same tunnel on another device; nothing if it is no GRE tunnel.
fn rebound(data: InfoData, device: u32) -> Option<Change> {
    Some(match data {
        InfoData::GreTun(list) if list.contains(&InfoGre::Link(device)) => Change::None,
        InfoData::GreTun(mut list) => {
            list.retain(|attribute| !matches!(attribute, InfoGre::Link(_)));
            list.push(InfoGre::Link(device));
            Change::To(InfoData::GreTun(list))
        }
        InfoData::GreTun6(list) if list.contains(&InfoGre6::Link(device)) => Change::None,
        InfoData::GreTun6(mut list) => {
            list.retain(|attribute| !matches!(attribute, InfoGre6::Link(_)));
            list.push(InfoGre6::Link(device));
            Change::To(InfoData::GreTun6(list))
        }
        _ => return None,
    })
}
