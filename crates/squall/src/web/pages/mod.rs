//! Pages of templates: what they are rendered with.

pub(in crate::web) mod render;
pub(in crate::web) mod template_handler;
pub(in crate::web) mod template_namespace;
pub(in crate::web) mod template_request;
pub(in crate::web) mod ui_module;
