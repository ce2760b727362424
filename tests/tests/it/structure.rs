//! The folders of `host/src` depend on each other only as ARCHITECTURE.md says, and never in a cycle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// By folder (or file) directly under `host/src`: the others that its code names.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files below a folder, without those that hold only unit tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && name != "tests" {
            found.push(path);
        }
    }
}

/// The code without comments and without the unit tests at its end.
fn code(text: &str) -> String {
    let end = text
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(text.len());
    let lines = text[..end].lines();
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The first segments of the paths after each `crate::`, those in braces included.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let mut depth = 0_u32;
        let mut segment = String::new();
        let mut is_first = true;
        for c in rest.chars() {
            match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => segment.push(c),
                '{' => {
                    depth += 1;
                    is_first &= depth == 1;
                }
                _ => {
                    if is_first && depth <= 1 && !segment.is_empty() {
                        found.insert(std::mem::take(&mut segment));
                    }
                    segment.clear();
                    match c {
                        '}' => depth = depth.saturating_sub(1),
                        ',' if depth == 1 => is_first = true,
                        ':' => is_first = false,
                        c if c.is_whitespace() && depth > 0 => {}
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    found
}

fn actual() -> Graph {
    let src = root().join("host/src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let folders: BTreeSet<String> = fs::read_dir(&src)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        // A crate of its own, which the library names like a folder.
        .chain(["sandbox".to_owned()])
        .collect();
    let mut graph = Graph::new();
    for file in files {
        let first = file.strip_prefix(&src).unwrap().iter().next().unwrap();
        let from = Path::new(first).file_stem().unwrap().to_str().unwrap();
        if from == "lib" || from == "main" {
            continue;
        }
        let names = named(&code(&fs::read_to_string(&file).unwrap()));
        let others = names
            .into_iter()
            .filter(|name| folders.contains(name) && name != from);
        graph.entry(from.to_owned()).or_default().extend(others);
    }
    graph
}

/// The block of ARCHITECTURE.md with a line `from → to, to` for each folder.
fn documented() -> Graph {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let block = text.split("```").find(|block| {
        let mut lines = block.lines().skip(1);
        lines.next().is_some_and(|line| line.contains('→'))
    });
    let lines = block.expect("a block of arrows").lines().skip(1);
    lines
        .map(|line| {
            let (from, to) = line.split_once('→').unwrap();
            let to = to.split(',').map(str::trim).filter(|name| !name.is_empty());
            (from.trim().to_owned(), to.map(str::to_owned).collect())
        })
        .collect()
}

/// The folders of a cycle and those that depend on one; empty if there is no cycle.
fn cycle(graph: &Graph) -> Vec<String> {
    let mut left = graph.clone();
    loop {
        let done: Vec<String> = left
            .iter()
            .filter(|(_, to)| to.iter().all(|name| !left.contains_key(name)))
            .map(|(from, _)| from.clone())
            .collect();
        if done.is_empty() {
            return left.into_keys().collect();
        }
        for name in done {
            left.remove(&name);
        }
    }
}

#[test]
fn folders_depend_on_each_other_as_documented_and_without_a_cycle() {
    let (actual, documented) = (actual(), documented());
    assert!(actual.len() > 10, "{actual:?}");
    assert_eq!(cycle(&actual), Vec::<String>::new(), "{actual:#?}");
    for (from, to) in &actual {
        // Folders that use no other are not listed.
        let listed = documented.get(from).cloned().unwrap_or_default();
        assert_eq!(
            *to, listed,
            "what {from} depends on, in the code and in ARCHITECTURE.md"
        );
    }
    let unknown = documented.keys().filter(|name| !actual.contains_key(*name));
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn names_are_found_in_every_shape_of_path() {
    let code = "use crate::{a::{b, c}, d, e::F}; use crate::g; let x = crate::h::i(); use crate::{\n    j::K,\n    l::{m::{n}, o},\n};";
    let expected = ["a", "d", "e", "g", "h", "j", "l"].map(str::to_owned);
    assert_eq!(named(code), BTreeSet::from(expected));
}

#[test]
fn a_cycle_is_found() {
    let graph = |arrows: &[(&str, &[&str])]| -> Graph {
        let to_owned = |to: &[&str]| to.iter().map(|s| (*s).to_owned()).collect();
        arrows
            .iter()
            .map(|(from, to)| ((*from).to_owned(), to_owned(to)))
            .collect()
    };
    assert!(cycle(&graph(&[("a", &["b"]), ("b", &["c"]), ("c", &[])])).is_empty());
    assert_eq!(
        cycle(&graph(&[("a", &["b"]), ("b", &["a"]), ("c", &[])])),
        ["a", "b"]
    );
}
