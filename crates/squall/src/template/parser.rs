//! From tokens to the tree of one file, with Tornado's rules of what may stand where.

use std::rc::Rc;

use super::error::TemplateError;
use super::lexer::{self, Kind, Token};
use super::whitespace::Whitespace;

/// Tags nested deeper than this are refused; Python stops at 100 levels.
const MAX_DEPTH: usize = 50;

/// One parsed file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) body: Vec<Node>,
    /// The function that values go through, `None` for no escaping. The last `{% autoescape %}` counts for all of the file.
    pub(super) autoescape: Option<String>,
}

impl File {
    /// The line of a place in the source, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        1 + self.source.get(..offset).unwrap_or_default().matches('\n').count()
    }
}

/// A text of the source and its place, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) text: String,
    pub(super) offset: usize,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Expression {
        code: Code,
        raw: bool,
    },
    Module(Code),
    Set(Code),
    Break(usize),
    Continue(usize),
    Extends(Code),
    Include(Code),
    Block {
        name: String,
        body: Rc<Vec<Node>>,
        offset: usize,
    },
    Apply {
        function: Code,
        body: Vec<Node>,
    },
    If {
        branches: Vec<(Code, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    /// `header` is what stands between `for` and the end of the tag, or the condition of a `while`.
    Loop {
        header: Code,
        is_while: bool,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Try(Try),
}

/// `{% try %}` and what belongs to it.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) offset: usize,
    pub(super) body: Vec<Node>,
    pub(super) handlers: Vec<Handler>,
    pub(super) otherwise: Vec<Node>,
    pub(super) finally: Vec<Node>,
}

/// `{% except .. as name %}`.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) offset: usize,
    pub(super) catch: Catch,
    pub(super) name: Option<String>,
    pub(super) body: Vec<Node>,
}

/// Which errors an `{% except %}` is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Catch {
    All,
    /// Names, attributes and items that are not there.
    Missing,
}

/// # Errors
/// What Tornado refuses, and what has no counterpart in Rust.
pub(super) fn parse(
    name: &str,
    source: &str,
    whitespace: Option<Whitespace>,
    autoescape: Option<&str>,
) -> Result<File, TemplateError> {
    let tokens = lexer::tokens(source)
        .map_err(|error| TemplateError::at(name, source, error.offset, error.message))?;
    let whitespace = whitespace.unwrap_or_else(|| Whitespace::of_file(name));
    let autoescape = autoescape.map(str::to_owned);
    let mut parser = Parser { name, source, tokens: tokens.into_iter(), whitespace, autoescape, depth: 0 };
    let (body, _) = parser.body(None, false)?;
    Ok(File { name: name.to_owned(), source: source.to_owned(), body, autoescape: parser.autoescape })
}

struct Parser<'a> {
    name: &'a str,
    source: &'a str,
    tokens: std::vec::IntoIter<Token<'a>>,
    whitespace: Whitespace,
    autoescape: Option<String>,
    depth: usize,
}

/// What ended a body: `{% end %}`, `{% else %}`, `{% elif condition %}`, `{% except .. %}` or `{% finally %}`.
enum Ended {
    End,
    Else,
    Elif(Code),
    Except { offset: usize, catch: Catch, name: Option<String> },
    Finally,
}

type Parsed<T> = Result<T, TemplateError>;

