//! Pulls from Debian's own registry: with a password, and over TLS.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use image::{Credentials, Progress, PullOptions, Source, Store};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::sample::{Blob, Sample, hello};
use crate::world::{World, store_options};

/// A bcrypt hash of "secret", the only kind that the registry takes.
const HTPASSWD: &str = "ann:$2b$05$hNqRS0HpzgLYJ//dGOkF/OZTepbXMTk9sx32/vvUC6wZQqA07t8JO\n";

/// Tell a second process of this test binary what to pull, and into which store.
const REFERENCE: &str = "MOTE_TEST_TLS_REFERENCE";
const STORE: &str = "MOTE_TEST_TLS_STORE";

/// A running registry; it ends with the value.
struct Registry {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(name: &str) -> Command {
    let found =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|path| path.join(name).exists()));
    assert!(
        found,
        "{name} is not installed: run `make setup` (scripts/setup.sh test)"
    );
    Command::new(name)
}

impl Registry {
    fn start(settings: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, formatter: text}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n{}",
            path.join("data").display(),
            settings(path)
        );
        std::fs::write(path.join("config.yml"), config).unwrap();
        let mut process = program("docker-registry")
            .arg("serve")
            .arg(path.join("config.yml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let line = log
            .find(|line| line.contains("listening on"))
            .expect("the registry starts");
        let address = line.split("listening on ").nth(1).unwrap();
        let address = address.split(['"', ',', ' ']).next().unwrap().to_owned();
        // The log's pipe must not fill up.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            process,
            address,
            _directory: directory,
        }
    }

    /// Pushes as a client does (OCI distribution spec, "Push").
    async fn push(&self, client: &reqwest::Client, scheme: &str, host: &str, sample: &Sample) {
        let base = format!("{scheme}://{host}/v2/team/app");
        for Blob { digest, bytes } in sample.blobs() {
            let started = client
                .post(format!("{base}/blobs/uploads/"))
                .basic_auth("ann", Some("secret"))
                .send()
                .await
                .unwrap();
            let mut location: reqwest::Url = started.headers()[LOCATION].to_str().unwrap().parse().unwrap();
            location.query_pairs_mut().append_pair("digest", &digest.to_string());
            let done = client
                .put(location)
                .basic_auth("ann", Some("secret"))
                .body(bytes)
                .send()
                .await
                .unwrap();
            assert_eq!(done.status(), 201);
        }
        let put = client
            .put(format!("{base}/manifests/v1"))
            .basic_auth("ann", Some("secret"))
            .header(CONTENT_TYPE, image::manifest::OCI_MANIFEST)
            .body(sample.manifest.bytes.clone());
        assert_eq!(put.send().await.unwrap().status(), 201);
    }
}

#[tokio::test]
async fn an_image_is_pulled_with_the_right_password_only() {
    let registry = Registry::start(|path| {
        std::fs::write(path.join("htpasswd"), HTPASSWD).unwrap();
        let htpasswd = path.join("htpasswd");
        format!(
            "http: {{addr: 127.0.0.1:0}}\nauth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            htpasswd.display()
        )
    });
    registry
        .push(
            &client_with(RootCertStore::empty()),
            "http",
            &registry.address,
            &hello(),
        )
        .await;
    let reference = format!("{}/team/app:v1", registry.address);
    let mut world = World::new();
    world
        .check_refused(&reference, "wants a user name and a password")
        .await;
    world.options.credentials = Some(Credentials::new("ann".into(), "guess".into()));
    world.check_refused(&reference, "wrong user name or password").await;
    world.options.credentials = Some(Credentials::new("ann".into(), "secret".into()));
    let image = world.pull(&reference).await.unwrap();
    assert_eq!(image.record.digest, hello().manifest.digest);
    world
        .check_refused(&format!("{}/team/app:v2", registry.address), "is not in the registry")
        .await;
}

/// The second process of the test below; in the first one there is nothing to do.
#[tokio::test]
async fn a_pull_that_trusts_what_its_environment_names() {
    let (Ok(reference), Ok(store)) = (std::env::var(REFERENCE), std::env::var(STORE)) else {
        return;
    };
    let store = Store::open(store.as_ref(), store_options()).unwrap();
    let source = Source::parse(&reference).unwrap();
    store
        .pull(&source, &PullOptions::default(), &Progress::silent())
        .await
        .unwrap();
}

/// A certificate for localhost that signs itself.
fn make_certificate(certificate: &Path, key: &Path) {
    let made = program("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=test",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn a_certificate_is_trusted_as_the_host_trusts_it() {
    let certificates = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        certificates.path().join("certificate.pem"),
        certificates.path().join("key.pem"),
    );
    make_certificate(&certificate, &key);
    let registry = Registry::start(|_| {
        let tls = format!("{{certificate: {}, key: {}}}", certificate.display(), key.display());
        format!("http: {{addr: 127.0.0.1:0, tls: {tls}}}\n")
    });
    let host = registry.address.replace("127.0.0.1", "localhost");
    let mut trusted = RootCertStore::empty();
    trusted
        .add(CertificateDer::from_pem_file(&certificate).unwrap())
        .unwrap();
    registry.push(&client_with(trusted), "https", &host, &hello()).await;
    let reference = format!("{host}/team/app:v1");
    // Without trust nothing is pulled, and nothing goes out over the TLS port in the clear.
    let world = World::new();
    world.check_refused(&reference, "answers 400").await;
    let store = tempfile::tempdir().unwrap();
    let pulled = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "docker_registry::a_pull_that_trusts_what_its_environment_names",
        ])
        .env(REFERENCE, &reference)
        .env(STORE, store.path())
        .env("SSL_CERT_FILE", &certificate)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(pulled.success());
    // Or as the store is told to.
    let world = World::with(image::StoreOptions {
        authority_files: vec![certificate.clone()],
        ..store_options()
    });
    world.pull(&reference).await.unwrap();
    let refused = Store::open(
        world.path().join("other").as_path(),
        image::StoreOptions {
            authority_files: vec![key.clone()],
            ..store_options()
        },
    );
    assert!(refused.is_err(), "a key is no certificate");
    let store = Store::open(store.path(), store_options()).unwrap();
    assert_eq!(
        store.resolve(&reference).unwrap().record.digest,
        hello().manifest.digest
    );
}

fn client_with(roots: RootCertStore) -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .build()
        .unwrap()
}
