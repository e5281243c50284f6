//! Who calls, and who may: on the unix socket what the kernel says of the client's process, elsewhere its certificate
//! or address.

use std::fmt;
use std::net::SocketAddr;

use nix::unistd::{Gid, Uid, User, getgrouplist};

/// Whose connection it is; in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A process of this machine.
    Process {
        /// Its user.
        uid: u32,
        /// Unknown from another pid namespace.
        pid: Option<i32>,
    },
    /// Showed a certificate that our authority has signed.
    Certificate {
        /// Its subject.
        subject: String,
        /// Where from.
        address: SocketAddr,
    },
    /// Nobody has asked who it is.
    Address(SocketAddr),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { uid, pid: Some(pid) } => write!(f, "uid {uid}, pid {pid}"),
            Self::Process { uid, pid: None } => write!(f, "uid {uid}"),
            Self::Certificate { subject, address } => write!(f, "{subject}, from {address}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Who calls: FRR's word for all of them, and who it is.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> String {
    match request.extensions().get::<Caller>() {
        Some(caller) => format!("gRPC ({caller})"),
        None => "gRPC".to_owned(),
    }
}

/// Whether a process may connect: root's, the daemon's own user's, and those of the group, which is that of the
/// socket's file. The mode of the file says the same, as long as nobody changes it.
pub(crate) fn may_connect(uid: u32, gid: u32, group: Option<u32>) -> bool {
    let group = Gid::from_raw(group.unwrap_or_else(|| Gid::effective().as_raw()));
    let uid = Uid::from_raw(uid);
    uid.is_root() || uid == Uid::effective() || Gid::from_raw(gid) == group || belongs_to(uid, group)
}

/// As the system's accounts have it: the kernel names only the group that the process is in first.
fn belongs_to(uid: Uid, group: Gid) -> bool {
    let Ok(Some(account)) = User::from_uid(uid) else { return false };
    let Ok(name) = std::ffi::CString::new(account.name) else { return false };
    getgrouplist(&name, account.gid).is_ok_and(|groups| groups.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_own_user_and_the_group() {
        // No account has these numbers.
        const NOBODYS: u32 = 3_999_999_999;
        assert!(may_connect(0, NOBODYS, Some(1)));
        assert!(may_connect(Uid::effective().as_raw(), NOBODYS, Some(1)));
        assert!(may_connect(NOBODYS, 7, Some(7)));
        assert!(!may_connect(NOBODYS, 8, Some(7)));
        assert!(!may_connect(NOBODYS, 8, None));
        // daemon is an account of every system, alone in its group of the same number.
        assert!(may_connect(1, NOBODYS, Some(1)));
        assert!(!may_connect(1, NOBODYS, Some(7)));
    }

    #[test]
    fn a_caller_is_a_line() {
        let address: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        assert_eq!(Caller::Process { uid: 1, pid: Some(2) }.to_string(), "uid 1, pid 2");
        assert_eq!(Caller::Process { uid: 1, pid: None }.to_string(), "uid 1");
        let shown = Caller::Certificate { subject: "CN=op".to_owned(), address };
        assert_eq!(shown.to_string(), "CN=op, from 192.0.2.1:5000");
        assert_eq!(Caller::Address(address).to_string(), "192.0.2.1:5000");
    }
}
