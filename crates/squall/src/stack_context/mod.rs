//! Contexts that follow a request through callbacks and tasks (`tornado.stack_context` of Tornado 4.5).
//!
//! What is registered inside of a context, be it a callback of the loop, a timeout, a handler of a descriptor, a close callback or
//! a spawned task, runs inside of it again. A [`StackContext`] calls a function of yours at each entry, and
//! drops what that returned at the exit; a [`ContextVar`] carries a value; an [`ExceptionStackContext`] sees panics; and
//! [`NullContext`] forgets them all, for what many requests share.
//!
//! ```
//! use squall::IoLoop;
//! use squall::stack_context::ContextVar;
//!
//! thread_local!(static REQUEST_ID: ContextVar<u64> = ContextVar::new());
//! let id = || REQUEST_ID.with(ContextVar::get);
//!
//! let io_loop = IoLoop::current();
//! let inside = REQUEST_ID.with(|var| var.run(7, || io_loop.spawn(async move { id() })));
//! assert_eq!(io_loop.run_sync(inside, None).unwrap().unwrap(), Some(7));
//! assert_eq!(id(), None);
//! ```
//!
//! Contexts are the thread's own. What another thread adds with a [`Handle`](crate::ioloop::Handle), and what an executor
//! runs, is in none. Without any context the price is a null pointer beside each callback.

mod scoped;
mod wrap;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

pub use scoped::Scoped;
pub use wrap::{Wrap, Wrapped, wrap};

pub(crate) use scoped::Captured;

/// A function that is called wherever control enters the context, and whose result is dropped where control leaves it
/// again: a context manager.
///
/// As in Tornado this happens for each callback, and here also for each time that a task is polled; both are short.
///
/// ```
/// # use squall::stack_context::StackContext;
/// struct Leave;
/// impl Drop for Leave {
///     fn drop(&mut self) { println!("left"); }
/// }
/// let context = StackContext::new(|| { println!("entered"); Leave });
/// context.run(|| println!("inside"));
/// ```
#[derive(Clone)]
pub struct StackContext {
    enter: Rc<Enter>,
}

impl StackContext {
    /// A context that calls `factory` at each entry and drops what it returned at the exit.
    #[must_use]
    pub fn new<G: 'static>(factory: impl Fn() -> G + 'static) -> Self {
        let factory = Box::new(move || Box::new(factory()) as Box<dyn Any>);
        StackContext { enter: Rc::new(Enter { factory, active: Cell::new(true) }) }
    }

    /// Calls `function` inside of the context (Tornado's `with StackContext(…):`).
    pub fn run<R>(&self, function: impl FnOnce() -> R) -> R {
        let node = Node::push(Kind::Enter(Rc::clone(&self.enter)));
        let _guard = self.enter.enter();
        under(Some(node), function)
    }

    /// `future`, inside of the context whenever it is polled.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped::under(Some(Node::push(Kind::Enter(Rc::clone(&self.enter)))), future)
    }

    /// From now on what has captured the context no longer enters it (the function that Tornado's `with … as` gives).
    pub fn deactivate(&self) {
        self.enter.active.set(false);
    }
}

impl fmt::Debug for StackContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackContext").field("active", &self.enter.active.get()).finish_non_exhaustive()
    }
}

/// A handler of panics in whatever is run by the loop inside of the context; the innermost is asked first.
///
/// Here Python's exceptions are results, which go to whoever waits; what is left for this is a panic of a callback.
#[derive(Clone)]
pub struct ExceptionStackContext {
    handler: Rc<PanicHandler>,
}

type PanicHandler = dyn Fn(&(dyn Any + Send)) -> bool;

impl ExceptionStackContext {
    /// A context whose `handler` is given the payload of a panic, and says whether that is the end of it. Otherwise the next
    /// context outwards is asked, and at last the panic is logged.
    #[must_use]
    pub fn new(handler: impl Fn(&(dyn Any + Send)) -> bool + 'static) -> Self {
        ExceptionStackContext { handler: Rc::new(handler) }
    }

    /// Calls `function` inside of the context. A panic of `function` itself goes on to the caller, as any.
    pub fn run<R>(&self, function: impl FnOnce() -> R) -> R {
        under(Some(Node::push(Kind::Panics(Rc::clone(&self.handler)))), function)
    }

    /// `future`, inside of the context whenever it is polled.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped::under(Some(Node::push(Kind::Panics(Rc::clone(&self.handler)))), future)
    }
}

impl fmt::Debug for ExceptionStackContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExceptionStackContext").finish_non_exhaustive()
    }
}

