//! TLS with the host's certificate authorities, without process-wide state.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// A client configuration that trusts what the host trusts: the system's bundle, or what `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name. Also gives the number of trusted certificates: with none every TLS connection fails, which is no
/// reason to refuse a registry on loopback.
pub fn client_config() -> Result<(ClientConfig, usize), rustls::Error> {
    let mut roots = RootCertStore::empty();
    // Unreadable and odd certificates are left out, as by every other program that reads the bundle.
    let (count, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok((config.with_root_certificates(roots).with_no_client_auth(), count))
}
