//! What is shown of access lists, and which rules are refused.
//!
//! Owns the reading of a rule's text. Never changes a list.

use super::{LibraryConfig, ListFamily};
use crate::Release;
use crate::render::json::Value;

impl ListFamily {
    /// Blanks are FRR's.
    fn title(self) -> &'static str {
        match self {
            Self::AccessIpv6 => "Zebra IPv6  access list",
            Self::AccessMac => "Zebra MAC  access list",
            _ => "Zebra IP access list",
        }
    }
}

impl LibraryConfig {
    /// `show <ip|ipv6|mac> access-list [NAME]`: FRR begins with the daemon's name even if nothing follows.
    #[must_use]
    pub fn show_access_lists(&self, family: ListFamily, only: Option<&str>) -> String {
        let mut out = String::from("NHRP:\n");
        for ((_, name), list) in self.lists.iter().filter(|((kind, _), _)| *kind == family) {
            if only.is_some_and(|only| only != name) {
                continue;
            }
            out.push_str(family.title());
            out.push_str(&format!(" {name}\n"));
            for (seq, rule) in &list.rules {
                let words: Vec<&str> = rule.split(' ').collect();
                let (action, what) = rule.split_once(' ').unwrap_or((rule, ""));
                let what = match words.as_slice() {
                    // Two addresses and no keyword.
                    [_, address, wildcard] if !wildcard.starts_with(char::is_alphabetic) => {
                        format!("{address}, wildcard bits {wildcard}")
                    }
                    _ => what.to_owned(),
                };
                out.push_str(&format!("    seq {seq} {action:<6} {what}\n"));
            }
        }
        out
    }

    /// The same as JSON, of which FRR puts no list of MAC addresses.
    #[must_use]
    pub fn access_lists_json(&self, family: ListFamily, only: Option<&str>, release: Release) -> String {
        let (afi, any) = match family {
            ListFamily::AccessIpv6 => ("IPv6", "::/0"),
            _ => ("IPv4", "0.0.0.0/0"),
        };
        let lists = self
            .lists
            .iter()
            .filter(|((kind, name), _)| *kind == family && only.is_none_or(|only| only == name))
            .map(|((_, name), list)| {
                let rules = list.rules.iter().map(|(seq, rule)| rule_json(*seq, rule, any)).collect();
                let list = vec![
                    ("type", "Zebra".into()),
                    ("addressFamily", afi.into()),
                    ("rules", Value::Array(rules)),
                ];
                (name.clone(), Value::Object(list))
            });
        let lists = Value::Named(lists.collect());
        let document =
            if release.names_daemon_in_access_lists() { Value::Object(vec![("NHRP", lists)]) } else { lists };
        document.print(release)
    }
}

