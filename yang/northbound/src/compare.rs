//! `nhrpd.v1.Candidates`: what a candidate would change, in the words of the command line.

use std::collections::HashSet;

use nhrp_config::{Config, RenderOptions};
use tonic::{Request, Response, Status};

use crate::proto_v1::candidates_server::Candidates;
use crate::proto_v1::{CompareRequest, CompareResponse};
use crate::service::Service;

/// A block of a configuration: what opens it (nothing, for lines that belong to no block), and its lines.
type Block<'t> = (&'t str, Vec<&'t str>);

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = vec![("", Vec::new())];
    for line in text.lines().filter(|line| !matches!(*line, "!" | "exit")) {
        if line.starts_with("interface ") {
            blocks.push((line, Vec::new()));
        } else if !line.starts_with(' ') {
            // Behind the last block, which only its `exit` has ended.
            if let Some((_, global)) = blocks.first_mut() {
                global.push(line);
            }
        } else if let Some((_, lines)) = blocks.last_mut() {
            lines.push(line);
        }
    }
    blocks
}

/// Lines that are only in one of two configurations, block by block. Their order within a block says nothing.
pub(crate) fn difference(before: &Config, after: &Config) -> String {
    let (before, after) = (before.render(&RenderOptions::FULL), after.render(&RenderOptions::FULL));
    let (before, after) = (blocks(&before), blocks(&after));
    let mut out = String::new();
    let mut say = |mark: char, line: &str| {
        out.push(mark);
        out.push_str(line);
        out.push('\n');
    };
    let gone = before.iter().filter(|(opening, _)| !after.iter().any(|(other, _)| other == opening));
    for (opening, lines) in gone {
        say('-', opening);
        lines.iter().for_each(|line| say('-', line));
    }
    for (opening, lines) in &after {
        let Some((_, old)) = before.iter().find(|(other, _)| other == opening) else {
            say('+', opening);
            lines.iter().for_each(|line| say('+', line));
            continue;
        };
        let (had, has): (HashSet<_>, HashSet<_>) = (old.iter().collect(), lines.iter().collect());
        if had == has {
            continue;
        }
        if !opening.is_empty() {
            say(' ', opening);
        }
        old.iter().filter(|line| !has.contains(line)).for_each(|line| say('-', line));
        lines.iter().filter(|line| !had.contains(line)).for_each(|line| say('+', line));
    }
    out
}

#[tonic::async_trait]
impl Candidates for Service {
    async fn compare(&self, request: Request<CompareRequest>) -> Result<Response<CompareResponse>, Status> {
        let id = request.into_inner().candidate_id;
        let (running, candidate) = self.ask(move |stores| stores.pair(id)).await?;
        Ok(Response::new(CompareResponse { difference: difference(&running, &candidate) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nhrp_config::InterfaceConfig;

    fn config(interfaces: &[(&str, &str)], group: Option<u16>) -> Config {
        let mut config = Config { nflog_group: group, ..Config::default() };
        for (name, source) in interfaces {
            let one =
                InterfaceConfig { tunnel_source: Some((*source).to_owned()), ..InterfaceConfig::default() };
            config.interfaces.insert((*name).to_owned(), one);
        }
        config
    }

    #[test]
    fn only_what_differs_is_shown() {
        let before = config(&[("gre1", "eth0"), ("gre2", "eth0"), ("gre3", "eth0")], Some(1));
        let after = config(&[("gre1", "eth0"), ("gre2", "eth1"), ("gre4", "eth0")], Some(2));
        let expected = "-interface gre3\n- tunnel source eth0\n-nhrp nflog-group 1\n+nhrp nflog-group 2\n \
                        interface gre2\n- tunnel source eth0\n+ tunnel source eth1\n+interface gre4\n+ tunnel \
                        source eth0\n";
        assert_eq!(difference(&before, &after), expected);
        assert_eq!(difference(&before, &before), "");
        assert_eq!(difference(&Config::default(), &config(&[], Some(3))), "+nhrp nflog-group 3\n");
    }
}
