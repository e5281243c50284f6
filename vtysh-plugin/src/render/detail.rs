//! What this daemon tells beyond FRR's tables: expiry, age and the reason of each state, as text and as JSON. Reached by
//! `nhrpctl` and on telnet, since vtysh passes on only what it was built with. Owns the words; gathers nothing.

use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

use super::json::{Value, count, table};
use super::nhrp::{CacheKind, NO_ENTRIES};
use crate::{Release, Reply, ReturnCode};

/// A row of a detailed table: a heading, lines of text, and the same as JSON.
trait Row {
    fn heading(&self) -> String;
    fn lines(&self) -> Vec<(&'static str, String)>;
    fn object(&self) -> Vec<(&'static str, Value)>;
}

fn print<R: Row>(rows: &[R], json: bool, release: Release) -> Reply {
    let rc = if rows.is_empty() { ReturnCode::Warning } else { ReturnCode::Success };
    if json {
        let objects = rows.iter().map(|row| Value::Object(row.object())).collect();
        return Reply::new(rc, table(vec![("entriesCount", count(rows.len()))], objects).print(release));
    }
    if rows.is_empty() {
        return Reply::new(rc, NO_ENTRIES);
    }
    let mut out = String::new();
    for row in rows {
        let _ = writeln!(out, "{}", row.heading());
        for (name, text) in row.lines() {
            let _ = writeln!(out, "  {name}: {text}");
        }
    }
    Reply::new(rc, out)
}

/// Whole seconds for people: `12 s`, `3 min 5 s`, `2 h 1 min`.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        (1..48, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("{count} {one}") } else { format!("{count} {one}s") }
}

pub(super) fn number(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn known(value: Option<IpAddr>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// Appends what is known of these, in their order.
pub(super) fn optional(members: &mut Vec<(&'static str, Value)>, more: Vec<(&'static str, Option<Value>)>) {
    members.extend(more.into_iter().filter_map(|(key, value)| Some((key, value?))));
}

/// Who a binding comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingOrigin {
    /// A resolution taught it.
    Resolved,
    /// A client registered here, or we there.
    Registered,
    /// It is configured, or an own address.
    Configured,
}

impl BindingOrigin {
    fn word(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Registered => "registered",
            Self::Configured => "configured",
        }
    }
}

/// How a binding stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingState {
    /// The own address, for which nothing is told to the kernel.
    Own,
    /// Told to kernel and zebra.
    Up,
    /// Known, and not told; why, in words.
    Down(String),
}

/// One row of `show ip nhrp cache detail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheDetail {
    /// Tunnel interface.
    pub interface: String,
    /// Type.
    pub kind: CacheKind,
    /// Who it comes from.
    pub origin: BindingOrigin,
    /// Overlay address.
    pub protocol: IpAddr,
    /// Where packets go; own address of a local entry.
    pub nbma: Option<IpAddr>,
    /// What the station itself says.
    pub claimed: Option<IpAddr>,
    /// How it stands.
    pub state: BindingState,
    /// Packets went to it lately.
    pub used: bool,
    /// Nobody else may register the address.
    pub unique: bool,
    /// MTU that its station advertised; 0 for none.
    pub mtu: u16,
    /// Seconds since this NBMA address was learned.
    pub age: u64,
    /// Seconds to its end; none if it has none.
    pub expires_in: Option<u64>,
}

impl Row for CacheDetail {
    fn heading(&self) -> String {
        format!("{} on {}: {}, {}", self.protocol, self.interface, self.kind.name(), self.origin.word())
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut nbma = known(self.nbma);
        if let Some(claimed) = self.claimed.filter(|claimed| Some(*claimed) != self.nbma) {
            let _ = write!(nbma, ", behind a translator as {claimed}");
        }
        let end = self
            .expires_in
            .map_or_else(|| "does not expire".to_owned(), |left| format!("expires in {}", span(left)));
        let state = match &self.state {
            BindingState::Own => format!("own address since {}", span(self.age)),
            BindingState::Up => {
                let used = if self.used { ", used lately" } else { "" };
                format!("up since {}{used}, {end}", span(self.age))
            }
            BindingState::Down(reason) => format!("not in use: {reason}; {end}"),
        };
        let mut lines = vec![("NBMA address", nbma), ("State", state)];
        if self.mtu != 0 {
            lines.push(("MTU", self.mtu.to_string()));
        }
        if self.unique {
            lines.push(("Registration", "unique".to_owned()));
        }
        lines
    }

