//! What the documents at the top name is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "cross/README.md",
    "docs/alerts.md",
    "docs/backup.md",
    "docs/ctl.md",
    "docs/history.md",
    "docs/k3s.md",
    "docs/metrics.md",
    "docs/packages.md",
    "docs/power.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files and folders at the top, by which a word is known as a path.
fn top() -> BTreeSet<String> {
    fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a text names: each word with a `/` that begins like something at the top, and each target of a link, which
/// begins in the document's own folder.
fn named(text: &str, folder: &Path, top: &BTreeSet<String>) -> BTreeSet<PathBuf> {
    let in_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let words = text.split(|c| !in_path(c)).map(|word| word.trim_end_matches(['.', '/']));
    let paths = words.filter(|word| word.split_once('/').is_some_and(|(first, _)| top.contains(first)));
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let local = links.filter(|link| !link.is_empty() && !link.contains("://"));
    // A link's text is a word of the document too, but begins elsewhere.
    paths.map(PathBuf::from).chain(local.map(|link| folder.join(link))).collect()
}

#[test]
fn every_file_that_a_document_names_exists() {
    let (root, top) = (root(), top());
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        let folder = Path::new(document).parent().unwrap();
        let names = named(&text, folder, &top);
        // Built, not kept.
        let kept = names.iter().filter(|path| !path.starts_with("target"));
        missing.extend(
            kept.filter(|path| !root.join(path).exists()).map(|path| format!("{document}: {}", path.display())),
        );
    }
    assert!(missing.is_empty(), "named but not there: {missing:#?}");
}

#[test]
fn names_are_found_in_words_and_links() {
    let top = ["tests", "docs"].map(str::to_owned).into();
    let found = named("See `tests/run`, tests/it/. [a](docs/b.md#c) or/and https://x.y/tests/no", Path::new(""), &top);
    let found: Vec<_> = found.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(found, ["docs/b.md", "tests/it", "tests/run"]);
}
