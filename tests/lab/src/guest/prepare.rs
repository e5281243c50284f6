//! Makes a freshly booted kernel ready: mounts, modules, limits.
//!
//! Owns what all nodes share. Never makes a node.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::failure::{Context, Result};
use crate::plan::Backend;

/// Needed by every scenario; the rest of a distribution's kernel loads by itself.
const MODULES: &[&str] = &[
    "ip_gre",
    "ip6_gre",
    "veth",
    "dummy",
    "vrf",
    "bridge",
    "ip_tables",
    "iptable_filter",
    "iptable_nat",
    "xt_nat",
    "xt_conntrack",
    "ip6_tables",
    "ip6table_filter",
    "x_tables",
    "xt_hashlimit",
    "xt_NFLOG",
    "nfnetlink_log",
    "af_packet",
    "esp4",
    "xfrm_user",
    // What ESP is made of; this kernel does not ask for it by itself.
    "authenc",
    "cbc",
    "ctr",
    "gcm",
    "aes_generic",
    "sha256_generic",
    "sha512_generic",
    "hmac",
    "jitterentropy_rng",
    "drbg",
    "seqiv",
    "echainiv",
    "mpls_router",
    "mpls_iptunnel",
];

/// Directories of the tree that are written to; the tree itself stays as it is.
const SCRATCH: &[&str] = &["/run", "/tmp", "/var/log", "/var/tmp"];

/// Prepares the kernel. The namespaces of the native back end are the caller's work.
pub(crate) fn kernel(backend: Backend) -> Result<()> {
    for directory in SCRATCH {
        tmpfs(directory)?;
    }
    if backend != Backend::Native {
        let none: Option<&str> = None;
        match mount(Some("devtmpfs"), "/dev", Some("devtmpfs"), MsFlags::empty(), none) {
            Ok(()) | Err(Errno::EBUSY) => {} // busy: the kernel has mounted it by itself
            Err(error) => Err(error).context(|| "mounting /dev".to_owned())?,
        }
        for (kind, directory) in [("devpts", "/dev/pts"), ("tmpfs", "/dev/shm")] {
            fs::create_dir_all(directory).context(|| format!("creating {directory}"))?;
            mount(Some(kind), directory, Some(kind), MsFlags::empty(), none)
                .context(|| format!("mounting {directory}"))?;
        }
        // One that is absent or built in is none of our business here; what needs it will say so.
        let _ = Command::new("modprobe")
            .arg("-a")
            .args(MODULES)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    // Logs of other network namespaces than the first need permission.
    let log_all = Path::new("/proc/sys/net/netfilter/nf_log_all_netns");
    if log_all.exists() && backend != Backend::Native {
        fs::write(log_all, "1").context(|| format!("writing {}", log_all.display()))?;
    }
    Ok(())
}

fn tmpfs(directory: &str) -> Result<()> {
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .context(|| format!("mounting a tmpfs on {directory}"))
}
