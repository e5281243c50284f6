//! Where FRR's packages put things.

/// Sockets and pid files.
pub(crate) const RUN: &str = "/var/run/frr";
/// Configuration.
pub(crate) const CONFIG: &str = "/etc/frr";
/// Where an FRR daemon may be installed, to ask it for its release.
pub(crate) const ZEBRA: [&str; 3] = ["/usr/lib/frr/zebra", "/usr/libexec/frr/zebra", "/usr/sbin/zebra"];
/// charon's VICI socket, in strongSwan's packages.
pub(crate) const VICI: [&str; 2] = ["/var/run/charon.vici", "/run/strongswan/charon.vici"];
/// Where swanctl finds profiles.
pub(crate) const SWANCTL_CONF: &str = "/etc/swanctl/swanctl.conf";
/// Group that may use vtysh.
pub(crate) const VTY_GROUP: &str = "frrvty";
