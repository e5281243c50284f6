//! The null responder (`lab null-responder`): turns registration requests around, and does nothing else.
//!
//! Owns the measure that a daemon is held to. One system call receives a packet, one sends it back through the same
//! tunnel to where it came from. No memory of anybody, no route, no neighbour.

use std::os::fd::AsRawFd;

use nhrp_wire::checksum;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{LinkAddr, MsgFlags, recvfrom, sendto, setsockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::failure::{Context, Result};

/// Octets of packets that may wait: what it is late for is not to be lost.
const BUFFER: usize = 8 << 20;

/// NHRP on a GRE tunnel.
const ETHERTYPE: u16 = 0x2001;

/// Of a packet's fixed part (RFC 2332, 5.2.0.1).
const CHECKSUM: usize = 12;
const TYPE: usize = 17;
const REGISTRATION_REQUEST: u8 = 3;
const REGISTRATION_REPLY: u8 = 4;

/// Answers until it is ended.
pub(crate) fn run() -> Result<()> {
    let protocol = Protocol::from(i32::from(ETHERTYPE.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))
        .context(|| "opening a packet socket".to_owned())?;
    setsockopt(&socket, RcvBufForce, &BUFFER).context(|| "making room for packets".to_owned())?;
    let mut buffer = vec![0; 2048];
    loop {
        let (length, sender) =
            recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer).context(|| "receiving".to_owned())?;
        let packet = buffer.get_mut(..length).unwrap_or_default();
        if let (Some(()), Some(sender)) = (turn_around(packet), sender) {
            // What cannot be sent is lost, and counted by the generator.
            let _ = sendto(socket.as_raw_fd(), packet, &sender, MsgFlags::empty());
        }
    }
}

/// Makes the answer of a registration request, in place: the same packet, confirmed.
fn turn_around(packet: &mut [u8]) -> Option<()> {
    let kind = packet.get_mut(TYPE).filter(|kind| **kind == REGISTRATION_REQUEST)?;
    *kind = REGISTRATION_REPLY;
    packet.get_mut(CHECKSUM..)?.get_mut(..2)?.fill(0);
    let sum = checksum::internet(packet);
    packet.get_mut(CHECKSUM..)?.get_mut(..2)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use nhrp_wire::{Cie, Exchange, Message, Packet};

    use super::*;

    #[test]
    fn a_request_becomes_a_reply_that_can_be_read() {
        let address = |last| Ipv4Addr::new(10, 0, 0, last).into();
        let exchange = Exchange { request_id: 7, cies: vec![Cie::default()] };
        let request =
            Packet::new(address(1), address(2), address(3), 1, Message::RegistrationRequest(exchange));
        let mut octets = Vec::new();
        request.encode(&mut octets).unwrap();
        turn_around(&mut octets).unwrap();
        assert!(checksum::verify(&octets));
        let reply = Packet::decode(&octets).unwrap();
        assert!(matches!(reply.message, Message::RegistrationReply(exchange) if exchange.request_id == 7));
        assert_eq!(turn_around(&mut octets), None, "a reply is not answered");
        assert_eq!(turn_around(&mut []), None);
    }
}
