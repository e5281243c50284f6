//! Configuration and state as data, by gRPC: calls of frr.Northbound, and of nhrpd.v1 what FRR's service lacks.

use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use crate::data::{Address, Data, Document, Place, address};
use frr::northbound_client::NorthboundClient;
use frr::{commit_request, get_request, load_to_candidate_request};
use v1::candidates_client::CandidatesClient;

#[allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::allow_attributes, reason = "generated")]
mod frr {
    tonic::include_proto!("frr");
}

#[allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::large_enum_variant,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated"
)]
mod v1 {
    tonic::include_proto!("nhrpd.v1");
}

/// For a connection.
const REACH: Duration = Duration::from_secs(10);
/// For an answer: that of a large table takes its time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Octets of an answer, which has no limit of its own: a hundred thousand peers, generously.
const LARGEST: usize = 1 << 30;

/// Whether it was done, and of `diff` whether nothing differs.
pub(crate) fn run(place: &Place, what: &Data) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot begin: {e}"))?;
    runtime.block_on(async {
        let channel = connect(place).await?;
        let mut northbound = NorthboundClient::new(channel.clone()).max_decoding_message_size(LARGEST);
        match what {
            Data::Get { path, state, config } => get(&mut northbound, path, *state, *config).await,
            Data::Diff(document) => {
                let id = load(&mut northbound, document).await?;
                let mut candidates = CandidatesClient::new(channel).max_decoding_message_size(LARGEST);
                let compared = candidates.compare(v1::CompareRequest { candidate_id: id }).await;
                discard(&mut northbound, id).await;
                let difference = compared.map_err(|e| words(&e))?.into_inner().difference;
                print(difference.as_bytes());
                Ok(difference.is_empty())
            }
            Data::Commit { document, comment } => {
                let id = load(&mut northbound, document).await?;
                let done = commit(&mut northbound, id, comment).await;
                // If it was prepared and not applied, that ends with the candidate.
                discard(&mut northbound, id).await;
                print(done?.as_bytes());
                Ok(true)
            }
        }
    })
}

fn print(text: &[u8]) {
    // Whoever reads this may have seen enough.
    let _ = std::io::stdout().write_all(text);
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// The daemon's words, or those of the connection.
fn words(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => {
            "who listens there has no such call: it is not this nhrpd, or an older one".to_owned()
        }
        code => match status.source() {
            Some(source) => format!(
                "the connection is lost: {}; if nhrpd serves TLS there, add --cacert, and --cert and --key if it asks \
                 for a certificate",
                chain(source)
            ),
            None if status.message().is_empty() => code.to_string(),
            None => status.message().to_owned(),
        },
    }
}

async fn connect(place: &Place) -> Result<Channel, String> {
    let read = |option: &str, path: &Path| {
        std::fs::read(path).map_err(|e| format!("{option} {}: cannot read it: {e}", path.display()))
    };
    let authority = place.cacert.as_deref().map(|path| read("--cacert", path)).transpose()?;
    let uri = match address(&place.grpc)? {
        Address::Socket(_) if authority.is_some() => {
            return Err("there is no TLS on a unix socket; leave out --cacert".to_owned());
        }
        Address::Socket(path) => format!("unix:{path}"),
        Address::Host(host) if authority.is_some() => format!("https://{host}"),
        Address::Host(host) => format!("http://{host}"),
    };
    let mut endpoint = Endpoint::from_shared(uri)
        .map_err(|e| format!("--grpc {}: {}", place.grpc, chain(&e)))?
        .connect_timeout(REACH)
        .timeout(PATIENCE);
    if let Some(authority) = authority {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        if let (Some(certificate), Some(key)) = (&place.cert, &place.key) {
            tls = tls.identity(Identity::from_pem(read("--cert", certificate)?, read("--key", key)?));
        }
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|e| format!("--cacert, --cert and --key cannot be used: {}", chain(&e)))?;
    }
    endpoint.connect().await.map_err(|error| {
        let remedy = if place.cacert.is_some() {
            "does nhrpd serve TLS there, with a certificate of that authority for that name?"
        } else {
            "does nhrpd run with -M grpc or --grpc-listen, and --grpc name the same place? If it serves TLS, add --cacert"
        };
        format!("cannot reach {}: {}; {remedy}", place.grpc, chain(&error))
    })
}

async fn get(
    northbound: &mut NorthboundClient<Channel>,
    path: &str,
    state: bool,
    config: bool,
) -> Result<bool, String> {
    let kind = match (state, config) {
        (true, _) => get_request::DataType::State,
        (_, true) => get_request::DataType::Config,
        _ => get_request::DataType::All,
    };
    let request = frr::GetRequest {
        r#type: kind.into(),
        encoding: frr::Encoding::Json.into(),
        with_defaults: false,
        path: vec![path.to_owned()],
    };
    let mut answers = northbound.get(request).await.map_err(|e| words(&e))?.into_inner();
    // An empty message comes before an error.
    while let Some(answer) = answers.message().await.map_err(|e| words(&e))? {
        let data = answer.data.unwrap_or_default().data;
        print(data.as_bytes());
        if !data.is_empty() && !data.ends_with('\n') {
            print(b"\n");
        }
    }
    Ok(true)
}

/// A candidate with the document in it.
async fn load(northbound: &mut NorthboundClient<Channel>, document: &Document) -> Result<u32, String> {
    use load_to_candidate_request::LoadType;
    let name = document.file.display();
    let mut text = String::new();
    let read = if document.file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(&document.file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|e| format!("{name}: cannot read it: {e}"))?;
    let is_xml = text.trim_start().starts_with('<');
    let encoding = if is_xml { frr::Encoding::Xml } else { frr::Encoding::Json };
    let created = northbound.create_candidate(frr::CreateCandidateRequest {}).await.map_err(|e| words(&e))?;
    let id = created.into_inner().candidate_id;
    let request = frr::LoadToCandidateRequest {
        candidate_id: id,
        r#type: if document.replace { LoadType::Replace } else { LoadType::Merge }.into(),
        config: Some(frr::DataTree { encoding: encoding.into(), data: text }),
    };
    if let Err(status) = northbound.load_to_candidate(request).await {
        discard(northbound, id).await;
        return Err(format!("{name}: {}", words(&status)));
    }
    Ok(id)
}

async fn discard(northbound: &mut NorthboundClient<Channel>, id: u32) {
    // Else it makes room for another one by itself.
    let _ = northbound.delete_candidate(frr::DeleteCandidateRequest { candidate_id: id }).await;
}

/// In two phases; what to say of it.
async fn commit(
    northbound: &mut NorthboundClient<Channel>,
    id: u32,
    comment: &str,
) -> Result<String, String> {
    use commit_request::Phase;
    let request = |phase: Phase| frr::CommitRequest {
        candidate_id: id,
        phase: phase.into(),
        comment: comment.to_owned(),
    };
    match northbound.commit(request(Phase::Prepare)).await {
        Ok(_) => {}
        // FRR's code for it.
        Err(status) if status.code() == Code::Aborted => return Ok("nothing to change\n".to_owned()),
        Err(status) => return Err(words(&status)),
    }
    let done = northbound.commit(request(Phase::Apply)).await.map_err(|e| words(&e))?;
    Ok(format!("transaction {}\n", done.into_inner().transaction_id))
}
