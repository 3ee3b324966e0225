//! One loop per process, shown by forking before there is any.
//!
//! The parent never makes a loop, so that each child finds none and makes its own. Once a loop exists, forking is
//! refused. `cargo run --example singleton_fork`.

use std::process::ExitCode;

use squall::ioloop::IoLoop;
use squall::process::fork_processes;

fn main() -> ExitCode {
    squall::log::enable_pretty_logging();
    println!("parent: initialized() is {}", IoLoop::initialized());
    // The parent stays in this call until its children have ended.
    match fork_processes(Some(2), Some(0)) {
        Ok(id) => child(id),
        Err(error) => {
            eprintln!("singleton_fork: {error}");
            ExitCode::FAILURE
        }
    }
}

fn child(id: usize) -> ExitCode {
    let before = IoLoop::initialized();
    let io_loop = IoLoop::instance();
    println!("child {id}: initialized() was {before}, is {} after instance()", IoLoop::initialized());

    println!("child {id}: instance() gives the same loop again: {}", io_loop == IoLoop::instance());
    io_loop.add_callback(move || {
        println!("child {id}: hello world, from a loop of its own in process {}", std::process::id());
        IoLoop::current().stop();
    });
    if let Err(error) = io_loop.start() {
        eprintln!("singleton_fork: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
