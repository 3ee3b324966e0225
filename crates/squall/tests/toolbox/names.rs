//! What the repository's texts name is there: files and headings that are linked, files in code spans, scripts. And they
//! name nothing that a reader cannot have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// What is not in the repository, or was to be done before it is shown. In two parts, so that it does not stand here.
const NOBODY_HAS: [(&str, &str); 4] = [("DESIGN", ".md"), ("TO", "DO"), ("FIX", "ME"), ("inventory ", "3.")];

#[test]
fn the_texts_name_what_exists() {
    let repository = Repository::read();
    let mut problems = Vec::new();
    for (path, text) in &repository.texts {
        // They tell of files that were, or of none.
        let is_history = path.ends_with("CHANGELOG.md") || path.ends_with("toolbox/names.rs");
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            if path.extension().is_some_and(|extension| extension == "md") {
                problems.extend(repository.links(path, line).map(|problem| format!("{place}: {problem}")));
                let named = repository.unknown_files(line).filter(|_| !is_history);
                problems.extend(named.map(|name| format!("{place}: there is no {name}")));
            }
            let scripts = repository.unknown_scripts(line).filter(|_| !is_history);
            problems.extend(scripts.map(|name| format!("{place}: there is no {name}")));
            for (first, second) in NOBODY_HAS {
                let word = format!("{first}{second}");
                if line
                    .split(&word)
                    .skip(1)
                    .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                    || (second == "3." && line.contains(&word))
                {
                    problems.push(format!("{place}: {word}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    let read = |name: &str| repository.texts.iter().any(|(path, _)| path == Path::new(name));
    assert!(
        ["README.md", ".ci/run", "guide/names.md", "scripts/lib.sh", "crates/squall/src/lib.rs"].map(read)
            == [true; 5]
    );
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let repository = Repository {
        files: ["a/b.md", "a/c/d.rs", "scripts/ci-x.sh"].map(PathBuf::from).into(),
        texts: vec![("a/b.md".into(), "# One `two`: three\n\n```\n# no\n```\n".to_owned())],
    };
    let links = |line: &str| repository.links(Path::new("a/b.md"), line).collect::<Vec<_>>();
    for good in
        ["[x](c/d.rs)", "[x](../a/b.md)", "[x](#one-two-three)", "[x](https://a/b)", "[x](c)", "`[x](y)`"]
    {
        assert_eq!(links(good), [""; 0], "{good}");
    }
    for bad in ["[x](d.rs)", "[x](#no)", "[x](b.md#two)", "a [x](c/d.rs) [y](z \"title\")"] {
        assert_eq!(links(bad).len(), 1, "{bad}");
    }
    let unknown = |line: &str| repository.unknown_files(line).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(unknown("`d.rs`, `c/d.rs::f`, `x/*.rs`, `main.rs` is `src/main.rs` of others"), [""; 0]);
    assert_eq!(unknown("`e.rs`, `x/d.rs`, `f.sh`"), ["e.rs", "x/d.rs", "f.sh"]);
    let scripts = |line: &str| repository.unknown_scripts(line).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(scripts("scripts/ci-x.sh scripts/ci-*.sh scripts/*.sh"), [""; 0]);
    assert_eq!(scripts("# scripts/y.sh."), ["scripts/y.sh"]);
}

struct Repository {
    /// Below its root.
    files: BTreeSet<PathBuf>,
    texts: Vec<(PathBuf, String)>,
}

impl Repository {
    fn read() -> Self {
        let mut repository = Self { files: BTreeSet::new(), texts: Vec::new() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        repository.collect(&root, Path::new(""));
        repository
    }

    fn collect(&mut self, folder: &Path, below: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            let below = below.join(&name);
            if path.is_dir() {
                // What is built, what git keeps, and what a fuzzer has found.
                if !["target", ".git", "corpus", "artifacts", "node_modules"]
                    .contains(&&*name.to_string_lossy())
                    || below.ends_with("tests/corpus")
                {
                    self.collect(&path, &below);
                }
                continue;
            }
            let is_text = matches!(
                below.extension().and_then(|extension| extension.to_str()),
                None | Some("md" | "rs" | "sh" | "toml" | "py" | "js" | "in" | "yml")
            );
            if is_text && let Ok(text) = fs::read_to_string(&path) {
                self.texts.push((below.clone(), text));
            }
            self.files.insert(below);
        }
    }

    /// What is wrong with the links of a line.
    fn links<'a>(&'a self, from: &'a Path, line: &'a str) -> impl Iterator<Item = String> + 'a {
        // Without code spans.
        let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets: Vec<_> = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next())
            .map(str::to_owned)
            .collect();
        targets.into_iter().filter(|target| !target.contains(':')).filter_map(|target| {
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { from.to_owned() } else { normal(&from.parent()?.join(file)) };
            if !self.files.iter().any(|known| known.starts_with(&path)) {
                return Some(format!("the link {target} leads nowhere"));
            }
            let text = self.texts.iter().find(|(known, _)| *known == path).map_or("", |(_, text)| text);
            let is_there = heading.is_empty() || headings(text).any(|known| known == heading);
            (!is_there).then(|| format!("{target}: there is no such heading"))
        })
    }

    /// Files of ours that stand in code spans, and are not there: by the end of their path, as one writes about a part.
    fn unknown_files<'a>(&'a self, line: &'a str) -> impl Iterator<Item = &'a str> {
        let spans = line.split('`').skip(1).step_by(2);
        let names = spans.map(|span| span.split("::").next().unwrap_or(span));
        names.map(|name| name.trim_start_matches("../").trim_start_matches("./")).filter(|name| {
            let is_name = !name.starts_with('.')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
            let is_ours = [".rs", ".sh"].iter().any(|ending| name.ends_with(ending));
            // Of a program that somebody writes.
            let is_theirs = ["main.rs", "build.rs"].contains(name) || name.starts_with("src/");
            is_name && is_ours && !is_theirs && !self.files.iter().any(|known| known.ends_with(name))
        })
    }

    fn unknown_scripts<'a>(&'a self, line: &'a str) -> impl Iterator<Item = &'a str> {
        line.match_indices("scripts/").filter_map(|(at, _)| {
            let rest = &line[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-./*".contains(c)));
            let name = &rest[..end.unwrap_or(rest.len())];
            let is_ours = line[..at].ends_with([' ', '`', '"', '(']) || at == 0;
            let is_script = [".sh", ".py"].iter().any(|ending| name.trim_end_matches('.').ends_with(ending));
            let name = name.trim_end_matches('.');
            (is_ours && is_script && !name.contains('*') && !self.files.contains(Path::new(name)))
                .then_some(name)
        })
    }
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, component| {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
        path
    })
}

/// The names by which GitHub lets one link to the headings of a text.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let mut in_code = false;
    text.lines()
        .filter(move |line| {
            in_code ^= line.starts_with("```");
            !in_code && line.starts_with('#')
        })
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|&c| c.is_alphanumeric() || "_- ".contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
}
