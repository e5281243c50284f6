//! FRR text of a configuration. Owns which line is printed, where and for whom; never changes a configuration.
//!
//! Order and wording are FRR's, so that `show running-config`, `write` and frr-reload.py see what they know. One stated
//! difference: FRR prints `map` lines in the order of a hash table, here they come in the order typed.

use std::fmt::{self, Display};

use crate::order::compare_interface_names;
use crate::{
    AddressFamilySettings, Afi, Config, DEFAULT_HOLDTIME, DebugTopics, InterfaceConfig, MapTarget, Mtu,
    MulticastTarget, NhsConfig, NhsProtocol, Uniqueness,
};

/// How `nhrp authentication` is written for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationForm {
    /// The reader does not know the command (FRR before 10.2).
    Unknown,
    /// Always `ip nhrp authentication` (FRR 10.2 to 10.6).
    AlwaysIp,
    /// With the family it was typed with (FRR 10.7 and later).
    AsTyped,
}

/// Which of the commands that not every release has a reader can parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// `nhrp authentication`.
    pub authentication: AuthenticationForm,
    /// `nhs … priority N`, newer than FRR 10.7.
    pub nhs_priority: bool,
    /// `map multicast nhs`, newer than FRR 10.7.
    pub multicast_nhs: bool,
}

impl Vocabulary {
    /// Everything: this daemon's own reader.
    pub const FULL: Self =
        Self { authentication: AuthenticationForm::AsTyped, nhs_priority: true, multicast_nhs: true };

    /// What the vtysh of an FRR release can parse, for example `(10, 3)`.
    #[must_use]
    pub fn of_frr(major: u32, minor: u32) -> Self {
        let release = (major, minor);
        Self {
            authentication: match release {
                r if r < (10, 2) => AuthenticationForm::Unknown,
                r if r < (10, 7) => AuthenticationForm::AlwaysIp,
                _ => AuthenticationForm::AsTyped,
            },
            nhs_priority: release > (10, 7),
            multicast_nhs: release > (10, 7),
        }
    }
}

/// Which lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All of them.
    Whole,
    /// Those that the installed vtysh can read back: for `show running-config` and `write`.
    Vtysh,
    /// The others: for the daemon's own file. `Vtysh` and `Rest` together are the configuration.
    Rest,
}

/// For whom a configuration is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderOptions {
    /// What the installed vtysh knows.
    pub vocabulary: Vocabulary,
    /// Which lines are wanted.
    pub view: View,
}

impl RenderOptions {
    /// Every line, as the newest FRR writes it.
    pub const FULL: Self = Self { vocabulary: Vocabulary::FULL, view: View::Whole };

    /// What a vtysh of this release can read back.
    #[must_use]
    pub fn vtysh(major: u32, minor: u32) -> Self {
        Self { vocabulary: Vocabulary::of_frr(major, minor), view: View::Vtysh }
    }

    /// What a vtysh of this release cannot read back.
    #[must_use]
    pub fn rest(major: u32, minor: u32) -> Self {
        Self { vocabulary: Vocabulary::of_frr(major, minor), view: View::Rest }
    }

    fn wants(&self, readable: bool) -> bool {
        match self.view {
            View::Whole => true,
            View::Vtysh => readable,
            View::Rest => !readable,
        }
    }

    /// The keyword before `nhrp authentication`. Who cannot read it at all gets it as typed: the daemon's own file.
    fn authentication_family(&self, typed: Afi) -> Afi {
        match self.vocabulary.authentication {
            AuthenticationForm::AlwaysIp => Afi::Ip,
            AuthenticationForm::Unknown | AuthenticationForm::AsTyped => typed,
        }
    }
}

impl Display for Afi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip",
            Self::Ipv6 => "ipv6",
        })
    }
}

impl Display for MapTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Nbma(address) => address.fmt(f),
        }
    }
}

impl Display for MulticastTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nbma(address) => address.fmt(f),
            Self::Dynamic => f.write_str("dynamic"),
            Self::Nhs => f.write_str("nhs"),
        }
    }
}

impl Display for NhsProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dynamic => f.write_str("dynamic"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// What follows the family: `nhrp nhs dynamic nbma hub.example.com priority 5`.
impl Display for NhsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nhrp nhs {} nbma {}", self.protocol, self.nbma)?;
        if self.priority != 0 {
            write!(f, " priority {}", self.priority)?;
        }
        Ok(())
    }
}

impl Config {
    /// The whole configuration: interfaces in FRR's order, then [`Config::render_global`].
    #[must_use]
    pub fn render(&self, options: &RenderOptions) -> String {
        let mut names: Vec<&str> = self.interfaces.keys().map(String::as_str).collect();
        names.sort_by(|a, b| compare_interface_names(a, b));
        let sections = names.into_iter().map(|name| self.render_interface(name, options));
        let sections: Vec<String> = sections.filter(|section| !section.is_empty()).collect();
        // FRR writes a `!` before each section as well as after it; the first one belongs to what comes before.
        let mut text = sections.join("!\n");
        text.push_str(&self.render_global(options));
        text
    }

