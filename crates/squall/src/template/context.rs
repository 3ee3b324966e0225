//! `context!`

use std::cell::Cell;

use minijinja::Value;
use serde::Serialize;

use super::tape::Serde;

/// Values for a template by name: what a template value can be made of, and anything that is `Serialize`. A name alone
/// is the variable of that name; `..other` adds the values of another context.
///
/// ```
/// use serde::Serialize;
/// use squall::context;
/// use squall::template::Template;
///
/// #[derive(Serialize)]
/// struct Story {
///     title: &'static str,
/// }
///
/// let story = Story { title: "Rain" };
/// let page = Template::new("{{ story.title }}, {{ n }}")?;
/// assert_eq!(page.generate(context! { story, n => 1 + 1 })?, "Rain, 2");
/// # Ok::<(), squall::template::TemplateError>(())
/// ```
#[macro_export]
macro_rules! context {
    () => {
        $crate::template::__context::context! {}
    };
    (..$first:expr $(, ..$rest:expr)* $(,)?) => {
        $crate::template::__context::context! { ..$first $(, ..$rest)* }
    };
    ($($key:ident $(=> $value:expr)?),* $(, ..$rest:expr)* $(,)?) => {
        $crate::template::__context::context! {
            $($key => $crate::template::__context::__context_value!($key $(=> $value)?)),* $(, ..$rest)*
        }
    };
}

pub use context;

#[doc(hidden)]
#[macro_export]
macro_rules! __context_value {
    ($key:ident) => {
        $crate::template::__context::__context_value!($key => $key)
    };
    ($key:ident => $value:expr) => {{
        #[allow(unused_imports)]
        use $crate::template::__context::{ViaSerde as _, ViaValue as _};
        (&&$crate::template::__context::Wrap::new($value)).template_value()
    }};
}

pub use __context_value;

/// What [`context!`] expands to.
#[doc(hidden)]
pub mod __context {
    pub use minijinja::context;

    pub use super::{__context_value, ViaSerde, ViaValue, Wrap};
}

/// A value on its way. The compiler takes the first method that fits: [`ViaValue`]'s, for which it need not look
/// behind a reference, before [`ViaSerde`]'s.
pub struct Wrap<T>(Cell<Option<T>>);

impl<T> Wrap<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(Cell::new(Some(value)))
    }
}

/// What template values can be made of.
pub trait ViaValue {
    /// The value, which is taken out.
    fn template_value(&self) -> Value;
}

impl<T: Into<Value>> ViaValue for &Wrap<T> {
    fn template_value(&self) -> Value {
        self.0.take().map_or(Value::UNDEFINED, Into::into)
    }
}

/// Anything else that can be serialized.
pub trait ViaSerde {
    /// The value, which is taken out.
    fn template_value(&self) -> Value;
}

impl<T: Serialize> ViaSerde for Wrap<T> {
    fn template_value(&self) -> Value {
        self.0.take().map_or(Value::UNDEFINED, |value| Value::from(Serde(value)))
    }
}
