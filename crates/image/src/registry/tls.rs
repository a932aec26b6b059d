//! TLS with the host's certificate authorities and those that are named, without process-wide state.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::RegistryError;

/// A client configuration that trusts what the host trusts, the system's bundle or what `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name, and the certificates in `files`. Also gives the number of trusted certificates: with none every TLS
/// connection fails, which is no reason to refuse a registry on loopback.
pub fn client_config(files: &[PathBuf]) -> Result<(ClientConfig, usize), RegistryError> {
    let mut roots = RootCertStore::empty();
    // Unreadable and odd certificates are left out, as by every other program that reads the bundle.
    let (mut count, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // But not one that somebody has named.
    for path in files {
        let failed = |source| RegistryError::Authority {
            path: path.clone(),
            source,
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.into()))?;
        let mut found = 0;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.into()))?;
            roots.add(certificate).map_err(|error| failed(error.into()))?;
            found += 1;
        }
        if found == 0 {
            return Err(failed("there is no certificate in it".into()));
        }
        count += found;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(RegistryError::Tls)?;
    Ok((config.with_root_certificates(roots).with_no_client_auth(), count))
}
