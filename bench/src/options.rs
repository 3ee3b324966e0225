//! The command line, read by hand: six options do not need a library.

use std::time::Duration;

use crate::{Result, peers};

#[derive(Clone)]
pub struct Options {
    /// The command's own unless given.
    pub peers: Option<Vec<String>>,
    pub rounds: Option<usize>,
    pub window: Duration,
    pub connections: Option<usize>,
    pub depths: Vec<usize>,
    pub headers: Headers,
    /// Only the cases whose name contains this.
    pub case: Option<String>,
}

#[derive(Clone, Copy)]
pub enum Headers {
    /// The request line and `Host`.
    Minimal,
    /// What a browser sends on a navigation.
    Browser,
}

pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        peers: None,
        rounds: None,
        window: Duration::from_secs(2),
        connections: None,
        depths: vec![1, 16],
        headers: Headers::Minimal,
        case: None,
    };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--peers" => options.peers = Some(value.split(',').map(str::to_owned).collect()),
            "--rounds" => options.rounds = Some(at_least_one(&name, &value)?),
            "--case" => options.case = Some(value),
            "--seconds" => options.window = Duration::try_from_secs_f64(value.parse()?)?,
            "--connections" => options.connections = Some(at_least_one(&name, &value)?),
            "--pipeline" => {
                options.depths =
                    value.split(',').map(|depth| at_least_one(&name, depth)).collect::<Result<_>>()?;
            }
            "--headers" => {
                options.headers = match value.as_str() {
                    "minimal" => Headers::Minimal,
                    "browser" => Headers::Browser,
                    _ => return Err(format!("--headers {value}: minimal or browser").into()),
                };
            }
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    for spec in options.peers.iter().flatten() {
        peers::find(spec)?;
    }
    Ok(options)
}

fn at_least_one(name: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(0) | Err(_) => Err(format!("{name} {value}: a number of at least 1 is needed").into()),
        Ok(number) => Ok(number),
    }
}
