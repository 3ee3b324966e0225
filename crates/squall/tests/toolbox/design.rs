//! A whole application as squall is meant to be written, cookies and WebSocket aside.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use squall::template::Loader;
use squall::{
    Application, Context, Error, HttpError, HttpServer, OrStatus, RequestHandler, Result, Site, context,
    handler, url,
};

struct Db {
    stories: RefCell<Vec<Story_>>,
}

#[derive(Clone, Serialize)]
struct Story_ {
    id: u64,
    author: String,
    title: String,
}

#[derive(Debug)]
struct DbError;

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the database is on fire")
    }
}

impl std::error::Error for DbError {}

impl Db {
    fn fixture() -> Self {
        let rain = Story_ { id: 7, author: "ann".into(), title: "Rain".into() };
        Self { stories: RefCell::new(vec![rain]) }
    }

    async fn story(&self, id: u64) -> Result<Option<Story_>, DbError> {
        if id == 13 {
            return Err(DbError);
        }
        Ok(self.stories.borrow().iter().find(|s| s.id == id).cloned())
    }

    async fn insert(&self, author: &str, new: NewStory<'_>) -> Result<Story_, DbError> {
        let mut stories = self.stories.borrow_mut();
        let story = Story_ { id: stories.len() as u64 + 7, author: author.into(), title: new.title.into() };
        stories.push(story.clone());
        Ok(story)
    }
}

struct User {
    name: String,
}

#[derive(Deserialize)]
struct NewStory<'a> {
    title: &'a str,
}

#[derive(Clone)]
struct Story {
    db: Rc<Db>,
}

#[handler]
impl RequestHandler for Story {
    async fn get(&mut self, ctx: &Context, id: u64) -> Result {
        let story = self.db.story(id).await?.or_404()?;
        ctx.render("story.html", context! { story })
    }
}

#[derive(Clone)]
struct Stories {
    db: Rc<Db>,
}

#[handler]
impl RequestHandler for Stories {
    async fn post(&mut self, ctx: &Context) -> Result {
        let author = ctx.require_user::<User>().await?;
        let new: NewStory = ctx.json()?;
        ctx.set_status(201);
        ctx.write_json(&self.db.insert(&author.name, new).await?)
    }
}

#[derive(Clone)]
struct Mine;

#[handler]
impl RequestHandler for Mine {
    async fn get(&mut self, ctx: &Context) -> Result {
        let user = ctx.require_user::<User>().await?;
        let name = ctx.argument_or("greet", "hello")?;
        ctx.set_header("X-Greeting", name)?;
        ctx.write(format!("{name} {}", user.name));
        Ok(())
    }
}

/// Its folder `templates/`.
const TEMPLATES: [(&str, &str); 2] = [
    ("story.html", "<h1>{{ story.title }}</h1><p>{{ story.author }}, {{ story.id }}</p>"),
    ("error.html", "oops: {{ status }} {{ reason }}"),
];

struct Blog;

impl Site for Blog {
    type User = User;

    async fn current_user(&self, ctx: &Context) -> Result<Option<User>> {
        Ok(ctx.request().headers().get("X-User").map(|name| User { name: name.to_string() }))
    }

    async fn write_error(&self, ctx: &Context, err: &Error) -> Result {
        ctx.render("error.html", context! { status => err.status(), reason => err.reason() })
    }
}

fn make_app(db: Rc<Db>) -> Application {
    Application::new([
        url(r"/stories/([0-9]+)", Story { db: db.clone() }).name("story"),
        url("/stories", Stories { db }),
        url("/mine", Mine),
        squall::get("/health", async |ctx: &Context| {
            ctx.write("ok");
            Ok(())
        }),
    ])
    .site(Blog)
    .template_loader(Loader::from_texts(TEMPLATES))
    .login_url("/login")
    .map_error(|_: &DbError| Some(HttpError::new(503).header("Retry-After", "5")))
}

#[squall::test]
async fn story_page() {
    let app = squall::testing::serve(make_app(Rc::new(Db::fixture())));
    app.get("/stories/7").await.assert_status(200).assert_text("<h1>Rain</h1><p>ann, 7</p>");
    app.get("/stories/8").await.assert_status(404).assert_text("oops: 404 Not Found");
    app.get("/stories/x").await.assert_status(404);
    app.get("/stories/99999999999999999999999").await.assert_status(404);
    app.get("/stories/13").await.assert_status(503).assert_header("Retry-After", "5");
    app.get("/health").await.assert_status(200).assert_text("ok");
}

#[squall::test]
async fn posting_needs_a_user_and_json() {
    let app = squall::testing::serve(make_app(Rc::new(Db::fixture())));
    app.post("/stories").body("{}").await.assert_status(403);
    app.post("/stories").header("X-User", "bob").body("{").await.assert_status(400);
    app.post("/stories")
        .header("X-User", "bob")
        .body(r#"{"title": "Sun"}"#)
        .await
        .assert_status(201)
        .assert_header("Content-Type", "application/json; charset=UTF-8")
        .assert_text(r#"{"id":8,"author":"bob","title":"Sun"}"#);
    app.get("/stories/8").await.assert_status(200).assert_text_contains("Sun");
}

#[squall::test]
async fn pages_for_users_redirect_to_the_login() {
    let app = squall::testing::serve(make_app(Rc::new(Db::fixture())));
    app.get("/mine?x=1").await.assert_redirect("/login?next=%2Fmine%3Fx%3D1");
    app.get("/mine?greet=hi")
        .header("X-User", "ann")
        .await
        .assert_header("X-Greeting", "hi")
        .assert_text("hi ann");
}

/// Its `main`: it must compile; forking is tested by the examples.
#[allow(dead_code)]
fn main_with_processes() -> Result {
    let server = HttpServer::new(|| make_app(Rc::new(Db::fixture())));
    server.bind(8888)?;
    server.start(0)?;
    Ok(squall::IoLoop::current().start()?)
}
