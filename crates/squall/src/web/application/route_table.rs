//! The routes of an application, for people and tools that ask what there is.

use std::fs;

use serde::{Serialize, Serializer};

use crate::httpserver::ServerError;
use crate::options::development;
use crate::web::application::Application;
use crate::web::error::BuildError;
use crate::web::methods::Methods;

impl Application {
    /// Every route, in the order in which they are tried. `squall routes` prints it.
    ///
    /// # Errors
    /// What is wrong with the application.
    pub fn route_table(self) -> Result<Vec<RouteInfo>, BuildError> {
        Ok(self.build()?.route_table())
    }

    /// Where `squall routes` started this program, writes the table for it and ends the program.
    ///
    /// # Errors
    /// What is wrong with the application, or why the table cannot be written.
    pub(in crate::web) fn answer_if_asked_for_routes(self) -> Result<Self, ServerError> {
        let Some(path) = development::routes_wanted() else { return Ok(self) };
        let table = serde_json::to_vec(&self.route_table()?).expect("a table of texts is JSON");
        if let Err(error) = fs::write(&path, table) {
            eprintln!("error: {}: {error}", path.display());
            std::process::exit(1);
        }
        std::process::exit(0)
    }
}

/// A route of an application, for tools that list them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The host pattern of its group; `.*` for the routes given to [`Application::new`].
    pub host: String,
    /// The pattern as written.
    pub pattern: String,
    /// The name, if it has one.
    pub name: Option<String>,
    /// The methods of its handler; none for routers and delegates.
    #[serde(serialize_with = "names")]
    pub methods: Methods,
    /// The names of the path arguments, `None` for groups without one.
    pub arguments: Vec<Option<String>>,
    /// The type of its handler, or its functions, as [`std::any::type_name`] has them: for people to read.
    pub handler: String,
    /// What is unusual about it, for people to read, such as `streams the body`.
    pub options: Vec<String>,
    /// The source file in which it was made, as the compiler was given it.
    pub file: String,
    /// And the line, counted from 1.
    pub line: u32,
}

/// A list, in which `*` stands for all.
fn names<S: Serializer>(methods: &Methods, serializer: S) -> Result<S::Ok, S::Error> {
    if methods.is_any() { serializer.collect_seq(["*"]) } else { serializer.collect_seq(methods.iter()) }
}
