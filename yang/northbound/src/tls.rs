//! What TLS is done with: our certificate and key, and the authority whose certificates clients have to show. Reads no
//! files; says which of the texts it was given is wrong.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};

/// gRPC's protocol within TLS.
const HTTP2: &[u8] = b"h2";

/// Why TLS cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// Of the certificate's text.
    #[error("no certificate in PEM form in it")]
    Certificate,
    /// Of the key's.
    #[error("no private key in PEM form in it (one that has a passphrase is not usable)")]
    Key,
    /// Of both together.
    #[error("the key does not fit the certificate")]
    Mismatch,
    /// Of certificate or key.
    #[error("{0}")]
    Pair(String),
    /// Of the authority's.
    #[error("no usable certificate of an authority in PEM form in it: {0}")]
    Authority(String),
}

/// Ready to be served with.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    asks_clients: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("asks_clients", &self.asks_clients).finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(list) if list.is_empty() => Err("there is none".to_owned()),
        Ok(list) => Ok(list),
        Err(error) => Err(error.to_string()),
    }
}

impl Tls {
    /// Of texts in PEM: our certificate with those between it and its authority, its key, and authorities of clients.
    /// Without those any client may speak.
    ///
    /// # Errors
    /// [`TlsProblem`]
    pub fn new(certificate: &[u8], key: &[u8], authorities: Option<&[u8]>) -> Result<Self, TlsProblem> {
        let chain = certificates(certificate).map_err(|_| TlsProblem::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsProblem::Key)?;
        let provider = Arc::new(ring::default_provider());
        let pair = |error: Error| match error {
            Error::InconsistentKeys(_) => TlsProblem::Mismatch,
            other => TlsProblem::Pair(other.to_string()),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(pem).map_err(TlsProblem::Authority)? {
                    roots.add(authority).map_err(|e| TlsProblem::Authority(e.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|e| TlsProblem::Authority(e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols.push(HTTP2.to_vec());
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), asks_clients: authorities.is_some() })
    }

    /// Whether clients have to show a certificate.
    #[must_use]
    pub fn asks_clients(&self) -> bool {
        self.asks_clients
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["hub1".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let ((certificate, key), (other, other_key)) = (pair(), pair());
        let made = |certificate: &str, key: &str, authority: Option<&str>| {
            let authority = authority.map(str::as_bytes);
            Tls::new(certificate.as_bytes(), key.as_bytes(), authority).map(|tls| tls.asks_clients())
        };
        assert_eq!(made(&certificate, &key, None), Ok(false));
        assert_eq!(made(&certificate, &key, Some(&other)), Ok(true));
        assert_eq!(made("", &key, None), Err(TlsProblem::Certificate));
        assert_eq!(made(&key, &key, None), Err(TlsProblem::Certificate));
        assert_eq!(made(&certificate, &certificate, None), Err(TlsProblem::Key));
        assert_eq!(made(&certificate, &other_key, None), Err(TlsProblem::Mismatch));
        assert!(matches!(made(&certificate, &key, Some("x")), Err(TlsProblem::Authority(_))));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(made(broken, &key, None), Err(TlsProblem::Pair(_))));
        assert!(matches!(made(&certificate, &key, Some(broken)), Err(TlsProblem::Authority(_))));
    }
}
