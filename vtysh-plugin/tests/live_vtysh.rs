//! The real vtysh of three FRR releases against the example daemon.
//!
//! `NHRPD_TREES` lists root file systems with FRR, separated by colons; needs root. Everything written goes to tmpfs mounts in a private mount namespace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod trees;

use std::collections::BTreeMap;
use std::process::Command;

use trees::tree_of;

/// Each step prints a marker, what vtysh prints, and its exit code.
const SCRIPT: &str = r#"
set -u
mount --make-rprivate /
mount -t tmpfs tmpfs "$TREE/run"
mount -t tmpfs tmpfs "$TREE/etc/frr"
mkdir -p "$TREE/run/frr"
cp "$DAEMON" "$TREE/run/daemon"
echo 'service integrated-vtysh-config' > "$TREE/etc/frr/vtysh.conf"
chroot "$TREE" /run/daemon /run/frr/nhrpd.vty "$VERSION" &
daemon=$!
trap 'kill $daemon' EXIT
for _ in $(seq 200); do [ -S "$TREE/run/frr/nhrpd.vty" ] && break; sleep 0.05; done
step() { name=$1; shift; echo "=== $name"; chroot "$TREE" timeout 20 vtysh "$@" 2>&1; echo "--- $?"; }
step configure -c 'conf t' -c 'interface gre1' -c 'ip nhrp network-id 1' -c 'ip nhrp map 10.0.0.9 local' -c 'tunnel source eth0'
step abbreviated -c 'conf' -c 'int gre1' -c 'ip nh hold 55' -c 'do show ip nhrp sh'
step running -c 'show running-config'
step refused -c 'conf t' -c 'interface gre1' -c 'no ip nhrp map 9.9.9.9' -c 'ip nhrp redirect'
step removed -c 'conf t' -c 'interface gre1' -c 'no ip nhrp map 10.0.0.9 local' -c 'no tunnel source'
cat > "$TREE/etc/frr/frr.conf" <<'EOF'
frr version 8.4.4
frr defaults traditional
hostname r1
log syslog informational
service integrated-vtysh-config
!
debug nhrp common
nhrp nflog-group 4
!
vrf red
exit-vrf
!
interface gre1
 description to the hub
 ip nhrp holdtime 800
 ip nhrp shortcut
 ip nhrp nhs dynamic nbma hub.example.com
 ip nhrp map multicast dynamic
exit
!
interface gre2
 ip nhrp network-id 2
!
access-list a1 seq 5 permit any
ip prefix-list p1 seq 5 permit 10.0.0.0/8 ge 16 le 24
!
line vty
 exec-timeout 0 0
exit
end
EOF
# vtysh of 8.4 asks for no lock.
case "$VERSION" in 8.*) ;; *) touch "$TREE/run/frr/nhrpd.vty.lock"; (sleep 1; rm "$TREE/run/frr/nhrpd.vty.lock") & esac
step boot -b
step booted -c 'show running-config'
step again -b -d nhrpd
step cache -c 'show ip nhrp cache'
step json -c 'show ip nhrp cache json'
step empty -c 'show ipv6 nhrp nhs json'
step dmvpn -c 'show dmvpn'
step debugging -c 'show debugging'
step clear -c 'clear ip nhrp cache'
step memory -c 'show memory nhrpd'
step write -c 'write memory'
echo "=== written"; cat "$TREE/etc/frr/frr.conf"; echo "--- $?"
"#;

fn run(release: &str, version: &str) -> Option<BTreeMap<String, (String, i32)>> {
    let tree = tree_of(release, &format!("no vtysh of {release} was run"))?;
    let own = std::env::current_exe().unwrap();
    let daemon = own.parent().unwrap().parent().unwrap().join("examples/vty_standalone");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", SCRIPT])
        .env("TREE", &tree)
        .env("DAEMON", daemon)
        .env("VERSION", version)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut steps = BTreeMap::new();
    for section in text.split("=== ").skip(1) {
        let (name, rest) = section.split_once('\n').unwrap();
        let (body, code) = rest.rsplit_once("--- ").unwrap();
        steps.insert(name.to_owned(), (body.to_owned(), code.trim().parse().unwrap()));
    }
    Some(steps)
}

fn check(release: &str, version: &str) {
    let Some(steps) = run(release, version) else { return };
    let text = |name: &str| steps[name].0.as_str();
    for (name, (body, code)) in &steps {
        // The same file twice changes nothing. FRR's nhrpd refuses an NHS that is there already, with code 13 and a line of
        // complaint, also when frr-reload.py sends it.
        assert_eq!(*code, i32::from(name == "refused"), "{name}: {body}");
        assert!(!body.contains("Unknown command"), "{name}: {body}");
        assert!(!body.contains("Failure to communicate"), "{name}: {body}");
    }
    assert_eq!(text("configure"), "");
    assert_eq!(text("abbreviated"), "% No entries\n");
    let section = "interface gre1\n ip nhrp holdtime 55\n ip nhrp map 10.0.0.9 local\n ip nhrp network-id 1\n tunnel source eth0\nexit\n";
    assert!(text("running").contains(section));
    assert_eq!(text("refused"), "% Command failed\n");
    let gre1 = "interface gre1\n description to the hub\n ip nhrp holdtime 800\n ip nhrp map multicast dynamic\n ip nhrp network-id 1\n ip nhrp nhs dynamic nbma hub.example.com\n ip nhrp shortcut\nexit\n";
    let booted = text("booted");
    for part in [
        gre1,
        "interface gre2\n ip nhrp network-id 2\nexit\n",
        "debug nhrp common\n",
        "nhrp nflog-group 4\n",
        "access-list a1 seq 5 permit any\n",
        "ip prefix-list p1 seq 5 permit 10.0.0.0/8 ge 16 le 24\n",
    ] {
        assert!(booted.contains(part), "{part}\nis not in\n{booted}");
        assert!(text("written").contains(part), "{part}\nis not in\n{}", text("written"));
    }
    assert_eq!(booted.matches("frr version").count(), 1, "{booted}");
    assert!(text("cache").starts_with("Iface    Type     Protocol"), "{}", text("cache"));
    let json: serde_json::Value = serde_json::from_str(text("json")).unwrap();
    assert_eq!(json["table"][0]["nbma"], "10.2.1.2");
    let empty: serde_json::Value = serde_json::from_str(text("empty")).unwrap();
    assert_eq!(empty["attr"]["entriesCount"], 0);
    assert!(text("dmvpn").contains("10.1.1.1                 10.2.1.2                 n      0"));
    assert!(text("debugging").contains("  NHRP common debugging is on\n"));
    assert_eq!(text("clear"), "% No entries\n");
}

#[test]
fn vtysh_of_debian_12() {
    check("8.4", "8.4.4");
}

#[test]
fn vtysh_of_debian_13() {
    check("10.3", "10.3");
}

#[test]
fn vtysh_of_debian_unstable() {
    check("10.7", "10.7.1");
}
