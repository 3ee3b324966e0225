//! What stands in for the rooms of features that are off, as far as others have a place for them: nothing, mostly.

#![allow(clippy::unused_self, reason = "as their counterparts")]

/// Without `templates`: there are none to set.
#[cfg(not(feature = "templates"))]
pub(super) mod render {
    use crate::web::application::Settings;
    use crate::web::routes::Route;
    use crate::web::site::Site;

    #[derive(Clone)]
    pub(in crate::web) enum TemplateSource {}

    #[derive(Clone, Default)]
    pub(in crate::web) struct HandlerValues;

    impl HandlerValues {
        pub(in crate::web) fn within(self, _: &Self) -> Self {
            self
        }

        pub(in crate::web) fn is_empty(&self) -> bool {
            true
        }
    }

    #[derive(Default)]
    pub(in crate::web) struct OfRoutes;

    impl OfRoutes {
        pub(in crate::web) fn add(&mut self, route: &Route) {
            debug_assert!(route.templates().is_none() && route.handler_values().is_empty());
        }
    }

    #[derive(Default)]
    pub(in crate::web) struct TemplateSettings;

    impl TemplateSettings {
        pub(in crate::web) fn finish(settings: &mut Settings, _: OfRoutes, _: &mut Vec<String>) {
            let Settings { templates: Self, .. } = settings;
        }
    }

    /// Nothing of a site concerns templates.
    pub(in crate::web) trait SiteValues {}

    impl<S: Site> SiteValues for S {}
}

/// Without `locale`: nobody asks for the language of a request.
#[cfg(not(feature = "locale"))]
pub(super) mod locale {
    use std::future::{Ready, ready};

    use crate::web::context::Context;
    use crate::web::site::Site;

    #[derive(Default)]
    pub(in crate::web) struct LocaleSettings;

    impl LocaleSettings {
        pub(in crate::web) fn take_problems(&mut self) -> Vec<String> {
            Vec::new()
        }
    }

    #[derive(Default)]
    pub(in crate::web) struct LocaleCell;

    impl Context {
        pub(in crate::web) fn know_locale(&self) -> Ready<()> {
            ready(())
        }
    }

    /// Nothing of a site concerns languages.
    pub(in crate::web) trait SiteLanguage {}

    impl<S: Site> SiteLanguage for S {}
}

/// Without `client`: nothing is relayed.
#[cfg(not(feature = "client"))]
pub(super) mod proxy {
    use crate::httputil::Shutdown;

    #[derive(Default)]
    pub(in crate::web) struct Tunnels;

    impl Tunnels {
        pub(in crate::web) fn leave(&self, _: &Shutdown) {}
    }
}

/// Without `websocket`: none is ever open.
#[cfg(not(feature = "websocket"))]
pub(super) mod websocket {
    use crate::httputil::Shutdown;

    #[derive(Debug, Clone, Copy, Default)]
    pub(in crate::web) struct WebSocketOptions;

    pub(in crate::web) struct WebSockets;

    impl WebSockets {
        pub(in crate::web) fn new(_: WebSocketOptions) -> Self {
            Self
        }

        pub(in crate::web) fn leave(&self, _: &Shutdown) {}
    }
}
