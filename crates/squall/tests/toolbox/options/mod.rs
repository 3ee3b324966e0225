//! Tornado's `options_test.py`, re-expressed (README.md has the table), and what is ours.

use std::cell::RefCell;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use squall::options::{OptionError, OptionParser, OptionValue};

#[derive(Clone, Debug, PartialEq)]
struct Email(String);

impl OptionValue for Email {
    const KIND: &'static str = "an e-mail address";

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') { Ok(Self(text.to_owned())) } else { Err(format!("'{text}'")) }
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

fn parse(options: &OptionParser, args: &[&str]) -> Result<Vec<String>, OptionError> {
    options.parse_command_line_from([&["main"], args].concat(), true)
}

/// Reads a file of this name and text.
fn parse_file(options: &OptionParser, name: &str, text: &str) -> Result<PathBuf, OptionError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    options.parse_config_file(&path, true).map(|()| path)
}

#[test]
fn parse_command_line() {
    let options = OptionParser::new();
    let port = options.define("port", 80_u16);
    for (args, expected) in [
        (&["--port=443"][..], 443),
        (&["-port=444"], 444),
        (&["--port", "445"], 445),
        (&["--port=1", "--port=2"], 2),
    ] {
        parse(&options, args).unwrap();
        assert_eq!((port.get(), options.get::<u16>("port")), (expected, expected), "{args:?}");
    }
}

#[test]
fn parse_config_file() {
    let options = OptionParser::new();
    let port = options.define("port", 80_u16);
    let username = options.define("username", "foo".to_owned());
    let my_path = options.define_opt::<PathBuf>("my_path");
    let text = "port=443\nusername='李康'\n\nnobodys = 1\n\nmy_path = __file__\n";
    let path = parse_file(&options, "options_test.cfg", text).unwrap();
    assert_eq!((port.get(), username.get().as_str(), my_path.get()), (443, "李康", Some(path)));
}

#[test]
fn parse_callbacks() {
    let options = OptionParser::new();
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    options.add_parse_callback(move || *counted.lock().unwrap() += 1);
    options.parse_command_line_from(["main"], false).unwrap();
    assert_eq!(*calls.lock().unwrap(), 0);
    options.parse_command_line_from(["main"], true).unwrap();
    options.parse_command_line_from(["main"], true).unwrap();
    assert_eq!(*calls.lock().unwrap(), 2);
}

#[test]
fn subcommand() {
    let (base, sub) = (OptionParser::new(), OptionParser::new());
    let verbose = base.define("verbose", false);
    let foo = sub.define_opt::<String>("foo");
    let rest = base.parse_command_line_from(["main", "--verbose", "subcommand", "--foo=bar"], true).unwrap();
    assert_eq!(rest, ["subcommand", "--foo=bar"]);
    assert!(verbose.get());
    assert!(sub.parse_command_line_from(rest, true).unwrap().is_empty());
    assert_eq!(foo.get().as_deref(), Some("bar"));
    let error = sub.parse_command_line_from(["subcommand", "--verbose"], true).unwrap_err();
    assert_eq!(error, OptionError::Unrecognized("verbose".to_owned()));
}

#[test]
fn what_follows_the_options_is_left_as_it_is() {
    for (args, expected) in [
        (&["a_b", "--x_y"][..], &["a_b", "--x_y"][..]),
        (&["--", "--n=1", "-x"], &["--n=1", "-x"]),
        (&["--n", "3", "--", "a"], &["a"]),
        (&["-", "b"], &["-", "b"]),
        (&["--n=-4", "c"], &["c"]),
        (&["--n", "-5", "d_e"], &["d_e"]),
        (&[], &[]),
    ] {
        let options = OptionParser::new();
        options.define("n", 0_i32);
        assert_eq!(parse(&options, args).unwrap(), expected, "{args:?}");
    }
}

#[test]
fn set() {
    let options = OptionParser::new();
    let foo = options.define("foo", 1_i32);
    options.set("foo", 2_i32).unwrap();
    assert_eq!(foo.get(), 2);
}

