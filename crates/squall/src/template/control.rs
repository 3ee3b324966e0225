//! What runs a macro or a block of the template: comprehensions, lambdas and `try`.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::python::wrong;

pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_function("_tt_push", push);
    env.add_function("_tt_collect", |state: &mut State, body: &Value| collect(state, body, &[]));
    env.add_function("_tt_lambda", |body: Value| Value::from_object(Lambda(body)));
    env.add_function("_tt_try", attempt);
    env.add_function("_tt_raise", |caught: &Value| -> Result<Value, Error> {
        let caught = caught.downcast_object_ref::<Caught>();
        let error =
            caught.and_then(|caught| caught.error.lock().unwrap_or_else(PoisonError::into_inner).take());
        Err(error.unwrap_or_else(|| wrong("nothing to raise")))
    });
}

/// What a macro gives back besides text.
#[derive(Debug, Default)]
struct Items(Mutex<Vec<Value>>);

impl Object for Items {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

fn push(out: &Value, item: Value) -> Result<Value, Error> {
    if item.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let out = out.downcast_object_ref::<Items>().ok_or_else(|| wrong("no list"))?;
    out.0.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    Ok(Value::UNDEFINED)
}

/// What the macro `body` puts in.
fn collect(state: &mut State, body: &Value, arguments: &[Value]) -> Result<Vec<Value>, Error> {
    let out = Arc::new(Items::default());
    let mut all = vec![Value::from_dyn_object(Arc::clone(&out))];
    all.extend_from_slice(arguments);
    body.call(state, &all)?;
    let mut items = out.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *items))
}

#[derive(Debug)]
struct Lambda(Value);

impl Object for Lambda {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        collect(state, &self.0, args)?.pop().ok_or_else(|| wrong("the lambda has no value"))
    }
}

/// What a `try` came to.
#[derive(Debug)]
struct Caught {
    output: Value,
    message: Option<String>,
    is_missing: bool,
    error: Mutex<Option<Error>>,
}

impl Object for Caught {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "output" => Some(self.output.clone()),
            "error" => Some(self.message.clone().map_or(Value::from(()), Value::from)),
            "missing" => Some(Value::from(self.is_missing)),
            _ => None,
        }
    }
}

fn attempt(state: &mut State, block: &str) -> Value {
    let mut output = Vec::new();
    let error = state.render_block_to_write(block, &mut output).err();
    let is_missing = error.as_ref().is_some_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::UndefinedError | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod
        )
    });
    let message = error.as_ref().map(|error| error.detail().map_or(error.kind().to_string(), str::to_owned));
    Value::from_object(Caught {
        output: Value::from_safe_string(String::from_utf8_lossy(&output).into_owned()),
        message,
        is_missing,
        error: Mutex::new(error),
    })
}