    fn object(&self) -> Vec<(&'static str, Value)> {
        let (state, reason) = match &self.state {
            BindingState::Own => ("own", None),
            BindingState::Up => ("up", None),
            BindingState::Down(reason) => ("down", Some(reason.as_str().into())),
        };
        let mut members = vec![
            ("interface", self.interface.as_str().into()),
            ("type", self.kind.name().into()),
            ("origin", self.origin.word().into()),
            ("protocol", self.protocol.to_string().into()),
            ("state", state.into()),
            ("used", self.used.into()),
            ("unique", self.unique.into()),
            ("ageSeconds", number(self.age)),
        ];
        optional(
            &mut members,
            vec![
                ("nbma", self.nbma.map(|a| a.to_string().into())),
                ("claimedNbma", self.claimed.map(|a| a.to_string().into())),
                ("reason", reason),
                ("mtu", (self.mtu != 0).then(|| u32::from(self.mtu).into())),
                ("expiresInSeconds", self.expires_in.map(number)),
            ],
        );
        members
    }
}

/// `show <ip|ipv6> nhrp cache detail [json]`
#[must_use]
pub fn cache_detail(rows: &[CacheDetail], json: bool, release: Release) -> Reply {
    print(rows, json, release)
}

/// How the registration with a server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NhsState {
    /// NHRP does not run on the interface, in words.
    Stopped(String),
    /// The interface has no overlay address.
    NoAddress,
    /// Its name is being looked up.
    LookingUp,
    /// Its name leads nowhere, in the resolver's words.
    Unresolved(String),
    /// A server of better priority comes first.
    Standby,
    /// Packets to it are not protected yet: with whom and why, in words.
    AwaitsIpsec(String),
    /// No answer for so many seconds to so many requests.
    Asking {
        /// Seconds since the first request.
        since: u64,
        /// Requests.
        requests: u64,
    },
    /// It answers, and refuses.
    Refused {
        /// How, in words.
        refusal: String,
        /// Code of the entry or error, if it has one.
        code: Option<u32>,
        /// Seconds since the first time.
        since: u64,
    },
    /// Accepted.
    Registered {
        /// Seconds since the first time.
        since: u64,
        /// Seconds to the next request.
        renewal: Option<u64>,
        /// Renewals without an answer.
        unanswered: u64,
    },
}

impl NhsState {
    fn word(&self) -> &'static str {
        match self {
            Self::Stopped(_) => "stopped",
            Self::NoAddress => "noAddress",
            Self::LookingUp => "lookingUp",
            Self::Unresolved(_) => "unresolved",
            Self::Standby => "standby",
            Self::AwaitsIpsec(_) => "awaitsIpsec",
            Self::Asking { .. } => "registering",
            Self::Refused { .. } => "refused",
            Self::Registered { .. } => "registered",
        }
    }

    fn words(&self, nbma: Option<IpAddr>) -> String {
        let server = known(nbma);
        match self {
            Self::Stopped(obstacle) => format!("not registering: {obstacle}"),
            Self::NoAddress => {
                "not registering: the interface has no overlay address; give it one with 'ip address add'"
                    .to_owned()
            }
            Self::LookingUp => "waiting: its name is being looked up".to_owned(),
            Self::Unresolved(error) => format!("waiting for its name: {error}"),
            Self::Standby => "standing by: a server of better priority comes first".to_owned(),
            Self::AwaitsIpsec(reason) => reason.clone(),
            Self::Asking { since, requests } => format!(
                "registering: no answer from {server} since {} ({})",
                span(*since),
                plural(*requests, "request")
            ),
            Self::Refused { refusal, since, .. } => {
                format!("refused by {server} since {}: {refusal}", span(*since))
            }
            Self::Registered { since, renewal, unanswered } => {
                let mut words = format!("registered since {}", span(*since));
                if let Some(left) = renewal {
                    let _ = write!(words, ", asks again in {}", span(*left));
                }
                if *unanswered > 0 {
                    let _ = write!(words, "; no answer to {}", plural(*unanswered, "renewal"));
                }
                words
            }
        }
    }
}

/// One row of `show ip nhrp nhs detail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NhsDetail {
    /// Tunnel interface.
    pub interface: String,
    /// NBMA address or name, as configured.
    pub fqdn: String,
    /// NBMA address.
    pub nbma: Option<IpAddr>,
    /// Overlay address.
    pub protocol: Option<IpAddr>,
    /// Priority.
    pub priority: u8,
    /// How it stands.
    pub state: NhsState,
}

