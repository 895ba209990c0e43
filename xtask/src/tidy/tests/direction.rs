use super::*;

fn findings(package: &str, sections: &str) -> Vec<String> {
    let text = format!("[package]\nname = \"{package}\"\n{sections}");
    let manifest = Manifest::parse("crates/x/Cargo.toml", &text).unwrap();
    check_manifest(&manifest).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
}

#[test]
fn a_crate_uses_what_is_to_its_right() {
    let sections = "[dependencies]\ntaskwright-store.workspace = true\ntokio = \"1\"\n";
    assert_eq!(findings("taskwright-engine", sections), [""; 0]);
}

#[test]
fn an_edge_to_the_left_is_named() {
    let sections = "[dependencies]\ntaskwright-local.workspace = true\n";
    let found = findings("taskwright-engine", sections);
    assert_eq!(found, ["4: taskwright-engine → taskwright-local"]);
}

#[test]
fn tests_may_use_the_suites_of_store_and_the_crate_itself() {
    let sections = "[dev-dependencies]\ntaskwright-store.workspace = true\n\
                    taskwright-macros = { path = \".\" }\ntaskwright-local.workspace = true\n";
    let found = findings("taskwright-macros", sections);
    assert_eq!(found, ["6: taskwright-macros → taskwright-local"]);
}

#[test]
fn the_test_bed_is_for_tests_only() {
    let sections = "[dev-dependencies]\ntaskwright-testbed.workspace = true\n";
    assert_eq!(findings("taskwright-core", sections), [""; 0]);
    let sections = "[dependencies]\ntaskwright-testbed.workspace = true\n";
    assert_eq!(findings("taskwright-core", sections), ["4: taskwright-core → taskwright-testbed"]);
}

#[test]
fn a_crate_without_a_place_is_found() {
    let found = findings("taskwright-novelty", "");
    assert_eq!(found, ["1: `taskwright-novelty` has no place in the order of crates"]);
}

#[test]
fn the_table_itself_goes_one_way() {
    let place = |name: &str| MAY_USE.iter().position(|(package, _)| *package == name).unwrap();
    for (package, allowed) in MAY_USE {
        for used in allowed {
            assert!(place(used) < place(package), "{package} → {used}");
        }
    }
}
