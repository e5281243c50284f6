//! Which edits turn one configuration into another. Owns their order: whatever is in the way goes first, so that no
//! edit is refused half-way, and a list keeps as much of itself as its order allows.

use ipnet::IpNet;

use crate::{AddressFamilySettings, Afi, Config, Edit, InterfaceConfig, InterfaceEdit, NhsConfig};

impl Config {
    /// The edits that turn `self` into `new`, to be applied in order. Empty if they are equal.
    ///
    /// If both are valid ([`Config::validate`]), every edit is accepted.
    #[must_use]
    pub fn diff(&self, new: &Self) -> Vec<Edit> {
        let mut edits = Vec::new();
        if self.event_socket != new.event_socket {
            edits.push(Edit::EventSocket(new.event_socket.clone()));
        }
        if self.nflog_group != new.nflog_group {
            edits.push(Edit::NflogGroup(new.nflog_group));
        }
        if self.multicast_nflog_group != new.multicast_nflog_group {
            edits.push(Edit::MulticastNflogGroup(new.multicast_nflog_group));
        }
        for (bits, on) in [(self.debug.0 & !new.debug.0, false), (new.debug.0 & !self.debug.0, true)] {
            if bits != 0 {
                edits.push(Edit::Debug { bits, on });
            }
        }
        let gone = self.interfaces.keys().filter(|name| !new.interfaces.contains_key(*name));
        edits.extend(gone.cloned().map(Edit::DeleteInterface));
        let empty = InterfaceConfig::default();
        for (name, wanted) in &new.interfaces {
            let present = self.interfaces.get(name);
            if present.is_none() {
                edits.push(Edit::CreateInterface(name.clone()));
            }
            let changes = present.unwrap_or(&empty).diff(wanted);
            edits.extend(changes.into_iter().map(|edit| Edit::Interface { name: name.clone(), edit }));
        }
        edits
    }
}

impl InterfaceConfig {
    /// The edits that turn `self` into `new`, to be applied in order. Empty if they are equal.
    #[must_use]
    pub fn diff(&self, new: &Self) -> Vec<InterfaceEdit> {
        let mut edits = Vec::new();
        if self.description != new.description {
            edits.push(InterfaceEdit::Description(new.description.clone()));
        }
        if self.protection != new.protection {
            edits.push(InterfaceEdit::Protection(new.protection.clone()));
        }
        if self.tunnel_source != new.tunnel_source {
            edits.push(InterfaceEdit::TunnelSource(new.tunnel_source.clone()));
        }
        if self.authentication != new.authentication {
            edits.push(match &new.authentication {
                Some((afi, secret)) => InterfaceEdit::Authentication(*afi, Some(secret.clone())),
                None => InterfaceEdit::Authentication(Afi::Ip, None),
            });
        }
        if self.ip.mtu != new.ip.mtu {
            edits.push(InterfaceEdit::Mtu(new.ip.mtu));
        }
        for afi in [Afi::Ip, Afi::Ipv6] {
            diff_family(afi, self.family(afi), new.family(afi), &mut edits);
        }
        edits
    }
}

fn diff_family(
    afi: Afi,
    old: &AddressFamilySettings,
    new: &AddressFamilySettings,
    edits: &mut Vec<InterfaceEdit>,
) {
    if old.network_id != new.network_id {
        edits.push(InterfaceEdit::NetworkId(afi, new.network_id));
    }
    if old.holdtime != new.holdtime {
        edits.push(InterfaceEdit::Holdtime(afi, new.holdtime));
    }
    if old.shortcut != new.shortcut {
        edits.push(InterfaceEdit::Shortcut(afi, new.shortcut));
    }
    if old.redirect != new.redirect {
        edits.push(InterfaceEdit::Redirect(afi, new.redirect));
    }
    if old.no_unique != new.no_unique {
        edits.push(InterfaceEdit::NoUnique(afi, new.no_unique));
    }

    if old.uniqueness != new.uniqueness {
        edits.push(InterfaceEdit::Uniqueness(afi, new.uniqueness));
    }

    if old.require_identity != new.require_identity {
        edits.push(InterfaceEdit::RequireIdentity(afi, new.require_identity));
    }
    let (gone, added) = diff_list(&old.identities, &new.identities);
    let forget =
        |(prefix, identity): &(IpNet, String)| InterfaceEdit::NoIdentity(afi, *prefix, identity.clone());
    edits.extend(gone.into_iter().map(forget));
    edits.extend(
        added.iter().map(|(prefix, identity)| InterfaceEdit::Identity(afi, *prefix, identity.clone())),
    );

    // The order of maps means nothing (and two sets of them are equal in any order), so nothing is torn down for it.
    let gone = old.maps.keys().filter(|protocol| !new.maps.contains_key(*protocol));
    edits.extend(gone.map(|protocol| InterfaceEdit::NoMap(afi, *protocol)));
    let changed = new.maps.iter().filter(|(protocol, target)| old.maps.get(*protocol) != Some(target));
    edits.extend(changed.map(|(protocol, target)| InterfaceEdit::Map(afi, *protocol, *target)));

    let (gone, added) = diff_list(&old.nhs, &new.nhs);
    let forget = |nhs: &NhsConfig| InterfaceEdit::NoNhs(afi, nhs.protocol, nhs.nbma.clone());
    edits.extend(gone.into_iter().map(forget));
    edits.extend(added.iter().map(|nhs| InterfaceEdit::Nhs(afi, nhs.clone())));

    let (gone, added) = diff_list(&old.multicast, &new.multicast);
    edits.extend(gone.into_iter().map(|target| InterfaceEdit::NoMulticast(afi, *target)));
    edits.extend(added.iter().map(|target| InterfaceEdit::Multicast(afi, *target)));
}

/// What to remove from `old`, and what to append then, to get `new` in its order.
///
/// Since an edit can only append, what stays must be the beginning of `new`: the longest one that `old` contains in order.
fn diff_list<'a, T: PartialEq>(old: &'a [T], new: &'a [T]) -> (Vec<&'a T>, &'a [T]) {
    let mut gone = Vec::new();
    let mut missing = new;
    for item in old {
        match missing.split_first() {
            Some((next, rest)) if next == item => missing = rest,
            _ => gone.push(item),
        }
    }
    (gone, missing)
}

#[cfg(test)]
mod tests {
    use super::diff_list;

    #[test]
    fn a_list_keeps_what_its_order_allows() {
        assert_eq!(diff_list(&[1, 2, 3], &[1, 2, 3]), (vec![], &[][..]));
        assert_eq!(diff_list(&[1, 2, 3], &[1, 3]), (vec![&2], &[][..]));
        assert_eq!(diff_list(&[1, 2], &[1, 2, 3]), (vec![], &[3][..]));
        assert_eq!(diff_list(&[1, 2], &[2, 1]), (vec![&1], &[1][..]));
        assert_eq!(diff_list(&[1, 2], &[3, 1, 2]), (vec![&1, &2], &[3, 1, 2][..]));
    }
}
