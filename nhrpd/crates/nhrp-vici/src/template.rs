//! A profile of `swanctl.conf` as the mould of connections, each to one peer.
//!
//! charon connects to a chosen peer only by a connection that names it, so each peer gets a copy of the profile with its
//! addresses put in. `list-conns` tells neither proposals nor certificates, hence the file is read, as swanctl does.
//!
//! A profile whose child is a tunnel with selectors that name hosts is another thing: its `remote_addrs` are where charon
//! finds who is at the other end, and the GRE tunnel's addresses are the hosts'. It leads to that one peer, and its copy has
//! its addresses. Several such spokes may be behind one translated address, which is one peer to transport mode.
//!
//! Owns the translation of the file's settings into `load-conn`. Never sends anything.

use std::net::IpAddr;
use std::path::Path;

use crate::message::{Item, Section};
use crate::sa::host;
use crate::settings::{Files, Settings};

/// Settings whose value is a list, separated by commas.
const LISTS: [&str; 11] = [
    "local_addrs",
    "remote_addrs",
    "proposals",
    "esp_proposals",
    "ah_proposals",
    "local_ts",
    "remote_ts",
    "vips",
    "pools",
    "groups",
    "cert_policy",
];

/// Settings whose value is a list of files, and the folder beside `swanctl.conf` that they are in.
const FILES: [(&str, &str); 3] = [("certs", "x509"), ("cacerts", "x509ca"), ("pubkeys", "pubkey")];

/// What would make charon begin, or begin again, by itself: here that is the backend's part.
const NOT_COPIED: [&str; 3] = ["start_action", "close_action", "dpd_action"];

/// A profile that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Name of the connection in the file.
    pub connection: String,
    /// Name of its child.
    pub child: String,
    section: Section,
}

impl Template {
    /// Reads a profile from `swanctl.conf`: the connection of that name, or the one with a child of that name. FRR's
    /// `profile` is the name of a child; usually both are the same.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn load(files: &dyn Files, path: &Path, profile: &str) -> Result<Self, String> {
        let settings = Settings::load(files, path)?;
        let connections = settings.section("connections");
        let all = connections.map(|c| c.sections.as_slice()).unwrap_or_default();
        let has_child = |connection: &Settings| {
            connection.section("children").is_some_and(|children| children.section(profile).is_some())
        };
        let found = all
            .iter()
            .find(|(name, connection)| name == profile && has_child(connection))
            .or_else(|| all.iter().find(|(_, connection)| has_child(connection)))
            .or_else(|| all.iter().find(|(name, _)| name == profile));
        let Some((name, connection)) = found else {
            return Err(format!("{} has no connection with a child '{profile}'", path.display()));
        };
        let children = connection.section("children").map(|c| c.sections.as_slice()).unwrap_or_default();
        let child = match children {
            _ if has_child(connection) => profile,
            [(only, _)] => only,
            _ => return Err(format!("connection '{name}' in {} has no child '{profile}'", path.display())),
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut section = translate(files, folder, connection)?;
        let mut only = Section::new();
        if let Some(found) = section.section("children").and_then(|children| children.section(child)) {
            let mut found = found.clone();
            for name in NOT_COPIED {
                found.remove(name);
            }
            only.push(child, Item::Section(found));
        }
        section.set("children", Item::Section(only));
        Ok(Self { connection: name.clone(), child: child.to_owned(), section })
    }

    /// Selectors of the child that name somebody: `dynamic` is whoever charon negotiates with.
    fn named(&self, key: &str) -> Vec<&str> {
        let child = self.section.section("children").and_then(|children| children.section(&self.child));
        let selectors: Vec<&str> = child.map(|child| child.texts(key).collect()).unwrap_or_default();
        selectors.into_iter().filter(|selector| !selector.starts_with("dynamic")).collect()
    }

    /// Whether the addresses of the profile are others than those that GRE goes between.
    fn leads_elsewhere(&self) -> bool {
        let child = self.section.section("children").and_then(|children| children.section(&self.child));
        // swanctl's default.
        let mode = child.and_then(|child| child.text("mode")).unwrap_or("tunnel");
        mode == "tunnel" && !self.named("remote_ts").is_empty()
    }

    /// Why a connection by this profile would not protect GRE between the two, if it would not.
    #[must_use]
    pub fn refusal(&self, local: IpAddr, remote: IpAddr) -> Option<String> {
        if !self.leads_elsewhere() {
            return None;
        }
        let name = &self.connection;
        if self.section.texts("remote_addrs").next().is_none() {
            return Some(format!(
                "connection '{name}' is a tunnel without remote_addrs: only the other end can begin"
            ));
        }
        for (key, address) in [("local_ts", local), ("remote_ts", remote)] {
            let named = self.named(key);
            if !named.is_empty() && !named.iter().any(|selector| host(selector) == Some(address)) {
                let named = named.join(", ");
                return Some(format!(
                    "connection '{name}' is a tunnel with {key} = {named}, which is not {address}"
                ));
            }
        }
        None
    }

    /// The message of `load-conn` for a connection of this name from one address to another.
    #[must_use]
    pub fn connection_to(&self, name: &str, local: IpAddr, remote: IpAddr) -> Section {
        let mut section = self.section.clone();
        if !self.leads_elsewhere() {
            let one = |address: IpAddr| Item::List(vec![address.to_string().into_bytes()]);
            section.set("local_addrs", one(local));
            section.set("remote_addrs", one(remote));
        }
        Section::new().with_section(name, section)
    }
}

fn tokens(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|token| !token.is_empty())
}

fn translate(files: &dyn Files, folder: &Path, settings: &Settings) -> Result<Section, String> {
    let mut section = Section::new();
    for (name, value) in &settings.values {
        let item = if LISTS.contains(&name.as_str()) {
            Item::List(tokens(value).map(|token| token.as_bytes().to_vec()).collect())
        } else if let Some((_, below)) = FILES.iter().find(|(key, _)| key == name) {
            let read = |token: &str| {
                let path = folder.join(below).join(token);
                files.read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
            };
            Item::List(tokens(value).map(read).collect::<Result<_, _>>()?)
        } else {
            Item::Value(value.clone().into_bytes())
        };
        section.push(name, item);
    }
    for (name, inner) in &settings.sections {
        section.push(name, Item::Section(translate(files, folder, inner)?));
    }
    Ok(section)
}