impl Row for NhsDetail {
    fn heading(&self) -> String {
        let protocol = self.protocol.map_or_else(|| "dynamic".to_owned(), |address| address.to_string());
        format!("{} on {}: overlay address {protocol}", self.fqdn, self.interface)
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("NBMA address", known(self.nbma)),
            ("Priority", self.priority.to_string()),
            ("State", self.state.words(self.nbma)),
        ]
    }

    fn object(&self) -> Vec<(&'static str, Value)> {
        let mut members = vec![
            ("interface", self.interface.as_str().into()),
            ("fqdn", self.fqdn.as_str().into()),
            ("priority", u32::from(self.priority).into()),
            ("state", self.state.word().into()),
            ("reason", self.state.words(self.nbma).into()),
        ];
        let (since, requests, code, renewal) = match &self.state {
            NhsState::Asking { since, requests } => (Some(*since), Some(*requests), None, None),
            NhsState::Refused { code, since, .. } => (Some(*since), None, *code, None),
            NhsState::Registered { since, renewal, unanswered } => {
                (Some(*since), Some(*unanswered), None, *renewal)
            }
            _ => (None, None, None, None),
        };
        optional(
            &mut members,
            vec![
                ("nbma", self.nbma.map(|a| a.to_string().into())),
                ("protocol", self.protocol.map(|a| a.to_string().into())),
                ("sinceSeconds", since.map(number)),
                ("unansweredRequests", requests.map(number)),
                ("code", code.map(Into::into)),
                ("renewalInSeconds", renewal.map(number)),
            ],
        );
        members
    }
}

/// `show <ip|ipv6> nhrp nhs detail [json]`
#[must_use]
pub fn nhs_detail(rows: &[NhsDetail], json: bool, release: Release) -> Reply {
    print(rows, json, release)
}

/// How a shortcut stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectPath {
    /// No answer for so many seconds to so many requests.
    Asking {
        /// Seconds since the first request.
        since: u64,
        /// Requests.
        requests: u64,
    },
    /// Refused, in words.
    Refused(String),
    /// Packets are rejected here.
    Unreachable,
    /// The peer is known, and cannot be reached at present.
    Waiting,
    /// A route leads directly to the peer.
    Active {
        /// Packets went to the peer lately.
        used: bool,
        /// It is being asked for anew.
        renewing: bool,
        /// It ends if nothing uses it.
        expiring: bool,
    },
}

impl DirectPath {
    fn word(&self) -> &'static str {
        match self {
            Self::Asking { .. } => "resolving",
            Self::Refused(_) => "refused",
            Self::Unreachable => "unreachable",
            Self::Waiting => "waiting",
            Self::Active { .. } => "active",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Asking { since, requests } => {
                format!("resolving: no answer since {} ({})", span(*since), plural(*requests, "request"))
            }
            Self::Refused(refusal) => format!("refused: {refusal}; traffic goes through the hub"),
            Self::Unreachable => "a server has no way to it: packets are rejected here".to_owned(),
            Self::Waiting => "waiting for its peer: NHRP does not run on the interface".to_owned(),
            Self::Active { used, renewing, expiring } => {
                let mut words = String::from(if *used { "active, used lately" } else { "active" });
                if *renewing {
                    words.push_str(", being renewed");
                } else if *expiring {
                    words.push_str(", renewed as soon as a packet uses it");
                }
                words
            }
        }
    }
}

/// One row of `show ip nhrp shortcut detail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortcutDetail {
    /// Prefix.
    pub prefix: IpNet,
    /// The address that was asked for.
    pub target: IpAddr,
    /// Overlay address of the peer.
    pub via: Option<IpAddr>,
    /// NBMA address of the peer.
    pub nbma: Option<IpAddr>,
    /// Interface of the peer.
    pub interface: Option<String>,
    /// Seconds to its end.
    pub expires_in: Option<u64>,
    /// How it stands.
    pub state: DirectPath,
}

impl Row for ShortcutDetail {
    fn heading(&self) -> String {
        let mut heading = self.prefix.to_string();
        if let (Some(via), Some(nbma)) = (self.via, self.nbma) {
            let _ = write!(heading, " via {via}, NBMA address {nbma}");
        }
        if let Some(interface) = &self.interface {
            let _ = write!(heading, " on {interface}");
        }
        heading
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("Asked for", self.target.to_string()), ("State", self.state.words())];
        lines.extend(self.expires_in.map(|left| ("Expires", format!("in {}", span(left)))));
        lines
    }

    fn object(&self) -> Vec<(&'static str, Value)> {
        let mut members = vec![
            ("prefix", self.prefix.to_string().into()),
            ("target", self.target.to_string().into()),
            ("state", self.state.word().into()),
            ("reason", self.state.words().into()),
        ];
        let (since, requests, used) = match &self.state {
            DirectPath::Asking { since, requests } => (Some(*since), Some(*requests), None),
            DirectPath::Active { used, .. } => (None, None, Some(*used)),
            _ => (None, None, None),
        };
        optional(
            &mut members,
            vec![
                ("via", self.via.map(|a| a.to_string().into())),
                ("nbma", self.nbma.map(|a| a.to_string().into())),
                ("interface", self.interface.as_deref().map(Into::into)),
                ("sinceSeconds", since.map(number)),
                ("unansweredRequests", requests.map(number)),
                ("used", used.map(Into::into)),
                ("expiresInSeconds", self.expires_in.map(number)),
            ],
        );
        members
    }
}

