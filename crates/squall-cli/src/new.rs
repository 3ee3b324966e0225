//! `squall new`: a project that compiles, with tests and what it needs to be deployed.

mod files;
mod name;

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::failure::Failure;
use name::Name;

/// What a project may consist of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Parts {
    pages: bool,
    api: bool,
    chat: bool,
    database: bool,
}

/// A project that is to be made.
#[derive(Debug)]
struct Plan {
    name: Name,
    parts: Parts,
    squall_path: Option<PathBuf>,
}

/// What the command line may say.
pub(crate) fn command() -> Command {
    let part = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("new")
        .about("Makes a project in a new folder")
        .long_about(
            "Makes a project in a new folder: it compiles, has tests that pass, a Dockerfile, a systemd unit and a GitHub \
             workflow.\n\nWithout a flag that says what it is to have, it asks, or makes --pages where nobody can be asked.",
        )
        .arg(
            Arg::new("name")
                .required(true)
                .value_name("NAME")
                .help("The folder and the package: letters, digits, - and _"),
        )
        .arg(part("pages", "Pages made from templates, with a form, a style and cookies"))
        .arg(part("api", "A JSON API under /api"))
        .arg(part("chat", "A chat over WebSockets"))
        .arg(part("database", "Notes kept in SQLite instead of memory, for the pages or the API"))
        .arg(
            Arg::new("squall-path")
                .long("squall-path")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("Depend on squall in this folder instead of a published version"),
        )
}

/// Makes the project.
///
/// # Errors
/// When the name cannot be had, there is such a folder, or files cannot be written.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let name = matches.get_one::<String>("name").expect("it is required").parse()?;
    let squall_path = matches.get_one::<PathBuf>("squall-path").map(|path| squall_at(path)).transpose()?;
    // Before any question is asked.
    let folder = PathBuf::from(Name::as_str(&name));
    if folder.symlink_metadata().is_ok() {
        return Err(exists(&folder));
    }
    let flag = |name| matches.get_flag(name);
    let mut parts =
        Parts { pages: flag("pages"), api: flag("api"), chat: flag("chat"), database: flag("database") };
    if parts == Parts::default() && io::stdin().is_terminal() && io::stderr().is_terminal() {
        parts = ask(&mut io::stdin().lock(), &mut io::stderr())
            .map_err(Failure::of_file(Path::new("terminal")))?;
    }
    let plan = Plan { name, parts: parts.completed(), squall_path };
    write(&plan, &folder)?;
    println!("Made {} with {}.", folder.display(), plan.parts.told());
    println!("\n    cd {}\n    squall dev        # or cargo run\n    cargo test", folder.display());
    Ok(())
}

fn exists(folder: &Path) -> Failure {
    Failure::new(format!("{} exists already; nothing was changed", folder.display()))
}

/// The folder of the library, as Cargo.toml can name it from anywhere.
fn squall_at(path: &Path) -> Result<PathBuf, Failure> {
    let path = path.canonicalize().map_err(Failure::of_file(path))?;
    let manifest =
        fs::read_to_string(path.join("Cargo.toml")).map_err(Failure::of_file(&path.join("Cargo.toml")))?;
    if !manifest.lines().any(|line| line.trim() == "name = \"squall\"") {
        return Err(Failure::new(format!("{} is not the folder of the crate squall", path.display())));
    }
    Ok(path)
}

/// Asks what there is to be, yes or no.
fn ask(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<Parts> {
    let mut question = |text: &str, default: bool| -> io::Result<bool> {
        loop {
            write!(output, "{text} [{}] ", if default { "Y/n" } else { "y/N" })?;
            output.flush()?;
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(default);
            }
            match &*line.trim().to_lowercase() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => writeln!(output, "Please answer with y or n.")?,
            }
        }
    };
    let pages = question("Pages made from templates?", true)?;
    let api = question("A JSON API?", false)?;
    let chat = question("A chat over WebSockets?", false)?;
    let database = (pages || api) && question("Keep data in SQLite rather than in memory?", false)?;
    Ok(Parts { pages, api, chat, database })
}

impl Parts {
    /// With pages, where there would be nothing to see.
    fn completed(mut self) -> Self {
        let has_notes = self.pages || self.api;
        self.pages |= !has_notes && (self.database || !self.chat);
        self
    }

