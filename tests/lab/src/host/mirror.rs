//! Which Debian mirror the host's apt uses.
//!
//! Owns the two formats of apt's source lists (one-line and deb822). Never asks the network.

use std::fs;
use std::path::Path;

/// Used when the host's apt names no Debian mirror.
const FALLBACK: &str = "http://deb.debian.org/debian";

/// The mirror for debootstrap: the first Debian archive in the host's source lists.
pub(crate) fn debian_mirror() -> String {
    let mut texts = Vec::new();
    texts.extend(fs::read_to_string("/etc/apt/sources.list"));
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        texts.extend(paths.iter().filter(|path| is_source_list(path)).flat_map(fs::read_to_string));
    }
    texts.iter().flat_map(|text| uris(text)).find(|uri| is_debian(uri)).unwrap_or_else(|| FALLBACK.to_owned())
}

fn is_source_list(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
}

/// Every URI of binary packages in a source list, in order, whichever of the two formats it has.
fn uris(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("deb ") {
            let rest = rest.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
                None => rest,
            };
            found.extend(rest.split_whitespace().next().map(str::to_owned));
        } else if let Some(rest) = line.strip_prefix("URIs:") {
            found.extend(rest.split_whitespace().map(str::to_owned));
        }
    }
    found
}

/// A main Debian archive ends in `/debian`; security updates and other vendors do not.
fn is_debian(uri: &str) -> bool {
    (uri.starts_with("http://") || uri.starts_with("https://"))
        && uri.trim_end_matches('/').ends_with("/debian")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<String> {
        uris(text).into_iter().find(|uri| is_debian(uri))
    }

    #[test]
    fn one_line_format_with_options_and_comments() {
        let text = "# deb http://old.example/debian x main\n\
                    deb [signed-by=/k.gpg] https://vendor.example/apt stable main\n\
                    deb-src http://src.example/debian bookworm main\n\
                    deb [arch=amd64 trusted=yes] http://mirror.example/debian/ bookworm main\n";
        assert_eq!(first(text).unwrap(), "http://mirror.example/debian/");
    }

    #[test]
    fn deb822_format() {
        let text = "Types: deb\nURIs: http://security.example/debian-security\n\n\
                    Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n";
        assert_eq!(first(text).unwrap(), "http://mirror.example/debian");
    }
}
