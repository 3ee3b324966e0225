//! What an application tells of itself, so that its templates are checked against it before a page is made.

use std::collections::HashSet;
use std::rc::Rc;

use super::{Compiled, Compiler, Var};
use crate::template::python::{Argument, Constant, Expr, ExprKind};

/// What the templates of an application can rely on.
#[derive(Default)]
pub(crate) struct Surface {
    /// The objects that every template has, by variable.
    pub(crate) objects: Vec<(&'static str, Rc<Shape>)>,
    /// The names of UI modules.
    pub(crate) modules: HashSet<String>,
    /// The module that puts a template of the loader into the page, unless the application has another one of its name.
    pub(crate) template_module: Option<&'static str>,
    /// The names of routes, if no other program has some.
    pub(crate) routes: Option<HashSet<String>>,
}

/// An object of the application.
pub(crate) struct Shape {
    /// As a template gets at it.
    pub(crate) name: &'static str,
    pub(crate) has: Has,
    /// What to do about a name that it does not have.
    pub(crate) advice: fn(&str) -> String,
}

pub(crate) enum Has {
    Attributes(Vec<(String, Member)>),
    /// It is a dict.
    Items(Vec<String>),
}

#[derive(Clone)]
pub(crate) enum Member {
    /// A value that is no function.
    Value,
    Function,
    /// The application's, which may be either.
    Any,
    Object(Rc<Shape>),
}

impl Shape {
    fn member(&self, name: &str) -> Option<&Member> {
        let Has::Attributes(members) = &self.has else { return Some(&Member::Any) };
        members.iter().find(|(known, _)| known == name).map(|(_, member)| member)
    }
}

impl Compiler<'_> {
    /// What is known of the value of an expression.
    fn shape(&mut self, expr: &Expr) -> Option<Rc<Shape>> {
        match &expr.kind {
            ExprKind::Name(name) => {
                let surface = self.known.application.as_ref()?;
                let (_, shape) = surface.objects.iter().find(|(known, _)| known == name)?;
                let shape = Rc::clone(shape);
                self.is_the_applications(name).then_some(shape)
            }
            ExprKind::Attribute(of, name) => match self.shape(of)?.member(name)? {
                Member::Object(shape) => Some(Rc::clone(shape)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a name is neither a variable nor one of the page's own values.
    fn is_the_applications(&mut self, name: &str) -> bool {
        matches!(self.resolve(name), Var::Global(_))
            && !self.known.context_functions.iter().any(|own| own == name)
    }

    /// `of.name`
    pub(super) fn check_member(&mut self, of: &Expr, name: &str, at: usize) -> Compiled<()> {
        let Some(shape) = self.shape(of) else { return Ok(()) };
        if self.tries > 0 || shape.member(name).is_some() {
            return Ok(());
        }
        self.error(at, format!("{} has no {name}: {}", shape.name, (shape.advice)(name)))
    }

    /// `{{ of.name }}` of a function, which would print where in the memory it is.
    pub(super) fn check_printed(&mut self, expr: &Expr) -> Compiled<()> {
        let ExprKind::Attribute(of, name) = &expr.kind else { return Ok(()) };
        let Some(shape) = self.shape(of) else { return Ok(()) };
        match shape.member(name) {
            Some(Member::Function) if self.tries == 0 => {
                let object = shape.name;
                let message = format!(
                    "{object}.{name} is a function: call it, {object}.{name}(..), or give the value another way \
                     (Application::handler_value, UrlSpec::handler_value)"
                );
                self.error(expr.at, message)
            }
            _ => Ok(()),
        }
    }

    /// `of[key]`
    pub(super) fn check_item(&mut self, of: &Expr, key: &Expr) -> Compiled<()> {
        let (Some(key_text), Some(shape)) = (constant_text(key), self.shape(of)) else { return Ok(()) };
        match &shape.has {
            Has::Items(names) if self.tries == 0 && !names.iter().any(|name| name == key_text) => self
                .error(key.at, format!("{} has no {key_text:?}: {}", shape.name, (shape.advice)(key_text))),
            _ => Ok(()),
        }
    }

    /// A call of what cannot be called, or that asks for what the application does not have.
    pub(super) fn check_call(&mut self, function: &Expr, arguments: &[Argument]) -> Compiled<()> {
        if self.tries > 0 {
            return Ok(());
        }
        let name = match &function.kind {
            ExprKind::Name(name) if self.is_the_applications(name) => name,
            ExprKind::Attribute(of, name) => {
                let Some(shape) = self.shape(of) else { return Ok(()) };
                match shape.member(name) {
                    Some(Member::Function) => name,
                    Some(Member::Value | Member::Object(_)) => {
                        let object = shape.name;
                        let message = format!("{object}.{name} is no function: write {object}.{name}");
                        return self.error(function.at, message);
                    }
                    _ => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        if name == "reverse_url"
            && let Some(names) = self.known.application.as_ref().and_then(|surface| surface.routes.as_ref())
            && let Some(Argument::Plain(route)) = arguments.first()
            && let Some(text) = constant_text(route)
            && !names.contains(text)
        {
            let message = format!(
                "no route is named {text:?}: name one with .name({text:?}), or put the call into {{% try %}} where the \
                 name may be missing"
            );
            return self.error(route.at, message);
        }
        Ok(())
    }

    /// `{% module name(..) %}`
    pub(super) fn check_module(&mut self, name: &str, arguments: &[Argument], at: usize) -> Compiled<()> {
        let Some(surface) = self.known.application.as_ref().filter(|_| self.tries == 0) else {
            return Ok(());
        };
        if !surface.modules.contains(name) {
            let message =
                format!("there is no UI module {name}: register it with Application::ui_module({name:?}, …)");
            return self.error(at, message);
        }
        if surface.template_module == Some(name)
            && let Some(Argument::Plain(path)) = arguments.first()
            && let Some(text) = constant_text(path)
            && let Err(error) = self.files.check(text)
        {
            return self.error(path.at, error.to_string());
        }
        Ok(())
    }
}

fn constant_text(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Constant(Constant::Str(text)) => Some(text),
        _ => None,
    }
}
