//! The command line as clap sees it.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use super::error::OptionError;
use super::parser::Opt;

/// What the help names squall's own options.
const OWN: &str = "squall options";

/// What the arguments say.
pub(super) struct Parsed {
    /// The options that were given, by their place, and their values.
    pub(super) values: Vec<(usize, String)>,
    pub(super) rest: Vec<String>,
}

pub(super) enum Stop {
    /// Asked for.
    Help,
    Error(OptionError),
}

pub(super) fn parse(program: &str, options: &[Opt], arguments: Vec<String>) -> Result<Parsed, Stop> {
    let (arguments, rest) = split(arguments, options);
    let arguments = [program.to_owned()].into_iter().chain(arguments);
    let matches = match command(program, options).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return Err(explain(&error, options)),
    };
    let mut values: Vec<(usize, usize, String)> = Vec::new();
    for (index, option) in options.iter().enumerate() {
        let key = option.key();
        let places = matches.indices_of(&key).into_iter().flatten();
        let texts = matches.get_many::<String>(&key).into_iter().flatten();
        values.extend(places.zip(texts).map(|(place, text)| (place, index, text.clone())));
    }
    // In the order in which they stand, for callbacks.
    values.sort();
    Ok(Parsed { values: values.into_iter().map(|(_, index, text)| (index, text)).collect(), rest })
}

pub(super) fn render(program: &str, options: &[Opt]) -> String {
    let help = command(program, options).render_help().to_string();
    help.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The options as clap knows them, and what follows them: Tornado takes one dash for two, and underscores for dashes.
fn split(arguments: Vec<String>, options: &[Opt]) -> (Vec<String>, Vec<String>) {
    let mut arguments = arguments.into_iter();
    let mut ours = Vec::new();
    let mut rest = Vec::new();
    while let Some(argument) = arguments.next() {
        let bare = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
        let Some(bare) = bare.filter(|bare| !bare.is_empty()) else {
            if argument != "--" {
                rest.push(argument);
            }
            break;
        };
        let (name, value) = bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
        let name = name.replace('_', "-");
        let takes_value = options.iter().any(|option| option.key() == name && !option.kind.is_flag());
        ours.push(match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        });
        if value.is_none() && takes_value {
            ours.extend(arguments.next());
        }
    }
    rest.extend(arguments);
    (ours, rest)
}

fn command(program: &str, options: &[Opt]) -> Command {
    let name = program.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("program").to_owned();
    let help = Arg::new("help").long("help").help("show this help information").action(ArgAction::Help);
    let mut command = Command::new(name)
        .override_usage(format!("{program} [OPTIONS]"))
        .disable_help_flag(true)
        .no_binary_name(false)
        .arg(help);
    let (own, theirs): (Vec<_>, Vec<_>) = options.iter().partition(|option| option.is_builtin());
    for option in theirs.into_iter().chain(own) {
        command = command.arg(argument(option));
    }
    command
}

fn argument(option: &Opt) -> Arg {
    let mut help = option.help.clone();
    let mut add = |note: String| {
        if !help.is_empty() {
            help.push(' ');
        }
        help.push_str(&note);
    };
    if !option.kind.choices().is_empty() {
        add(format!("[{}]", option.kind.choices().join(", ")));
    }
    if let Some(default) = option.default.as_ref().filter(|_| !option.secret) {
        let default = option.kind.render(default);
        let is_usual = option.kind.is_flag() && default == "false";
        if !default.is_empty() && !is_usual {
            add(format!("(default {default})"));
        }
    }
    let key = option.key();
    let heading = match &option.group {
        Some(group) => format!("{group} options"),
        None if option.is_builtin() => OWN.to_owned(),
        None => format!("{} options", option.file()),
    };
    let usual =
        || if option.kind.is_flag() { "BOOL".to_owned() } else { key.replace('-', "_").to_uppercase() };
    let metavar = option.metavar.clone().unwrap_or_else(usual);
    let argument = Arg::new(key.clone())
        .long(key)
        .help(help)
        .help_heading(heading)
        .value_name(metavar)
        .action(ArgAction::Append);
    if option.kind.is_flag() {
        argument.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true)
    } else {
        argument.num_args(1).allow_hyphen_values(true)
    }
}

/// Tornado's words for it.
fn explain(error: &clap::Error, options: &[Opt]) -> Stop {
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let name = named.trim_start_matches('-').split(['=', ' ', '[']).next().unwrap_or_default().to_owned();
    let defined = options.iter().find(|option| option.key() == name).map(|option| option.name.clone());
    match error.kind() {
        ErrorKind::DisplayHelp => Stop::Help,
        ErrorKind::UnknownArgument => Stop::Error(OptionError::Unrecognized(name)),
        _ => Stop::Error(OptionError::RequiresValue(defined.unwrap_or(name))),
    }
}
