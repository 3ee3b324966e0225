//! What cargo is asked: to build the program, and what belongs to the project.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::failure::Failure;

/// Of what cargo says, so much is kept for the browser.
const KEPT: usize = 256 * 1024;

/// How long what a process wrote last may be on its way after its end.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(500);

/// Which program of the project is meant, and how it is to be built.
#[derive(Debug, Default, Clone)]
pub(crate) struct Target {
    /// As cargo takes them.
    flags: Vec<OsString>,
    /// Those of them that say where the project is.
    manifest: Vec<OsString>,
    /// A program was named.
    is_named: bool,
}

impl Target {
    pub(crate) fn args() -> [Arg; 8] {
        let text = |name: &'static str, metavar: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name(metavar).help(help)
        };
        [
            text("bin", "NAME", "The program to run, where the package has several")
                .conflicts_with("example"),
            text("example", "NAME", "An example to run instead"),
            text("package", "NAME", "The package of the workspace").short('p'),
            text("features", "LIST", "Features to switch on").short('F').action(ArgAction::Append),
            text("profile", "NAME", "The profile to build with").conflicts_with("release"),
            text("manifest-path", "FILE", "The project's Cargo.toml, if it is elsewhere"),
            Arg::new("release").long("release").action(ArgAction::SetTrue).help("Build with optimisations"),
            Arg::new("no-default-features")
                .long("no-default-features")
                .action(ArgAction::SetTrue)
                .help("Switch the default features off"),
        ]
    }

    /// What is not for cargo.
    pub(crate) fn arguments() -> Arg {
        Arg::new("arguments")
            .last(true)
            .num_args(0..)
            .value_name("ARGUMENT")
            .value_parser(value_parser!(OsString))
            .help("What follows -- is for the program")
    }

    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let mut target = Self::default();
        for name in ["bin", "example", "package", "features", "profile", "manifest-path"] {
            for value in matches.get_many::<String>(name).into_iter().flatten() {
                let pair = [OsString::from(format!("--{name}")), value.into()];
                if name == "manifest-path" {
                    target.manifest.extend(pair.clone());
                }
                target.is_named |= matches!(name, "bin" | "example");
                target.flags.extend(pair);
            }
        }
        for name in ["release", "no-default-features"] {
            if matches.get_flag(name) {
                target.flags.push(format!("--{name}").into());
            }
        }
        target
    }
}

/// A program that was built.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// The folder of its package.
    pub(crate) folder: PathBuf,
    /// It was up to date already.
    pub(crate) fresh: bool,
    name: String,
}

/// How a build ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Built(Program),
    /// What the compiler says, as plain text.
    Broken(String),
}

/// Builds the program; what cargo says goes to the terminal as well. Dropping the future kills cargo and what it started.
///
/// # Errors
/// When there is no cargo, or it is not clear which program is meant.
pub(crate) async fn build(target: &Target, project: &Project) -> Result<Outcome, Failure> {
    let in_color = io::stderr().is_terminal();
    let format = if in_color { "json-diagnostic-rendered-ansi" } else { "json" };
    let mut command = Command::new(cargo());
    command
        .args(["build", "--message-format", format, "--color", if in_color { "always" } else { "never" }])
        .args(&target.flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::spawn(&mut command)
        .map_err(|error| Failure::new(format!("cargo cannot be started ({error}): is Rust installed?")))?;
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let mut messages = Messages::default();
    let mut said = String::new();
    let ended = {
        let mut reading = pin!(async {
            tokio::join!(
                each_line(stdout, |line| messages.take(line)),
                each_line(stderr, |line| {
                    eprintln!("{line}");
                    push(&mut said, line);
                })
            )
        });
        tokio::select! {
            biased;
            _ = &mut reading => group.0.wait().await,
            // What it has started and left behind, such as a cache's server, may hold the pipes open.
            ended = group.0.wait() => {
                let _ = tokio::time::timeout(LAST_WORDS, reading).await;
                ended
            }
        }
    };
    let status = ended.map_err(|error| Failure::new(format!("cargo: {error}")))?;
    if status.success() {
        return project.choose(messages.programs, target.is_named).map(Outcome::Built);
    }
    // Without a compiler's word it is cargo's: a wrong Cargo.toml, no network.
    let text = if messages.errors.is_empty() { said } else { messages.errors };
    Ok(Outcome::Broken(without_colors(&text)))
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Calls `take` with each line, until the other side closes it.
pub(crate) async fn each_line(source: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&str)) {
    let Some(source) = source else { return };
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    while let Ok(1..) = source.read_until(b'\n', &mut line).await {
        take(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        line.clear();
    }
}

/// Adds a line as long as there is room.
fn push(text: &mut String, line: &str) {
    if text.len() + line.len() < KEPT {
        text.push_str(line);
        text.push('\n');
    }
}

/// What cargo writes for programs to read.
#[derive(Default)]
struct Messages {
    programs: Vec<Program>,
    errors: String,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    message: Option<Diagnostic>,
    #[serde(default)]
    target: Option<BuiltTarget>,
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    fresh: bool,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    #[serde(default)]
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct BuiltTarget {
    name: String,
    kind: Vec<String>,
}

impl Messages {
    fn take(&mut self, line: &str) {
        // What a build script or a procedural macro prints is among it.
        let Ok(message) = serde_json::from_str::<Message>(line) else { return };
        match message {
            Message { reason, message: Some(Diagnostic { level, rendered: Some(text) }), .. }
                if reason == "compiler-message" =>
            {
                eprint!("{text}");
                if level.starts_with("error") {
                    push(&mut self.errors, &text);
                }
            }
            Message {
                reason, target: Some(target), executable: Some(path), manifest_path, fresh, ..
            } if reason == "compiler-artifact"
                && target.kind.iter().any(|kind| kind == "bin" || kind == "example") =>
            {
                let folder =
                    manifest_path.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).to_owned();
                self.programs.push(Program { path, folder, fresh, name: target.name });
            }
            _ => {}
        }
    }
}

/// The text without the codes by which a terminal shows colours (ECMA-48's CSI sequences).
pub(crate) fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\x1b' {
            plain.push(c);
        } else if rest.clone().next() == Some('[') {
            rest.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
        }
    }
    plain
}