impl<'a> Parser<'a> {
    fn body(&mut self, inside: Option<(&str, usize)>, in_loop: bool) -> Parsed<(Vec<Node>, Ended)> {
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.next() {
            let (name, argument) = match token.kind {
                Kind::Comment => continue,
                Kind::Text(text) => {
                    nodes.push(Node::Text(self.whitespace.apply(text).into_owned()));
                    continue;
                }
                Kind::Expression(text) => {
                    nodes.push(Node::Expression { code: self.code(text), raw: false });
                    continue;
                }
                Kind::Directive { name, argument } => (name, argument),
            };
            match name {
                "end" if inside.is_none() => return Err(self.error(token.offset, "Extra {% end %} block")),
                "end" => return Ok((nodes, Ended::End)),
                "else" | "elif" | "except" | "finally" => {
                    return Ok((nodes, self.branch(name, argument, token.offset, inside)?));
                }
                _ => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(self.error(token.offset, "nested too deep"));
                    }
                    nodes.extend(self.directive(name, argument, token.offset, in_loop)?);
                    self.depth -= 1;
                }
            }
        }
        match inside {
            None => Ok((nodes, Ended::End)),
            Some((name, offset)) => Err(self.error(offset, format!("Missing {{% end %}} block for {name}"))),
        }
    }

    fn branch(
        &self,
        name: &str,
        argument: &'a str,
        offset: usize,
        inside: Option<(&str, usize)>,
    ) -> Parsed<Ended> {
        let parents: &[&str] = match name {
            "elif" => &["if"],
            "else" => &["if", "for", "while", "try"],
            _ => &["try"],
        };
        let message = match inside.map(|(parent, _)| parent.split_once(" of ").unwrap_or(("", parent))) {
            None => format!("{name} outside {} block", parents.join(" or ")),
            Some((_, parent)) if !parents.contains(&parent) => {
                format!("{name} block cannot be attached to {parent} block")
            }
            Some(("finally", _)) => format!("{name} after finally"),
            Some(("else", _)) if name != "finally" => format!("{name} after else"),
            Some(("", "try")) if name == "else" => "else before except".to_owned(),
            Some(_) if name == "elif" && argument.is_empty() => "elif missing condition".to_owned(),
            Some(_) if name == "elif" => return Ok(Ended::Elif(self.code(argument))),
            Some(_) if name == "except" => {
                let (catch, name) = catch(argument).map_err(|message| self.error(offset, message))?;
                return Ok(Ended::Except { offset, catch, name });
            }
            Some(_) if name == "else" && !argument.is_empty() => {
                "else takes no condition: write elif".to_owned()
            }
            Some(_) if name == "else" => return Ok(Ended::Else),
            Some(_) => return Ok(Ended::Finally),
        };
        Err(self.error(offset, message))
    }

    fn directive(
        &mut self,
        name: &str,
        argument: &'a str,
        offset: usize,
        in_loop: bool,
    ) -> Parsed<Option<Node>> {
        let needs = |what: &str| match argument {
            "" => Err(self.error(offset, format!("{name} missing {what}"))),
            _ => Ok(self.code(argument)),
        };
        Ok(Some(match name {
            "comment" => return Ok(None),
            "autoescape" | "whitespace" => {
                self.mode(name, argument, offset)?;
                return Ok(None);
            }
            "raw" => Node::Expression { code: needs("expression")?, raw: true },
            "module" => Node::Module(needs("expression")?),
            "set" => Node::Set(needs("statement")?),
            "extends" => Node::Extends(self.path(name, argument, offset)?),
            "include" => Node::Include(self.path(name, argument, offset)?),
            "break" | "continue" if !in_loop => {
                return Err(self.error(offset, format!("{name} outside for or while block")));
            }
            "break" => Node::Break(offset),
            "continue" => Node::Continue(offset),
            "block" => {
                let block = needs("name")?.text;
                let (body, _) = self.body(Some((name, offset)), in_loop)?;
                Node::Block { name: block, body: Rc::new(body), offset }
            }
            "apply" => {
                let function = needs("method name")?;
                let (body, _) = self.body(Some((name, offset)), false)?;
                Node::Apply { function, body }
            }
            "if" => {
                let condition = needs("condition")?;
                self.conditional(condition, offset, in_loop)?
            }
            "for" => {
                let header = needs("target and list")?;
                self.repeat(name, header, offset, in_loop)?
            }
            "while" => {
                let header = needs("condition")?;
                self.repeat(name, header, offset, in_loop)?
            }
            "try" => Node::Try(self.attempt(offset, in_loop)?),
            _ => return Err(self.error(offset, refusal(name))),
        }))
    }

    /// `{% autoescape %}` and `{% whitespace %}`, which leave nothing in the tree.
    fn mode(&mut self, name: &str, argument: &str, offset: usize) -> Parsed<()> {
        if name == "whitespace" {
            self.whitespace = Whitespace::from_name(argument)
                .ok_or_else(|| self.error(offset, format!("invalid whitespace mode {argument}")))?;
            return Ok(());
        }
        self.autoescape = match argument {
            "" => return Err(self.error(offset, "autoescape missing function name or None")),
            "None" => None,
            function => Some(function.to_owned()),
        };
        Ok(())
    }

    fn path(&self, name: &str, argument: &'a str, offset: usize) -> Parsed<Code> {
        let text = argument.trim_matches('"').trim_matches('\'');
        if text.is_empty() {
            return Err(self.error(offset, format!("{name} missing file path")));
        }
        Ok(Code { text: text.to_owned(), ..self.code(argument) })
    }

    fn repeat(&mut self, name: &str, header: Code, offset: usize, in_loop: bool) -> Parsed<Node> {
        let (body, ended) = self.body(Some((name, offset)), true)?;
        let otherwise = match ended {
            Ended::Else => self.body(Some((&format!("else of {name}"), offset)), in_loop)?.0,
            _ => Vec::new(),
        };
        Ok(Node::Loop { header, is_while: name == "while", body, otherwise })
    }

    fn conditional(&mut self, condition: Code, offset: usize, in_loop: bool) -> Parsed<Node> {
        let (mut branches, mut condition) = (Vec::new(), condition);
        loop {
            let (body, ended) = self.body(Some(("if", offset)), in_loop)?;
            branches.push((condition, body));
            let otherwise = match ended {
                Ended::End => Vec::new(),
                Ended::Else => self.body(Some(("else of if", offset)), in_loop)?.0,
                Ended::Elif(next) => {
                    condition = next;
                    continue;
                }
                // `branch` attaches these to a try only.
                Ended::Except { .. } | Ended::Finally => Vec::new(),
            };
            return Ok(Node::If { branches, otherwise });
        }
    }

    fn attempt(&mut self, offset: usize, in_loop: bool) -> Parsed<Try> {
        let (body, mut ended) = self.body(Some(("try", offset)), in_loop)?;
        let mut attempt =
            Try { offset, body, handlers: Vec::new(), otherwise: Vec::new(), finally: Vec::new() };
        let mut has_finally = false;
        loop {
            ended = match ended {
                Ended::Except { offset: at, catch, name } => {
                    let (body, next) = self.body(Some(("except of try", offset)), in_loop)?;
                    attempt.handlers.push(Handler { offset: at, catch, name, body });
                    next
                }
                Ended::Else => {
                    let (body, next) = self.body(Some(("else of try", offset)), in_loop)?;
                    attempt.otherwise = body;
                    next
                }
                Ended::Finally => {
                    let (body, next) = self.body(Some(("finally of try", offset)), in_loop)?;
                    (attempt.finally, has_finally) = (body, true);
                    next
                }
                Ended::End | Ended::Elif(_) => break,
            };
        }
        if attempt.handlers.is_empty() && !has_finally {
            return Err(self.error(offset, "try without except or finally"));
        }
        // The body is run as a block of its own, and a jump would leave the finally behind.
        let handlers = attempt.handlers.iter().map(|handler| &handler.body);
        let left = handlers.chain([&attempt.otherwise]).filter(|_| has_finally);
        if let Some(offset) = left.chain([&attempt.body]).find_map(|body| jump(body)) {
            return Err(self.error(
                offset,
                "a jump out of try has no counterpart: remember it with set and jump behind the end of try",
            ));
        }
        Ok(attempt)
    }

    fn code(&self, text: &'a str) -> Code {
        Code { text: text.to_owned(), offset: text.as_ptr() as usize - self.source.as_ptr() as usize }
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> TemplateError {
        TemplateError::at(self.name, self.source, offset, message)
    }
}

