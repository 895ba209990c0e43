use super::*;

#[test]
fn every_name_comes_with_its_path() {
    let item: syn::ItemUse =
        syn::parse_str("use tokio::{self, sync::{mpsc, oneshot as once}, time::*};").unwrap();
    let names: Vec<_> = names(&item.tree).into_iter().map(|u| (u.local, u.path)).collect();
    let expected = [
        ("tokio", "tokio"),
        ("mpsc", "tokio::sync::mpsc"),
        ("once", "tokio::sync::oneshot"),
        ("*", "tokio::time"),
    ];
    assert_eq!(names, expected.map(|(local, path)| (local.to_string(), path.to_string())));
}
