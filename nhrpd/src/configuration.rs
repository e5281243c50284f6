//! The running configuration: edited by vty lines, read from and written to files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nhrp_config::{Config, Edit, RenderOptions};
use vtysh_plugin::render::{RunningConfig, running_config, saved_file};
use vtysh_plugin::{Command, Handler, LibraryConfig, LibraryEdit, Release, Reply, read_config};

use crate::options::Options;
use crate::release::SpokenFrr;

/// Who is to read a configuration back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The installed vtysh, which collects it for `frr.conf`.
    Vtysh,
    /// This daemon, from a file of its own.
    Nhrpd,
    /// This daemon, from a file for what the installed vtysh would not read back.
    Extra,
}

/// Everything that `show running-config` prints.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) nhrp: Config,
    pub(crate) library: LibraryConfig,
    /// Only the northbound changes it: a client has locked it, or is between the phases of a commit.
    pub(crate) held: bool,
    /// A file has been told to wait since.
    pub(crate) file_waits: bool,
}

impl Configuration {
    /// Before anything has been read.
    pub(crate) fn started(options: &Options) -> Self {
        let mut new = Self::default();
        new.library.logging.commands_always = options.command_log_always;
        new
    }

    /// A line that was typed, or that is part of a file.
    pub(crate) fn edit(&mut self, edit: &Edit, in_file: bool) -> Reply {
        if in_file { self.nhrp.apply_again(edit) } else { self.nhrp.apply(edit) }.into()
    }

    /// Another configuration of NHRP in its place, by the edits that lead there; or nothing, if one of them is refused.
    #[cfg(feature = "grpc")]
    pub(crate) fn replace(&mut self, new: &Config) -> Result<(), nhrp_config::EditError> {
        let mut next = self.nhrp.clone();
        for edit in self.nhrp.diff(new) {
            next.apply(&edit)?;
        }
        self.nhrp = next;
        Ok(())
    }

    pub(crate) fn edit_library(&mut self, edit: &LibraryEdit, release: Release) -> Reply {
        self.library.apply(edit, release)
    }

    /// The running configuration, for vtysh with nothing in it that the installed one could not read back.
    pub(crate) fn render(
        &self,
        frr: &SpokenFrr,
        hostname: &str,
        command_line_log: Option<&str>,
        reader: Reader,
    ) -> String {
        let options = match reader {
            Reader::Vtysh => RenderOptions::vtysh(frr.release.major.into(), frr.release.minor.into()),
            Reader::Nhrpd => RenderOptions::FULL,
            Reader::Extra => {
                return self
                    .nhrp
                    .render(&RenderOptions::rest(frr.release.major.into(), frr.release.minor.into()));
            }
        };
        running_config(&RunningConfig {
            version: &frr.version,
            release: frr.release,
            hostname,
            command_line_log,
            library: &self.library,
            body: &self.nhrp.render(&options),
        })
    }
}

/// Writes the configuration file: a new file beside it first, the old one kept as `.sav`.
pub(crate) fn save(path: &Path, running: &str) -> std::io::Result<()> {
    let stamp = chrono::Local::now().format("%Y/%m/%d %H:%M:%S").to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fresh = path.with_file_name(format!("{name}.{}", std::process::id()));
    let backup = path.with_file_name(format!("{name}.sav"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
    file.write_all(saved_file(running, &stamp).as_bytes())?;
    file.sync_all()?;
    if path.exists() {
        match fs::remove_file(&backup) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(path, &backup)?;
    }
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Only keeps the configuration: for `-C`.
impl Handler for Configuration {
    fn execute(&mut self, command: Command) -> Reply {
        match command {
            Command::Edit(edit) => self.edit(&edit, true),
            // Of a file only what is refused counts, and no release refuses what is said once.
            Command::Library(edit) => self.edit_library(&edit, Release::new(10, 3)),
            _ => Reply::ok(),
        }
    }
}

/// `-C`: reads the configuration and says what is wrong with it. FRR exits 0 even then; so does this.
pub(crate) fn check(options: &Options) -> i32 {
    let path = options.config_path();
    match fs::read_to_string(&path) {
        Ok(text) => {
            for error in read_config(&text, &mut Configuration::default()) {
                eprintln!("{}: {error}", path.display());
            }
            0
        }
        Err(error) => {
            eprintln!("cannot read {}: {error}", path.display());
            1
        }
    }
}