/// The first `break` or `continue` that leads out of these nodes.
fn jump(nodes: &[Node]) -> Option<usize> {
    nodes.iter().find_map(|node| match node {
        Node::Break(offset) | Node::Continue(offset) => Some(*offset),
        Node::If { branches, otherwise } => {
            branches.iter().map(|(_, body)| body).chain([otherwise]).find_map(|body| jump(body))
        }
        Node::Loop { otherwise, .. } => jump(otherwise),
        Node::Block { body, .. } => jump(body),
        Node::Try(attempt) => {
            let handlers = attempt.handlers.iter().map(|handler| &handler.body);
            handlers.chain([&attempt.otherwise, &attempt.finally]).find_map(|body| jump(body))
        }
        _ => None,
    })
}

fn refusal(name: &str) -> String {
    match name {
        "import" | "from" => format!(
            "{name} has no counterpart in Rust: give the template what it needs with Site::template_namespace, \
             Application::ui_method or the context of render"
        ),
        _ => format!("unknown operator: {name:?}"),
    }
}

/// What stands after `except`: the errors of Rust have no classes, but what is missing can be told from the rest.
fn catch(argument: &str) -> Result<(Catch, Option<String>), String> {
    const MISSING: &[&str] = &["NameError", "AttributeError", "KeyError", "IndexError", "LookupError"];
    let (classes, name) = match argument.split_once(" as ") {
        Some((classes, name)) => (classes.trim(), Some(name.trim().to_owned())),
        None => (argument, None),
    };
    let is_name = |name: &String| {
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric())
    };
    if name.as_ref().is_some_and(|name| name.is_empty() || !is_name(name)) {
        return Err("except .. as takes a name".to_owned());
    }
    if matches!(classes, "" | "Exception" | "BaseException") {
        return Ok((Catch::All, name));
    }
    let classes = classes.trim_start_matches('(').trim_end_matches(')');
    match classes.split(',').map(str::trim).find(|class| !MISSING.contains(class)) {
        None => Ok((Catch::Missing, name)),
        Some(class) => Err(format!(
            "except {class} has no counterpart: use except, except Exception, or for what is missing except KeyError"
        )),
    }
}
