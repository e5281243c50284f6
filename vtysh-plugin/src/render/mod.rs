//! FRR's texts and JSON for every `show`, from plain rows. Owns columns, key order and the releases' differences;
//! gathers nothing and sorts nothing.

mod debugging;
mod detail;
mod dmvpn;
mod ipsec;
pub mod json;
mod library;
mod nhrp;
mod running;
mod statistics;

pub use debugging::{cleared, debugging};
pub use detail::{
    BindingOrigin, BindingState, CacheDetail, DirectPath, NhsDetail, NhsState, PeerDetail, ShortcutDetail,
    cache_detail, nhs_detail, peer_detail, shortcut_detail,
};
pub use dmvpn::{DmvpnRow, dmvpn};
pub use ipsec::{IpsecRow, IpsecView, ipsec};
pub use library::{
    MemoryGroup, event_cpu, event_poll, event_timers, hash_tables, logging, memory_json, modules, rcu,
    work_queues,
};
pub use nhrp::{CacheKind, CacheRow, NhsRow, OpenNhrpRow, ShortcutRow, cache, nhs, opennhrp, shortcut};
pub use running::{RunningConfig, running_config, saved_file};
pub use statistics::{InterfaceDetail, Statistics, statistics};
