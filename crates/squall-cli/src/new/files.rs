//! The files of a project, from templates that are compiled in. Those with `{%` and `{{` of ours in them are templates of
//! squall's own.

use squall::context;
use squall::template::{Loader, Whitespace};

use super::{Parts, Plan};
use crate::failure::Failure;

/// How a file comes about.
#[derive(Clone, Copy)]
enum Source {
    /// As it is.
    Text(&'static str),
    /// With the project's name and parts.
    Template(&'static str),
}
use Source::{Template, Text};

macro_rules! embedded {
    ($file:literal) => {
        include_str!(concat!("../../templates/", $file))
    };
}

type IsFor = fn(Parts) -> bool;

/// Path in the project, source, and for which projects.
const FILES: [(&str, Source, IsFor); 23] = [
    ("Cargo.toml", Template(embedded!("Cargo.toml.in")), |_| true),
    ("README.md", Template(embedded!("README.md.in")), |_| true),
    ("rustfmt.toml", Text(embedded!("rustfmt.toml")), |_| true),
    (".gitignore", Text(embedded!("gitignore")), |_| true),
    (".dockerignore", Text(embedded!("dockerignore")), |_| true),
    ("Dockerfile", Template(embedded!("Dockerfile.in")), |_| true),
    ("deploy/NAME.service", Template(embedded!("deploy/service.in")), |_| true),
    ("deploy/NAME.env", Template(embedded!("deploy/env.in")), |_| true),
    (".github/workflows/ci.yml", Text(embedded!("github/ci.yml")), |_| true),
    ("src/main.rs", Template(embedded!("src/main.rs.in")), |_| true),
    ("src/app.rs", Template(embedded!("src/app.rs.in")), |_| true),
    ("src/tests.rs", Template(embedded!("src/tests.rs.in")), |_| true),
    ("src/pages.rs", Text(embedded!("src/pages.rs")), |parts| parts.pages),
    ("src/api.rs", Text(embedded!("src/api.rs")), |parts| parts.api),
    ("src/chat.rs", Template(embedded!("src/chat.rs.in")), |parts| parts.chat),
    ("src/notes.rs", Text(embedded!("src/notes_memory.rs")), |parts| parts.has_notes() && !parts.database),
    ("src/notes.rs", Text(embedded!("src/notes_database.rs")), |parts| parts.database),
    ("templates/base.html", Template(embedded!("templates/base.html.in")), Parts::has_pages),
    ("templates/error.html", Text(embedded!("templates/error.html")), Parts::has_pages),
    ("templates/home.html", Text(embedded!("templates/home.html")), |parts| parts.pages),
    ("templates/chat.html", Text(embedded!("templates/chat.html")), |parts| parts.chat),
    ("static/style.css", Text(embedded!("static/style.css")), Parts::has_pages),
    ("static/chat.js", Text(embedded!("static/chat.js")), |parts| parts.chat),
];

impl Parts {
    fn has_notes(self) -> bool {
        self.pages || self.api
    }

    fn has_pages(self) -> bool {
        self.pages || self.chat
    }
}

/// Path and text of every file.
///
/// # Errors
/// When a template is wrong, which is a mistake of this crate's.
pub(super) fn of(plan: &Plan) -> Result<Vec<(String, String)>, Failure> {
    let wanted: Vec<_> = FILES.iter().filter(|(_, _, is_for)| is_for(plan.parts)).collect();
    let texts = wanted.iter().filter_map(|(name, source, _)| match source {
        Template(text) => Some((*name, *text)),
        Text(_) => None,
    });
    let loader = Loader::from_texts(texts).autoescape(None).whitespace(Whitespace::All);
    let made = wanted.iter().map(|(name, source, _)| {
        let text = match source {
            Text(text) => (*text).to_owned(),
            Template(_) => fill(&loader, name, plan)?,
        };
        Ok((name.replace("NAME", plan.name.as_str()), text))
    });
    made.collect()
}

fn fill(loader: &Loader, name: &str, plan: &Plan) -> Result<String, Failure> {
    let Parts { pages, api, chat, database } = plan.parts;
    let squall = match &plan.squall_path {
        // A path may have any character; this writes it as TOML's basic strings want it, which are JSON's but for DEL.
        Some(path) => format!("{{ path = {} }}", serde_json::json!(path.to_string_lossy())),
        None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    };
    let values = context! {
        name => plan.name.as_str(),
        prefix => plan.name.prefix(),
        squall,
        local => plan.squall_path.is_some(),
        pages,
        api,
        chat,
        database,
        notes => plan.parts.has_notes(),
        html => plan.parts.has_pages(),
        // What is in the memory of one process is not in that of another.
        one_process => chat || !database,
    };
    let template = loader.load(name).map_err(|error| Failure::new(format!("template {name}: {error}")))?;
    let text =
        template.generate(values).map_err(|error| Failure::new(format!("template {name}: {error}")))?;
    Ok(format!("{}\n", text.trim_end()))
}
