//! What can be known of a template without rendering it: what it names, and what of that behaves otherwise
//! here than in NetBox.

use std::collections::BTreeSet;

use crate::{
    model::WebhookSpec,
    pipeline::json_body::tags::{Token, tags, tokens},
};

/// Fields of NetBox's models that are decimals: its templates see their digits, and an event in JSON has a
/// number.
const DECIMALS: [&str; 8] = [
    "latitude",
    "longitude",
    "u_height",
    "position",
    "distance",
    "weight",
    "vcpus",
    "length",
];

/// Names at the top of an event whose values hold no line breaks.
const PLAIN: [&str; 6] = [
    "event",
    "timestamp",
    "object_type",
    "model",
    "username",
    "request_id",
];

/// The names that all templates of one webhook use.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Filters, by name.
    pub(super) filters: BTreeSet<String>,
    /// Environment variables that the `env` filter reads.
    pub(super) env: BTreeSet<String>,
    /// The differences, one sentence each.
    pub(super) notes: Vec<String>,
}

/// Looks at a webhook's templates.
pub(super) fn inspect(spec: &WebhookSpec) -> Findings {
    let mut found = Findings::default();
    let mut computed_env = false;
    let mut decimals = BTreeSet::new();
    for template in [
        &spec.payload_url,
        &spec.additional_headers,
        &spec.body_template,
    ] {
        for code in tags(template) {
            let tokens = tokens(code);
            for (i, token) in tokens.iter().enumerate() {
                let before = |n: usize| i.checked_sub(n).and_then(|i| tokens.get(i));
                let Token::Word(word) = token else { continue };
                match before(1) {
                    Some(Token::Mark('|')) => {
                        if *word == "env" {
                            match before(2) {
                                Some(Token::Text(name)) => {
                                    found.env.insert((*name).to_owned());
                                }
                                _ => computed_env = true,
                            }
                        }
                        found.filters.insert((*word).to_owned());
                    }
                    Some(Token::Word("filter")) if i == 1 => {
                        found.filters.insert((*word).to_owned());
                    }
                    Some(Token::Mark('.')) if DECIMALS.contains(word) => {
                        decimals.insert(*word);
                    }
                    _ => {}
                }
            }
        }
    }
    if found.filters.contains("tojson") {
        found.notes.push(
            "tojson fails in NetBox on decimals (such as data of a device with a position), and works here"
                .to_owned(),
        );
    }
    if !decimals.is_empty() {
        let names = Vec::from_iter(decimals).join(", ");
        found.notes.push(format!(
            "{names}: NetBox's templates see a decimal with all its digits (1.50), here it is the number of the \
             event's JSON (1.5)"
        ));
    }
    if computed_env {
        found.notes.push(
            "it computes the name of an environment variable; the secret of that name is read here"
                .to_owned(),
        );
    }
    if headers_take_line_breaks(&spec.additional_headers) {
        found.notes.push(
            "a line break in a value that a header is made of begins a new header in NetBox; here it is removed"
                .to_owned(),
        );
    }
    found
}

/// Whether a value of an event that may hold line breaks can reach the headers as it is.
fn headers_take_line_breaks(template: &str) -> bool {
    tags(template).iter().any(|code| {
        let tokens = tokens(code);
        let is_output = !matches!(tokens.first(), Some(Token::Word(word)) if is_statement(word));
        let is_safe = tokens
            .windows(2)
            .any(|pair| matches!(pair, [Token::Mark('|'), Token::Word("header_safe" | "env")]));
        let is_plain = matches!(tokens.as_slice(), [Token::Word(word)] if PLAIN.contains(word));
        let names_something = tokens.iter().any(|t| matches!(t, Token::Word(_)));
        is_output && names_something && !is_safe && !is_plain
    })
}

fn is_statement(word: &str) -> bool {
    [
        "if",
        "elif",
        "else",
        "endif",
        "for",
        "endfor",
        "set",
        "endset",
        "macro",
        "endmacro",
        "filter",
        "endfilter",
        "raw",
        "endraw",
        "block",
        "endblock",
        "call",
        "endcall",
        "with",
        "endwith",
    ]
    .contains(&word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(headers: &str, body: &str) -> WebhookSpec {
        WebhookSpec {
            additional_headers: headers.to_owned(),
            body_template: body.to_owned(),
            ..WebhookSpec::default()
        }
    }

    fn names(set: &BTreeSet<String>) -> Vec<&str> {
        set.iter().map(String::as_str).collect()
    }

    #[test]
    fn filters_are_found_in_tags_alone() {
        let found = inspect(&spec(
            "",
            "a|b {# c|d #} {{ x|upper|my_own(1) }} {{ 'p|q' | lower }} {% filter trim %}{% endfilter %}
             {% raw %}{{ e|f }}{% endraw %} {%- if y|length -%}{{ \"}}\"|first }}{% endif %}",
        ));
        assert_eq!(
            names(&found.filters),
            ["first", "length", "lower", "my_own", "trim", "upper"]
        );
    }

    #[test]
    fn environment_variables_are_named() {
        let found = inspect(&spec(
            "X-Key: {{ 'API_KEY' | env }}",
            "{{ \"T\"|env }}{{ a|env }}",
        ));
        assert_eq!(names(&found.env), ["API_KEY", "T"]);
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    }

    #[test]
    fn headers_made_of_data_are_told_apart() {
        for (headers, tells) in [
            ("X-Name: {{ data.name }}", true),
            ("X-Name: {{ data.name|header_safe }}", false),
            ("X-Event: {{ event }}\nX-User: {{ username }}", false),
            ("{% if data.x %}X-A: 1{% endif %}", false),
            ("Authorization: Bearer {{ 'T'|env }}", false),
            ("X-Plain: 1", false),
        ] {
            let notes = inspect(&spec(headers, "")).notes;
            assert_eq!(!notes.is_empty(), tells, "{headers}: {notes:?}");
        }
    }

    #[test]
    fn decimals_and_tojson_are_told() {
        let notes = inspect(&spec("", "{{ data.latitude }} {{ data|tojson }}")).notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
    }

    proptest! {
        #[test]
        fn any_text_can_be_looked_at(text in "[{}%#|'\"\\\\a-c. é\n-]{0,60}") {
            inspect(&spec(&text, &text));
        }
    }
}
