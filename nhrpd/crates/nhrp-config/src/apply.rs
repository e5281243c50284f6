//! Applies one edit. Owns the checks that FRR makes and their order; an edit that is refused has changed nothing.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    AddressFamilySettings, Afi, Config, Edit, EditError, InterfaceConfig, InterfaceEdit, MulticastTarget,
    NhsConfig, NhsProtocol, TunnelProtection,
};

/// Longest authentication secret: Cisco's limit, which FRR shares.
const MAX_SECRET: usize = 8;

impl Config {
    /// Applies one change, or leaves everything as it was.
    ///
    /// # Errors
    /// [`EditError`], whose text is FRR's.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::EventSocket(path) => {
                check_text(path.as_deref(), "path")?;
                self.event_socket.clone_from(path);
            }
            Edit::NflogGroup(group) => self.nflog_group = *group,
            Edit::MulticastNflogGroup(group) => self.multicast_nflog_group = *group,
            Edit::Debug { bits, on: true } => self.debug.0 |= bits,
            Edit::Debug { bits, on: false } => self.debug.0 &= !bits,
            Edit::CreateInterface(name) => {
                check_word(Some(name), "interface name")?;
                self.interfaces.entry(name.clone()).or_default();
            }
            Edit::DeleteInterface(name) => {
                self.interfaces.remove(name);
            }
            Edit::Interface { name, edit } => {
                if let Some(interface) = self.interfaces.get_mut(name) {
                    return interface.apply(edit);
                }
                check_word(Some(name), "interface name")?;
                let mut interface = InterfaceConfig::default();
                interface.apply(edit)?;
                self.interfaces.insert(name.clone(), interface);
            }
        }
        Ok(())
    }

    /// As [`Config::apply`], but a list entry that is there already, the very same, is no error: files are read over
    /// what is there, and frr-reload.py sends every new line twice. FRR refuses the second one.
    ///
    /// # Errors
    /// [`EditError`], whose text is FRR's.
    pub fn apply_again(&mut self, edit: &Edit) -> Result<(), EditError> {
        match self.apply(edit) {
            Err(EditError::Exists) if self.has(edit) => Ok(()),
            other => other,
        }
    }

    /// Whether this entry of a list is there.
    fn has(&self, edit: &Edit) -> bool {
        let Edit::Interface { name, edit } = edit else { return false };
        self.interfaces.get(name).is_some_and(|interface| match edit {
            InterfaceEdit::Nhs(afi, nhs) => interface.family(*afi).nhs.contains(nhs),
            InterfaceEdit::Multicast(afi, target) => interface.family(*afi).multicast.contains(target),
            InterfaceEdit::Identity(afi, prefix, identity) => {
                interface.family(*afi).identities.contains(&(prefix.trunc(), identity.clone()))
            }
            _ => false,
        })
    }

    /// Whether every part of a configuration that was not built by edits would have been accepted as one.
    ///
    /// # Errors
    /// What the first offending edit would have met.
    pub fn validate(&self) -> Result<(), EditError> {
        let mut scratch = Self::default();
        scratch.diff(self).iter().try_for_each(|edit| scratch.apply(edit))?;
        // What no edit can express, such as an MTU for IPv6.
        if scratch == *self { Ok(()) } else { Err(EditError::Malformed("configuration")) }
    }
}

