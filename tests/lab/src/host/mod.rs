//! The half of the lab that runs on the developer's machine.

pub(crate) mod bench;
mod boot;
mod build;
mod cache;
mod cpio;
mod interrupt;
mod matrix;
mod mirror;
pub(crate) mod native;
pub(crate) mod nested;
mod package;
mod probe;
pub(crate) mod qemu;
pub(crate) mod replay;
pub(crate) mod soak;
mod tools;
pub(crate) mod topotest;
mod tree;
pub(crate) mod uml;
pub(crate) mod verbs;

/// Tells the person at the terminal what is going on. Goes to standard error, so that standard output
/// is what the verb was asked for.
pub(crate) fn say(text: &str) {
    eprintln!("lab: {text}");
}