/// A rule as FRR's JSON has it, its `any` being this prefix.
fn rule_json(seq: u32, rule: &str, any: &str) -> Value {
    const HOST: &str = "0.0.0.0";
    let words: Vec<&str> = rule.split(' ').collect();
    let (action, what) = words.split_first().unwrap_or((&"", &[]));
    let mut members: Vec<(&'static str, Value)> =
        vec![("sequenceNumber", seq.into()), ("filterType", (*action).into())];
    match what {
        ["ip", ends @ ..] => {
            members.push(("extended", true.into()));
            let mut rest = ends.iter();
            for [address, mask] in
                [["sourceAddress", "sourceMask"], ["destinationAddress", "destinationMask"]]
            {
                let (a, m) = match rest.next().copied() {
                    Some("any") | None => ("0.0.0.0", "255.255.255.255"),
                    Some("host") => (rest.next().copied().unwrap_or_default(), HOST),
                    Some(a) => (a, rest.next().copied().unwrap_or_default()),
                };
                members.extend([(address, a.into()), (mask, m.into())]);
            }
        }
        [prefix, exact @ ..] if *prefix == "any" || prefix.contains('/') => {
            let prefix = if *prefix == "any" { any } else { prefix };
            members.extend([("prefix", prefix.into()), ("exact-match", (!exact.is_empty()).into())]);
        }
        ["host", address] | [address] => {
            members.extend([("address", (*address).into()), ("mask", HOST.into())]);
        }
        [address, mask, ..] => members.extend([("address", (*address).into()), ("mask", (*mask).into())]),
        [] => {}
    }
    Value::Object(members)
}

/// The prefix of a rule of a prefix list that nothing can match: mask length, `ge` and `le` must not fall.
pub(super) fn impossible_range(rule: &str) -> Option<&str> {
    let mut words = rule.split(' ').skip(1);
    let prefix = words.next()?;
    let mask: u8 = prefix.split_once('/')?.1.parse().ok()?;
    let (mut ge, mut le) = (None, None);
    while let Some(bound) = words.next() {
        match bound {
            "ge" => ge = words.next().and_then(|length| length.parse().ok()),
            "le" => le = words.next().and_then(|length| length.parse().ok()),
            // An access list's.
            _ => return None,
        }
    }
    let least: u8 = ge.unwrap_or(mask);
    (least < mask || le.is_some_and(|le: u8| le < least)).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::super::{LibraryEdit, ListEdit};
    use super::*;

    fn lists() -> LibraryConfig {
        let mut config = LibraryConfig::default();
        for (family, name, seq, rule) in [
            (ListFamily::Access, "a", 5, "permit any"),
            (ListFamily::Access, "a", 7, "deny 10.0.0.0/8 exact-match"),
            (ListFamily::Access, "a", 8, "deny 10.0.0.1"),
            (ListFamily::Access, "a", 10, "deny 10.0.0.0 0.255.255.255"),
            (ListFamily::Access, "b", 11, "permit ip host 10.0.0.1 10.9.0.0 0.0.255.255"),
            (ListFamily::AccessIpv6, "c", 6, "deny any"),
        ] {
            let edit = ListEdit::Add { seq: Some(seq), rule: rule.into() };
            let edit = LibraryEdit::List { family, name: name.into(), edit };
            assert_eq!(config.apply(&edit, Release::new(10, 3)).text, "");
        }
        config
    }

    #[test]
    fn text_is_frrs_blanks_included() {
        assert_eq!(
            lists().show_access_lists(ListFamily::Access, Some("a")),
            "NHRP:\nZebra IP access list a\n    seq 5 permit any\n    seq 7 deny   10.0.0.0/8 exact-match\n    \
             seq 8 deny   10.0.0.1\n    seq 10 deny   10.0.0.0, wildcard bits 0.255.255.255\n"
        );
        let six = lists().show_access_lists(ListFamily::AccessIpv6, None);
        assert_eq!(six, "NHRP:\nZebra IPv6  access list c\n    seq 6 deny   any\n");
    }

    #[test]
    fn json_is_what_frr_8_4_and_10_3_print() {
        let lists = lists();
        assert_eq!(
            lists.access_lists_json(ListFamily::AccessIpv6, None, Release::new(8, 4)),
            "{\n  \"NHRP\":{\n    \"c\":{\n      \"type\":\"Zebra\",\n      \"addressFamily\":\"IPv6\",\n      \
             \"rules\":[\n        {\n          \"sequenceNumber\":6,\n          \"filterType\":\"deny\",\n          \
             \"prefix\":\"::/0\",\n          \"exact-match\":false\n        }\n      ]\n    }\n  }\n}\n"
        );
        assert_eq!(lists.access_lists_json(ListFamily::Access, Some("no"), Release::new(10, 3)), "{}\n");
        assert_eq!(
            lists.access_lists_json(ListFamily::Access, Some("no"), Release::new(8, 4)),
            "{\n  \"NHRP\":{\n  }\n}\n"
        );
        assert_eq!(
            lists.access_lists_json(ListFamily::Access, Some("b"), Release::new(10, 3)),
            "{\n  \"b\":{\n    \"type\":\"Zebra\",\n    \"addressFamily\":\"IPv4\",\n    \"rules\":[\n      {\n        \
             \"sequenceNumber\":11,\n        \"filterType\":\"permit\",\n        \"extended\":true,\n        \
             \"sourceAddress\":\"10.0.0.1\",\n        \"sourceMask\":\"0.0.0.0\",\n        \
             \"destinationAddress\":\"10.9.0.0\",\n        \"destinationMask\":\"0.0.255.255\"\n      }\n    ]\n  }\n}\n"
        );
    }
}
