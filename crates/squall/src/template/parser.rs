//! From tokens to the tree of one file, with Tornado's rules of what may stand where.

use std::rc::Rc;

use super::error::TemplateError;
use super::lexer::{self, Kind, Token};
use super::whitespace::Whitespace;

/// One parsed file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) body: Vec<Node>,
    /// The function that values go through, `None` for no escaping. The last `{% autoescape %}` counts for all of the file.
    pub(super) autoescape: Option<String>,
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
    let mut parser = Parser { name, source, tokens: tokens.into_iter(), whitespace, autoescape };
    let (body, _) = parser.body(None, false)?;
    Ok(File { name: name.to_owned(), source: source.to_owned(), body, autoescape: parser.autoescape })
}

struct Parser<'a> {
    name: &'a str,
    source: &'a str,
    tokens: std::vec::IntoIter<Token<'a>>,
    whitespace: Whitespace,
    autoescape: Option<String>,
}

/// What ended a body: `{% end %}`, `{% else %}` or `{% elif condition %}`.
enum Ended {
    End,
    Else,
    Elif(Code),
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
                "else" | "elif" => return self.branch(name, argument, token.offset, inside, nodes),
                "except" | "finally" => {
                    return Err(self.error(token.offset, format!("{name} outside of a try block")));
                }
                _ => {
                    let node = self.directive(name, argument, token.offset, in_loop)?;
                    nodes.extend(node);
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
        nodes: Vec<Node>,
    ) -> Parsed<(Vec<Node>, Ended)> {
        let parents: &[&str] = if name == "elif" { &["if"] } else { &["if", "for", "while"] };
        let message = match inside {
            None => format!("{name} outside {} block", parents.join(" or ")),
            Some((parent, _)) if !parents.contains(&parent.trim_start_matches("else of ")) => {
                format!("{name} block cannot be attached to {parent} block")
            }
            Some((parent, _)) if parent.starts_with("else of ") => format!("{name} after else"),
            Some(_) if name == "elif" && argument.is_empty() => "elif missing condition".to_owned(),
            Some(_) if name == "elif" => return Ok((nodes, Ended::Elif(self.code(argument)))),
            Some(_) if !argument.is_empty() => "else takes no condition: write elif".to_owned(),
            Some(_) => return Ok((nodes, Ended::Else)),
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
            };
            return Ok(Node::If { branches, otherwise });
        }
    }

    fn code(&self, text: &'a str) -> Code {
        Code { text: text.to_owned(), offset: text.as_ptr() as usize - self.source.as_ptr() as usize }
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> TemplateError {
        TemplateError::at(self.name, self.source, offset, message)
    }
}

fn refusal(name: &str) -> String {
    match name {
        "import" | "from" => format!(
            "{name} has no counterpart in Rust: give the template what it needs with Site::template_namespace, \
             Application::ui_method or the context of render"
        ),
        "try" => "try has no counterpart in Rust: test for what may be missing with if, or prepare it in the handler"
            .to_owned(),
        _ => format!("unknown operator: {name:?}"),
    }
}
