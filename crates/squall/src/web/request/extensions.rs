//! Values of one request, by type.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;

use crate::web::context::Context;

type Values = Vec<(TypeId, Rc<dyn Any>)>;

/// The values of one request. There are few, so that they are searched one by one.
#[derive(Default)]
pub(in crate::web) struct Extensions(RefCell<Values>);

impl Context {
    /// Keeps a value for the rest of the request, instead of a former one of the same type: for what a hook, the site, the
    /// handler, UI modules and error pages share (what Tornado users set on `self` in `prepare`).
    ///
    /// It survives [`clear`](Self::clear) and is there while error pages are written.
    ///
    /// ```
    /// use squall::{Application, Context, get};
    ///
    /// struct Tenant(String);
    ///
    /// let app = Application::new([get("/", async |ctx: &Context| {
    ///     let tenant = ctx.get::<Tenant>().expect("the hook ran");
    ///     ctx.write(format!("{} routes", tenant.0.len()));
    ///     Ok(())
    /// })])
    /// .before(async |ctx: &Context| {
    ///     ctx.insert(Tenant(ctx.request().host_name()));
    ///     Ok(())
    /// });
    /// # let _ = app;
    /// ```
    pub fn insert<T: 'static>(&self, value: T) {
        let mut values = self.rare().extensions.0.borrow_mut();
        let (id, value) = (TypeId::of::<T>(), Rc::new(value) as Rc<dyn Any>);
        match values.iter_mut().find(|(known, _)| *known == id) {
            Some((_, former)) => *former = value,
            None => values.push((id, value)),
        }
    }

    /// The value of this type that was [inserted](Self::insert).
    #[inline]
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        // Most requests have none.
        self.rare_if_any()?.extensions.find()
    }
}

impl Extensions {
    fn find<T: 'static>(&self) -> Option<Rc<T>> {
        let values = self.0.borrow();
        let (_, value) = values.iter().find(|(known, _)| *known == TypeId::of::<T>())?;
        Rc::clone(value).downcast().ok()
    }
}
