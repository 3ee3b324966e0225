//! One minijinja template from a file, its ancestors and what it includes, as Tornado makes one function of them.
//!
//! So blocks and includes see and set the variables around them, and each file keeps its own escaping. Every tag starts
//! on a line of its own in the output, which [`Flat::place`] leads back to the user's file.

use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;

use super::error::TemplateError;
use super::expression::{self, ExpressionError, SCOPE, Scope, Scoped};
use super::parser::{Catch, Code, File, Node, Try};

/// Includes and blocks nested deeper than this go round in circles.
const MAX_DEPTH: usize = 50;

/// A template for minijinja.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) source: String,
    places: Vec<Place>,
}

#[derive(Debug, Clone)]
struct Place {
    line: usize,
    file: Rc<File>,
    offset: usize,
    via: Option<Rc<Via>>,
}

/// Where a file is included, or the block that it fills stands.
#[derive(Debug)]
struct Via {
    file: Rc<File>,
    offset: usize,
    outer: Option<Rc<Via>>,
}

impl Flat {
    /// An error at this line of [`source`](Self::source), at its place in the user's file.
    pub(super) fn error_at(&self, line: usize, message: impl Into<String>) -> TemplateError {
        let index = self.places.partition_point(|place| place.line <= line);
        match self.places.get(index.saturating_sub(1)) {
            Some(Place { file, offset, via, .. }) => {
                let via = std::iter::successors(via.as_deref(), |via| via.outer.as_deref());
                let at = |via: &Via| format!("{}:{}", via.file.name, via.file.line(via.offset));
                error(file, *offset, message).with_via(via.map(at).collect())
            }
            None => TemplateError::of_file("<template>", message),
        }
    }
}

/// Where files come from.
pub(super) trait Files {
    /// The file that `name` means in the file `parent`.
    ///
    /// # Errors
    /// Why there is none; of [`TemplateError::of_file`] when it does not exist.
    fn file(&self, name: &str, parent: Option<&str>) -> Result<Rc<File>, TemplateError>;
}

/// # Errors
/// What is wrong with any of the files.
pub(super) fn flatten(file: &Rc<File>, files: &dyn Files) -> Result<Flat, TemplateError> {
    let mut ancestors = vec![Rc::clone(file)];
    let mut blocks = HashMap::new();
    add_ancestors(file, files, &mut ancestors)?;
    for ancestor in ancestors.iter().rev() {
        add_blocks(ancestor, &ancestor.body, files, &mut blocks, 0)?;
    }
    let root = ancestors.last().unwrap_or(file);
    let flatten = |scoped: &Scoped| {
        let mut flattener = Flattener::new(files, &blocks, scoped, root);
        flattener.begin();
        flattener.nodes(&root.body)?;
        Ok::<_, TemplateError>((Flat { source: flattener.out, places: flattener.places }, flattener.assigned))
    };
    // What loops assign to is known after the first pass; the second keeps it in the scope object.
    let (flat, assigned) = flatten(&Scoped::new())?;
    if assigned.is_empty() { Ok(flat) } else { Ok(flatten(&assigned)?.0) }
}

fn add_ancestors(
    file: &Rc<File>,
    files: &dyn Files,
    ancestors: &mut Vec<Rc<File>>,
) -> Result<(), TemplateError> {
    for node in &file.body {
        let Node::Extends(path) = node else { continue };
        let parent = load(files, path, file)?;
        if ancestors.len() >= MAX_DEPTH || ancestors.iter().any(|known| known.name == parent.name) {
            return Err(error(file, path.offset, format!("{} extends itself", parent.name)));
        }
        ancestors.push(Rc::clone(&parent));
        add_ancestors(&parent, files, ancestors)?;
    }
    Ok(())
}

type Blocks = HashMap<String, (Rc<File>, Rc<Vec<Node>>)>;

