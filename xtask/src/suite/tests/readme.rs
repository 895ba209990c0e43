use super::*;

const TEXT: &str = "# Title\n```sh\ncargo run --release -- each --exec 'wc {}' a b\ncargo xtask test\n```\n\
    ```rust\nfn main() {}\n```\n```sh\ntaskwright serve &\n```\n";

#[test]
fn shell_blocks_run_with_the_built_binary() {
    let blocks = blocks(TEXT);
    let texts: Vec<_> = blocks.iter().map(|block| (block.line, block.text.as_str())).collect();
    assert_eq!(
        texts,
        [(2, "taskwright each --exec 'wc {}' a b\n"), (9, "taskwright serve &\nawait_server\n")]
    );
}

#[test]
fn the_script_says_how_far_it_came() {
    let script = script(&blocks(TEXT));
    assert_eq!(script.matches(REACHED).count(), 2);
    assert!(script.starts_with(PRELUDE));
}

#[test]
fn the_folder_has_the_files_but_no_data() {
    let root = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["README.md", "target", ".git", "taskwright-data"] {
        fs::write(root.path().join(name), "").unwrap();
    }
    look_like(root.path(), folder.path()).unwrap();
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["README.md"]);
}
