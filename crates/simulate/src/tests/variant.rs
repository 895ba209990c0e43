use super::*;

const FILE: &str = r#"
jobs = 10
[[task]]
name = "a"
arrivals = { constant = "1/s" }
runs = { constant = "1s" }
[[worker]]
name = "w"
count = 2
slots = 3
[[limit]]
queue = "default"
concurrency = 5
"#;

#[test]
fn a_file_without_variants_is_itself() {
    let all = read(FILE).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0, None);
    assert_eq!(all[0].1.workers[0].count, 2);
}

#[test]
fn a_variant_changes_what_it_names_and_adds_what_is_new() {
    let text = format!(
        r#"{FILE}
        [[variant]]
        name = "other"
        jobs = 20
        [[variant.worker]]
        name = "w"
        count = 4
        [[variant.worker]]
        name = "new"
        [[variant.limit]]
        queue = "default"
        concurrency = 6
        [[variant.limit]]
        queue = "default"
        group = "*"
        concurrency = 1
        "#
    );
    let (name, other) = read(&text).unwrap().remove(0);
    assert_eq!((name.as_deref(), other.jobs), (Some("other"), Some(20)));
    let workers: Vec<_> =
        other.workers.iter().map(|w| (w.name.as_str(), w.count, w.slots)).collect();
    assert_eq!(workers, [("w", 4, 3), ("new", 1, 1)]);
    let limits: Vec<_> = other.limits.iter().map(|l| (l.group.as_deref(), l.concurrency)).collect();
    assert_eq!(limits, [(None, Some(6)), (Some("*"), Some(1))]);
}

#[test]
fn mistakes_name_their_place() {
    let message = |text: &str| read(text).unwrap_err().to_string();
    let typo = message(&FILE.replace("slots", "slot"));
    assert!(typo.contains("slot") && typo.contains("line 10"), "{typo}");
    assert!(message("jobs = ").contains("line 1"));
    let arrivals = message(&FILE.replace("constant = \"1/s\"", "sometimes = \"1/s\""));
    assert!(arrivals.contains("poisson") && arrivals.contains("sometimes"), "{arrivals}");
    let nameless = message(&format!("{FILE}\n[[variant]]\njobs = 1"));
    assert!(nameless.contains("it has no name"), "{nameless}");
    let wrong = message(&format!("{FILE}\n[[variant]]\nname = \"x\"\njobs = \"many\""));
    assert!(wrong.contains("the variant \"x\""), "{wrong}");
    assert!(message("variant = 1").contains("[[variant]]"));
}
