//! `swanctl.conf` as operators write it, and what charon is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nhrp_vici::message::{Item, Section};
use nhrp_vici::settings::{Files, Settings};
use nhrp_vici::template::Template;
use proptest::prelude::*;

#[derive(Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    fn with(mut self, path: &str, text: &str) -> Self {
        self.0.insert(path.into(), text.as_bytes().to_vec());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }
}

const CONF: &str = "/etc/swanctl/swanctl.conf";

fn load(files: &Memory) -> Result<Settings, String> {
    Settings::load(files, Path::new(CONF))
}

#[test]
fn sections_values_comments_and_texts_in_quotes() {
    let files = Memory::default().with(
        CONF,
        "# a comment\nconnections {\n  a { version = 2 # the newer one\n local { id = \"C=DE, \\\"x\\\" # no comment\" }\n\
         remote { auth = psk}\n children { a { mode = transport \n local_ts = dynamic[gre] , 10.0.0.0/8\n } } } }\n\
         connections { a { version = 1\n keyingtries =   0   1\n } }\n",
    );
    let settings = load(&files).unwrap();
    let a = settings.section("connections").unwrap().section("a").unwrap();
    assert_eq!(a.value("version"), Some("1"), "the last one counts");
    assert_eq!(a.value("keyingtries"), Some("0 1"));
    assert_eq!(a.section("local").unwrap().value("id"), Some("C=DE, \"x\" # no comment"));
    assert_eq!(a.section("remote").unwrap().value("auth"), Some("psk"));
    let child = a.section("children").unwrap().section("a").unwrap();
    assert_eq!(child.value("local_ts"), Some("dynamic[gre] , 10.0.0.0/8"));
}

#[test]
fn includes_are_relative_and_sorted_and_may_be_missing() {
    let files = Memory::default()
        .with(CONF, "connections {\n include conf.d/*.conf\n include missing.conf\n}\nvalue = 1\n")
        .with("/etc/swanctl/conf.d/20.conf", "b { version = 2 }\n")
        .with("/etc/swanctl/conf.d/10.conf", "a { version = 2\n}\nb { version = 1 }")
        .with("/etc/swanctl/conf.d/.hidden.conf", "c { }")
        .with("/etc/swanctl/conf.d/30.conf.bak", "c { }");
    let settings = load(&files).unwrap();
    let connections = settings.section("connections").unwrap();
    assert!(connections.section("a").is_some() && connections.section("c").is_none());
    assert_eq!(connections.section("b").unwrap().value("version"), Some("2"));
}

#[test]
fn references_fill_in_what_is_missing() {
    let files = Memory::default().with(
        CONF,
        "base { version = 2\n dpd_delay = 5s\n children { x { mode = tunnel } }\n}\nmore { dpd_delay = 9s\n rekey_time = 1h\n}\n\
         connections {\n a : base, more {\n version = 1\n dpd_delay =\n children { x { start_action = trap } }\n}\n}\n",
    );
    let settings = load(&files).unwrap();
    let a = settings.section("connections").unwrap().section("a").unwrap();
    assert_eq!((a.value("version"), a.value("rekey_time")), (Some("1"), Some("1h")));
    assert_eq!(a.value("dpd_delay"), None, "taken back by a setting without a value");
    let child = a.section("children").unwrap().section("x").unwrap();
    assert_eq!((child.value("mode"), child.value("start_action")), (Some("tunnel"), Some("trap")));
}

#[test]
fn secrets_are_not_kept() {
    let files =
        Memory::default().with(CONF, "secrets { ike { secret = abc } }\nsecrets { b { secret = def } }\n");
    assert!(!format!("{:?}", load(&files).unwrap()).contains("abc"));
    assert!(!format!("{:?}", load(&files).unwrap()).contains("def"));
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, expected) in [
        ("a {\n b = 1\n", "swanctl.conf:3: a section without its end"),
        ("a = \"x", "swanctl.conf:1: a text in quotes without its end"),
        ("\n\n}\n", "swanctl.conf:3: unexpected Close"),
        ("a b\n", "where '=' or '{' belongs"),
    ] {
        let error = load(&Memory::default().with(CONF, text)).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let error = load(&Memory::default()).unwrap_err();
    assert!(error.contains("cannot read /etc/swanctl/swanctl.conf"), "{error}");
    let error = load(&Memory::default().with(CONF, "include swanctl.conf\n")).unwrap_err();
    assert!(error.contains("too deeply"), "{error}");
    let circle = "a : b { x = 1 }\nb : a { y = 2 }\n";
    assert_eq!(
        load(&Memory::default().with(CONF, circle)).unwrap().section("a").unwrap().value("y"),
        Some("2")
    );
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[a-c =:,{}\"#\\\\\n.*]{0,80}") {
        let _ = load(&Memory::default().with(CONF, &text));
    }
}

const PROFILE: &str = "\
connections {
    dmvpn {
        version = 2
        proposals = aes128-sha256-ecp256, aes256-sha384-ecp384
        remote_addrs = %any
        local { auth = pubkey
            certs = hub.pem
        }
        remote { auth = pubkey
            id = \"%any\"
        }
        children {
            dmvpn {
                mode = transport
                local_ts = dynamic[gre]
                remote_ts = dynamic[gre]
                start_action = trap
                dpd_action = restart
            }
            other { mode = tunnel
            }
        }
    }
}
";

