//! What clients of `frr.Northbound` want of the configuration: target `northbound`.

use std::hash::{DefaultHasher, Hash, Hasher};

use nhrp_yang::Format;
use northbound::Phase;

#[path = "../../../yang/northbound/tests/support/mod.rs"]
#[allow(unreachable_pub, reason = "of the tests of northbound, shared")]
mod support;

use support::steps::{Step, check};

/// Lines of an input that are taken.
const STEPS: usize = 64;

/// A line is a call: its first letter says which, the rest is what it is about.
fn step(line: &str) -> Option<Step> {
    let mut letters = line.chars();
    let what = letters.next()?;
    let rest = letters.as_str();
    let load = |format, replace| Step::Load { text: rest.to_owned(), format, replace };
    Some(match what {
        '+' => {
            let (path, value) = rest.split_once(' ').unwrap_or((rest, ""));
            Step::Set(path.to_owned(), value.to_owned())
        }
        '-' => Step::Remove(rest.to_owned()),
        'j' => load(Format::Json, false),
        'J' => load(Format::Json, true),
        'x' => load(Format::Xml, false),
        'X' => load(Format::Xml, true),
        'v' => Step::Commit(Phase::Validate),
        'p' => Step::Commit(Phase::Prepare),
        'q' => Step::Commit(Phase::Abort),
        'a' => Step::Commit(Phase::Apply),
        'c' => Step::Commit(Phase::All),
        'n' => Step::Anew,
        _ => return None,
    })
}

/// The lines of the input, one call each. Says which commands ran.
///
/// # Panics
/// When something does not hold.
pub fn northbound(octets: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(octets);
    let texts = check(text.lines().filter_map(step).take(STEPS));
    texts.iter().flat_map(|text| text.lines()).map(kind).collect()
}

/// A number for the words of a line that are no values.
fn kind(line: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    for word in
        line.split_whitespace().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
    {
        word.hash(&mut hasher);
    }
    // Few enough for chance not to fill the corpus with names.
    u32::from(hasher.finish().to_le_bytes()[0])
}

/// Each way to change the configuration.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const GRE1: &str = "/frr-interface:lib/interface[name='gre1']";
    let below = |leaf: &str, value: &str| format!("+{GRE1}/frr-nhrpd:nhrp/{leaf} {value}");
    let v4 = |leaf: &str, value: &str| below(&format!("ipv4/{leaf}"), value);
    let spoke = [
        v4("network-id", "1"),
        v4("holdtime", "300"),
        v4("shortcut", "true"),
        v4("registration-no-unique", "true"),
        v4("mtu", "1400"),
        v4("nhs[nbma='192.0.2.1']/protocol-address", "dynamic"),
        v4("nhs[nbma='hub.example']/priority", "3"),
        v4("map[protocol-address='10.0.0.1']/nbma", "192.0.2.1"),
        v4("multicast[.='192.0.2.1']", ""),
        below("ipv6/network-id", "2"),
        below("ipv6/map[protocol-address='2001:db8::1']/nbma", "local"),
        below("authentication/secret", "secret"),
        below("tunnel/source", "eth0"),
        below("tunnel/protection/profile", "dmvpn"),
        "+/frr-nhrpd:nhrp/event-socket /run/events".to_owned(),
        "+/frr-nhrpd:nhrp/multicast-nflog-group 2".to_owned(),
        "c".to_owned(),
        format!("-{GRE1}/frr-nhrpd:nhrp/ipv4/nhs[nbma='192.0.2.1']"),
        "p\nq\np\na".to_owned(),
        "n".to_owned(),
        format!("-{GRE1}"),
        "v\nc".to_owned(),
    ];
    let json = r#"{"frr-interface:lib":{"interface":[{"name":"gre1","frr-nhrpd:nhrp":{"ipv4":{"network-id":1,"redirect":true,"map":[{"protocol-address":"10.0.0.2","nbma":"192.0.2.2"}]}}}]}}"#;
    let xml = "<lib xmlns=\"http://frrouting.org/yang/interface\"><interface><name>gre2</name><description>x</description></interface></lib>";
    let each = spoke.iter().map(|line| format!("{line}\nc"));
    let documents = format!("j{json}\nc\nx{xml}\nc\nJ{json}\nc\nX{xml}\nc");
    each.chain([spoke.join("\n"), documents]).map(String::into_bytes).collect()
}