    fn told(self) -> String {
        let all = [
            (self.pages, "pages"),
            (self.api, "an API"),
            (self.chat, "a chat"),
            (self.database, "a database"),
        ];
        let told: Vec<&str> =
            all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name).collect();
        match &told[..] {
            [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => told.concat(),
        }
    }
}

/// Writes into a new folder, and into no file that is there already.
fn write(plan: &Plan, folder: &Path) -> Result<(), Failure> {
    let files = files::of(plan)?;
    fs::create_dir(folder).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            exists(folder)
        } else {
            Failure::of_file(folder)(error)
        }
    })?;
    for (name, text) in files {
        let path = folder.join(name);
        let failed = Failure::of_file(&path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(&failed)?;
        }
        let mut file = fs::File::create_new(&path).map_err(&failed)?;
        file.write_all(text.as_bytes()).map_err(&failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(parts: Parts) -> Plan {
        Plan { name: "notes-app".parse().unwrap(), parts: parts.completed(), squall_path: None }
    }

    #[test]
    fn something_is_always_there() {
        let parts = |pages, api, chat, database| Parts { pages, api, chat, database };
        for (given, expected, told) in [
            (parts(false, false, false, false), parts(true, false, false, false), "pages"),
            (parts(false, false, true, false), parts(false, false, true, false), "a chat"),
            (parts(false, false, false, true), parts(true, false, false, true), "pages and a database"),
            (parts(false, true, false, true), parts(false, true, false, true), "an API and a database"),
            (
                parts(true, true, true, true),
                parts(true, true, true, true),
                "pages, an API, a chat and a database",
            ),
        ] {
            assert_eq!(given.completed(), expected);
            assert_eq!(expected.told(), told);
        }
    }

    #[test]
    fn questions() {
        for (answers, expected) in [
            ("\n\n\n\n", Parts { pages: true, ..Parts::default() }),
            ("n\ny\nYes\nwhat?\ny\n", Parts { pages: false, api: true, chat: true, database: true }),
            // No data, no database.
            ("n\nn\ny\n", Parts { chat: true, ..Parts::default() }),
            // Nobody there.
            ("", Parts { pages: true, ..Parts::default() }),
        ] {
            let parts = ask(&mut answers.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(parts, expected, "{answers:?}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let there = tempfile::tempdir().unwrap();
        let folder = there.path().join("notes-app");
        write(&plan(Parts::default()), &folder).unwrap();
        let main = folder.join("src/main.rs");
        fs::write(&main, "mine").unwrap();
        let refused = write(&plan(Parts::default()), &folder).unwrap_err().to_string();
        assert!(refused.ends_with("exists already; nothing was changed"), "{refused}");
        assert_eq!(fs::read_to_string(main).unwrap(), "mine");
    }

    #[test]
    fn every_choice_makes_files_without_a_trace_of_the_others() {
        for bits in 0..16 {
            let has = |bit: u8| bits & bit != 0;
            let plan = plan(Parts { pages: has(1), api: has(2), chat: has(4), database: has(8) });
            let files = files::of(&plan).unwrap();
            let names: Vec<&str> = files.iter().map(|(name, _)| &**name).collect();
            let Parts { pages, api, chat, database } = plan.parts;
            for (name, expected) in [
                ("src/main.rs", true),
                ("Dockerfile", true),
                ("deploy/notes-app.service", true),
                (".github/workflows/ci.yml", true),
                ("src/pages.rs", pages),
                ("src/api.rs", api),
                ("src/chat.rs", chat),
                ("src/notes.rs", pages || api),
                ("static/chat.js", chat),
            ] {
                assert_eq!(names.contains(&name), expected, "{name} of {:?}", plan.parts);
            }
            for (name, text) in &files {
                let mentions = |word: &str| text.contains(word);
                assert!(!mentions("rusqlite") || database, "{name} of {:?}", plan.parts);
                assert!(text.ends_with('\n') && !mentions("\n\n\n"), "{name} of {:?}: {text}", plan.parts);
                assert!(!text.lines().any(|line| line.ends_with(' ')), "{name} of {:?}", plan.parts);
                if name.ends_with(".rs") || name.ends_with(".toml") {
                    assert!(!mentions("{{") && !mentions("{%"), "{name} of {:?}", plan.parts);
                }
            }
        }
    }
}