#[test]
fn a_profile_becomes_a_connection_to_one_peer() {
    let files = Memory::default().with(CONF, PROFILE).with("/etc/swanctl/x509/hub.pem", "a certificate");
    let template = Template::load(&files, Path::new(CONF), "dmvpn").unwrap();
    assert_eq!((template.connection.as_str(), template.child.as_str()), ("dmvpn", "dmvpn"));
    let message = template.connection_to("copy", "192.0.2.6".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let connection = message.section("copy").unwrap();
    let list = |name: &str| connection.texts(name).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(list("local_addrs"), ["192.0.2.6"]);
    assert_eq!(list("remote_addrs"), ["192.0.2.2"]);
    assert_eq!(list("proposals"), ["aes128-sha256-ecp256", "aes256-sha384-ecp384"]);
    let certificates = connection.section("local").unwrap().get("certs");
    assert_eq!(certificates, Some(&Item::List(vec![b"a certificate".to_vec()])));
    let children: Vec<_> = connection.section("children").unwrap().sections().collect();
    let [("dmvpn", child)] = children.as_slice() else { panic!("{children:?}") };
    assert_eq!(child.text("mode"), Some("transport"));
    assert_eq!(child.texts("local_ts").collect::<Vec<_>>(), ["dynamic[gre]"]);
    assert_eq!(
        (child.get("start_action"), child.get("dpd_action")),
        (None, None),
        "that is the backend's part"
    );
    assert_ne!(message, Section::new());
}

const TUNNEL: &str = "\
connections {
    far {
        remote_addrs = hub.example.com
        children {
            far {
                local_ts = 198.18.0.2/32[gre]
                remote_ts = 198.18.0.1/32[gre]
            }
        }
    }
}
";

#[test]
fn a_tunnel_between_named_hosts_leads_to_that_peer_by_its_own_addresses() {
    let of =
        |text: &str| Template::load(&Memory::default().with(CONF, text), Path::new(CONF), "far").unwrap();
    let refusal = |text: &str, own: &str, peer: &str| {
        of(text).refusal(own.parse().unwrap(), peer.parse().unwrap()).unwrap_or_default()
    };
    assert_eq!(refusal(TUNNEL, "198.18.0.2", "198.18.0.1"), "");
    let message = of(TUNNEL).connection_to("copy", [198, 18, 0, 2].into(), [198, 18, 0, 1].into());
    let connection = message.section("copy").unwrap();
    assert_eq!(connection.texts("remote_addrs").collect::<Vec<_>>(), ["hub.example.com"]);
    assert_eq!(connection.get("local_addrs"), None);

    for (own, peer, named) in [
        ("198.18.0.2", "198.18.0.3", "remote_ts = 198.18.0.1/32[gre]"),
        ("198.18.0.9", "198.18.0.1", "local_ts = 198.18.0.2"),
    ] {
        let refusal = refusal(TUNNEL, own, peer);
        assert!(refusal.contains(named) && refusal.contains("which is not"), "{refusal}");
    }
    // A hub's: it answers, and can begin with nobody.
    let hub = TUNNEL
        .replace("remote_addrs = hub.example.com", "")
        .replace("remote_ts = 198.18.0.1/32", "remote_ts = 198.18.0.0/16");
    assert!(refusal(&hub, "198.18.0.2", "198.18.0.7").contains("without remote_addrs"));
    // Selectors that are whoever it is make a copy for anybody, in either mode.
    for text in [
        TUNNEL.replace("198.18.0.1/32", "dynamic"),
        TUNNEL.replace("local_ts", "mode = transport\n local_ts"),
    ] {
        assert_eq!(refusal(&text, "198.18.0.2", "198.18.0.3"), "");
        let message = of(&text).connection_to("copy", [198, 18, 0, 2].into(), [198, 18, 0, 3].into());
        let addresses: Vec<_> = message.section("copy").unwrap().texts("remote_addrs").collect();
        assert_eq!(addresses, ["198.18.0.3"]);
    }
}

#[test]
fn a_profile_that_is_not_there_or_not_whole_is_named() {
    let files = Memory::default().with(CONF, PROFILE);
    let error = Template::load(&files, Path::new(CONF), "dmvpn").unwrap_err();
    assert!(error.contains("/etc/swanctl/x509/hub.pem"), "{error}");
    let error = Template::load(&files, Path::new(CONF), "vpn").unwrap_err();
    assert!(error.contains("no connection with a child 'vpn'"), "{error}");
    // FRR names the child; the connection may be called otherwise.
    let other =
        PROFILE.replace("    dmvpn {\n        version", "    site {\n        version").replace("certs", "x");
    let template = Template::load(&Memory::default().with(CONF, &other), Path::new(CONF), "dmvpn").unwrap();
    assert_eq!((template.connection.as_str(), template.child.as_str()), ("site", "dmvpn"));
}
