use super::*;

#[test]
fn relative_links_are_found_outside_code() {
    let text = "[a](docs/a.md#part) and [b](https://example.org) [c](#here)\n```\n[d](no.md)\n```\n[e](../e.md)\n";
    assert_eq!(links(text), [(1, "docs/a.md".to_string()), (5, "../e.md".to_string())]);
}

#[test]
fn links_are_seen_from_their_folder() {
    let from = Path::new("docs/decisions");
    assert_eq!(resolve(from, "../operating.md"), Some(PathBuf::from("docs/operating.md")));
    assert_eq!(resolve(from, "./0001.md"), Some(PathBuf::from("docs/decisions/0001.md")));
    assert_eq!(resolve(Path::new(""), "../elsewhere.md"), None);
}

#[test]
fn the_map_is_short() {
    let file = |path: &str| TextFile { path: path.to_string(), text: "a\n".repeat(201) };
    assert!(check_length(&file("ARCHITECTURE.md")).is_some());
    assert!(check_length(&file("docs/other.md")).is_none());
}

#[test]
fn a_broken_link_is_named_with_its_line() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("docs")).unwrap();
    std::fs::write(root.path().join("README.md"), "x\n[a](docs) [b](docs/none.md)\n").unwrap();
    let tree = Tree::load(root.path()).unwrap();
    let findings = check(&tree).unwrap();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].to_string().starts_with("README.md:2: the link to `docs/none.md`"));
}
