//! Values of the user's own that an application carries (Tornado's `settings` dict).

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;

use crate::web::application::Application;
use crate::web::context::Context;
use crate::web::error::{HttpError, Result};

/// One value per type.
#[derive(Default)]
pub(in crate::web) struct UserSettings(HashMap<TypeId, (&'static str, Box<dyn Any>)>);

impl UserSettings {
    /// The types, in order, for the debug page. Their values may be secret.
    pub(in crate::web) fn type_names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.0.values().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }
}

impl Application {
    /// Carries a value for all handlers, which read it with [`Context::setting`]. One value of each type: a second
    /// replaces the first.
    #[must_use]
    #[doc(alias = "settings")]
    pub fn setting<T: 'static>(mut self, value: T) -> Self {
        self.settings.user.0.insert(TypeId::of::<T>(), (type_name::<T>(), Box::new(value)));
        self
    }
}

impl Context {
    /// The application's value of this type.
    ///
    /// # Errors
    /// 500 when [`Application::setting`] was given none.
    #[doc(alias = "require_setting")]
    pub fn setting<T: 'static>(&self) -> Result<&T> {
        self.setting_opt().ok_or_else(|| {
            let message = format!("You must give the application a setting of type {}", type_name::<T>());
            HttpError::new(500).log_message(message).into()
        })
    }

    /// As [`setting`](Self::setting), `None` when there is none.
    pub fn setting_opt<T: 'static>(&self) -> Option<&T> {
        self.core().settings().user.0.get(&TypeId::of::<T>())?.1.downcast_ref()
    }
}
