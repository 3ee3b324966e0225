//! `squall routes`: the table of routes, as the program itself has it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Deserialize;
use squall::IoLoop;

use crate::cargo::{self, Outcome, Program, Project, Target, each_line};
use crate::failure::Failure;
use crate::launch::launch;

/// How long the program may take to its application.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the command line may say.
pub(crate) fn command() -> Command {
    Command::new("routes")
        .about("Lists the routes of the project in this folder")
        .long_about(
            "Lists the routes of the project in this folder, in the order in which they are tried: methods, pattern, name, \
             handler, options.\n\nThe program is built and started, up to the first application that is to be served; it \
             then writes its table and ends.",
        )
        .args(Target::args())
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Write JSON, with all that is known"))
        .arg(Target::arguments())
}

/// Prints the table.
///
/// # Errors
/// When the project does not build, or serves no application.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let target = Target::of(matches);
    let arguments: Vec<OsString> = matches.get_many("arguments").into_iter().flatten().cloned().collect();
    let loop_ = IoLoop::current();
    let json =
        loop_.run_sync(ask(&target, &arguments), None).map_err(|error| Failure::new(error.to_string()))??;
    let text = if matches.get_flag("json") {
        json
    } else {
        let routes: Vec<Route> = serde_json::from_str(&json)
            .map_err(|error| Failure::new(format!("the program's table is not understood: {error}")))?;
        table(&routes)
    };
    // Whoever reads may have had enough.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    Ok(())
}

async fn ask(target: &Target, arguments: &[OsString]) -> Result<String, Failure> {
    let project = Project::find(target).await?;
    match cargo::build(target, &project).await? {
        Outcome::Built(program) => ask_program(&program, arguments).await,
        Outcome::Broken(_) => Err(Failure::new("the project does not build")),
    }
}

async fn ask_program(program: &Program, arguments: &[OsString]) -> Result<String, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::of_file(&std::env::temp_dir()))?;
    let file = folder.path().join("routes.json");
    let failed = Failure::of_file(&program.path);
    let (mut group, _) = launch(program, arguments, Some(&file)).map_err(&failed)?;
    let stderr = group.0.stderr.take();
    let ended = async { tokio::join!(group.0.wait(), each_line(stderr, |line| eprintln!("{line}"))).0 };
    let status = tokio::time::timeout(PATIENCE, ended).await;
    match (status, fs::read_to_string(&file)) {
        (Ok(Ok(status)), Ok(json)) if status.success() => Ok(json),
        (Err(_), _) => Err(Failure::new(format!(
            "the program has not come to its application in {} s, or is built with a squall that cannot list its routes",
            PATIENCE.as_secs()
        ))),
        (Ok(Ok(status)), _) if status.success() => {
            Err(Failure::new("the program ended without serving an application"))
        }
        (Ok(Ok(status)), _) => Err(Failure::new(format!("the program ended with {status}"))),
        (Ok(Err(error)), _) => Err(failed(error)),
    }
}

/// As squall writes it (`squall::web::RouteInfo`).
#[derive(Debug, Deserialize)]
struct Route {
    host: String,
    pattern: String,
    name: Option<String>,
    methods: Vec<String>,
    handler: String,
    options: Vec<String>,
    file: String,
    line: u32,
}

const HEADINGS: [&str; 6] = ["METHODS", "PATTERN", "NAME", "HANDLER", "OPTIONS", "MADE AT"];

/// Columns as wide as what is in them.
fn table(routes: &[Route]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(routes.iter().map(Route::row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

impl Route {
    fn row(&self) -> [String; 6] {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let host = if self.host == ".*" { "" } else { &self.host };
        [
            or_dash(self.methods.join(" ")),
            format!("{host}{}", self.pattern),
            or_dash(self.name.clone().unwrap_or_default()),
            short(&self.handler),
            or_dash(self.options.join(", ")),
            format!("{}:{}", short_path(&self.file), self.line),
        ]
    }
}

/// The last two parts of each path of a type, which say enough: `blog::stories::Story` is `stories::Story`.
fn short(name: &str) -> String {
    let is_of_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}');
    let mut text = String::new();
    let mut rest = name;
    while !rest.is_empty() {
        let path = &rest[..rest.find(|c| !is_of_path(c)).unwrap_or(rest.len())];
        let parts: Vec<&str> = path.split("::").collect();
        text.push_str(&parts[parts.len().saturating_sub(2)..].join("::"));
        let others = &rest[path.len()..];
        let next = others.find(is_of_path).unwrap_or(others.len());
        text.push_str(&others[..next]);
        rest = &others[next..];
    }
    text.replace("{{closure}}", "{closure}")
}

/// Of a file of another package, its last parts.
fn short_path(file: &str) -> String {
    if Path::new(file).is_relative() {
        return file.to_owned();
    }
    let parts: Vec<&str> = file.rsplit('/').take(3).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_are_shortened() {
        for (name, expected) in [
            ("Story", "Story"),
            ("blog::stories::Story", "stories::Story"),
            ("blog::make_app::{{closure}}", "make_app::{closure}"),
            ("a::b::C<d::e::F, g::h::I<u8>>", "b::C<e::F, h::I<u8>>"),
            ("blog::pages::home, blog::pages::add", "pages::home, pages::add"),
            ("", ""),
        ] {
            assert_eq!(short(name), expected, "{name}");
        }
    }

    #[test]
    fn columns_stand_below_their_headings() {
        let route = |pattern: &str, name: Option<&str>, host: &str| Route {
            host: host.to_owned(),
            pattern: pattern.to_owned(),
            name: name.map(str::to_owned),
            methods: vec!["GET".to_owned(), "POST".to_owned()],
            handler: "blog::stories::Story".to_owned(),
            options: Vec::new(),
            file: "src/main.rs".to_owned(),
            line: 7,
        };
        let text = table(&[route("/", Some("home"), ".*"), route("/stories/([0-9]+)", None, "www\\..*")]);
        assert_eq!(
            text,
            "METHODS   PATTERN                   NAME  HANDLER         OPTIONS  MADE AT\n\
             GET POST  /                         home  stories::Story  -        src/main.rs:7\n\
             GET POST  www\\..*/stories/([0-9]+)  -     stories::Story  -        src/main.rs:7\n"
        );
    }
}
