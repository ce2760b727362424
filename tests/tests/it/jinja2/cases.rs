//! The corpus, and the list of what is known to differ.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
    fs,
    path::Path,
};

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

/// Files whose cases are about filters that Jinja2 lacks.
const BEYOND_JINJA2: [&str; 4] = ["addresses", "dates", "digests", "regex"];

/// How many templates render the same.
#[derive(Clone, Copy, Default)]
struct Count {
    all: usize,
    same: usize,
}

impl Count {
    fn add(&mut self, same: bool) {
        self.all += 1;
        self.same += usize::from(same);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, same } = self;
        let hundredths = same * 10_000 / all;
        let (percent, rest) = (hundredths / 100, hundredths % 100);
        write!(f, "{same} of {all} are the same ({percent}.{rest:02} %)")
    }
}

/// COMPATIBILITY.md.
fn page(known: &[Difference], jinja2: Count, beyond: Count) -> String {
    let mut page = format!(
        "# Compatibility with Jinja2\n\n\
         Templates of the built-in transformer render as CPython's Jinja2 3.1.6 renders them in NetBox (a \
         `SandboxedEnvironment` with its defaults). The test suite renders templates with both, the \
         transformer in its sandbox, and compares text for text, and error for error: {jinja2}. For the \
         filters that Jinja2 lacks, Python's own library is the reference: {beyond}. \
         Most templates are there for their odd arguments. These are the known differences; the test fails on any other, and on one that is \
         gone.\n\n\
         This page is made by the test; to make it anew: `HOOKBOX_BLESS=1 tests/run -E 'test(jinja2)'`.\n",
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
    let (mut jinja2, mut beyond) = (Count::default(), Count::default());
    let (mut wrong, mut seen) = (String::new(), BTreeSet::new());
    for case in &cases {
        let expected = reference.render(&case.template, &context);
        let got = guest.render(&case.template, &context);
        let same = expected.agrees(&got);
        let is_beyond = BEYOND_JINJA2.contains(&case.file.as_str());
        let count = if is_beyond { &mut beyond } else { &mut jinja2 };
        count.add(same);
        if same {
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
    println!("Jinja2: {jinja2}; beyond it: {beyond}");
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
    // Each difference is pinned above; this is what is promised.
    assert!(
        jinja2.same * 100 >= jinja2.all * 99,
        "less than 99 % are the same"
    );
    assert!(beyond.all >= 100, "{beyond}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../COMPATIBILITY.md");
    let page = page(&known, jinja2, beyond);
    if std::env::var_os("HOOKBOX_BLESS").is_some() {
        fs::write(&path, &page).expect("writable");
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        page,
        "COMPATIBILITY.md is out of date; see its end of the first paragraph"
    );
}
