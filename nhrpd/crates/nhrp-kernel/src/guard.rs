//! Policies that keep a tunnel's GRE from leaving or entering in clear, whatever an IKE daemon does.
//!
//! For each own address four policies block GRE: to and from either half of all addresses. Their precedence is the
//! lowest in use, so that those of an IKE daemon, for its security associations and its traps, come first where it has
//! any. The kernel knows a policy by its selector alone: were one of these like one of charon's (an address to all
//! others), charon's would take its place and be gone with charon. Hence the halves, which no IKE daemon asks for.
//!
//! Owns one XFRM socket and the policies with [`PRECEDENCE`]. Never touches another policy, never a security association.
//! Policies stay when this process ends.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable};

use crate::mmsg::Slots;
use crate::netlink::{Messages, Requests};

/// Precedence of the policies: a higher number than any IKE daemon computes.
pub const PRECEDENCE: u32 = 4_000_000;

const XFRM_MSG_NEWPOLICY: u16 = 0x13;
const XFRM_MSG_DELPOLICY: u16 = 0x14;
const XFRM_MSG_GETPOLICY: u16 = 0x15;
const XFRM_MSG_UPDPOLICY: u16 = 0x19;

const XFRM_POLICY_IN: u8 = 0;
const XFRM_POLICY_OUT: u8 = 1;
const XFRM_POLICY_BLOCK: u8 = 1;

const GRE: u8 = 47;

/// Octets of `struct xfrm_selector`, `xfrm_userpolicy_info` and `xfrm_userpolicy_id`.
const SELECTOR: usize = 56;
const INFO: usize = 168;
const ID: usize = 64;

/// Where the precedence, the direction and the action are in `xfrm_userpolicy_info`: behind the selector, the limits
/// (64 octets) and the counters (32).
const PRIORITY_AT: usize = SELECTOR + 96;
const DIRECTION_AT: usize = PRIORITY_AT + 8;
const ACTION_AT: usize = DIRECTION_AT + 1;

/// One policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    local: Ipv4Addr,
    /// The half of all addresses that it is about, as a /1.
    half: Ipv4Addr,
    direction: u8,
}

impl Policy {
    fn of(local: Ipv4Addr) -> [Self; 4] {
        let [low, high] = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(128, 0, 0, 0)];
        [(low, XFRM_POLICY_OUT), (high, XFRM_POLICY_OUT), (low, XFRM_POLICY_IN), (high, XFRM_POLICY_IN)]
            .map(|(half, direction)| Self { local, half, direction })
    }

    /// `struct xfrm_selector`: destination, source (16 octets each), ports and masks, family, prefix lengths, protocol,
    /// interface, user.
    fn selector(&self) -> Vec<u8> {
        let (destination, source) = match self.direction {
            XFRM_POLICY_OUT => ((self.half, 1), (self.local, 32)),
            _ => ((self.local, 32), (self.half, 1)),
        };
        let mut octets = Vec::with_capacity(INFO);
        for (address, _) in [destination, source] {
            octets.extend_from_slice(&address.octets());
            octets.extend_from_slice(&[0; 12]);
        }
        octets.extend_from_slice(&[0; 8]);
        octets.extend_from_slice(&FAMILY.to_ne_bytes());
        octets.extend_from_slice(&[destination.1, source.1, GRE]);
        octets.resize(SELECTOR, 0);
        octets
    }

    fn info(&self) -> Vec<u8> {
        let mut octets = self.selector();
        // Four limits in octets and packets, all of them infinite; four in time, none.
        octets.extend_from_slice(&[0xFF; 32]);
        octets.resize(PRIORITY_AT, 0);
        octets.extend_from_slice(&PRECEDENCE.to_ne_bytes());
        octets.extend_from_slice(&[0; 4]);
        octets.extend_from_slice(&[self.direction, XFRM_POLICY_BLOCK]);
        octets.resize(INFO, 0);
        octets
    }

    fn id(&self) -> Vec<u8> {
        let mut octets = self.selector();
        octets.extend_from_slice(&[0; 4]);
        octets.push(self.direction);
        octets.resize(ID, 0);
        octets
    }

    /// The own address, if a `xfrm_userpolicy_info` is one of these policies.
    fn recognise(octets: &[u8]) -> Option<Ipv4Addr> {
        let priority = octets.get(PRIORITY_AT..)?.first_chunk().map(|p| u32::from_ne_bytes(*p))?;
        let (direction, action) = (*octets.get(DIRECTION_AT)?, *octets.get(ACTION_AT)?);
        if priority != PRECEDENCE || action != XFRM_POLICY_BLOCK {
            return None;
        }
        let at = if direction == XFRM_POLICY_OUT { 16 } else { 0 };
        let local = Ipv4Addr::from(*octets.get(at..)?.first_chunk::<4>()?);
        let selector = octets.get(..SELECTOR)?;
        Self::of(local).iter().any(|p| p.direction == direction && p.selector() == selector).then_some(local)
    }
}

