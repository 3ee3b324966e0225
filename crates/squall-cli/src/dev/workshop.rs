//! Building, starting and stopping, as files change.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Instant;

use squall::shutdown_signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;

use super::board::{Board, Upstream};
use super::change::{Effect, Sources};
use super::running::Running;
use super::say;
use crate::cargo::{self, Outcome, Program, Project, Target};
use crate::failure::Failure;

pub(super) struct Workshop {
    target: Target,
    project: Project,
    arguments: Vec<OsString>,
    board: Rc<Board>,
    changes: UnboundedReceiver<Vec<PathBuf>>,
    /// Of the last build that succeeded.
    sources: Sources,
    running: Option<Running>,
}

impl Workshop {
    pub(super) fn new(
        target: Target,
        project: Project,
        arguments: Vec<OsString>,
        board: Rc<Board>,
        changes: UnboundedReceiver<Vec<PathBuf>>,
    ) -> Self {
        let sources = Sources::default();
        Self { target, project, arguments, board, changes, sources, running: None }
    }

    /// Works until a signal asks for the end; then the program has ended too.
    ///
    /// # Errors
    /// When there is no sense in going on.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let mut hangup = signal(SignalKind::hangup())
            .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        // A build that is dropped is killed.
        let done = tokio::select! {
            biased;
            () = shutdown_signal() => Ok(()),
            _ = hangup.recv() => Err(Failure::new("the terminal is gone")),
            worked = self.work() => worked.map(|never| match never {}),
        };
        self.board.end();
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        done
    }

    async fn work(&mut self) -> Result<Infallible, Failure> {
        let mut restart = false;
        loop {
            self.board.work();
            let started = Instant::now();
            let Some(outcome) = self.build(&mut restart).await? else {
                say("a file has changed: once more from the start");
                continue;
            };
            let program = match outcome {
                Outcome::Built(program) => program,
                Outcome::Broken(text) => {
                    say("the build failed; waiting for a change");
                    self.board.stop("The build failed", text);
                    self.wait_for_sources(&mut restart).await;
                    continue;
                }
            };
            self.sources = Sources::of(&program.path);
            match &self.running {
                Some(running) if program.fresh && !restart && running.path == program.path => {
                    let upstream = Upstream::new(running.port, &self.board);
                    self.board.resume(upstream);
                }
                _ => {
                    say(&format!("built in {:.1} s", started.elapsed().as_secs_f64()));
                    self.start(&program).await;
                }
            }
            restart = false;
            self.serve(&program).await;
        }
    }

    /// None when a change has made it obsolete.
    async fn build(&mut self, restart: &mut bool) -> Result<Option<Outcome>, Failure> {
        let mut building = pin!(cargo::build(&self.target, &self.project));
        loop {
            tokio::select! {
                biased;
                Some(paths) = self.changes.recv() => match effect(&self.sources, &paths) {
                    Effect::Rebuild => return Ok(None),
                    Effect::Restart => *restart = true,
                    Effect::Reload => self.board.renew(),
                    Effect::Nothing => {}
                },
                outcome = &mut building => return outcome.map(Some),
            }
        }
    }

    async fn wait_for_sources(&mut self, restart: &mut bool) {
        while let Some(paths) = self.changes.recv().await {
            match effect(&self.sources, &paths) {
                Effect::Rebuild => return changed(&paths),
                Effect::Restart => *restart = true,
                Effect::Reload | Effect::Nothing => {}
            }
        }
        // Nobody watches any more.
        std::future::pending::<()>().await;
    }

    /// Serves the program until it has to be built anew.
    async fn serve(&mut self, program: &Program) {
        loop {
            tokio::select! {
                biased;
                Some(paths) = self.changes.recv() => {
                    let effect = effect(&self.sources, &paths);
                    if effect > Effect::Nothing {
                        changed(&paths);
                    }
                    match effect {
                        Effect::Nothing => {}
                        Effect::Reload if self.running.is_some() => self.board.renew(),
                        // A program that has ended may have found something wrong with a template.
                        Effect::Reload | Effect::Restart => {
                            self.board.work();
                            self.start(program).await;
                        }
                        Effect::Rebuild => return,
                    }
                }
                status = ended(&mut self.running) => {
                    let status = match status {
                        Ok(status) => status.to_string(),
                        Err(error) => error.to_string(),
                    };
                    say(&format!("the program has ended ({status}); waiting for a change"));
                    let words = match self.running.take() {
                        Some(running) => running.last_words().await,
                        None => String::new(),
                    };
                    self.board.stop(format!("The program has ended: {status}"), words);
                }
            }
        }
    }

    /// Starts the program, when the one before it has ended: it may hold what this one needs.
    async fn start(&mut self, program: &Program) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        match Running::start(program, &self.arguments) {
            Ok(running) => {
                self.board.serve(Upstream::new(running.port, &self.board));
                self.running = Some(running);
            }
            Err(error) => {
                let text = format!("{}: {error}", program.path.display());
                say(&text);
                self.board.stop("The program cannot be started", text);
            }
        }
    }
}

/// The most that any of them asks for.
fn effect(sources: &Sources, paths: &[PathBuf]) -> Effect {
    paths.iter().map(|path| sources.effect(path)).max().unwrap_or(Effect::Nothing)
}

fn changed(paths: &[PathBuf]) {
    let here = std::env::current_dir().unwrap_or_default();
    let name = |path: &Path| path.strip_prefix(&here).unwrap_or(path).display().to_string();
    match paths {
        [] => {}
        [path] => say(&format!("{} has changed", name(path))),
        [path, rest @ ..] => say(&format!("{} and {} more have changed", name(path), rest.len())),
    }
}

/// Never, where nothing runs.
async fn ended(running: &mut Option<Running>) -> io::Result<ExitStatus> {
    match running {
        Some(running) => running.ended().await,
        None => std::future::pending().await,
    }
}