/// What belongs to the project.
#[derive(Debug, Deserialize)]
pub(crate) struct Project {
    packages: Vec<Package>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    manifest_path: PathBuf,
    /// None for one of this machine.
    source: Option<String>,
    default_run: Option<String>,
}

impl Project {
    /// Asks cargo, which may have to ask a registry for that.
    ///
    /// # Errors
    /// When there is no project here, or something is wrong with its Cargo.toml. Cargo itself has said so.
    pub(crate) async fn find(target: &Target) -> Result<Self, Failure> {
        let mut command = Command::new(cargo());
        command
            .args(["metadata", "--format-version", "1"])
            .args(&target.manifest)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let output = command.output().await.map_err(|error| {
            Failure::new(format!("cargo cannot be started ({error}): is Rust installed?"))
        })?;
        if !output.status.success() {
            return Err(Failure::new("cargo does not know this project; `squall new NAME` makes one"));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::new(format!("cargo metadata says what is not understood: {error}")))
    }

    /// The folders of all packages on this machine.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        let local = self.packages.iter().filter(|package| package.source.is_none());
        local.filter_map(|package| package.manifest_path.parent())
    }

    /// Which of the programs that were built is meant.
    fn choose(&self, mut programs: Vec<Program>, is_named: bool) -> Result<Program, Failure> {
        if programs.len() > 1 && !is_named {
            let default = |program: &Program| {
                let package =
                    self.packages.iter().find(|p| p.manifest_path.parent() == Some(&*program.folder));
                package.is_some_and(|p| p.default_run.as_ref() == Some(&program.name))
            };
            if programs.iter().any(default) {
                programs.retain(default);
            }
        }
        match programs.len() {
            0 => Err(Failure::new("this project builds no program")),
            1 => Ok(programs.remove(0)),
            _ => {
                let names: Vec<&str> = programs.iter().map(|program| &*program.name).collect();
                Err(Failure::new(format!("which program is meant? --bin with one of: {}", names.join(", "))))
            }
        }
    }
}

/// A process with whatever it starts, which are killed together when this is dropped.
pub(crate) struct Group(pub(crate) Child);

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        // Not the terminal's group: a Ctrl-C is for us, who then end the others in order.
        command.process_group(0).kill_on_drop(true).spawn().map(Self)
    }

    /// Nothing, where it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_go() {
        for (colored, plain) in [
            ("plain", "plain"),
            ("\x1b[0m\x1b[1m\x1b[38;5;9merror\x1b[0m: x", "error: x"),
            ("a\x1b[", "a"),
            ("a\x1bb", "ab"),
            ("\x1b[1mé\x1b[m", "é"),
        ] {
            assert_eq!(without_colors(colored), plain, "{colored:?}");
        }
    }

    #[test]
    fn what_cargo_says_is_understood() {
        let mut messages = Messages::default();
        for line in [
            "a build script's line",
            r#"{"reason":"compiler-message","message":{"level":"warning","rendered":"unused\n"}}"#,
            r#"{"reason":"compiler-message","message":{"level":"error","rendered":"mismatched types\n"}}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","target":{"name":"p","kind":["lib"]},"executable":null,"fresh":true}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","target":{"name":"p","kind":["bin"]},"executable":"/p/target/debug/p","fresh":false}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ] {
            messages.take(line);
        }
        assert_eq!(messages.errors, "mismatched types\n\n");
        let [program] = &messages.programs[..] else { panic!("{:?}", messages.programs) };
        assert_eq!((&*program.path, &*program.folder), (Path::new("/p/target/debug/p"), Path::new("/p")));
        assert!(!program.fresh);
    }

    #[test]
    fn the_program_is_chosen_or_asked_for() {
        let project = Project {
            packages: vec![Package {
                manifest_path: "/p/Cargo.toml".into(),
                source: None,
                default_run: Some("b".to_owned()),
            }],
            workspace_root: "/p".into(),
            target_directory: "/p/target".into(),
        };
        let program = |name: &str, folder: &str| Program {
            path: name.into(),
            folder: folder.into(),
            fresh: false,
            name: name.to_owned(),
        };
        let choose = |programs: &[Program]| project.choose(programs.to_vec(), false).map(|p| p.name);
        assert_eq!(choose(&[program("a", "/p"), program("b", "/p")]).unwrap(), "b");
        assert_eq!(choose(&[program("a", "/q")]).unwrap(), "a");
        let asked = choose(&[program("a", "/q"), program("c", "/q")]).unwrap_err().to_string();
        assert_eq!(asked, "which program is meant? --bin with one of: a, c");
        assert!(choose(&[]).is_err());
    }
}
