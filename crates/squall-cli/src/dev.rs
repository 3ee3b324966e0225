//! `squall dev`: serves a project while it is written.
//!
//! The command holds the port all the time and hands what comes to the program by squall's own proxy
//! ([`front`]). So a request that comes while the program is built or started anew waits for it, and what is
//! wrong with a build is told to the browser instead. What is done when a file changes stands in [`workshop`].

mod board;
mod change;
mod front;
mod page;
mod running;
mod watch;
mod workshop;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use squall::netutil::BindOptions;
use squall::{HttpServer, IoLoop};
use tokio::sync::mpsc;

use crate::cargo::{Project, Target};
use crate::failure::Failure;
use board::Board;
use front::Hosts;
use watch::Tree;
use workshop::Workshop;

/// At the end, connections may go on for so long.
const DRAIN: Duration = Duration::from_secs(2);

/// What the command line may say.
pub(crate) fn command() -> Command {
    Command::new("dev")
        .about("Serves the project in this folder, and builds it anew whenever a file changes")
        .long_about(
            "Serves the project in this folder, and builds it anew whenever a file changes. Requests wait meanwhile; pages \
             in a browser are loaded anew when it is done, or show what the compiler says. A changed template, style or \
             script needs no build, and a translation only a restart.\n\nThe program runs with --debug on, in one process, \
             and gets its socket from here, whatever port it binds.",
        )
        .args(Target::args())
        .arg(
            Arg::new("port")
                .long("port")
                .value_parser(value_parser!(u16))
                .default_value("8888")
                .value_name("PORT")
                .help("Where to listen; 0 for a port that is free"),
        )
        .arg(
            Arg::new("address")
                .long("address")
                .default_value("localhost")
                .value_name("ADDRESS")
                .help("The address or name to listen on. Whoever can connect sees error messages with sources"),
        )
        .arg(
            Arg::new("host")
                .long("host")
                .action(ArgAction::Append)
                .value_name("NAME")
                .help("Another name under which browsers may come, besides localhost and addresses"),
        )
        .arg(
            Arg::new("ignore")
                .long("ignore")
                .action(ArgAction::Append)
                .value_name("PATH")
                .help("A file or folder of the project whose changes do not matter"),
        )
        .arg(Target::arguments())
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When the port is taken, or there is no project.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let served = IoLoop::current().run_sync(serve(matches), None);
    served.map_err(|error| Failure::new(error.to_string()))?
}

async fn serve(matches: &ArgMatches) -> Result<(), Failure> {
    let target = Target::of(matches);
    let arguments = matches.get_many("arguments").into_iter().flatten().cloned().collect();
    let texts = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned();
    let port = *matches.get_one::<u16>("port").expect("it has a default");
    let address = matches.get_one::<String>("address").expect("it has a default");
    let project = Project::find(&target).await?;

    let board = Rc::new(Board::new());
    let hosts = Hosts::new(texts("host").chain([address.clone()]));
    let server = HttpServer::new({
        let board = Rc::clone(&board);
        move || front::make_app(&board, &hosts)
    })
    // How much is too much is for the program to say.
    .max_body_size(u64::MAX)
    .drain_timeout(DRAIN);
    let shown = if address.contains(':') { format!("[{address}]") } else { address.clone() };
    server.listen_on(port, &BindOptions::new().address(address)).map_err(|error| {
        Failure::new(format!("{error}. Is another program there? --port chooses another one"))
    })?;
    let port = server.local_addrs().iter().find_map(squall::netutil::Address::port).unwrap_or(port);
    say(&format!("http://{shown}:{port}/"));

    let tree = Tree::of(&project, texts("ignore"));
    let (sender, changes) = mpsc::unbounded_channel();
    // What changes from now on is seen, so it comes before the first build.
    let watching = watch::start(tree, sender).await;
    let workshop = Workshop::new(target, project, arguments, Rc::clone(&board), changes);
    let mut work = pin!(workshop.run());
    let mut serving = pin!(server.serve());
    // Both end on a signal; the workshop also when there is no sense in going on.
    let done = tokio::select! {
        worked = &mut work => match worked {
            Ok(()) => serving.await.map_err(|error| Failure::new(error.to_string())),
            Err(failure) => Err(failure),
        },
        served = &mut serving => {
            let worked = work.await;
            served.map_err(|error| Failure::new(error.to_string())).and(worked)
        }
    };
    watching.abort();
    done
}

/// Tells the user at the terminal.
fn say(text: &str) {
    eprintln!("[squall] {text}");
}
