//! Functions for templates: what they import `from display`.

use squall::template::{Value, context};

pub(crate) fn module() -> Value {
    context! { shortened => Value::from_function(shortened) }
}

fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(3)).chain("...".chars()).collect()
}
