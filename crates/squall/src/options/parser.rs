//! The options themselves: defining them, setting them, and what they are.

use std::any::{TypeId, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::{self, Entry, Literal};
use super::error::OptionError;
use super::help;
use super::value::{Kind, Many, One, OptionValue, Value};

/// A set of options (Tornado's `OptionParser`). Programs use the one that the functions of [this module](super) are for;
/// others are for subcommands and tests.
///
/// A name may be written with dashes or underscores, everywhere.
pub struct OptionParser {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    options: Vec<Opt>,
    problems: Vec<OptionError>,
    parse_callbacks: Vec<ParseCallback>,
}

type Callback = Arc<dyn Fn(&Value) + Send + Sync>;
type ParseCallback = Arc<dyn Fn() -> Result<(), OptionError> + Send + Sync>;

/// One option.
#[derive(Clone)]
pub(super) struct Opt {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) metavar: Option<String>,
    pub(super) group: Option<String>,
    pub(super) secret: bool,
    pub(super) kind: Arc<dyn Kind>,
    pub(super) default: Option<Value>,
    pub(super) value: Option<Value>,
    source: Source,
    callback: Option<Callback>,
    location: &'static Location<'static>,
    /// Defined by squall; an application may define it anew.
    builtin: bool,
}

/// Where a value comes from; what is greater wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Default,
    File,
    Environment,
    CommandLine,
}

impl Opt {
    pub(super) fn key(&self) -> String {
        normalize(&self.name)
    }

    /// Where it stands in the help, if it was not put elsewhere: with what else its file defines.
    pub(super) fn file(&self) -> &'static str {
        self.location.file()
    }

    pub(super) fn is_builtin(&self) -> bool {
        self.builtin
    }

    fn shown(&self) -> String {
        match &self.value {
            Some(_) if self.secret => HIDDEN.to_owned(),
            Some(value) => self.kind.render(value),
            None => String::new(),
        }
    }

    fn wrong(&self, given: String) -> OptionError {
        let given = if self.secret { HIDDEN.to_owned() } else { given };
        OptionError::WrongType { name: self.name.clone(), wanted: self.kind.wanted(), given }
    }
}

/// What is shown of a secret.
const HIDDEN: &str = "***";

fn normalize(name: &str) -> String {
    name.replace('_', "-")
}

