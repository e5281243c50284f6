//! The Debian package, made by cargo-deb from the programs that guests run anyway.
//!
//! Owns getting cargo-deb, which is built once into the lab's cache. What is in the package says nhrpd/Cargo.toml.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::build::{self, Program};
use super::cache::Cache;
use super::say;
use super::tools::run_logged;
use crate::failure::{Context, Result};
use crate::scenarios::PACKAGE;

/// That of nhrpd/Cargo.toml and the README.
const CARGO_DEB: &str = "3.8.0";

/// Packs `programs`, as they are: not stripped, and not built again.
pub(super) fn build(cache: &Cache, programs: &[Program]) -> Result<Program> {
    let cargo_deb = cargo_deb(cache)?;
    let log = cache.file("package.log");
    let _ = fs::remove_file(&log);
    // cargo-deb takes programs from the directory of a released build, and from nowhere else.
    let staging = tempfile::tempdir().context(|| "making a temporary directory".to_owned())?;
    let release = staging.path().join("release");
    fs::create_dir(&release).context(|| format!("making {}", release.display()))?;
    for program in programs {
        fs::copy(&program.path, release.join(program.name))
            .context(|| format!("copying {}", program.path.display()))?;
    }
    let beside = programs.first().context(|| "no programs to pack".to_owned())?;
    let path = beside.path.with_file_name(PACKAGE);
    // Never written over: running guests have links to it.
    let _ = fs::remove_file(&path);
    let mut command = Command::new(cargo_deb);
    command.current_dir(build::ROOT).env("CARGO_TARGET_DIR", staging.path());
    command.args(["--package", "nhrpd", "--no-build", "--no-strip", "--fast", "--output"]).arg(&path);
    run_logged(&mut command, &log)?;
    Ok(Program { name: PACKAGE, path })
}

fn cargo_deb(cache: &Cache) -> Result<PathBuf> {
    let name = format!("cargo-deb-{CARGO_DEB}");
    let directory = cache.directory(&name, CARGO_DEB, |partial| {
        say(&format!("building cargo-deb {CARGO_DEB} into the cache (once, two minutes or more)"));
        let log = cache.file(&format!("{name}.log"));
        let _ = fs::remove_file(&log);
        let target = partial.join("target");
        let mut install = build::cargo();
        install.args(["install", "--quiet", "--locked", "--version", CARGO_DEB, "--root"]).arg(partial);
        install.arg("cargo-deb").env("CARGO_TARGET_DIR", &target);
        run_logged(&mut install, &log)?;
        fs::remove_dir_all(&target).context(|| format!("removing {}", target.display()))
    })?;
    Ok(directory.join("bin/cargo-deb"))
}
