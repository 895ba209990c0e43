use super::*;

const TEXT: &str = r#"
[package]
name = "taskwright-engine"

[dependencies]
tokio-util.workspace = true
tokio = { workspace = true }
renamed = { package = "serde_json", version = "1" }

[dev-dependencies]
tempfile = "3"

[target.'cfg(unix)'.dependencies]
rustix = "1"
"#;

#[test]
fn every_section_is_read() {
    let manifest = Manifest::parse("crates/engine/Cargo.toml", TEXT).unwrap();
    assert_eq!(manifest.package, "taskwright-engine");
    assert_eq!(manifest.folder(), "crates/engine");
    let mut seen: Vec<_> = manifest
        .dependencies
        .iter()
        .map(|d| (d.package.as_str(), d.code_name.as_str(), d.need, d.line))
        .collect();
    seen.sort_by_key(|(.., line)| *line);
    assert_eq!(
        seen,
        [
            ("tokio-util", "tokio_util", Need::Normal, 6),
            ("tokio", "tokio", Need::Normal, 7),
            ("serde_json", "renamed", Need::Normal, 8),
            ("tempfile", "tempfile", Need::Development, 11),
            ("rustix", "rustix", Need::Normal, 14),
        ]
    );
}

#[test]
fn a_manifest_without_a_package_is_refused() {
    let error = Manifest::parse("crates/x/Cargo.toml", "[dependencies]\n").unwrap_err();
    assert!(error.to_string().contains("crates/x/Cargo.toml"), "{error}");
}
