//! From tokens to the tree of one file, with Tornado's rules of what may stand where.

use std::rc::Rc;

use super::error::TemplateError;
use super::lexer::{self, Kind, Token};
use super::whitespace::{Whitespace, is_space};

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
    /// One without a text.
    pub(super) fn empty() -> Self {
        Self { name: "<template>".to_owned(), source: String::new(), body: Vec::new(), autoescape: None }
    }

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
    /// `{% set %}`, `{% import %}` or `{% from %}`: a statement of Python's.
    Statement(Code),
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

impl Node {
    /// What stands in a tag that is neither a block nor an include, in the order of the file: of blocks of one name the last
    /// counts.
    pub(super) fn bodies(&self) -> Vec<&Vec<Self>> {
        match self {
            Self::Apply { body, .. } => vec![body],
            Self::If { branches, otherwise } => {
                branches.iter().map(|(_, body)| body).chain([otherwise]).collect()
            }
            Self::Loop { body, otherwise, .. } => vec![body, otherwise],
            Self::Try(attempt) => {
                let handlers = attempt.handlers.iter().map(|handler| &handler.body);
                [&attempt.body]
                    .into_iter()
                    .chain(handlers)
                    .chain([&attempt.otherwise, &attempt.finally])
                    .collect()
            }
            _ => Vec::new(),
        }
    }
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
    /// What stands after `except`.
    pub(super) clause: Code,
    pub(super) body: Vec<Node>,
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
    Except { offset: usize, clause: Code },
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
                // Without an argument there is no place of one.
                let clause = match argument {
                    "" => Code { text: String::new(), offset },
                    argument => self.code(argument),
                };
                return Ok(Ended::Except { offset, clause });
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
            "set" => Node::Statement(needs("statement")?),
            "import" | "from" => {
                needs("what to import")?;
                let start = self.inside(offset);
                Node::Statement(self.code(start))
            }
            "extends" if self.depth > 1 => {
                return Err(self.error(offset, "extends must stand outside of all other tags"));
            }
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
            "for" | "while" => {
                let header = needs(if name == "for" { "target and list" } else { "condition" })?;
                self.repeat(name, header, offset, in_loop)?
            }
            "try" => Node::Try(self.attempt(offset, in_loop)?),
            _ => return Err(self.error(offset, format!("unknown operator: {name:?}"))),
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
                Ended::Except { offset: at, clause } => {
                    let (body, next) = self.body(Some(("except of try", offset)), in_loop)?;
                    attempt.handlers.push(Handler { offset: at, clause, body });
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
        Ok(attempt)
    }

    /// All that stands in the tag at `offset`.
    fn inside(&self, offset: usize) -> &'a str {
        let rest = self.source.get(offset + 2..).unwrap_or_default();
        rest.split("%}").next().unwrap_or_default().trim_matches(is_space)
    }

    fn code(&self, text: &'a str) -> Code {
        Code { text: text.to_owned(), offset: text.as_ptr() as usize - self.source.as_ptr() as usize }
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> TemplateError {
        TemplateError::at(self.name, self.source, offset, message)
    }
}
