//! Who may use a terminal: `access-class` and passwords.

use std::net::IpAddr;

use ipnet::IpNet;

/// One rule of an access list, as far as it says something about a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// `permit`, or `deny`
    pub permit: bool,
    /// Addresses; none for `any`.
    pub of: Option<IpNet>,
    /// `exact-match`: this prefix only, so never a single address unless it is a host's.
    pub exact: bool,
}

impl AccessRule {
    /// Reads a rule as an access list keeps it: `permit any`, `deny 10.0.0.0/8 exact-match`, `permit host 10.0.0.1`,
    /// `permit 10.0.0.0 0.255.255.255`. None for what says nothing about a client alone.
    #[must_use]
    pub fn parse(rule: &str) -> Option<Self> {
        let mut words = rule.split_whitespace();
        let permit = match words.next()? {
            "permit" => true,
            "deny" => false,
            _ => return None,
        };
        let rest: Vec<&str> = words.collect();
        let (of, exact) = match *rest.as_slice() {
            ["any"] => (None, false),
            ["host", address] | [address] if !address.contains('/') => {
                (Some(IpNet::from(address.parse::<IpAddr>().ok()?)), false)
            }
            [prefix] => (Some(prefix.parse().ok()?), false),
            [prefix, "exact-match"] => (Some(prefix.parse().ok()?), true),
            [address, wildcard] => {
                let (address, wildcard) =
                    (address.parse().ok()?, wildcard.parse::<std::net::Ipv4Addr>().ok()?);
                let mask = std::net::Ipv4Addr::from(!u32::from(wildcard));
                (Some(IpNet::with_netmask(address, mask.into()).ok()?), false)
            }
            _ => return None,
        };
        Some(Self { permit, of, exact })
    }

    fn matches(&self, client: IpAddr) -> bool {
        self.of
            .is_none_or(|of| of.contains(&client) && (!self.exact || of.prefix_len() == of.max_prefix_len()))
    }
}

/// Whether the `access-class` of the client's family lets it in: the first rule that matches says; none means no.
pub(super) fn allows(access: &[Option<Vec<AccessRule>>; 2], client: IpAddr) -> bool {
    let [ipv4, ipv6] = access;
    let rules = if client.is_ipv6() { ipv6 } else { ipv4 };
    rules
        .as_ref()
        .is_none_or(|rules| rules.iter().find(|rule| rule.matches(client)).is_some_and(|rule| rule.permit))
}

/// A password as configured.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// `password WORD`
    Clear(String),
    /// `password 8 HASH`: crypt(3) with a salt of two letters.
    Hashed(String),
}

impl Password {
    /// Reads what follows `password`.
    #[must_use]
    pub fn parse(words: &str) -> Self {
        match words.split_once(' ') {
            Some(("8", hash)) => Self::Hashed(hash.trim().to_owned()),
            _ => Self::Clear(words.to_owned()),
        }
    }

    /// Whether this is it.
    #[must_use]
    pub fn is(&self, typed: &str) -> bool {
        match self {
            Self::Clear(password) => password == typed,
            Self::Hashed(hash) => pwhash::unix_crypt::verify(typed, hash),
        }
    }

    /// What follows `password` when it is kept as a hash.
    #[must_use]
    #[allow(
        deprecated,
        reason = "weak as it is, it is the only hash that FRR's other daemons and older files know"
    )]
    pub(crate) fn hashed(&self) -> String {
        match self {
            Self::Clear(password) => pwhash::unix_crypt::hash(password)
                .map_or_else(|_| password.clone(), |hash| format!("8 {hash}")),
            Self::Hashed(hash) => format!("8 {hash}"),
        }
    }
}

/// Never what it is.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules: Vec<AccessRule> = ["deny 127.0.0.1/32", "permit 127.0.0.0/8", "permit host 10.0.0.1"]
            .iter()
            .filter_map(|rule| AccessRule::parse(rule))
            .collect();
        assert_eq!(rules.len(), 3);
        let access = [Some(rules), None];
        let allowed = |client: &str| allows(&access, client.parse().unwrap());
        assert!(!allowed("127.0.0.1") && allowed("127.0.0.2") && allowed("10.0.0.1"));
        assert!(!allowed("10.0.0.2"), "what no rule names is not let in");
        assert!(allowed("::1"), "no list for the family");
        let wild = AccessRule::parse("permit 10.0.0.0 0.255.255.255").unwrap();
        assert!(wild.matches("10.9.9.9".parse().unwrap()) && !wild.matches("11.0.0.0".parse().unwrap()));
        let exact = AccessRule::parse("permit 10.0.0.0/8 exact-match").unwrap();
        assert!(!exact.matches("10.0.0.0".parse().unwrap()));
    }

    #[test]
    fn passwords_as_frr_writes_them() {
        // Written by FRR 10.3 for the passwords `zebra` and `secret`.
        assert!(Password::parse("8 FQK5nuIM9i7pE").is("zebra"));
        assert!(Password::parse("8 aiV0aJdZoITcs").is("secret"));
        assert!(!Password::parse("8 aiV0aJdZoITcs").is("zebra"));
        let hashed = Password::parse("zebra").hashed();
        assert!(hashed.starts_with("8 ") && Password::parse(&hashed).is("zebra"));
        assert_eq!(Password::parse(&hashed).hashed(), hashed);
        assert!(Password::parse("zebra").is("zebra") && !Password::parse("zebra").is(""));
        assert!(!Password::parse("8 not-a-hash").is("not-a-hash"));
        assert_eq!(format!("{:?}", Password::parse("zebra")), "Password(…)");
    }
}