const FAMILY: u16 = 2; // AF_INET

/// A message whose octets are known already.
#[derive(Debug)]
struct Raw {
    kind: u16,
    octets: Vec<u8>,
}

impl NetlinkSerializable for Raw {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.octets.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.octets);
    }
}

fn message(kind: u16, octets: Vec<u8>) -> NetlinkMessage<Raw> {
    NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(Raw { kind, octets }))
}

/// Writes and removes the policies; the kernel answers before a call returns.
#[derive(Debug)]
pub struct Guard {
    requests: Requests,
    slots: Slots,
}

impl Guard {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// What the kernel says; that the protocol is not supported if it has no IPsec.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            requests: Requests::open(netlink_sys::protocols::NETLINK_XFRM)?,
            slots: Slots::new(4, 32 << 10),
        })
    }

    /// Blocks GRE in clear to and from an own address. May be repeated.
    ///
    /// # Errors
    /// What the kernel says; the address is not guarded then.
    pub fn block(&mut self, local: Ipv4Addr) -> io::Result<()> {
        // An update makes what is not there, and takes the place of what is.
        let policies = Policy::of(local).map(|policy| message(XFRM_MSG_UPDPOLICY, policy.info()));
        self.requests.batch(policies.into_iter(), 0)?.into_iter().collect()
    }

    /// Lets it through again.
    ///
    /// # Errors
    /// What the kernel says, but that there is nothing to remove.
    pub fn unblock(&mut self, local: Ipv4Addr) -> io::Result<()> {
        let policies = Policy::of(local).map(|policy| message(XFRM_MSG_DELPOLICY, policy.id()));
        let results = self.requests.batch(policies.into_iter(), 0)?;
        let gone = |result: &io::Error| result.raw_os_error() == Some(libc::ENOENT);
        results.into_iter().filter(|result| !result.as_ref().is_err_and(gone)).collect()
    }

    /// Own addresses that any of these policies is about, whoever installed it: an earlier life of this program.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn guarded(&mut self) -> io::Result<BTreeSet<Ipv4Addr>> {
        const DUMP: u16 = 0x300; // NLM_F_DUMP
        let sequence = self.requests.send(message(XFRM_MSG_GETPOLICY, vec![0; ID]), DUMP)?;
        let mut found = BTreeSet::new();
        loop {
            match self.slots.receive(self.requests.socket().as_fd()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let messages = self.slots.datagrams().flat_map(|datagram| Messages::of(&datagram));
            for message in messages.filter(|message| message.sequence == sequence) {
                if let Some(end) = message.error() {
                    return end.map(|()| found);
                }
                if message.kind == XFRM_MSG_NEWPOLICY {
                    found.extend(Policy::recognise(message.payload));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_kernels() {
        let [policy, ..] = Policy::of(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(policy.selector().len(), SELECTOR);
        assert_eq!(policy.info().len(), INFO);
        assert_eq!(policy.id().len(), ID);
    }

    #[test]
    fn own_policies_are_recognised_and_others_are_not() {
        let local = Ipv4Addr::new(192, 0, 2, 1);
        for policy in Policy::of(local) {
            let info = policy.info();
            assert_eq!(Policy::recognise(&info), Some(local));
            for (at, value) in [(PRIORITY_AT, 7), (ACTION_AT, 0), (42, 24), (44, 6)] {
                let mut other = info.clone();
                other[at] = value;
                assert_eq!(Policy::recognise(&other), None, "octet {at}");
            }
            assert_eq!(Policy::recognise(&info[..100]), None);
        }
    }
}
