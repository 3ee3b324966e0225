//! The `squall` command: makes projects, serves them while they are written, and lists their routes.

mod cargo;
mod dev;
mod failure;
mod launch;
mod new;
mod routes;

use std::process::ExitCode;

use clap::Command;

use failure::Failure;

fn main() -> ExitCode {
    // Unknown options and the like end the program here, with status 2.
    let matches = command().get_matches();
    let done = match matches.subcommand() {
        Some(("new", matches)) => new::run(matches),
        Some(("dev", matches)) => dev::run(matches),
        Some(("routes", matches)) => routes::run(matches),
        _ => Err(Failure::new("there is no such command")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    Command::new("squall")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Makes projects with squall, serves them while they are written, and lists their routes")
        .after_help("Exit status: 0 when done, 1 when that failed, 2 for a wrong command line.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(new::command())
        .subcommand(dev::command())
        .subcommand(routes::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in [
            &["squall"][..],
            &["squall", "nwe"],
            &["squall", "new"],
            &["squall", "new", "a", "b"],
            &["squall", "dev", "--port", "70000"],
            &["squall", "dev", "--bin", "a", "--example", "b"],
            &["squall", "routes", "--port", "1"],
        ] {
            assert!(command().try_get_matches_from(line).is_err(), "{line:?}");
        }
    }
}
