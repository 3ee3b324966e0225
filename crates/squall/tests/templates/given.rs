//! What is `Serialize` as values of templates: the same as Python's values of the same shape.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use serde::{Serialize, Serializer};
use squall::template::{
    Loader, Serde, Template, Value, ValueKind, context, datetime, from_args, repr, to_str,
};

#[derive(Serialize)]
struct Row {
    id: u32,
    name: &'static str,
    tags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    kind: Kind,
}

#[derive(Serialize)]
enum Kind {
    Unit,
    One(i8),
    Two(i8, bool),
    Named { x: f64 },
}

fn rows() -> Vec<Row> {
    vec![
        Row { id: 1, name: "a", tags: vec!["x", "<y>"], note: None, kind: Kind::Unit },
        Row { id: 2, name: "b & c", tags: vec![], note: Some("n".to_owned()), kind: Kind::One(-3) },
        Row { id: 3, name: "", tags: vec!["z"], note: None, kind: Kind::Two(1, true) },
        Row { id: 4, name: "d", tags: vec![], note: Some(String::new()), kind: Kind::Named { x: 0.5 } },
    ]
}

#[track_caller]
fn check(values: impl Into<Value>, rows: &[(&str, &str)]) {
    let values = values.into();
    for (template, expected) in rows {
        let found = Template::new(template).unwrap().generate(values.clone());
        assert_eq!(found.as_deref().unwrap_or_default(), *expected, "{template}: {found:?}");
    }
}

#[test]
fn structs_are_dicts_with_attributes() {
    check(
        context! { rows => rows() },
        &[
            ("{% for r in rows %}{{ r.id }}{{ r['name'] }},{% end %}", "1a,2b &amp; c,3,4d,"),
            ("{% raw [r.get('note', '-') for r in rows] %}", "['-', 'n', '-', '']"),
            ("{% raw rows[0] %}", "{'id': 1, 'name': 'a', 'tags': ['x', '<y>'], 'kind': 'Unit'}"),
            (
                "{% raw [r.kind for r in rows[1:]] %}",
                "[{'One': -3}, {'Two': [1, True]}, {'Named': {'x': 0.5}}]",
            ),
            ("{{ 'note' in rows[0] }} {{ 'note' in rows[1] }} {{ len(rows[1]) }}", "False True 5"),
            ("{% set _ = rows[0].tags.append('w') %}{{ rows[0]['tags'][-1] }}{{ len(rows[0].tags) }}", "w3"),
            ("{% set rows[0]['id'] = 9 %}{{ rows[0].id }} {{ rows[1].id }}", "9 2"),
            ("{% try %}{{ rows[0]['no'] }}{% except KeyError as e %}{% raw e %}{% end %}", "'no'"),
            ("{% try %}{{ rows[0].no }}{% except AttributeError %}no{% end %}", "no"),
            ("{% raw sorted(rows[0].keys()) %}", "['id', 'kind', 'name', 'tags']"),
            (
                "{{ rows[0] == rows[0] }} {{ rows[0] == rows[1] }} {{ rows[1].kind == {'One': -3} }}",
                "True False True",
            ),
            (
                "{{ json_encode(rows[2]) }}",
                "{&quot;id&quot;: 3, &quot;name&quot;: &quot;&quot;, &quot;tags&quot;: [&quot;z&quot;], &quot;kind&quot;: {&quot;Two&quot;: [1, true]}}",
            ),
        ],
    );
}

