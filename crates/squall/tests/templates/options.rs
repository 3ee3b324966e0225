//! `tornado.options.options` in templates.

use std::time::Duration;

use squall::options;
use squall::template::{Loader, context};

#[test]
fn templates_read_the_programs_options() {
    options::define("tpl_port", 8_080_u16).group("tpl");
    options::define("tpl-ratio", 2.0).group("tpl");
    options::define("tpl_debug", true);
    options::define("tpl_title", "A & B".to_owned());
    options::define("tpl_wait", Duration::from_secs(90));
    options::define_opt::<String>("tpl_none");
    options::define_multiple("tpl_hosts", vec!["a".to_owned(), "b".to_owned()]);
    options::define("tpl_secret", "s3cret".to_owned()).secret();
    let rows = [
        ("{{ options.tpl_port + 1 }} {{ options.tpl_ratio }} {{ options.tpl_debug }}", "8081 2.0 True"),
        ("{{ options.tpl_title }} {{ options.tpl_wait }} {{ options.tpl_none }}", "A &amp; B 0:01:30 None"),
        (
            "{{ ','.join(options.tpl_hosts) }} {{ options['tpl-port'] }} {{ options.tpl_secret }}",
            "a,b 8080 s3cret",
        ),
        ("{% raw sorted(options.group_dict('tpl').items()) %}", "[('tpl_port', 8080), ('tpl_ratio', 2.0)]"),
        ("{{ options.as_dict()['tpl_title'] }} {{ 'tpl' in options.groups() }}", "A &amp; B True"),
        ("{{ dict(options.items())['tpl_debug'] }} {{ hasattr(options, 'tpl_nothing') }}", "True False"),
        ("{% try %}{{ options.tpl_nothing }}{% except AttributeError as e %}no{% end %}", "no"),
    ];
    for (text, expected) in rows {
        let from = Loader::from_texts([
            ("a.html", format!("{{% from tornado.options import options %}}{text}")),
            (
                "b.html",
                format!(
                    "{{% import tornado.options %}}{}",
                    text.replace("options", "tornado.options.options")
                ),
            ),
        ]);
        for name in ["a.html", "b.html"] {
            let found = from.load(name).and_then(|template| template.generate(context! {}));
            assert_eq!(found.as_deref().unwrap_or_default(), expected, "{text}: {found:?}");
        }
    }
    options::set("tpl_port", 1_u16).unwrap();
    let text = "{% from tornado.options import options %}{{ options.tpl_port }}";
    let template = squall::template::Template::new(text).unwrap();
    assert_eq!(template.generate(context! {}).unwrap(), "1");
    options::set("tpl_port", 2_u16).unwrap();
    assert_eq!(template.generate(context! {}).unwrap(), "2");
}
