//! Vectors of packets that are done with, kept for packets to come.
//!
//! Owns memory and nothing else: a packet decoded with used vectors equals one decoded with new ones. Once as many
//! are there as a packet needs, decoding, answering and encoding the usual packets allocates nothing.

use alloc::vec::Vec;

use crate::{Cie, DecodeError, Extension, ExtensionBody, Message, Packet};

/// Vectors of one kind that are kept; what goes beyond is given back to the allocator.
const KEPT: usize = 64;
/// Elements (octets, entries) for which a kept vector may have room. A single huge packet must not stay in memory.
const LARGEST_OCTETS: usize = 2048;
const LARGEST_ENTRIES: usize = 32;

/// Used vectors. An empty one is as good as a full one, only slower.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    octets: Vec<Vec<u8>>,
    cies: Vec<Vec<Cie>>,
    extensions: Vec<Vec<Extension>>,
}

fn keep<T>(kept: &mut Vec<Vec<T>>, mut used: Vec<T>, largest: usize) {
    if kept.len() < KEPT && (1..=largest).contains(&used.capacity()) {
        used.clear();
        kept.push(used);
    }
}

impl Buffers {
    /// As [`Packet::decode`], with vectors of former packets.
    ///
    /// # Errors
    /// As [`Packet::decode`].
    pub fn decode(&mut self, octets: &[u8]) -> Result<Packet, DecodeError> {
        crate::decode::decode(octets, self)
    }

    /// An empty vector for octets, with room if there is a used one.
    #[must_use]
    pub fn octets(&mut self) -> Vec<u8> {
        self.octets.pop().unwrap_or_default()
    }

    /// Takes octets that are not needed any more.
    pub fn keep_octets(&mut self, used: Vec<u8>) {
        keep(&mut self.octets, used, LARGEST_OCTETS);
    }

    pub(crate) fn cies(&mut self) -> Vec<Cie> {
        self.cies.pop().unwrap_or_default()
    }

    pub(crate) fn extensions(&mut self) -> Vec<Extension> {
        self.extensions.pop().unwrap_or_default()
    }

    /// Takes a packet apart that is not needed any more.
    pub fn keep_packet(&mut self, packet: Packet) {
        self.keep_octets(packet.source_nbma_subaddress);
        match packet.message {
            Message::ErrorIndication { packet, .. } | Message::TrafficIndication { packet, .. } => {
                self.keep_octets(packet);
            }
            Message::ResolutionRequest(x)
            | Message::ResolutionReply(x)
            | Message::RegistrationRequest(x)
            | Message::RegistrationReply(x)
            | Message::PurgeRequest(x)
            | Message::PurgeReply(x) => keep(&mut self.cies, x.cies, LARGEST_ENTRIES),
        }
        let mut extensions = packet.extensions;
        for extension in extensions.drain(..) {
            self.keep_extension(extension);
        }
        keep(&mut self.extensions, extensions, LARGEST_ENTRIES);
    }

    /// The same for an extension that was taken out of a packet.
    pub fn keep_extension(&mut self, extension: Extension) {
        match extension.body {
            ExtensionBody::ResponderAddress(cies)
            | ExtensionBody::ForwardTransitNhs(cies)
            | ExtensionBody::ReverseTransitNhs(cies)
            | ExtensionBody::NatAddress(cies) => keep(&mut self.cies, cies, LARGEST_ENTRIES),
            ExtensionBody::Authentication { data, .. }
            | ExtensionBody::VendorPrivate { data, .. }
            | ExtensionBody::Unknown { data, .. } => self.keep_octets(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::{Exchange, ExtensionBody};

    fn packet(cies: usize) -> Packet {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let cie = Cie { nbma: Some(address), protocol: Some(address), ..Cie::default() };
        let message = Message::RegistrationRequest(Exchange { request_id: 7, cies: vec![cie.clone(); cies] });
        Packet::new(address, address, address, 1, message)
            .with_extension(Extension::compulsory(ExtensionBody::ResponderAddress(Vec::new())))
            .with_extension(Extension::optional(ExtensionBody::NatAddress(vec![cie])))
            .with_extension(Extension::cisco_authentication(b"secret"))
    }

    #[test]
    fn used_vectors_change_nothing() {
        let mut buffers = Buffers::default();
        for cies in [3, 1, 0, 2, 90, 1] {
            let packet = packet(cies);
            let mut octets = buffers.octets();
            assert!(octets.is_empty());
            packet.encode(&mut octets).unwrap();
            let decoded = buffers.decode(&octets).unwrap();
            assert_eq!(decoded, packet);
            buffers.keep_packet(decoded);
            buffers.keep_octets(octets);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut buffers = Buffers::default();
        for _ in 0..100 {
            buffers.keep_packet(packet(90));
            buffers.keep_packet(packet(1));
            buffers.keep_octets(vec![0; 60_000]);
        }
        assert_eq!([buffers.octets.len(), buffers.cies.len(), buffers.extensions.len()], [KEPT; 3]);
        assert!(buffers.cies.iter().all(|kept| kept.capacity() <= LARGEST_ENTRIES));
        assert!(buffers.octets.iter().all(|kept| kept.capacity() <= LARGEST_OCTETS));
    }
}
