//! Manifests, sound and hostile.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn entry(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(b"x").to_string(), "size": 1})
}

fn for_platform(os: &str, architecture: &str, variant: &str, content: &[u8]) -> Value {
    let platform = json!({"os": os, "architecture": architecture, "variant": variant});
    json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(content).to_string(), "size": 1, "platform": platform})
}

fn manifest(config: &str, layers: &[&str]) -> Value {
    let layers: Vec<_> = layers.iter().map(|layer| entry(layer)).collect();
    json!({"schemaVersion": 2, "config": entry(config), "layers": layers})
}

fn parse_value(value: &Value) -> Result<Manifest, ManifestError> {
    parse(value.to_string().as_bytes())
}

fn check_choice(entries: &[Value], wanted: &str, expected: Option<&[u8]>) {
    let Ok(Manifest::Index(index)) = parse_value(&json!({"schemaVersion": 2, "manifests": entries})) else {
        panic!("no index");
    };
    let chosen = index
        .choose(&Platform::parse(wanted).unwrap())
        .ok()
        .map(|entry| entry.digest);
    assert_eq!(chosen, expected.map(Digest::of));
}

#[test]
fn both_families_of_manifests_are_read() {
    let oci = manifest(OCI_CONFIG, &[OCI_LAYER, "application/vnd.oci.image.layer.v1.tar+zstd"]);
    let docker = manifest(DOCKER_CONFIG, &DOCKER_LAYERS);
    for value in [oci, docker] {
        assert!(matches!(parse_value(&value), Ok(Manifest::Image(_))), "{value}");
    }
}

#[test]
fn schema_one_is_refused_by_name() {
    let value = json!({"schemaVersion": 1, "name": "a", "fsLayers": [], "history": []});
    assert!(matches!(parse_value(&value), Err(ManifestError::SchemaOne)));
}

#[test]
fn a_document_that_reads_two_ways_is_refused() {
    let mut value = manifest(OCI_CONFIG, &[OCI_LAYER]);
    value["manifests"] = json!([]);
    assert!(matches!(parse_value(&value), Err(ManifestError::Ambiguous)));
    let mut value = manifest(OCI_CONFIG, &[OCI_LAYER]);
    value["mediaType"] = OCI_INDEX.into();
    assert!(matches!(parse_value(&value), Err(ManifestError::Ambiguous)));
}

#[test]
fn artifacts_and_foreign_layers_are_refused() {
    let chart = manifest("application/vnd.cncf.helm.config.v1+json", &[]);
    assert!(matches!(parse_value(&chart), Err(ManifestError::Artifact(_))));
    let foreign = manifest(
        OCI_CONFIG,
        &["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"],
    );
    assert!(matches!(parse_value(&foreign), Err(ManifestError::LayerType(_))));
}

#[test]
fn numbers_and_digests_are_bounded() {
    let mut value = manifest(OCI_CONFIG, &[OCI_LAYER]);
    value["layers"][0]["size"] = (-1).into();
    assert!(matches!(parse_value(&value), Err(ManifestError::Json(_))));
    value["layers"][0]["size"] = u64::MAX.into();
    assert!(matches!(parse_value(&value), Err(ManifestError::LayerTooLarge(_))));
    value["layers"][0]["digest"] = "sha256:../x".into();
    assert!(matches!(parse_value(&value), Err(ManifestError::Digest(_))));
    let many = manifest(OCI_CONFIG, &[OCI_LAYER; LAYERS_MAX + 1]);
    assert!(matches!(parse_value(&many), Err(ManifestError::TooManyLayers(_))));
}

#[test]
fn the_fitting_platform_is_chosen() {
    let entries = [
        for_platform("linux", "arm", "v6", b"v6"),
        for_platform("linux", "arm", "v7", b"v7"),
        for_platform("linux", "amd64", "", b"amd64"),
        for_platform("unknown", "unknown", "", b"attestation"),
    ];
    check_choice(&entries, "linux/amd64", Some(b"amd64"));
    check_choice(&entries, "linux/arm/v7", Some(b"v7"));
    check_choice(&entries, "linux/s390x", None);
}

#[test]
fn a_lone_entry_without_a_platform_is_taken() {
    check_choice(&[entry(OCI_MANIFEST)], "linux/amd64", Some(b"x"));
    check_choice(&[entry(OCI_MANIFEST), entry(OCI_MANIFEST)], "linux/amd64", None);
}

#[test]
fn what_there_is_instead_is_named() {
    let index = json!({"schemaVersion": 2, "manifests": [
        for_platform("linux", "arm64", "v8", b"a"), for_platform("unknown", "unknown", "", b"b")]});
    let Ok(Manifest::Index(index)) = parse_value(&index) else {
        panic!("no index")
    };
    let error = index.choose(&Platform::parse("linux/amd64").unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "no image for linux/amd64; there are: linux/arm64/v8");
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_damaged_manifest_does_no_harm(at in 0_usize..300, byte in any::<u8>()) {
        let mut bytes = manifest(OCI_CONFIG, &[OCI_LAYER]).to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = parse(&bytes);
    }
}
