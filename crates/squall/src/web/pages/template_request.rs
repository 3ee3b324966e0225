//! `request` of templates (Tornado's `HTTPServerRequest`).

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error as EngineError, ErrorKind, State, Value};

use crate::httputil::Arguments;
use crate::template::{Given, Has, Member, Shape};
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::render::with_context;
use crate::web::template_namespace::Function;

const VALUES: &[&str] = &[
    "arguments",
    "body",
    "body_arguments",
    "cookies",
    "files",
    "headers",
    "host",
    "host_name",
    "method",
    "path",
    "protocol",
    "query",
    "query_arguments",
    "remote_ip",
    "uri",
    "version",
    "__class__",
];

const FUNCTIONS: &[&str] = &["full_url", "request_time"];

pub(in crate::web) fn shape() -> Rc<Shape> {
    let values = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Member::Value)).collect();
    let of_connection: Vec<(String, Member)> = values(&["address", "protocol", "remote_ip"]);
    let nothing = |_: &str| "templates know its address, protocol and remote_ip".to_owned();
    let context =
        Shape { name: "request.connection.context", has: Has::Attributes(of_connection), advice: nothing };
    let context = Member::Object(Rc::new(context));
    let connection = Shape {
        name: "request.connection",
        has: Has::Attributes(vec![("context".to_owned(), context)]),
        advice: |_| "templates know its context".to_owned(),
    };
    let mut members: Vec<(String, Member)> = values(VALUES);
    members.extend(FUNCTIONS.iter().map(|name| ((*name).to_owned(), Member::Function)));
    members.push(("connection".to_owned(), Member::Object(Rc::new(connection))));
    Rc::new(Shape {
        name: "request",
        has: Has::Attributes(members),
        advice: |name| {
            match name {
            "get_ssl_certificate" | "server_connection" => "let the handler read it".to_owned(),
            _ => "give the page the value, or say Application::template_context_functions([\"request\"]) if request \
                  is one of the page's own"
                .to_owned(),
        }
        },
    })
}

/// `request`
#[derive(Debug)]
pub(in crate::web) struct Request;

impl Object for Request {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        with_context(|ctx| attribute(ctx, name)).unwrap_or_else(|error| Some(Value::from(error)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, EngineError> {
        call(name, args)
    }
}

fn attribute(ctx: &Context, name: &str) -> Result<Option<Value>> {
    let request = ctx.request();
    let query = || request.query_arguments().into_iter().flat_map(Arguments::iter);
    Ok(Some(match name {
        "method" => request.method().as_str().into(),
        "uri" => request.uri().into(),
        "path" => request.path().into(),
        "query" => request.query().into(),
        "version" => format!("{:?}", request.version()).into(),
        "remote_ip" => request.remote_ip().to_string().into(),
        "protocol" => request.protocol().into(),
        "host" => request.host().into(),
        "host_name" => request.host_name().into(),
        "body" => Value::from_bytes(request.body().to_vec()),
        "headers" => Value::from_object(Headers),
        "cookies" => cookies(ctx),
        "arguments" => all_values(query().chain(request.body_arguments()?.iter())),
        "query_arguments" => all_values(query()),
        "body_arguments" => all_values(request.body_arguments()?.iter()),
        "files" => files(ctx)?,
        "connection" => Value::from_object(Connection),
        "__class__" => Value::from_object(Class("HTTPServerRequest".to_owned())),
        name if FUNCTIONS.contains(&name) => Value::from_object(Function::of(name, call)),
        _ => return Ok(None),
    }))
}

fn call(name: &str, args: &[Value]) -> Result<Value, EngineError> {
    match name {
        "full_url" => {
            Given::new("full_url", [], 0, args)?;
            with_context(|ctx| Ok(ctx.request().full_url().into()))
        }
        "request_time" => {
            Given::new("request_time", [], 0, args)?;
            with_context(|ctx| Ok(ctx.request().request_time().as_secs_f64().into()))
        }
        _ => Err(EngineError::from(ErrorKind::UnknownMethod)),
    }
}

/// Lists of bytes by name, as Tornado has them.
fn all_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> Value {
    let mut lists: Vec<(&str, Vec<Value>)> = Vec::new();
    for (name, value) in pairs {
        let value = Value::from_bytes(value.to_vec());
        match lists.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => lists.push((name, vec![value])),
        }
    }
    Value::from_pairs(lists)
}

/// Lists of `HTTPFile` by the name of their field.
fn files(ctx: &Context) -> Result<Value> {
    let mut lists: Vec<(&str, Vec<Value>)> = Vec::new();
    for (name, file) in ctx.form_body()?.files.iter() {
        let value = Value::from_pairs([
            ("filename", Value::from(file.filename.as_str())),
            ("body", Value::from_bytes(file.body.to_vec())),
            ("content_type", Value::from(file.content_type.as_str())),
        ]);
        match lists.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => lists.push((name, vec![value])),
        }
    }
    Ok(Value::from_pairs(lists))
}

