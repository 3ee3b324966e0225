//! A page with pauses: it is made as far as somebody takes it.

use std::rc::Rc;

use super::steps::Flow;
use super::{Frame, Interp};
use crate::template::assemble::Origin;
use crate::template::budget;
use crate::template::compile::{Body, For, Op, Program};
use crate::template::value::{PyError, R, Source, source};

/// A page that is being made. It may pause between the steps of the page, of its parts, and of what is in `{% if %}` and
/// `{% for %}`; what is in other blocks is made in one go.
pub(in crate::template) struct Stream<'a> {
    interp: Interp<'a>,
    frame: Frame,
    program: &'a Program,
    /// Where it is, the innermost last.
    open: Vec<Open<'a>>,
    /// Steps that are left.
    steps: u64,
}

enum Open<'a> {
    Ops { ops: &'a [Op], next: usize, origin: Option<&'a Rc<Origin>> },
    For { each: &'a For, source: Source },
}

impl<'a> Stream<'a> {
    pub(in crate::template) fn new(interp: Interp<'a>, program: &'a Program, steps: u64) -> Self {
        let ops = match &program.main.body {
            Body::Steps(ops) => ops.as_slice(),
            Body::Value(_) | Body::Generator(_) => &[],
        };
        let open = vec![Open::Ops { ops, next: 0, origin: None }];
        Self { interp, frame: Frame::new(&program.main, &[]), program, open, steps }
    }

    /// Goes on until there is so much text, or all; `None` when there was nothing left.
    pub(in crate::template) fn next_piece(&mut self, bytes: usize) -> R<Option<String>> {
        let session = budget::begin(self.steps)?;
        while self.interp.out.len() < bytes && !self.open.is_empty() {
            if let Err(mut error) = self.step() {
                for open in self.open.drain(..).rev() {
                    if let Open::Ops { origin: Some(origin), .. } = open {
                        error = error.within(origin);
                    }
                }
                return Err(error.within(&self.program.main.origin));
            }
        }
        self.steps = budget::left();
        drop(session);
        let piece = std::mem::take(&mut self.interp.out);
        Ok(if piece.is_empty() { None } else { Some(piece) })
    }

    fn step(&mut self) -> R<()> {
        match self.open.last_mut() {
            Some(Open::Ops { ops, next, .. }) => {
                let ops: &'a [Op] = ops;
                let Some(op) = ops.get(*next) else {
                    self.open.pop();
                    return Ok(());
                };
                *next += 1;
                self.op(op)
            }
            Some(Open::For { each, source }) => {
                let each: &'a For = each;
                let at = |error: PyError| error.at(each.iterable.at);
                let Some(item) = self.interp.advance(source).map_err(at)? else {
                    self.open.pop();
                    return self.enter(&each.otherwise, None);
                };
                budget::pay(1)?;
                self.interp.assign(&each.target, item, &mut self.frame).map_err(at)?;
                self.enter(&each.ops, None)
            }
            None => Ok(()),
        }
    }

    fn op(&mut self, op: &'a Op) -> R<()> {
        match op {
            Op::Part(origin, ops) => self.enter(ops, Some(origin)),
            Op::If(branches, otherwise) => {
                for (condition, ops) in branches {
                    if self.interp.eval(condition, &mut self.frame)?.is_true() {
                        return self.enter(ops, None);
                    }
                }
                self.enter(otherwise, None)
            }
            Op::For(each) => {
                let iterable = self.interp.eval(&each.iterable, &mut self.frame)?;
                let source = source(&iterable).map_err(|error| error.at(each.iterable.at))?;
                self.open.push(Open::For { each, source });
                Ok(())
            }
            _ => {
                let flow = self.interp.steps(std::slice::from_ref(op), &mut self.frame)?;
                self.leave(flow);
                Ok(())
            }
        }
    }

    fn enter(&mut self, ops: &'a [Op], origin: Option<&'a Rc<Origin>>) -> R<()> {
        budget::pay(1)?;
        self.open.push(Open::Ops { ops, next: 0, origin });
        Ok(())
    }

    /// Leaves what a `{% break %}` or `{% continue %}` leaves.
    fn leave(&mut self, flow: Flow) {
        if flow == Flow::Next {
            return;
        }
        while matches!(self.open.last(), Some(Open::Ops { .. })) {
            self.open.pop();
        }
        if flow == Flow::Break {
            self.open.pop();
        }
    }
}
