//! Expressions against what Python makes of them (`expressions.py`).

use serde::Deserialize;
use squall::template::{Template, context};

#[derive(Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok(String),
    Error(String),
}

/// What is not as in Python, and why.
const KNOWN: &[(&str, &str)] = &[("print", "print() writes to nowhere in a template")];

/// The whole modules that the expressions use.
const IMPORTS: &str = "{% import datetime, json, math, re, urllib.parse, os.path, time %}";

fn compare(rows: impl Iterator<Item = String>) -> (usize, Vec<String>) {
    let (mut problems, mut count) = (Vec::new(), 0);
    for row in rows {
        count += 1;
        let (expression, expected): (String, Outcome) = serde_json::from_str(&row).unwrap();
        // A template ends a tag at these.
        if expression.contains("}}") || expression.contains("%}") {
            let text = format!("{IMPORTS}{{% set v = ({expression}) %}}{{{{ str(v) }}}}");
            if expression.contains("%}") {
                continue;
            }
            check(&expression, &text, &expected, &mut problems);
            continue;
        }
        check(&expression, &format!("{IMPORTS}{{{{ str(({expression})) }}}}"), &expected, &mut problems);
    }
    (count, problems)
}

fn check(expression: &str, text: &str, expected: &Outcome, problems: &mut Vec<String>) {
    if KNOWN.iter().any(|(known, _)| *known == expression) {
        return;
    }
    let template = squall::template::Loader::from_texts([("t", text.to_owned())]).autoescape(None).load("t");
    let found = template.and_then(|template: Template| template.generate(context! {}));
    let is_same = match (expected, &found) {
        (Outcome::Ok(expected), Ok(found)) => expected == found,
        (Outcome::Error(expected), Err(_)) if expected.starts_with("SyntaxError") => true,
        // The words of errors change from one Python to the next.
        (Outcome::Error(expected), Err(found)) => {
            let kind = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
            kind(expected) == kind(found.message())
        }
        _ => false,
    };
    if !is_same {
        problems.push(format!("{expression}\n  expected {expected:?}\n  found    {found:?}"));
    }
}

#[test]
fn expressions_are_as_in_python() {
    let (count, problems) = compare(include_str!("expressions.json").lines().map(str::to_owned));
    assert!(problems.is_empty(), "{} of {count} differ:\n{}", problems.len(), problems.join("\n"));
    assert!(count >= 250, "{count} expressions");
}

/// `scripts/ci-corpus.sh` has Python make them; `SEED=random` for other ones.
#[test]
#[ignore = "needs Python: scripts/ci-corpus.sh"]
fn random_expressions_are_as_in_python() {
    let path =
        std::env::var("SQUALL_EXPRESSIONS").unwrap_or_else(|_| panic!("SQUALL_EXPRESSIONS is not set"));
    let text = std::fs::read_to_string(path).unwrap();
    let (count, problems) = compare(text.lines().map(str::to_owned));
    assert!(problems.is_empty(), "{} of {count} differ:\n{}", problems.len(), problems.join("\n"));
}
