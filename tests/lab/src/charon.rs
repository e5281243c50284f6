//! strongSwan on a node: charon with a VICI socket of its own, and its profile.
//!
//! Owns how charon is started, configured and asked, as Debian's packages would have it. Never knows NHRP.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::failure::{Context, Result, ensure};
use crate::net::{Node, Process, wait_until};

/// The profile that `tunnel protection vici profile` names.
pub(crate) const PROFILE: &str = "dmvpn";

const SOCKET: &str = "/run/charon.vici";

/// Longest time from start to an answering VICI socket.
const START: Duration = Duration::from_secs(30);

/// Log to standard error; peers that are gone are noticed within seconds.
const STRONGSWAN_CONF: &str = "\
charon {
    load_modular = yes
    retransmit_tries = 3
    retransmit_timeout = 2
    retransmit_base = 1.4
    filelog {
        log {
            path = stderr
            default = 1
            flush_line = yes
        }
    }
    plugins {
        include /etc/strongswan.d/charon/*.conf
    }
}
";

/// The profile with includes and a reference, as operators write them.
const SWANCTL_CONF: &str = "\
connections {
    include conf.d/*.conf
}
secrets {
    ike-dmvpn {
        secret = \"a secret of the lab\"
    }
}
defaults {
    version = 2
    dpd_delay = 5s
    local {
        auth = psk
    }
    remote {
        auth = psk
    }
}
";

const CONNECTION: &str = "\
dmvpn : defaults {
    proposals = aes128-sha256-modp2048
    children {
        dmvpn {
            mode = transport
            esp_proposals = aes128-sha256
            local_ts = dynamic[gre]
            remote_ts = dynamic[gre]
            # more here
        }
    }
}
";

/// charon on a node.
#[derive(Debug)]
pub(crate) struct Charon {
    node: Node,
    process: Option<Process>,
}

impl Charon {
    /// Writes the profile; nothing runs yet. More lines go into its child.
    pub(crate) fn new(node: &Node, child: &str) -> Result<Self> {
        node.write_file("/etc/swanctl/swanctl.conf", SWANCTL_CONF)?;
        node.write_file("/etc/swanctl/conf.d/dmvpn.conf", &CONNECTION.replace("# more here", child))?;
        node.write_file("/run/strongswan.conf", STRONGSWAN_CONF)?;
        // As the package has them: nhrpd is not root when it reads them.
        node.sh("chmod 750 /etc/swanctl/conf.d; chmod 640 /etc/swanctl/swanctl.conf /etc/swanctl/conf.d/*")?;
        Ok(Self { node: node.clone(), process: None })
    }

    /// Starts it and loads the profile. Returns when it answered first.
    pub(crate) fn start(&mut self) -> Result<Instant> {
        // The state of AVX is not kept by User-mode Linux; OpenSSL, whose elliptic curves use it, does without.
        let command = [
            "env",
            "STRONGSWAN_CONF=/run/strongswan.conf",
            "OPENSSL_ia32cap=~0x1000000000000000:0",
            "/usr/sbin/charon-systemd",
        ];
        let mut process = self.node.spawn("charon", &command)?;
        wait_until(&format!("charon on {} to answer", self.node.name()), START, || {
            if let Some(end) = process.ended() {
                return Err(format!("it ended with {end}: {}", process.output()));
            }
            match self.node.listens(SOCKET) {
                Ok(true) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        let answers = Instant::now();
        self.process = Some(process);
        self.node.sh("swanctl --load-all --noprompt")?;
        Ok(answers)
    }

    /// Ends it with a signal.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<()> {
        let mut process =
            self.process.take().context(|| format!("no charon runs on {}", self.node.name()))?;
        process.stop(signal, Duration::from_secs(15))
    }

    /// Fails if it has ended by itself.
    pub(crate) fn alive(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process {
            let end = process.ended();
            ensure!(end.is_none(), "charon on {} ended by itself with {end:?}", self.node.name());
        }
        Ok(())
    }
}
