//! The files of the project, read once for all checks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::finding::Finding;
use crate::manifest::Manifest;
use crate::rust_file::{self, RustFile};

const NOT_OURS: [&str; 6] =
    ["target", "node_modules", "dist", "taskwright-data", "__pycache__", "venv"];
const HIDDEN_BUT_OURS: [&str; 3] = [".ci", ".cargo", ".config"];

/// A text file that is not Rust.
pub struct TextFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// The project.
pub struct Tree {
    /// The folder of the workspace.
    pub root: PathBuf,
    /// Every Rust file that could be parsed.
    pub rust: Vec<RustFile>,
    /// Every Cargo.toml of a crate.
    pub manifests: Vec<Manifest>,
    /// Every other text file.
    pub texts: Vec<TextFile>,
    /// What could not be parsed.
    pub unparsed: Vec<Finding>,
}

impl Tree {
    /// Reads the project under `root`.
    pub fn load(root: &Path) -> Result<Tree> {
        let mut tree = Tree {
            root: root.to_path_buf(),
            rust: Vec::new(),
            manifests: Vec::new(),
            texts: Vec::new(),
            unparsed: Vec::new(),
        };
        for path in files_under(root)? {
            let full = root.join(&path);
            let bytes = fs::read(&full).with_context(|| format!("reading {}", full.display()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                tree.add(path, text)?;
            }
        }
        rust_file::mark_test_files(&mut tree.rust);
        Ok(tree)
    }

    fn add(&mut self, path: String, text: String) -> Result<()> {
        if path.ends_with(".rs") {
            match RustFile::parse(&path, text) {
                Ok(file) => self.rust.push(file),
                Err(_) if path.contains("/ui/") => {}
                Err(error) => self.unparsed.push(Finding::new(
                    &path,
                    error.span().start().line,
                    format!("not Rust: {error}"),
                    "no check can look into a file that does not parse",
                    "correct the syntax",
                )),
            }
        } else {
            if path.ends_with("/Cargo.toml") {
                self.manifests.push(Manifest::parse(&path, &text)?);
            }
            self.texts.push(TextFile { path, text });
        }
        Ok(())
    }
}

/// The root of the workspace: the folder above this crate's.
pub fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().ok_or_else(|| anyhow!("{} has no parent", here.display()))?;
    Ok(root.to_path_buf())
}

/// The project's own files, relative to `root` and sorted.
pub fn files_under(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && !HIDDEN_BUT_OURS.contains(&name.as_str());
            if hidden || NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Ok(relative) = entry.path().strip_prefix(root) {
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