/// Defining.
impl OptionParser {
    /// A parser without options, but for `--help`.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// Defines an option with a default, which gives it its type. It can be set from now on.
    ///
    /// A name that is defined already is reported by the next parse, with the line of the first definition.
    #[track_caller]
    pub fn define<T: OptionValue>(&self, name: &str, default: T) -> Defined<'_, T> {
        let index = self.add(name, Arc::new(One::<T>(PhantomData)), Some(Arc::new(default)));
        Defined { parser: self, index, of: PhantomData }
    }

    /// Defines an option that has no value unless it is given one.
    #[track_caller]
    pub fn define_opt<T: OptionValue>(&self, name: &str) -> DefinedOpt<'_, T> {
        let index = self.add(name, Arc::new(One::<T>(PhantomData)), None);
        DefinedOpt { parser: self, index, of: PhantomData }
    }

    /// Defines an option that is a list: `a,b,c`, and for integers `1,4:6`, which is 1, 4, 5, 6. Given twice, the last
    /// list is taken.
    #[track_caller]
    pub fn define_multiple<T: OptionValue>(&self, name: &str, default: Vec<T>) -> Defined<'_, Vec<T>> {
        let index = self.add(name, Arc::new(Many::<T>(PhantomData)), Some(Arc::new(default)));
        Defined { parser: self, index, of: PhantomData }
    }

    /// Calls this after each parse that is final.
    pub fn add_parse_callback(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.add_fallible_callback(move || {
            callback();
            Ok(())
        });
    }

    pub(super) fn add_fallible_callback(
        &self,
        callback: impl Fn() -> Result<(), OptionError> + Send + Sync + 'static,
    ) {
        self.lock().parse_callbacks.push(Arc::new(callback));
    }

    /// Calls the [parse callbacks](Self::add_parse_callback), as the end of a parse that is final.
    ///
    /// # Errors
    /// When the log file cannot be opened.
    pub fn run_parse_callbacks(&self) -> Result<(), OptionError> {
        let callbacks = self.lock().parse_callbacks.clone();
        callbacks.iter().try_for_each(|callback| callback())
    }

    #[track_caller]
    fn add(&self, name: &str, kind: Arc<dyn Kind>, default: Option<Value>) -> usize {
        let option = Opt {
            name: name.to_owned(),
            help: String::new(),
            metavar: None,
            group: None,
            secret: false,
            kind,
            value: default.clone(),
            default,
            source: Source::Default,
            callback: None,
            location: Location::caller(),
            builtin: false,
        };
        let state = &mut *self.lock();
        match state.options.iter().position(|other| other.key() == option.key()) {
            Some(at) if state.options[at].builtin => {
                state.options[at] = option;
                return at;
            }
            Some(at) => {
                let first = state.options[at].location;
                let first = format!("{}:{}", first.file(), first.line());
                state.problems.push(OptionError::AlreadyDefined { name: option.name.clone(), first });
            }
            None => {}
        }
        state.options.push(option);
        state.options.len() - 1
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Opt)) {
        change(&mut self.lock().options[index]);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reading values from somewhere.
impl OptionParser {
    /// Takes options from these arguments, of which the first is the program's name, up to the first that is none or
    /// `--`, and returns the rest.
    ///
    /// An option is `--name=value` or `--name value`, with one or two dashes; a `bool` is `--name` or `--name=false`.
    /// `--help` prints the help to standard error and ends the program with status 0. With `is_final`, the
    /// [parse callbacks](Self::add_parse_callback) are called at the end.
    ///
    /// # Errors
    /// For an unknown option, after the help was printed to standard error, for one without its value, and for a value
    /// that its option cannot have; options before it are set then. When a name was defined twice. In a
    /// final parse of the program's options, when the log file cannot be opened.
    pub fn parse_command_line_from(
        &self,
        arguments: impl IntoIterator<Item = impl Into<String>>,
        is_final: bool,
    ) -> Result<Vec<String>, OptionError> {
        let mut arguments = arguments.into_iter().map(Into::into);
        let program = arguments.next().unwrap_or_default();
        self.check()?;
        let options = self.lock().options.clone();
        let parsed = match help::parse(&program, &options, arguments.collect()) {
            Ok(parsed) => parsed,
            Err(help::Stop::Help) => {
                // Nobody to tell that standard error is closed.
                let _ = self.print_help_of(&program, &mut io::stderr());
                std::process::exit(0);
            }
            Err(help::Stop::Error(error)) => {
                if matches!(error, OptionError::Unrecognized(_)) {
                    let _ = self.print_help_of(&program, &mut io::stderr());
                }
                return Err(error);
            }
        };
        for (index, text) in parsed.values {
            self.parse_value(index, &text, Source::CommandLine)?;
        }
        if is_final {
            self.run_parse_callbacks()?;
        }
        Ok(parsed.rest)
    }

    /// Takes options from the environment: `PREFIX_DATABASE_URL` is `database-url` if `prefix` is `PREFIX_`. Variables
    /// without an option of that name are none of ours.
    ///
    /// # Errors
    /// When a value is not Unicode or one that its option cannot have, or a name was defined twice.
    pub fn parse_environment(&self, prefix: &str) -> Result<(), OptionError> {
        self.check()?;
        let names: Vec<String> = self.lock().options.iter().map(Opt::key).collect();
        for (index, name) in names.into_iter().enumerate() {
            let variable = format!("{prefix}{}", name.replace('-', "_").to_uppercase());
            if let Some(text) = std::env::var_os(&variable) {
                let text = text.into_string().map_err(|_| OptionError::NotUnicode(variable))?;
                self.parse_value(index, &text, Source::Environment)?;
            }
        }
        Ok(())
    }

    /// Takes options from a file: TOML if its name ends with `.toml`, else the plain assignments of one for Tornado
    /// (`port = 80`), in which names that are no options are passed over, as Tornado does.
    ///
    /// In TOML an unknown key is an error; tables are the application's own and left alone. With `is_final`, the
    /// [parse callbacks](Self::add_parse_callback) are called at the end.
    ///
    /// # Errors
    /// When the file cannot be read, is malformed or has Python in it that is no plain assignment (with the line), or a
    /// value is one that its option cannot have. In a final parse, when the log file cannot be opened.
    pub fn parse_config_file(&self, path: impl AsRef<Path>, is_final: bool) -> Result<(), OptionError> {
        self.check()?;
        let path = path.as_ref();
        let config::File { entries, strict } = config::read(path)?;
        for Entry { name, value, line } in entries {
            let at = |problem: String| OptionError::File {
                path: PathBuf::from(path),
                problem: line.map_or_else(|| problem.clone(), |line| format!("line {line}: {problem}")),
            };
            let key = normalize(&name);
            let found = self.lock().options.iter().position(|option| option.key() == key);
            match found {
                Some(index) => self.set_literal(index, &value).map_err(|error| at(error.to_string()))?,
                None if strict => return Err(at(format!("there is no option '{name}'"))),
                None => {}
            }
        }
        if is_final {
            self.run_parse_callbacks()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), OptionError> {
        self.lock().problems.first().cloned().map_or(Ok(()), Err)
    }

    fn parse_value(&self, index: usize, text: &str, source: Source) -> Result<(), OptionError> {
        let option = self.lock().options[index].clone();
        let value = option.kind.parse(text).map_err(|given| option.wrong(given))?;
        self.store(index, value, source);
        Ok(())
    }

    fn set_literal(&self, index: usize, literal: &Literal) -> Result<(), OptionError> {
        let option = self.lock().options[index].clone();
        let kind = &option.kind;
        let value = match literal {
            Literal::Text(text) => kind.parse(text),
            Literal::List(elements) if kind.is_list() => {
                kind.parse_list(&elements.iter().map(Literal::text).collect::<Vec<_>>())
            }
            Literal::Bool(_) if kind.is_flag() => kind.parse(&literal.text()),
            Literal::Number(_) if !kind.is_text() && !kind.is_flag() && !kind.is_list() => {
                kind.parse(&literal.text())
            }
            // As if it did not stand there.
            Literal::None => return Ok(()),
            other => Err(other.describe()),
        };
        self.store(index, value.map_err(|given| option.wrong(given))?, Source::File);
        Ok(())
    }

    /// Sets it unless something greater has, and tells its callback.
    fn store(&self, index: usize, value: Value, source: Source) {
        let callback = {
            let option = &mut self.lock().options[index];
            if source < option.source {
                return;
            }
            option.value = Some(Arc::clone(&value));
            option.source = source;
            option.callback.clone()
        };
        if let Some(callback) = callback {
            callback(&value);
        }
    }
}

/// Asking.
impl OptionParser {
    /// The value of an option.
    ///
    /// # Panics
    /// When there is no such option, it is of another type, or it has no value: the application's mistake. See
    /// [`get_opt`](Self::get_opt).
    #[track_caller]
    pub fn get<T: Clone + 'static>(&self, name: &str) -> T {
        match self.get_opt(name) {
            Some(value) => value,
            None => panic!("option '{name}' has no value"),
        }
    }

    /// The value of an option, if it has one.
    ///
    /// # Panics
    /// When there is no such option, or it is of another type.
    #[track_caller]
    pub fn get_opt<T: Clone + 'static>(&self, name: &str) -> Option<T> {
        let Some((value, fits)) =
            self.find(name, |option| (option.value.clone(), option.kind.is(TypeId::of::<T>())))
        else {
            panic!("there is no option '{name}'");
        };
        assert!(fits, "option '{name}' is not of type {}", type_name::<T>());
        value?.downcast_ref().cloned()
    }

    /// Sets an option, as the command line does.
    ///
    /// # Errors
    /// When there is no such option, or it is of another type.
    pub fn set<T: Clone + Send + Sync + 'static>(&self, name: &str, value: T) -> Result<(), OptionError> {
        let index = self.index_for::<T>(name)?;
        self.store(index, Arc::new(value), Source::CommandLine);
        Ok(())
    }

    /// Whether an option was given in any of the sources.
    pub fn is_given(&self, name: &str) -> bool {
        self.find(name, |option| option.source > Source::Default).unwrap_or(false)
    }

    /// All options by name, secrets as `***`.
    #[doc(alias = "as_dict")]
    pub fn as_map(&self) -> BTreeMap<String, String> {
        self.lock().options.iter().map(|option| (option.name.clone(), option.shown())).collect()
    }

    /// The options of a group, as [`as_map`](Self::as_map).
    #[doc(alias = "group_dict")]
    pub fn group_map(&self, group: &str) -> BTreeMap<String, String> {
        let state = self.lock();
        let of_group = state.options.iter().filter(|option| option.group.as_deref() == Some(group));
        of_group.map(|option| (option.name.clone(), option.shown())).collect()
    }

    /// The groups that were [named](Defined::group), in order.
    pub fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        for group in self.lock().options.iter().filter_map(|option| option.group.clone()) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    /// Writes what `--help` prints.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print_help(&self, out: &mut dyn Write) -> io::Result<()> {
        self.print_help_of(&std::env::args().next().unwrap_or_default(), out)
    }

    /// Sets an option until the guard is dropped, for a test (Tornado's `mock.patch.object(options.mockable(), …)`).
    /// Guards are dropped in the reverse order.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[doc(alias = "mockable")]
    pub fn mock<T: Clone + Send + Sync + 'static>(
        &self,
        name: &str,
        value: T,
    ) -> Result<Mock<'_>, OptionError> {
        let index = self.index_for::<T>(name)?;
        let former = {
            let option = &self.lock().options[index];
            (option.value.clone(), option.source)
        };
        self.store(index, Arc::new(value), Source::CommandLine);
        Ok(Mock { parser: self, index, former: Some(former) })
    }

    /// The text of an option that was given, whatever its type.
    pub(super) fn given_text(&self, name: &str) -> Option<String> {
        self.find(name, |option| {
            let value = option.value.as_ref().filter(|_| option.source > Source::Default)?;
            Some(option.kind.render(value))
        })?
    }

    /// As [`given_text`](Self::given_text), also what is only a default of the application's own.
    pub(super) fn own_text(&self, name: &str) -> Option<String> {
        self.find(name, |option| {
            let value =
                option.value.as_ref().filter(|_| option.source > Source::Default || !option.builtin)?;
            Some(option.kind.render(value))
        })?
    }

    pub(super) fn mark_builtin(&self) {
        self.lock().options.iter_mut().for_each(|option| option.builtin = true);
    }

    fn print_help_of(&self, program: &str, out: &mut dyn Write) -> io::Result<()> {
        let options = self.lock().options.clone();
        out.write_all(help::render(program, &options).as_bytes())
    }

    pub(super) fn find<R>(&self, name: &str, f: impl FnOnce(&Opt) -> R) -> Option<R> {
        let key = normalize(name);
        self.lock().options.iter().find(|option| option.key() == key).map(f)
    }

    fn index_for<T: 'static>(&self, name: &str) -> Result<usize, OptionError> {
        let key = normalize(name);
        let state = self.lock();
        let found = state.options.iter().enumerate().find(|(_, option)| option.key() == key);
        let (index, option) = found.ok_or_else(|| OptionError::Unrecognized(name.to_owned()))?;
        if option.kind.is(TypeId::of::<T>()) {
            Ok(index)
        } else {
            Err(option.wrong(type_name::<T>().to_owned()))
        }
    }
}