impl InterfaceConfig {
    /// Applies one change, or leaves everything as it was.
    ///
    /// # Errors
    /// [`EditError`], whose text is FRR's.
    pub fn apply(&mut self, edit: &InterfaceEdit) -> Result<(), EditError> {
        match edit {
            InterfaceEdit::Description(text) => {
                check_text(text.as_deref(), "description")?;
                self.description.clone_from(text);
            }
            InterfaceEdit::Protection(protection) => {
                if let Some(TunnelProtection { profile, fallback }) = protection {
                    check_word(Some(profile), "profile")?;
                    check_word(fallback.as_deref(), "profile")?;
                }
                self.protection.clone_from(protection);
            }
            InterfaceEdit::TunnelSource(name) => {
                check_word(name.as_deref(), "interface name")?;
                self.tunnel_source.clone_from(name);
            }
            InterfaceEdit::Authentication(afi, secret) => {
                if let Some(secret) = secret.as_ref().filter(|s| s.len() > MAX_SECRET) {
                    return Err(EditError::PasswordTooLong(secret.len()));
                }
                check_word(secret.as_deref(), "password")?;
                // `no` of either family removes it: there is one per interface.
                self.authentication = secret.clone().map(|secret| (*afi, secret));
            }
            InterfaceEdit::NetworkId(afi, id) => self.family_mut(*afi).network_id = *id,
            InterfaceEdit::Holdtime(afi, seconds) => self.family_mut(*afi).holdtime = *seconds,
            InterfaceEdit::Mtu(mtu) => self.ip.mtu = *mtu,
            InterfaceEdit::Shortcut(afi, on) => self.family_mut(*afi).shortcut = *on,
            InterfaceEdit::Redirect(afi, on) => self.family_mut(*afi).redirect = *on,
            InterfaceEdit::NoUnique(afi, on) => self.family_mut(*afi).no_unique = *on,
            InterfaceEdit::Uniqueness(afi, policy) => self.family_mut(*afi).uniqueness = *policy,
            InterfaceEdit::RequireIdentity(afi, on) => self.family_mut(*afi).require_identity = *on,
            InterfaceEdit::Identity(afi, prefix, identity) => {
                check_family(*afi, prefix.addr())?;
                check_text(Some(identity), "identity")?;
                self.family_mut(*afi).add_identity(*prefix, identity)?;
            }
            InterfaceEdit::NoIdentity(afi, prefix, identity) => {
                let list = &mut self.family_mut(*afi).identities;
                let same = |(p, i): &(IpNet, String)| *p == prefix.trunc() && i == identity;
                let at = list.iter().position(same).ok_or(EditError::NotFound)?;
                list.remove(at);
            }
            InterfaceEdit::Map(afi, protocol, target) => {
                check_family(*afi, *protocol)?;
                self.family_mut(*afi).maps.insert(*protocol, *target);
            }
            InterfaceEdit::NoMap(afi, protocol) => {
                check_family(*afi, *protocol)?;
                // The slow removal, which keeps the order of the others.
                let removed = self.family_mut(*afi).maps.shift_remove(protocol);
                removed.map(drop).ok_or(EditError::Failed)?;
            }
            InterfaceEdit::Multicast(afi, target) => self.family_mut(*afi).add_multicast(*target)?,
            InterfaceEdit::NoMulticast(afi, target) => {
                let list = &mut self.family_mut(*afi).multicast;
                let at = list.iter().position(|t| t == target).ok_or(EditError::NotFound)?;
                list.remove(at);
            }
            InterfaceEdit::Nhs(afi, nhs) => {
                check_nhs_family(*afi, nhs.protocol)?;
                check_word(Some(&nhs.nbma), "NBMA address")?;
                self.family_mut(*afi).add_nhs(nhs)?;
            }
            InterfaceEdit::NoNhs(afi, protocol, nbma) => {
                check_nhs_family(*afi, *protocol)?;
                let list = &mut self.family_mut(*afi).nhs;
                let at = list
                    .iter()
                    .position(|nhs| nhs.protocol == *protocol && nhs.nbma == *nbma)
                    .ok_or(EditError::NotFound)?;
                list.remove(at);
            }
        }
        Ok(())
    }
}

impl AddressFamilySettings {
    fn add_multicast(&mut self, target: MulticastTarget) -> Result<(), EditError> {
        if self.multicast.contains(&target) {
            return Err(EditError::Exists);
        }
        self.multicast.push(target);
        Ok(())
    }

    fn add_identity(&mut self, prefix: IpNet, identity: &str) -> Result<(), EditError> {
        let entry = (prefix.trunc(), identity.to_owned());
        if self.identities.contains(&entry) {
            return Err(EditError::Exists);
        }
        self.identities.push(entry);
        Ok(())
    }

    /// Two servers may share neither a known overlay address nor an NBMA address or name, not even if one is `dynamic`.
    fn add_nhs(&mut self, nhs: &NhsConfig) -> Result<(), EditError> {
        let clashes = |other: &NhsConfig| {
            other.nbma == nhs.nbma || (nhs.protocol != NhsProtocol::Dynamic && other.protocol == nhs.protocol)
        };
        if self.nhs.iter().any(clashes) {
            return Err(EditError::Exists);
        }
        self.nhs.push(nhs.clone());
        Ok(())
    }
}

fn check_family(afi: Afi, protocol: IpAddr) -> Result<(), EditError> {
    if protocol.is_ipv4() == (afi == Afi::Ip) { Ok(()) } else { Err(EditError::FamilyMismatch) }
}

fn check_nhs_family(afi: Afi, protocol: NhsProtocol) -> Result<(), EditError> {
    match protocol {
        NhsProtocol::Dynamic => Ok(()),
        NhsProtocol::Address(address) => check_family(afi, address),
    }
}

/// A rest of a line: vty joins its words by single spaces.
fn check_text(text: Option<&str>, what: &'static str) -> Result<(), EditError> {
    let readable = |t: &str| {
        !t.is_empty()
            && t.split(' ').all(|word| !word.is_empty())
            && !t.contains(|c: char| c.is_control() || (c.is_whitespace() && c != ' '))
    };
    if text.is_none_or(readable) { Ok(()) } else { Err(EditError::Malformed(what)) }
}

fn check_word(word: Option<&str>, what: &'static str) -> Result<(), EditError> {
    check_text(word, what)?;
    if word.is_none_or(|w| !w.contains(' ')) { Ok(()) } else { Err(EditError::Malformed(what)) }
}

#[cfg(test)]
mod tests;