/// No context at all: for what outlives the request that happens to make it, such as a pooled connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullContext;

impl NullContext {
    /// Calls `function` in no context.
    pub fn run<R>(function: impl FnOnce() -> R) -> R {
        under(None, function)
    }

    /// `future`, in no context whenever it is polled.
    pub fn scope<F: Future>(future: F) -> Scoped<F> {
        Scoped::under(None, future)
    }
}

/// A variable with one value per context (Python's `contextvars.ContextVar`).
///
/// What is started while it has a value keeps that value. It is set for a function or a future
/// ([`run`](Self::run), [`scope`](Self::scope)) rather than from here on: there is nothing to reset.
pub struct ContextVar<T> {
    /// Its address is the variable's identity.
    key: Rc<()>,
    default: Option<T>,
    of: PhantomData<Rc<T>>,
}

impl<T: Clone + 'static> ContextVar<T> {
    /// A variable without a value.
    #[must_use]
    pub fn new() -> Self {
        ContextVar { key: Rc::new(()), default: None, of: PhantomData }
    }

    /// A variable that is `default` where it was not set.
    #[must_use]
    pub fn with_default(default: T) -> Self {
        ContextVar { key: Rc::new(()), default: Some(default), of: PhantomData }
    }

    /// The value in the present context.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        let mut next = current();
        while let Some(node) = next {
            if let Kind::Value { key, value } = &node.kind
                && Rc::ptr_eq(key, &self.key)
            {
                return value.downcast_ref::<T>().cloned();
            }
            next = node.parent.borrow().clone();
        }
        self.default.clone()
    }

    /// Calls `function` where the variable is `value`.
    pub fn run<R>(&self, value: T, function: impl FnOnce() -> R) -> R {
        under(Some(self.push(value)), function)
    }

    /// `future`, for which the variable is `value` whenever it is polled.
    pub fn scope<F: Future>(&self, value: T, future: F) -> Scoped<F> {
        Scoped::under(Some(self.push(value)), future)
    }

    fn push(&self, value: T) -> Rc<Node> {
        Node::push(Kind::Value { key: Rc::clone(&self.key), value: Box::new(value) })
    }
}

impl<T: Clone + 'static> Default for ContextVar<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The same variable.
impl<T: Clone> Clone for ContextVar<T> {
    fn clone(&self) -> Self {
        ContextVar { key: Rc::clone(&self.key), default: self.default.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextVar").finish_non_exhaustive()
    }
}

thread_local! {
    /// The innermost context.
    static CURRENT: RefCell<Option<Rc<Node>>> = const { RefCell::new(None) };
}

/// One context, and those around it.
struct Node {
    kind: Kind,
    parent: RefCell<Option<Rc<Node>>>,
    /// Whether it, or one around it, has to be entered.
    is_entered: bool,
}

enum Kind {
    Enter(Rc<Enter>),
    Value { key: Rc<()>, value: Box<dyn Any> },
    Panics(Rc<PanicHandler>),
}

struct Enter {
    factory: Box<dyn Fn() -> Box<dyn Any>>,
    active: Cell<bool>,
}

impl Enter {
    fn enter(&self) -> Option<Box<dyn Any>> {
        self.active.get().then(|| (self.factory)())
    }
}

impl Node {
    /// A context inside of the present one.
    fn push(kind: Kind) -> Rc<Self> {
        let parent = current();
        let is_entered =
            matches!(kind, Kind::Enter(_)) || parent.as_ref().is_some_and(|parent| parent.is_entered);
        Rc::new(Node { kind, parent: RefCell::new(parent), is_entered })
    }
}

impl Drop for Node {
    /// One by one: callbacks that add callbacks inside of a context each can make the list longer than the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(node) = next {
            let Some(node) = Rc::into_inner(node) else { return };
            next = node.parent.take();
        }
    }
}

fn current() -> Option<Rc<Node>> {
    // A destructor that runs while the thread ends is in no context.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

fn replace(node: Option<Rc<Node>>) -> Option<Rc<Node>> {
    CURRENT.try_with(|current| current.replace(node)).ok().flatten()
}

/// Calls `function` with this as the innermost context.
fn under<R>(node: Option<Rc<Node>>, function: impl FnOnce() -> R) -> R {
    struct Restore(Option<Rc<Node>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            // Dropped when the cell is no longer borrowed: it may be the last reference to an application's value.
            let left = replace(self.0.take());
            drop(left);
        }
    }
    let _restore = Restore(replace(node));
    function()
}
