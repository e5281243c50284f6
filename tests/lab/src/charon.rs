//! strongSwan on a node: charon with a VICI socket of its own, and its profile.
//!
//! Owns how charon is started, configured and asked, as Debian's packages would have it. Never knows NHRP.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::authority::Certified;
use crate::failure::{Context, Result, ensure};
use crate::net::{Node, Process, wait_until};

/// The profile that `tunnel protection vici profile` names.
pub(crate) const PROFILE: &str = "dmvpn";

const SOCKET: &str = "/run/charon.vici";

/// Longest time from start to an answering VICI socket.
const START: Duration = Duration::from_secs(30);

/// Longest time that a clean stop takes: peers are told, and a negotiation may be under way.
const STOP: Duration = Duration::from_secs(40);

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
SECRETS
defaults {
    version = 2
    dpd_delay = 5s
    local {
        LOCAL
    }
    remote {
        REMOTE
    }
}
";

const CONNECTION: &str = "\
dmvpn : defaults {
    proposals = aes128-sha256-modp2048
    CONNECTION
    children {
        dmvpn {
            mode = transport
            esp_proposals = aes128-sha256
            local_ts = dynamic[SELECTOR]
            remote_ts = dynamic[SELECTOR]
            CHILD
        }
    }
}
";

const MAIN_FILE: &str = "/etc/swanctl/swanctl.conf";
const CONNECTION_FILE: &str = "/etc/swanctl/conf.d/dmvpn.conf";

/// What a node proves itself with.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// A secret that all share.
    Secret(&'static str),
    /// A certificate of its own, and the authority's, as PEM.
    Certificate(Certified, String),
}

/// What there is to choose about a profile.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// More settings of the connection.
    pub(crate) connection: &'static str,
    /// More settings of its child.
    pub(crate) child: &'static str,
    /// What its traffic selectors let through.
    pub(crate) selector: &'static str,
    /// What the node proves itself with.
    pub(crate) credentials: Credentials,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            connection: "",
            child: "",
            selector: "gre",
            credentials: Credentials::Secret("a secret of the lab"),
        }
    }
}

/// charon on a node.
#[derive(Debug)]
pub(crate) struct Charon {
    node: Node,
    process: Option<Process>,
}

impl Charon {
    /// Writes the profile; nothing runs yet.
    pub(crate) fn new(node: &Node, profile: &Profile) -> Result<Self> {
        node.write_file("/run/strongswan.conf", STRONGSWAN_CONF)?;
        let charon = Self { node: node.clone(), process: None };
        charon.write(profile)?;
        Ok(charon)
    }

    /// Writes another profile, which charon takes with [`load`](Self::load).
    pub(crate) fn write(&self, profile: &Profile) -> Result<()> {
        let (secrets, local, remote) = match &profile.credentials {
            Credentials::Secret(secret) => (
                format!("secrets {{\n    ike-dmvpn {{\n        secret = \"{secret}\"\n    }}\n}}"),
                "auth = psk",
                "auth = psk",
            ),
            Credentials::Certificate(own, authority) => {
                for (path, text) in [
                    ("x509/node.pem", &own.certificate),
                    ("x509ca/lab.pem", authority),
                    ("private/node.pem", &own.key),
                ] {
                    self.node.write_file(&format!("/etc/swanctl/{path}"), text)?;
                }
                (
                    String::new(),
                    "auth = pubkey\n        certs = node.pem",
                    "auth = pubkey\n        cacerts = lab.pem",
                )
            }
        };
        let main =
            SWANCTL_CONF.replace("SECRETS", &secrets).replace("LOCAL", local).replace("REMOTE", remote);
        let connection = CONNECTION
            .replace("CONNECTION", profile.connection)
            .replace("SELECTOR", profile.selector)
            .replace("CHILD", profile.child);
        self.node.write_file(MAIN_FILE, &main)?;
        self.node.write_file(CONNECTION_FILE, &connection)?;
        // As the package has them: nhrpd is not root when it reads them.
        self.node
            .sh("chmod 750 /etc/swanctl/*/; chmod 640 /etc/swanctl/swanctl.conf /etc/swanctl/*/*")
            .map(drop)
    }

    /// Has it read its files anew, as an operator does.
    pub(crate) fn load(&self) -> Result<()> {
        self.node.sh("swanctl --load-all --clear --noprompt").map(drop)
    }

    /// Asks or commands it with swanctl; gives what that prints.
    pub(crate) fn swanctl(&self, arguments: &[&str]) -> Result<String> {
        let command = [&["swanctl"], arguments].concat();
        let output = self.node.run(&command)?;
        ensure!(
            output.status == 0,
            "{command:?} on {} ended with {}: {}{}",
            self.node.name(),
            output.status,
            output.stdout,
            output.stderr
        );
        Ok(output.stdout)
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
        self.load()?;
        Ok(answers)
    }

    /// Takes the profile away, of which charon learns with [`load`](Self::load); the secret stays.
    pub(crate) fn remove_profile(&self) -> Result<()> {
        self.node.sh(&format!("rm {CONNECTION_FILE}")).map(drop)
    }

    /// Sends it a signal that does not end it.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref();
        process.context(|| format!("no charon runs on {}", self.node.name()))?.signal(signal)
    }

    /// Ends it with a signal.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<()> {
        let mut process =
            self.process.take().context(|| format!("no charon runs on {}", self.node.name()))?;
        process.stop(signal, STOP)
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
