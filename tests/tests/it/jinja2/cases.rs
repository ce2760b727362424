//! The corpus, and the list of what is known to differ.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use serde_json::Value;

use super::{Guest, Reference, folder};

struct Case {
    file: String,
    template: String,
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("readable");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The cases: a template each, on the common context; no template twice, so that shares mean something.
fn corpus() -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(folder().join("cases"))
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let (mut cases, mut known) = (Vec::new(), BTreeSet::new());
    for path in files {
        let file = path.file_stem().expect("a name").to_string_lossy();
        for template in read(&path)["cases"].as_array().expect("a list") {
            let template = text(template);
            assert!(
                known.insert(template.clone()),
                "{file}: stands in the corpus twice: {template:?}"
            );
            cases.push(Case {
                file: file.to_string(),
                template,
            });
        }
    }
    cases
}

struct Difference {
    title: String,
    reason: String,
    cases: BTreeSet<String>,
}

fn known() -> Vec<Difference> {
    let known = read(&folder().join("differences.json"));
    let group = |group: &Value| Difference {
        title: text(&group["title"]),
        reason: text(&group["reason"]),
        cases: group["cases"]
            .as_array()
            .expect("a list")
            .iter()
            .map(text)
            .collect(),
    };
    known
        .as_array()
        .expect("a list")
        .iter()
        .map(group)
        .collect()
}

/// COMPATIBILITY.md.
fn page(known: &[Difference], all: usize, same: usize) -> String {
    let mut page = format!(
        "# Compatibility with Jinja2\n\n\
         Templates of the built-in transformer render as CPython's Jinja2 3.1.6 renders them in NetBox (a \
         `SandboxedEnvironment` with its defaults). The test suite renders {all} templates with both, the \
         transformer in its sandbox, and compares text for text, and error for error: {same} are the same \
         ({}.{:02} %). For the filters that Jinja2 lacks, Python's own library is the reference, and that of \
         JMESPath. These are the known differences; the test fails on any other, and on one that is \
         gone.\n\n\
         This page is made by the test; to make it anew: `HOOKBOX_BLESS=1 tests/run -E 'test(jinja2)'`.\n",
        same * 100 / all,
        same * 10_000 / all % 100,
    );
    for difference in known {
        write!(
            page,
            "\n## {}\n\n{}\n\n",
            difference.title, difference.reason
        )
        .expect("a string");
        for case in difference.cases.iter().take(4) {
            writeln!(page, "- `` {} ``", case.replace('\n', "\\n")).expect("a string");
        }
        if difference.cases.len() > 4 {
            writeln!(page, "- and {} more", difference.cases.len() - 4).expect("a string");
        }
    }
    page
}

#[test]
fn every_case_renders_as_in_jinja2_or_is_a_known_difference() {
    let (cases, known) = (corpus(), known());
    assert!(cases.len() >= 5_000, "only {} cases", cases.len());
    let context = fs::read_to_string(folder().join("context.json")).expect("readable");
    let (reference, guest) = (Reference::start(), Guest::start());
    let (mut same, mut wrong, mut seen) = (0, String::new(), BTreeSet::new());
    for case in &cases {
        let expected = reference.render(&case.template, &context);
        let got = guest.render(&case.template, &context);
        if expected.agrees(&got) {
            same += 1;
            continue;
        }
        let listed = known
            .iter()
            .find(|group| group.cases.contains(&case.template));
        let mark = listed.map_or("NEW", |group| &group.title);
        println!(
            "{mark}: {}: {:?}\n  Jinja2  {expected:?}\n  hookbox {got:?}",
            case.file, case.template
        );
        if listed.is_none() {
            writeln!(
                wrong,
                "{}: {:?}: Jinja2 {expected:?}, hookbox {got:?}",
                case.file, case.template
            )
            .expect("a string");
        }
        seen.insert(case.template.clone());
    }
    println!(
        "{} templates: {same} the same, {} differ; {:.2} %",
        cases.len(),
        cases.len() - same,
        same as f64 * 100.0 / cases.len() as f64
    );
    assert!(
        wrong.is_empty(),
        "these differ, and differences.json does not list them:\n{wrong}"
    );
    for case in known.iter().flat_map(|group| &group.cases) {
        assert!(
            seen.contains(case),
            "listed in differences.json, but the same now: {case:?}"
        );
    }
    // Each difference is pinned above; this is against a list that grows without end.
    assert!(
        same * 1000 >= cases.len() * 985,
        "less than 98.5 % are the same"
    );

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../COMPATIBILITY.md");
    let page = page(&known, cases.len(), same);
    if std::env::var_os("HOOKBOX_BLESS").is_some() {
        fs::write(&path, &page).expect("writable");
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        page,
        "COMPATIBILITY.md is out of date; see its end of the first paragraph"
    );
}