#[test]
fn set_checks_the_type() {
    let options = OptionParser::new();
    options.define("foo", 1_i32);
    options.define_opt::<i32>("bar");
    for name in ["foo", "bar"] {
        let error = options.set(name, "2").unwrap_err();
        assert!(matches!(error, OptionError::WrongType { .. }), "{error}");
        options.set(name, 3_i32).unwrap();
        assert_eq!(options.get::<i32>(name), 3);
    }
    assert_eq!(options.set("baz", 1_i32), Err(OptionError::Unrecognized("baz".to_owned())));
}

#[test]
fn set_calls_back() {
    let options = OptionParser::new();
    let values = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&values);
    options.define("foo", 1_i32).callback(move |value| seen.lock().unwrap().push(*value));
    options.set("foo", 2_i32).unwrap();
    parse(&options, &["--foo=3"]).unwrap();
    assert_eq!(*values.lock().unwrap(), [2, 3]);
}

#[test]
fn a_callback_may_read_a_file_and_the_command_line_still_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, "port = 1\nname = \"file\"\n").unwrap();
    let options: &'static OptionParser = Box::leak(Box::default());
    options.define("port", 0_u16);
    options.define("name", String::new());
    options
        .define_opt::<PathBuf>("config")
        .callback(move |path| options.parse_config_file(path, false).unwrap());
    parse(options, &["--port=2", &format!("--config={}", path.display())]).unwrap();
    assert_eq!((options.get::<u16>("port"), options.get::<String>("name").as_str()), (2, "file"));
}