#[test]
fn maps_tuples_and_numbers() {
    let long: BTreeMap<String, usize> = (0..100).map(|n| (format!("k{n:02}"), n)).collect();
    let numbers: BTreeMap<i32, &str> = (0..40).map(|n| (n, "n")).collect();
    #[derive(Serialize)]
    struct Pair(u8, &'static str);
    check(
        context! {
            long, numbers,
            tuples => vec![(1, "a"), (2, "<b>")],
            pair => Pair(7, "p"),
            big => vec![u64::MAX as u128, 0], huge => u128::MAX, small => i128::MIN,
            none => None::<u8>, some => Some('c'), bytes => serde_bytes(b"ab"),
        },
        &[
            ("{{ long['k07'] }} {{ long.k99 }} {{ len(long) }} {{ 'k100' in long }}", "7 99 100 False"),
            ("{{ numbers[39] }}{{ numbers.get(40) }}{{ sum(numbers) }}", "nNone780"),
            ("{% for n, t in tuples %}{{ n }}{{ t }}{% end %}{% raw tuples[0] %}", "1a2&lt;b&gt;(1, 'a')"),
            ("{% raw pair %}", "[7, 'p']"),
            (
                "{{ big[0] + 1 }} {{ huge }} {{ small }}",
                "18446744073709551616 340282366920938463463374607431768211455 -170141183460469231731687303715884105728",
            ),
            ("{{ none is None }} {{ some }} {% raw repr(bytes) %}", "True c b'ab'"),
        ],
    );
}

fn serde_bytes(bytes: &'static [u8]) -> impl Serialize {
    struct Bytes(&'static [u8]);
    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    Bytes(bytes)
}

#[test]
fn values_within_stay_what_they_are() {
    #[derive(Serialize)]
    struct Mixed {
        call: Value,
        html: Value,
        at: Value,
        deep: Vec<Value>,
    }
    let mixed = Mixed {
        call: Value::from_function(|x: i64| x + 1),
        html: Value::from_safe_string("<b>".to_owned()),
        at: datetime(UNIX_EPOCH),
        deep: vec![Value::from_safe_string("<i>".to_owned()), 1.into()],
    };
    check(
        context! { mixed },
        &[
            ("{{ mixed.call(2) }} {{ mixed.html }}{{ mixed['deep'][0] }}", "3 <b><i>"),
            ("{{ mixed.at.year }} {{ mixed.at }}", "1970 1970-01-01 00:00:00"),
        ],
    );
}

#[test]
fn what_cannot_be_serialized_is_an_error_where_it_is_used() {
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("this one is broken"))
        }
    }
    let values = context! { list => Serde(vec![Broken]) };
    assert_eq!(Template::new("x").unwrap().generate(values.clone()).unwrap(), "x");
    let error = Template::new("\n{{ list[0] }}").unwrap().generate(values).unwrap_err();
    assert!(error.to_string().contains("this one is broken"), "{error}");
    assert_eq!(error.line(), 2);
}

#[test]
fn functions_and_jinja_files_see_them_too() {
    let names = |rows: Vec<Value>| {
        let names = rows.iter().map(|row| row.get_attr("name").map(|name| name.to_string()));
        Ok::<_, minijinja::Error>(names.collect::<Result<Vec<_>, _>>()?.join("+"))
    };
    let first = |rows: Serde<Vec<BTreeMap<String, serde_json::Value>>>| rows.0[0]["id"].to_string();
    let loader = Loader::from_texts([
        ("a.html", "{{ names(rows) }} {{ first(rows) }}"),
        ("b.jinja", "{% for r in rows %}{{ r.id }}{{ r['name'] }}{{ r.tags|length }}{% endfor %} {{ rows[-1].id }} {{ pair }}"),
    ])
    .global("names", Value::from_function(names))
    .global("first", Value::from_function(first));
    let values = context! { rows => rows(), pair => (1, "x") };
    assert_eq!(loader.load("a.html").unwrap().generate(values.clone()).unwrap(), "a+b &amp; c++d 1");
    let page = loader.load("b.jinja").unwrap().generate(values).unwrap();
    assert_eq!(page, "1a22b &amp; c0314d0 4 (1, &#x27;x&#x27;)");
    let (row,): (Value,) = from_args(&[Value::from(Serde(&rows()[0]))]).unwrap();
    assert_eq!((row.len(), row.to_string().is_empty()), (Some(4), false));
}

/// For authors of modules.
#[test]
fn values_are_shown_as_python_shows_them() {
    let shown = |value: Value| (to_str(&value), repr(&value));
    let same = |text: &str| (text.to_owned(), text.to_owned());
    assert_eq!(shown(().into()), same("None"));
    assert_eq!(shown(true.into()), same("True"));
    assert_eq!(shown(1e16.into()), same("1e+16"));
    assert_eq!(shown(2.0.into()), same("2.0"));
    assert_eq!(shown("it's".into()), ("it's".to_owned(), "\"it's\"".to_owned()));
    assert_eq!(shown(Serde((1, "a", None::<u8>)).into()), same("(1, 'a', None)"));
    assert_eq!(shown(Serde(Kind::Named { x: 1.0 }).into()), same("{'Named': {'x': 1.0}}"));
    assert_eq!(Value::from(Serde(rows())).kind(), ValueKind::Seq);
    assert_eq!(Value::from(Serde(&rows()[0])).kind(), ValueKind::Map);
}