fn add_blocks(
    file: &Rc<File>,
    nodes: &[Node],
    files: &dyn Files,
    blocks: &mut Blocks,
    depth: usize,
) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Block { name, body, .. } => {
                blocks.insert(name.clone(), (Rc::clone(file), Rc::clone(body)));
                add_blocks(file, body, files, blocks, depth)?;
            }
            Node::Include(path) => {
                let included = load(files, path, file)?;
                if depth >= MAX_DEPTH {
                    return Err(error(file, path.offset, format!("{} includes itself", included.name)));
                }
                add_blocks(&included, &included.body, files, blocks, depth + 1)?;
            }
            Node::Apply { body, .. } => add_blocks(file, body, files, blocks, depth)?,
            Node::If { branches, otherwise } => {
                for (_, body) in branches {
                    add_blocks(file, body, files, blocks, depth)?;
                }
                add_blocks(file, otherwise, files, blocks, depth)?;
            }
            Node::Loop { body, otherwise, .. } => {
                add_blocks(file, body, files, blocks, depth)?;
                add_blocks(file, otherwise, files, blocks, depth)?;
            }
            Node::Try(attempt) => {
                let handlers = attempt.handlers.iter().map(|handler| &handler.body);
                for body in [&attempt.body, &attempt.otherwise, &attempt.finally].into_iter().chain(handlers)
                {
                    add_blocks(file, body, files, blocks, depth)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn load(files: &dyn Files, path: &Code, file: &File) -> Result<Rc<File>, TemplateError> {
    files.file(&path.text, Some(&file.name)).map_err(|cause| match cause.line() {
        0 => error(file, path.offset, cause.to_string()),
        _ => cause,
    })
}

fn error(file: &File, offset: usize, message: impl Into<String>) -> TemplateError {
    TemplateError::at(&file.name, &file.source, offset, message)
}

struct Flattener<'a> {
    files: &'a dyn Files,
    blocks: &'a Blocks,
    scoped: &'a Scoped,
    file: Rc<File>,
    via: Option<Rc<Via>>,
    out: String,
    line: usize,
    places: Vec<Place>,
    /// What loops assign to.
    assigned: Scoped,
    /// For each loop around, the flag that its `break` sets, if it has an `else`.
    loops: Vec<Option<String>>,
    names: usize,
    macros: usize,
    depth: usize,
}

type Done = Result<(), TemplateError>;

impl<'a> Flattener<'a> {
    fn new(files: &'a dyn Files, blocks: &'a Blocks, scoped: &'a Scoped, root: &Rc<File>) -> Self {
        Self {
            files,
            blocks,
            scoped,
            file: Rc::clone(root),
            via: None,
            out: String::new(),
            line: 1,
            places: Vec::new(),
            assigned: Scoped::new(),
            loops: Vec::new(),
            names: 0,
            macros: 0,
            depth: 0,
        }
    }

    /// The scope object, which starts with what the names mean outside.
    fn begin(&mut self) {
        if self.scoped.is_empty() {
            return;
        }
        let mut names: Vec<_> = self.scoped.iter().map(|name| format!("{name}={name}")).collect();
        names.sort_unstable();
        self.tag(0, &format!("set {SCOPE} = namespace({})", names.join(", ")));
    }

    fn nodes(&mut self, nodes: &[Node]) -> Done {
        self.depth += 1;
        for node in nodes {
            if self.depth > MAX_DEPTH {
                return Err(error(&self.file, offset_of(node), "nested too deep, or includes itself"));
            }
            self.node(node)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Done {
        match node {
            Node::Text(text) => self.text(text),
            Node::Expression { code, raw } => self.expression(code, *raw)?,
            Node::Module(code) => {
                let call = self.rewrite(code, expression::module)?;
                self.print(code.offset, &format!("({call})|_tt_raw"));
            }
            Node::Set(code) => self.set(code)?,
            Node::Break(offset) => {
                if let Some(Some(flag)) = self.loops.last().cloned() {
                    self.tag(*offset, &format!("set {SCOPE}.{flag} = true"));
                }
                self.tag(*offset, "break");
            }
            Node::Continue(offset) => self.tag(*offset, "continue"),
            Node::Extends(_) => {}
            Node::Include(path) => {
                let file = load(self.files, path, &self.file)?;
                let body = Rc::clone(&file);
                self.within(file, &body.body, path.offset)?;
            }
            Node::Block { name, offset, .. } => {
                if let Some((file, body)) = self.blocks.get(name) {
                    self.within(Rc::clone(file), body, *offset)?;
                }
            }
            Node::Apply { function, body } => {
                let name = self.rewrite(function, expression::expression)?;
                self.tag(function.offset, &format!("filter _tt_apply({name})"));
                self.nodes(body)?;
                self.tag(function.offset, "endfilter");
            }
            Node::If { branches, otherwise } => self.conditional(branches, otherwise)?,
            Node::Loop { header, is_while, body, otherwise } => {
                self.repeat(header, *is_while, body, otherwise)?;
            }
            Node::Try(attempt) => self.attempt(attempt)?,
        }
        Ok(())
    }

    /// The nodes of what may be another file, for the tag at `offset`.
    fn within(&mut self, file: Rc<File>, nodes: &[Node], offset: usize) -> Done {
        if Rc::ptr_eq(&file, &self.file) {
            return self.nodes(nodes);
        }
        let outer = std::mem::replace(&mut self.file, file);
        let via = self.via.take();
        self.via = Some(Rc::new(Via { file: Rc::clone(&outer), offset, outer: via.clone() }));
        self.nodes(nodes)?;
        self.via = via;
        self.file = outer;
        Ok(())
    }

    fn expression(&mut self, code: &Code, raw: bool) -> Done {
        let value = self.rewrite(code, expression::expression)?;
        let content = match self.file.autoescape.as_deref() {
            None => format!("({value})|_tt_raw"),
            _ if raw => format!("({value})|_tt_raw"),
            Some("xhtml_escape" | "escape") => value,
            Some(function) => {
                let function = Code { text: function.to_owned(), offset: code.offset };
                let function = self.rewrite(&function, expression::expression)?;
                format!("{function}(str({value}))|_tt_raw")
            }
        };
        self.print(code.offset, &content);
        Ok(())
    }

    fn set(&mut self, code: &Code) -> Done {
        let assignment = self.rewrite(code, expression::assignment)?;
        let in_scope = |name: &String| self.scoped.contains(name);
        let content = match assignment.names.as_slice() {
            [name] if in_scope(name) => format!("set {SCOPE}.{name} = {}", assignment.value),
            names if names.iter().any(in_scope) => {
                let temporary = |name: &str| format!("_tt_{name}");
                let targets: Vec<_> = names.iter().map(|name| temporary(name)).collect();
                self.tag(code.offset, &format!("set ({},) = {}", targets.join(", "), assignment.value));
                for name in names {
                    let scope = if self.scoped.contains(name) { format!("{SCOPE}.") } else { String::new() };
                    self.tag(code.offset, &format!("set {scope}{name} = {}", temporary(name)));
                }
                return Ok(());
            }
            _ => format!("set {} = {}", assignment.target, assignment.value),
        };
        if !self.loops.is_empty() {
            self.assigned.extend(assignment.names);
        }
        self.tag(code.offset, &content);
        Ok(())
    }

    fn conditional(&mut self, branches: &[(Code, Vec<Node>)], otherwise: &[Node]) -> Done {
        let mut keyword = "if";
        let mut last = 0;
        // All before the first tag, where the macros of all go.
        let values = branches.iter().map(|(condition, _)| self.rewrite(condition, expression::expression));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        for ((condition, body), value) in branches.iter().zip(values) {
            self.tag(condition.offset, &format!("{keyword} {value}"));
            self.nodes(body)?;
            (keyword, last) = ("elif", condition.offset);
        }
        if !otherwise.is_empty() {
            self.tag(last, "else");
            self.nodes(otherwise)?;
        }
        self.tag(last, "endif");
        Ok(())
    }

    fn repeat(&mut self, header: &Code, is_while: bool, body: &[Node], otherwise: &[Node]) -> Done {
        let at = header.offset;
        self.names += 1;
        let flag = (!otherwise.is_empty()).then(|| format!("_tt_broken{}", self.names));
        if let Some(flag) = &flag {
            // A flag is in the scope object, which is there when it is not empty.
            self.assigned.insert(flag.clone());
            self.tag(at, &format!("set {SCOPE}.{flag} = false"));
        }
        self.loops.push(flag.clone());
        if is_while {
            let condition = self.rewrite(header, expression::expression)?;
            self.tag(at, "for _tt_round in _tt_forever()");
            self.tag(at, &format!("if not {condition}"));
            self.tag(at, "break");
            self.tag(at, "endif");
        } else {
            let (names, target, list) = self.rewrite(header, expression::for_header)?;
            self.tag(at, &format!("for {target} in {list}"));
            for name in names.iter().filter(|name| self.scoped.contains(*name)) {
                self.tag(at, &format!("set {SCOPE}.{name} = {name}"));
            }
        }
        self.nodes(body)?;
        self.tag(at, "endfor");
        self.loops.pop();
        if let Some(flag) = &flag {
            self.tag(at, &format!("if not {SCOPE}.{flag}"));
            self.nodes(otherwise)?;
            self.tag(at, "endif");
        }
        Ok(())
    }

    /// The body is a minijinja block, which a function can run without failing when it fails; what it wrote stays.
    fn attempt(&mut self, attempt: &Try) -> Done {
        let Try { offset, body, handlers, otherwise, finally } = attempt;
        let at = *offset;
        self.names += 1;
        let (block, caught) = (format!("_tt_try{}", self.names), format!("_tt_caught{}", self.names));
        self.tag(at, "if false");
        self.tag(at, &format!("block {block}"));
        // A block has variables of its own: what it assigns to has to be in the scope object, as in a loop.
        self.loops.push(None);
        self.nodes(body)?;
        self.loops.pop();
        self.tag(at, "endblock");
        self.tag(at, "endif");
        self.tag(at, &format!("set {caught} = _tt_try(\"{block}\")"));
        self.print(at, &format!("{caught}.output"));
        self.tag(at, &format!("if {caught}.error is none"));
        self.nodes(otherwise)?;
        let mut unhandled = format!("{caught}.error is not none");
        for handler in handlers {
            let condition = match handler.catch {
                Catch::All => "true".to_owned(),
                Catch::Missing => format!("{caught}.missing"),
            };
            let _ = write!(unhandled, " and not {condition}");
            self.tag(handler.offset, &format!("elif {condition}"));
            if let Some(name) = &handler.name {
                let scope = if self.scoped.contains(name) { format!("{SCOPE}.") } else { String::new() };
                self.tag(handler.offset, &format!("set {scope}{name} = {caught}.error"));
                self.assigned.extend((!self.loops.is_empty()).then(|| name.clone()));
            }
            self.nodes(&handler.body)?;
        }
        self.tag(at, "endif");
        self.nodes(finally)?;
        self.tag(at, &format!("if {unhandled}"));
        self.tag(at, &format!("do _tt_raise({caught})"));
        self.tag(at, "endif");
        Ok(())
    }

    /// The code in minijinja's spelling, after the macros that it needs.
    fn rewrite<T>(
        &mut self,
        code: &Code,
        rewriter: fn(&str, &mut Scope<'_>) -> Result<T, ExpressionError>,
    ) -> Result<T, TemplateError> {
        let mut scope = Scope::new(self.scoped, &mut self.macros);
        let rewritten = rewriter(&code.text, &mut scope)
            .map_err(|cause| error(&self.file, code.offset + cause.offset, cause.message))?;
        for tag in scope.before {
            self.tag(code.offset, &tag);
        }
        Ok(rewritten)
    }

    fn text(&mut self, text: &str) {
        self.line += text.matches('\n').count();
        if text.contains('{') {
            // A brace could open a tag, by itself or with what follows.
            self.out.extend(["{% raw %}", text, "{% endraw %}"]);
        } else {
            self.out.push_str(text);
        }
    }

    fn tag(&mut self, offset: usize, content: &str) {
        self.place(offset);
        self.out.extend(["{%\n", content, " %}"]);
    }

    fn print(&mut self, offset: usize, content: &str) {
        self.place(offset);
        self.out.extend(["{{\n", content, " }}"]);
    }

    fn place(&mut self, offset: usize) {
        self.line += 1;
        let (file, via) = (Rc::clone(&self.file), self.via.clone());
        self.places.push(Place { line: self.line, file, offset, via });
    }
}

fn offset_of(node: &Node) -> usize {
    match node {
        Node::Text(_) => 0,
        Node::Expression { code, .. } | Node::Module(code) | Node::Set(code) => code.offset,
        Node::Extends(code) | Node::Include(code) | Node::Apply { function: code, .. } => code.offset,
        Node::Break(offset) | Node::Continue(offset) | Node::Block { offset, .. } => *offset,
        Node::If { branches, .. } => branches.first().map_or(0, |(condition, _)| condition.offset),
        Node::Loop { header, .. } => header.offset,
        Node::Try(attempt) => attempt.offset,
    }
}
