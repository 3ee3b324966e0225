//! The values of a page upon those of all pages.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

/// Values by name, and others for what they do not have.
#[derive(Debug)]
pub(crate) struct Layered {
    pub(crate) values: Value,
    pub(crate) rest: Value,
}

impl Object for Layered {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let found = |values: &Value| values.get_item(key).ok().filter(|value| !value.is_undefined());
        found(&self.values).or_else(|| found(&self.rest))
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let found = |values: &Value| values.get_attr(key).ok().filter(|value| !value.is_undefined());
        found(&self.values).or_else(|| found(&self.rest))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
