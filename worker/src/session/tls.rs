//! Trusts exactly the certificate that the join token names.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

/// Compares the server's certificate with a SHA-256 of it. Name and validity do not matter: the
/// token came from the server's own operator, and ends with a new certificate.
#[derive(Debug)]
pub(crate) struct PinnedCertificate {
    pin: [u8; 32],
    provider: CryptoProvider,
}

impl PinnedCertificate {
    /// Trusts the certificate whose DER has this SHA-256.
    pub(crate) fn new(pin: [u8; 32]) -> Arc<Self> {
        Arc::new(Self { pin, provider: rustls::crypto::ring::default_provider() })
    }
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest: [u8; 32] = Sha256::digest(certificate).into();
        if digest == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(
            "the server's certificate is not the one that the join token names: take the token of \
             this installation, or make a new one with `subak workers token`"
                .to_owned(),
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