#[test]
fn as_map_has_all_options_and_group_map_those_of_a_group() {
    let options = OptionParser::new();
    options.define("a", 1_i32);
    options.define("b", 2_i32).group("b_group");
    let pairs = |map: std::collections::BTreeMap<String, String>| map.into_iter().collect::<Vec<_>>();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(pairs(options.as_map()), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(options.groups(), ["b_group"]);
    assert_eq!(pairs(options.group_map("b_group")), [pair("b", "2")]);
    assert!(options.group_map("nonexistent").is_empty());
}

#[test]
fn mock_is_undone_in_order() {
    let options = OptionParser::new();
    let foo = options.define("foo", 1_i32);
    parse(&options, &["--foo=2"]).unwrap();
    {
        let _three = options.mock("foo", 3_i32).unwrap();
        assert_eq!(foo.get(), 3);
    }
    assert_eq!(foo.get(), 2);
    {
        let _four = options.mock("foo", 4_i32).unwrap();
        assert_eq!(foo.get(), 4);
        options.set("foo", 5_i32).unwrap();
        assert_eq!(foo.get(), 5);
        {
            let _six = options.mock("foo", 6_i32).unwrap();
            assert_eq!(foo.get(), 6);
        }
        assert_eq!(foo.get(), 5);
    }
    assert_eq!(foo.get(), 2);
}

fn all_types() -> OptionParser {
    let options = OptionParser::new();
    options.define_opt::<String>("str");
    options.define_opt::<i64>("int");
    options.define_opt::<f64>("float");
    options.define_opt::<SystemTime>("datetime");
    options.define_opt::<Duration>("timedelta");
    options.define_opt::<Email>("email");
    options.define_multiple::<u32>("list-of-int", vec![]);
    options.define_multiple::<String>("list-of-str", vec![]);
    options
}

fn check_all_types(options: &OptionParser) {
    assert_eq!(options.get::<String>("str"), "asdf");
    assert_eq!(options.get::<i64>("int"), 42);
    assert_eq!(options.get::<f64>("float"), 1.5);
    assert_eq!(options.get::<SystemTime>("datetime").render(), "2013-04-28 05:16:00");
    assert_eq!(options.get::<Duration>("timedelta"), Duration::from_secs(45));
    assert_eq!(options.get::<Email>("email"), Email("tornado@web.com".to_owned()));
    assert_eq!(options.get::<Vec<u32>>("list_of_int"), [1, 2, 3]);
    assert_eq!(options.get::<Vec<String>>("list_of_str"), ["a", "b", "c"]);
}

#[test]
fn types() {
    let options = all_types();
    let args = [
        "--str=asdf",
        "--int=42",
        "--float=1.5",
        "--datetime=2013-04-28 05:16",
        "--timedelta=45s",
        "--email=tornado@web.com",
        "--list-of-int=1,2,3",
        "--list-of-str=a,b,c",
    ];
    parse(&options, &args).unwrap();
    check_all_types(&options);
}

#[test]
fn types_with_conf_file() {
    let text = "from datetime import datetime, timedelta\n\nstr = 'asdf'\nint = 42\nfloat = 1.5\n\
                datetime = '2013-04-28 05:16'\ntimedelta = '45s'\nemail = 'tornado@web.com'\n";
    let toml = "str = 'asdf'\nint = 42\nfloat = 1.5\ndatetime = 2013-04-28T05:16:00\ntimedelta = '45s'\n\
                email = 'tornado@web.com'\nlist-of-int = [1, 2, 3]\nlist-of-str = ['a', 'b', 'c']\n\
                [of-the-application]\nx = 1\n";
    for (name, text) in [
        ("types.cfg", format!("{text}list_of_int = [1, 2, 3]\nlist_of_str = [\"a\", \"b\", \"c\"]\n")),
        ("types_str.cfg", format!("{text}list_of_int = '1,2,3'\nlist_of_str = 'a,b,c'\n")),
        ("types.toml", toml.to_owned()),
    ] {
        let options = all_types();
        parse_file(&options, name, &text).unwrap();
        check_all_types(&options);
    }
}

#[test]
fn multiple_string() {
    let options = OptionParser::new();
    let foo = options.define_multiple::<String>("foo", vec![]);
    parse(&options, &["--foo=a,b,c"]).unwrap();
    assert_eq!(foo.get(), ["a", "b", "c"]);
}

#[test]
fn multiple_int() {
    let options = OptionParser::new();
    let foo = options.define_multiple::<i32>("foo", vec![]);
    parse(&options, &["--foo=1,3,5:7"]).unwrap();
    assert_eq!(foo.get(), [1, 3, 5, 6, 7]);
    parse(&options, &["--foo=7:5"]).unwrap();
    assert_eq!(foo.get(), [0; 0]);
}

#[test]
fn redefining_is_reported_however_it_is_spelt() {
    for (a, b) in [
        ("foo", "foo"),
        ("foo-bar", "foo-bar"),
        ("foo_bar", "foo_bar"),
        ("foo-bar", "foo_bar"),
        ("foo_bar", "foo-bar"),
    ] {
        let options = OptionParser::new();
        options.define(a, 1_i32);
        options.define(b, 1_i32);
        let error = parse(&options, &[]).unwrap_err().to_string();
        let start = format!("Option '{b}' already defined in ");
        assert!(error.starts_with(&start) && error.contains("mod.rs:"), "{error}");
    }
}

#[test]
fn dash_underscore_cli() {
    for defined in ["foo-bar", "foo_bar"] {
        for flag in ["--foo-bar=a", "--foo_bar=a"] {
            let options = OptionParser::new();
            options.define_opt::<String>(defined);
            parse(&options, &[flag]).unwrap();
            assert_eq!(options.get::<String>("foo_bar"), "a");
            assert_eq!(options.get::<String>("foo-bar"), "a");
        }
    }
}

#[test]
fn dash_underscore_file() {
    for defined in ["foo-bar", "foo_bar"] {
        for (name, text) in
            [("a.cfg", "foo_bar='a'"), ("a.toml", "foo-bar = 'a'"), ("b.toml", "foo_bar = 'a'")]
        {
            let options = OptionParser::new();
            options.define_opt::<String>(defined);
            parse_file(&options, name, text).unwrap();
            assert_eq!(options.get::<String>("foo_bar"), "a");
        }
    }
}

#[test]
fn dash_underscore_introspection() {
    let options = OptionParser::new();
    options.define_opt::<String>("with-dash").group("g");
    options.define_opt::<String>("with_underscore").group("g");
    assert_eq!(options.as_map().into_keys().collect::<Vec<_>>(), ["with-dash", "with_underscore"]);
    assert_eq!(options.group_map("g").into_keys().collect::<Vec<_>>(), ["with-dash", "with_underscore"]);
    let help = help(&options);
    assert!(help.contains("--with-dash") && help.contains("--with-underscore"), "{help}");
}

fn help(options: &OptionParser) -> String {
    let mut help = Vec::new();
    options.print_help(&mut help).unwrap();
    String::from_utf8(help).unwrap()
}

#[test]
fn help_stands_in_groups() {
    let options = OptionParser::new();
    options.define("port", 80_u16).help("where to listen").group("Server").metavar("NUMBER");
    options.define("debug", false).help("tell all").group("Server");
    options.define("level", "x".to_owned()).group("Other");
    options.define("password", "hunter2".to_owned()).help("of the database").group("Other").secret();
    options.define_multiple("ids", vec![1_u8, 2]).help("which").group("Other");
    let help = help(&options);
    let from = help.find("Options:").unwrap();
    let expected = "\
Options:
      --help  show this help information

Server options:
      --port <NUMBER>   where to listen (default 80)
      --debug[=<BOOL>]  tell all

Other options:
      --level <LEVEL>        (default x)
      --password <PASSWORD>  of the database
      --ids <IDS>            which (default 1,2)
";
    assert_eq!(&help[from..], expected);
}

#[test]
fn secrets_are_shown_nowhere() {
    let options = OptionParser::new();
    let pin = options.define("pin", 4711_u32).secret();
    let shown =
        |options: &OptionParser| format!("{options:?} {:?} {} {:?}", options.as_map(), help(options), pin);
    assert!(!shown(&options).contains("4711"));
    parse(&options, &["--pin=4712"]).unwrap();
    assert_eq!(pin.get(), 4712);
    assert!(!shown(&options).contains("4712"));
    let error = parse(&options, &["--pin=hunter2"]).unwrap_err();
    assert_eq!(error.to_string(), "Option 'pin' is required to be an integer (*** given)");
    let error = parse_file(&options, "a.toml", "pin = 'hunter2'").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn what_is_wrong_is_said() {
    for (args, expected) in [
        (&["--nothing=1"][..], "Unrecognized command line option: 'nothing'"),
        (&["--a_b"], "Unrecognized command line option: 'a-b'"),
        (&["-x"], "Unrecognized command line option: 'x'"),
        (&["--port"], "Option 'port' requires a value"),
        (&["--port=x"], "Option 'port' is required to be an integer ('x' given)"),
        (
            &["--port=70000"],
            "Option 'port' is required to be an integer (70000, which is not within 0 and 65535 given)",
        ),
        (&["--port="], "Option 'port' is required to be an integer ('' given)"),
        (&["--debug=maybe"], "Option 'debug' is required to be true or false ('maybe' given)"),
        (&["--wait=5 apples"], "Option 'wait' is required to be a duration such as 1h30m ('5 apples' given)"),
        (&["--wait=-5s"], "Option 'wait' is required to be a duration such as 1h30m ('-5s' given)"),
        (&["--at=noon"], "Option 'at' is required to be a date and time ('noon' given)"),
        (&["--mail=me"], "Option 'mail' is required to be an e-mail address ('me' given)"),
        (
            &["--ids=1,x"],
            "Option 'ids' is required to be a comma-separated list, each an integer ('x' given)",
        ),
        (
            &["--ids=0:4000000000"],
            "Option 'ids' is required to be a comma-separated list, each an integer \
             ('0:4000000000', a range of more than 1000000, given)",
        ),
    ] {
        let options = OptionParser::new();
        options.define("port", 80_u16);
        options.define("debug", false);
        options.define("wait", Duration::ZERO);
        options.define_opt::<SystemTime>("at");
        options.define_opt::<Email>("mail");
        options.define_multiple::<u32>("ids", vec![]);
        assert_eq!(parse(&options, args).unwrap_err().to_string(), expected, "{args:?}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_the_line() {
    for (name, text, expected) in [
        (
            "a.cfg",
            "port = 80\nport = f()\n",
            "line 2: f is no plain value; only literals are understood here",
        ),
        ("a.cfg", "\nport = 'x'\n", "line 2: Option 'port' is required to be an integer ('x' given)"),
        ("a.cfg", "name = 5\n", "line 1: Option 'name' is required to be a string (the number 5 given)"),
        (
            "a.cfg",
            "ids = 5\n",
            "line 1: Option 'ids' is required to be a comma-separated list, each an integer (the number 5 given)",
        ),
        ("a.cfg", "port = [1]\n", "line 1: Option 'port' is required to be an integer (a list given)"),
        ("a.cfg", "port = True\n", "line 1: Option 'port' is required to be an integer (true given)"),
        ("a.toml", "port = 'x'\n", "Option 'port' is required to be an integer ('x' given)"),
        ("a.toml", "prot = 80\n", "there is no option 'prot'"),
        ("a.toml", "port = \n", "TOML parse error at line 1, column"),
    ] {
        let options = OptionParser::new();
        options.define("port", 80_u16);
        options.define("name", String::new());
        options.define_multiple::<u8>("ids", vec![]);
        let error = parse_file(&options, name, text).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: ")) && error.contains(expected), "{error}");
    }
    let error = OptionParser::new().parse_config_file("/nothing/here.toml", true).unwrap_err();
    assert_eq!(error.to_string(), "/nothing/here.toml: No such file or directory (os error 2)");
}

#[test]
fn values() {
    fn check<T: OptionValue + Debug + PartialEq>(rows: &[(&str, T)]) {
        for (text, expected) in rows {
            let parsed = T::parse(text);
            assert_eq!(parsed.as_ref(), Ok(expected), "{text:?}");
            assert_eq!(T::parse(&expected.render()).as_ref(), Ok(expected), "{text:?} there and back");
        }
    }
    let millis = Duration::from_millis;
    check(&[
        ("0", millis(0)),
        ("90", millis(90_000)),
        ("1.5", millis(1_500)),
        ("1h30m", millis(5_400_000)),
        ("1h 30 min", millis(5_400_000)),
        ("2d", millis(172_800_000)),
        ("1w", millis(604_800_000)),
        ("250ms", millis(250)),
        ("1e3s", millis(1_000_000)),
        ("3 hours 2 minutes 1 seconds", millis(10_921_000)),
    ]);
    check(&[
        ("true", true),
        ("T", true),
        ("1", true),
        ("on", true),
        ("False", false),
        ("f", false),
        ("0", false),
    ]);
    check(&[("-5", -5_i8), (" 7 ", 7)]);
    check(&[("1.5", 1.5_f64), ("-2e3", -2e3)]);
    for (text, expected) in [
        ("Sun Apr 28 05:16:07 2013", "2013-04-28 05:16:07"),
        ("2013-04-28 05:16:07", "2013-04-28 05:16:07"),
        ("2013-04-28 05:16", "2013-04-28 05:16:00"),
        ("2013-04-28T05:16", "2013-04-28 05:16:00"),
        ("20130428 05:16:07", "2013-04-28 05:16:07"),
        ("20130428 05:16", "2013-04-28 05:16:00"),
        ("2013-04-28", "2013-04-28 00:00:00"),
        ("20130428", "2013-04-28 00:00:00"),
    ] {
        assert_eq!(SystemTime::parse(text).unwrap().render(), expected, "{text}");
    }
    assert!(SystemTime::parse("05:16:07").unwrap().render().ends_with(" 05:16:07"), "of today");
    for text in ["", " ", "h", "1x", "1h30", "1..5", "--5", "1e400", "nan"] {
        let parsed = Duration::parse(text);
        assert!(parsed.is_err() || text == "1h30", "{text:?}: {parsed:?}");
    }
}

#[test]
fn the_table_names_tests_that_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = std::fs::read_to_string(folder.join("toolbox/options/README.md")).unwrap();
    let cases = std::fs::read_to_string(folder.join("toolbox/options/mod.rs")).unwrap();
    let process = std::fs::read_to_string(folder.join("processes/options.rs")).unwrap();
    let named = RefCell::new(0);
    for cell in table.split('`').filter(|cell| cell.contains("::")) {
        let (module, test) = cell.split_once("::").unwrap();
        let source = if module == "process" { &process } else { &cases };
        assert!(source.contains(&format!("fn {test}()")), "no test {test}");
        *named.borrow_mut() += 1;
    }
    assert!(*named.borrow() >= 20);
}
