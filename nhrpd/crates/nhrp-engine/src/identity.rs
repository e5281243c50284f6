//! `registration require-identity`: a client registers only overlay addresses that its IPsec identity may have.
//!
//! IPsec proves who a peer is, NHRP believes what overlay address it claims; a client that is let in could take another
//! one's. Here the two are held together (draft-detienne-dmvpn asks for it): the identity is the overlay address itself, or
//! a line of the configuration says of which prefix the identity may register addresses.
//!
//! Owns that judgement, for new registrations and, when identities or lines change, for those that are there. Never asks
//! for an identity: associations bring it.

use std::net::IpAddr;

use ipnet::IpNet;
use nhrp_config::Afi;

use crate::Engine;
use crate::cache::{CacheEntry, Origin};
use crate::ids::{CacheId, InterfaceId};
use crate::interface::{FAMILIES, Interface, afi_of};
use crate::io::Output;
use crate::notice::Notice;
use crate::prefix_table::host;

impl Engine {
    /// The identity of a peer; none while no association with it is known.
    fn identity_at(&self, interface: InterfaceId, nbma: IpAddr) -> Option<&str> {
        let local = self.interfaces.get(interface.key())?.nbma?;
        self.protection.identity(local, nbma)
    }

    fn requires_identity(&self, interface: InterfaceId, afi: Afi) -> bool {
        self.interfaces.get(interface.key()).is_some_and(|i| i.config.family(afi).require_identity)
    }

    /// A registration that came before the news of the association by which it came: not to be judged yet. The client asks
    /// again in a second.
    pub(crate) fn identity_to_come(&self, interface: InterfaceId, afi: Afi, source: IpAddr) -> bool {
        let protected = |i: &Interface| i.config.protection.is_some();
        self.requires_identity(interface, afi)
            && self.interfaces.get(interface.key()).is_some_and(protected)
            && self.identity_at(interface, source).is_none()
    }

    /// Why a client at an NBMA address may not have an overlay address.
    fn identity_obstacle(&self, interface: InterfaceId, protocol: IpAddr, source: IpAddr) -> Option<String> {
        let config = &self.interfaces.get(interface.key())?.config;
        let family = config.family(afi_of(protocol));
        if !family.require_identity {
            return None;
        }
        if config.protection.is_none() {
            return Some(
                "'registration require-identity' is configured, and no 'tunnel protection'".to_owned(),
            );
        }
        let identity = self.identity_at(interface, source).unwrap_or_default();
        if identity.is_empty() {
            return Some("several peers, or one without a name, are at that address".to_owned());
        }
        let own = identity.parse() == Ok(protocol);
        let listed = |(prefix, name): &(IpNet, String)| {
            prefix.contains(&protocol) && name.eq_ignore_ascii_case(identity)
        };
        if own || family.identities.iter().any(listed) {
            return None;
        }
        Some(format!(
            "its identity is '{identity}', and no line 'registration identity {protocol}/{} {identity}' lets it",
            host(protocol).prefix_len()
        ))
    }

    /// Whether a client at an NBMA address may register an overlay address.
    pub(crate) fn may_register(&mut self, interface: InterfaceId, protocol: IpAddr, source: IpAddr) -> bool {
        let Some(reason) = self.identity_obstacle(interface, protocol, source) else { return true };
        self.stats.registrations_of_others += 1;
        let name = self.interface_name(interface);
        self.push(Output::Notice(Notice::IdentityRefused { name, protocol, nbma: source, reason }));
        false
    }

    /// Identities, or what is said about them, have changed: whoever may not have its address any more loses it. `nbma`: only
    /// those at this address.
    pub(crate) fn judge_registered(&mut self, interface: InterfaceId, nbma: Option<IpAddr>) {
        if !FAMILIES.iter().any(|afi| self.requires_identity(interface, *afi)) {
            // The usual case, at every new association: no look at all the entries.
            return;
        }
        let registered = |e: &CacheEntry| {
            e.interface == interface
                && e.origin == Origin::Registered
                && nbma.is_none_or(|nbma| e.nbma == Some(nbma))
                && self.requires_identity(interface, afi_of(e.protocol))
        };
        let found = self.cache.iter().filter(|(_, e)| registered(e));
        let found: Vec<_> =
            found.filter_map(|(key, e)| Some((CacheId::from_key(key), e.protocol, e.nbma?))).collect();
        for (id, protocol, nbma) in found {
            // One without an association waits for it, and is judged then.
            if !self.identity_to_come(interface, afi_of(protocol), nbma)
                && !self.may_register(interface, protocol, nbma)
            {
                self.remove_cache(id, "its identity may not have it");
            }
        }
    }
}