    /// The section of one interface from `interface NAME` to the `!` after its `exit`; empty if no line belongs in it.
    #[must_use]
    pub fn render_interface(&self, name: &str, options: &RenderOptions) -> String {
        let lines = self.interfaces.get(name).map(|i| i.lines(options)).unwrap_or_default();
        if lines.is_empty() {
            return String::new();
        }
        let mut text = format!("interface {name}\n");
        for line in lines {
            text.push(' ');
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str("exit\n!\n");
        text
    }

    /// Debug lines, a `!`, and the global `nhrp` lines. Every vtysh reads all of them, so there is no rest of them.
    #[must_use]
    pub fn render_global(&self, options: &RenderOptions) -> String {
        if options.view == View::Rest {
            return String::new();
        }
        let mut text = String::new();
        for topic in self.debug.topic_names() {
            text.push_str(&format!("debug nhrp {topic}\n"));
        }
        text.push_str("!\n");
        if let Some(path) = &self.event_socket {
            text.push_str(&format!("nhrp event socket {path}\n"));
        }
        if let Some(group) = self.nflog_group {
            text.push_str(&format!("nhrp nflog-group {group}\n"));
        }
        if let Some(group) = self.multicast_nflog_group {
            text.push_str(&format!("nhrp multicast-nflog-group {group}\n"));
        }
        text
    }
}

impl DebugTopics {
    /// Every topic with its keyword, in the order in which FRR prints them.
    pub const NAMES: [(u16, &'static str); 6] = [
        (Self::COMMON, "common"),
        (Self::INTERFACE, "interface"),
        (Self::KERNEL, "kernel"),
        (Self::ROUTE, "route"),
        (Self::VICI, "vici"),
        (Self::EVENT, "event"),
    ];

    /// The keywords that switch exactly these topics on: `all` alone, if it was typed and nothing switched off since.
    #[must_use]
    pub fn topic_names(self) -> Vec<&'static str> {
        if self.0 == Self::ALL {
            return vec!["all"];
        }
        Self::NAMES.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect()
    }
}

impl InterfaceConfig {
    /// The lines below `interface NAME`, without indentation, in FRR's order.
    #[must_use]
    pub fn lines(&self, options: &RenderOptions) -> Vec<String> {
        let mut lines = Vec::new();
        if options.wants(true) {
            if let Some(text) = &self.description {
                lines.push(format!("description {text}"));
            }
            if let Some(protection) = &self.protection {
                let mut line = format!("tunnel protection vici profile {}", protection.profile);
                if let Some(fallback) = &protection.fallback {
                    line.push_str(&format!(" fallback-profile {fallback}"));
                }
                lines.push(line);
            }
            if let Some(source) = &self.tunnel_source {
                lines.push(format!("tunnel source {source}"));
            }
        }
        if let Some((typed, secret)) = &self.authentication {
            let known = options.vocabulary.authentication != AuthenticationForm::Unknown;
            if options.wants(known) {
                let family = options.authentication_family(*typed);
                lines.push(format!("{family} nhrp authentication {secret}"));
            }
        }
        for afi in [Afi::Ip, Afi::Ipv6] {
            family_lines(afi, self.family(afi), options, &mut lines);
        }
        lines
    }
}

fn family_lines(
    afi: Afi,
    settings: &AddressFamilySettings,
    options: &RenderOptions,
    lines: &mut Vec<String>,
) {
    if options.wants(true) {
        if settings.network_id != 0 {
            lines.push(format!("{afi} nhrp network-id {}", settings.network_id));
        }
        if settings.holdtime != DEFAULT_HOLDTIME {
            lines.push(format!("{afi} nhrp holdtime {}", settings.holdtime));
        }
        match settings.mtu {
            Mtu::Unset => {}
            Mtu::OpenNhrp => lines.push(format!("{afi} nhrp mtu opennhrp")),
            Mtu::Octets(octets) => lines.push(format!("{afi} nhrp mtu {octets}")),
        }
        let flags = [
            (settings.shortcut, "shortcut"),
            (settings.redirect, "redirect"),
            (settings.no_unique, "registration no-unique"),
        ];
        for (_, keyword) in flags.iter().filter(|(on, _)| *on) {
            lines.push(format!("{afi} nhrp {keyword}"));
        }
    }
    // No vtysh knows it.
    if settings.uniqueness == Uniqueness::Strict && options.wants(false) {
        lines.push(format!("{afi} nhrp registration unique strict"));
    }
    if options.wants(false) {
        if settings.require_identity {
            lines.push(format!("{afi} nhrp registration require-identity"));
        }
        for (prefix, identity) in &settings.identities {
            lines.push(format!("{afi} nhrp registration identity {prefix} {identity}"));
        }
    }
    if options.wants(true) {
        for (protocol, target) in &settings.maps {
            lines.push(format!("{afi} nhrp map {protocol} {target}"));
        }
    }
    for nhs in &settings.nhs {
        // A line is read whole or not at all: without its priority it would be another NHS to frr-reload.py,
        // and the full line in the daemon's own file would then be refused as existing already.
        if options.wants(nhs.priority == 0 || options.vocabulary.nhs_priority) {
            lines.push(format!("{afi} {nhs}"));
        }
    }
    for target in &settings.multicast {
        let readable = *target != MulticastTarget::Nhs || options.vocabulary.multicast_nhs;
        if options.wants(readable) {
            lines.push(format!("{afi} nhrp map multicast {target}"));
        }
    }
}

#[cfg(test)]
mod tests;