impl Default for OptionParser {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for OptionParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.as_map()).finish()
    }
}

/// An option that was defined: what else is to be said of it, and its value.
#[derive(Clone, Copy)]
pub struct Defined<'p, T> {
    parser: &'p OptionParser,
    index: usize,
    of: PhantomData<fn() -> T>,
}

/// An option that was defined without a default: as [`Defined`], but it may have no value.
#[derive(Clone, Copy)]
pub struct DefinedOpt<'p, T> {
    parser: &'p OptionParser,
    index: usize,
    of: PhantomData<fn() -> T>,
}

macro_rules! describing {
    ($name:ident) => {
        impl<'p, T: Clone + 'static> $name<'p, T> {
            /// What it is for, in `--help`.
            pub fn help(self, text: &str) -> Self {
                self.parser.change(self.index, |option| option.help = text.to_owned());
                self
            }

            /// What stands for its value in `--help`. Default: its name.
            pub fn metavar(self, metavar: &str) -> Self {
                self.parser.change(self.index, |option| option.metavar = Some(metavar.to_owned()));
                self
            }

            /// Under which heading it stands in `--help`. Default: the file that defines it.
            pub fn group(self, group: &str) -> Self {
                self.parser.change(self.index, |option| option.group = Some(group.to_owned()));
                self
            }

            /// Its value is shown nowhere: not in `--help`, not in [`as_map`](OptionParser::as_map), not in errors.
            pub fn secret(self) -> Self {
                self.parser.change(self.index, |option| option.secret = true);
                self
            }

            /// Calls this with every value that it is given.
            pub fn callback(self, callback: impl Fn(&T) + Send + Sync + 'static) -> Self {
                let callback: Callback = Arc::new(move |value| {
                    if let Some(value) = value.downcast_ref() {
                        callback(value);
                    }
                });
                self.parser.change(self.index, |option| option.callback = Some(callback));
                self
            }

            fn value(&self) -> Option<T> {
                let value = self.parser.lock().options[self.index].value.clone()?;
                value.downcast_ref().cloned()
            }
        }

        impl<T> fmt::Debug for $name<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let option = self.parser.lock().options[self.index].clone();
                write!(f, "{}={}", option.name, option.shown())
            }
        }
    };
}

describing!(Defined);
describing!(DefinedOpt);

impl<T: Clone + 'static> Defined<'_, T> {
    /// Its value.
    ///
    /// # Panics
    /// When the application defined an option of squall's twice, with another type: the next parse says so too.
    #[track_caller]
    pub fn get(&self) -> T {
        self.value().expect("it has a default, and what it is set to has the same type")
    }
}

impl<T: Clone + 'static> DefinedOpt<'_, T> {
    /// Its value, if it has one.
    pub fn get(&self) -> Option<T> {
        self.value()
    }
}

/// Made by [`OptionParser::mock`].
#[derive(Debug)]
#[must_use = "the option is set back when this is dropped"]
pub struct Mock<'p> {
    parser: &'p OptionParser,
    index: usize,
    former: Option<(Option<Value>, Source)>,
}

impl Drop for Mock<'_> {
    fn drop(&mut self) {
        if let Some((value, source)) = self.former.take() {
            self.parser.change(self.index, |option| (option.value, option.source) = (value, source));
        }
    }
}