/// `request.cookies`, of the `http.cookies` that Tornado has.
pub(in crate::web) fn cookies(ctx: &Context) -> Value {
    Value::from_pairs(ctx.cookies().map(|(name, value)| {
        (name.to_owned(), Value::from_object(Morsel { key: name.to_owned(), value: value.to_owned() }))
    }))
}

#[derive(Debug)]
struct Morsel {
    key: String,
    value: String,
}

impl Object for Morsel {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "key" => Some(self.key.as_str().into()),
            "value" | "coded_value" => Some(self.value.as_str().into()),
            _ => None,
        }
    }

    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Set-Cookie: {}={}", self.key, self.value)
    }
}

/// `request.headers`
#[derive(Debug)]
struct Headers;

impl Object for Headers {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let found = with_context(|ctx| Ok(ctx.request().headers().joined(name).map(Value::from)));
        found.unwrap_or_else(|error| Some(Value::from(error)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = with_context(|ctx| {
            let mut names: Vec<Value> = Vec::new();
            for (name, _) in ctx.request().headers().iter() {
                let name = Value::from(name);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Ok(names)
        });
        names.map_or(Enumerator::Empty, Enumerator::Values)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, EngineError> {
        match name {
            "get_list" => {
                let name = Given::new("get_list", ["name"], 1, args)?.text(0)?;
                with_context(|ctx| Ok(ctx.request().headers().list(&name).map(Value::from).collect()))
            }
            "get_all" => {
                Given::new("get_all", [], 0, args)?;
                with_context(|ctx| {
                    let all = ctx.request().headers().iter();
                    Ok(all.map(|pair| Value::from(crate::template::Serde(pair))).collect::<Value>())
                })
            }
            _ => Err(EngineError::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `request.connection`
#[derive(Debug)]
struct Connection;

impl Object for Connection {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str()? == "context").then(|| Value::from_object(ConnectionContext))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// `request.connection.context`
#[derive(Debug)]
struct ConnectionContext;

impl Object for ConnectionContext {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let found = with_context(|ctx| {
            Ok(match name {
                "address" => match ctx.request().connection().remote_address() {
                    Some(address) => {
                        Some(crate::template::Serde((address.ip().to_string(), address.port())).into())
                    }
                    None => Some(Value::from(())),
                },
                "remote_ip" | "protocol" => attribute(ctx, name)?,
                _ => None,
            })
        });
        found.unwrap_or_else(|error| Some(Value::from(error)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// `x.__class__` of an object of ours.
#[derive(Debug)]
pub(in crate::web) struct Class(pub(in crate::web) String);

impl Object for Class {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        matches!(key.as_str()?, "__name__" | "__qualname__").then(|| Value::from(self.0.as_str()))
    }

    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<class '{}'>", self.0)
    }
}