/// `show <ip|ipv6> nhrp shortcut detail [json]`
#[must_use]
pub fn shortcut_detail(rows: &[ShortcutDetail], json: bool, release: Release) -> Reply {
    print(rows, json, release)
}

/// One row of `show ip nhrp peer detail`: a station of the NBMA network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDetail {
    /// Tunnel interface.
    pub interface: String,
    /// Its NBMA address.
    pub nbma: IpAddr,
    /// Its bindings.
    pub bindings: Vec<CacheDetail>,
    /// Prefixes with a direct path to it.
    pub shortcuts: Vec<IpNet>,
    /// How our registration with it stands, if it is a server of ours.
    pub server: Option<NhsState>,
}

impl Row for PeerDetail {
    fn heading(&self) -> String {
        format!("{} on {}", self.nbma, self.interface)
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        for binding in &self.bindings {
            let state = binding.lines().into_iter().find(|(name, _)| *name == "State");
            let state = state.map(|(_, state)| state).unwrap_or_default();
            lines.push((
                "Overlay address",
                format!("{} ({}, {}): {state}", binding.protocol, binding.kind.name(), binding.origin.word()),
            ));
        }
        lines.extend(self.server.as_ref().map(|state| ("As our server", state.words(Some(self.nbma)))));
        if !self.shortcuts.is_empty() {
            let prefixes: Vec<String> = self.shortcuts.iter().map(ToString::to_string).collect();
            lines.push(("Direct path to", prefixes.join(", ")));
        }
        lines
    }

    fn object(&self) -> Vec<(&'static str, Value)> {
        let bindings = self.bindings.iter().map(|row| Value::Object(row.object())).collect();
        let shortcuts = self.shortcuts.iter().map(|prefix| prefix.to_string().into()).collect();
        let mut members = vec![
            ("interface", self.interface.as_str().into()),
            ("nbma", self.nbma.to_string().into()),
            ("bindings", Value::Array(bindings)),
            ("shortcuts", Value::Array(shortcuts)),
        ];
        optional(
            &mut members,
            vec![
                ("serverState", self.server.as_ref().map(|state| state.word().into())),
                ("serverReason", self.server.as_ref().map(|state| state.words(Some(self.nbma)).into())),
            ],
        );
        members
    }
}

/// `show <ip|ipv6> nhrp peer detail [json]`
#[must_use]
pub fn peer_detail(rows: &[PeerDetail], json: bool, release: Release) -> Reply {
    print(rows, json, release)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: Release = Release::new(10, 3);

    fn nhs(state: NhsState) -> NhsDetail {
        NhsDetail {
            interface: "gre1".into(),
            fqdn: "192.0.2.1".into(),
            nbma: Some("192.0.2.1".parse().unwrap()),
            protocol: None,
            priority: 3,
            state,
        }
    }

    #[test]
    fn a_state_tells_its_reason() {
        let refused = NhsState::Refused { refusal: "x (code 14)".into(), code: Some(14), since: 3700 };
        for (state, words) in [
            (
                NhsState::Asking { since: 12, requests: 5 },
                "registering: no answer from 192.0.2.1 since 12 s (5 requests)",
            ),
            (
                NhsState::Asking { since: 0, requests: 1 },
                "registering: no answer from 192.0.2.1 since 0 s (1 request)",
            ),
            (refused.clone(), "refused by 192.0.2.1 since 1 h 1 min: x (code 14)"),
            (
                NhsState::Registered { since: 65, renewal: Some(9), unanswered: 0 },
                "registered since 1 min 5 s, asks again in 9 s",
            ),
        ] {
            let reply = nhs_detail(&[nhs(state.clone())], false, RELEASE);
            assert!(reply.text.ends_with(&format!("  State: {words}\n")), "{}", reply.text);
            let reply = nhs_detail(&[nhs(state)], true, RELEASE);
            let json: serde_json::Value = serde_json::from_str(&reply.text).unwrap();
            assert_eq!(json["table"][0]["reason"], words);
        }
        let json = nhs_detail(&[nhs(refused)], true, RELEASE).text;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["table"][0]["code"], &json["table"][0]["sinceSeconds"]),
            (&14.into(), &3700.into())
        );
    }

    #[test]
    fn nothing_is_said_as_in_frrs_tables() {
        for reply in [nhs_detail(&[], false, RELEASE), cache_detail(&[], false, RELEASE)] {
            assert_eq!((reply.rc, reply.text.as_str()), (ReturnCode::Warning, "% No entries\n"));
        }
    }

    #[test]
    fn spans_are_short() {
        for (seconds, words) in [(59, "59 s"), (60, "1 min 0 s"), (7260, "2 h 1 min"), (48 * 3600, "2 d 0 h")]
        {
            assert_eq!(span(seconds), words);
        }
    }
}
