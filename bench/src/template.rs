//! `bench template`: a page with inheritance, a loop of 100 rows and three modules, CPU per render.
//!
//! squall renders inside a request, as its users do; so all of the measuring happens in one handler.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use askama::Template as _;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Value, context};
use serde::Serialize;
use squall::web::UiModule;
use squall::{Application, Context, IoLoop};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Result;
use crate::measure::{Spread, micros, print_table};
use crate::options::Options;
use crate::sys::cpu_time;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
const WINDOW: Duration = Duration::from_millis(250);
const ROUNDS: usize = 9;
const TITLE: &str = "Items & more";
const SECTION: &str = "Items";
const PAGE: u32 = 2;
const PAGES: u32 = 9;
/// The ratios are to this one.
const BASE: &str = "minijinja";

#[derive(Serialize)]
struct Row {
    id: u32,
    name: String,
    cents: u32,
    stock: u32,
}

fn rows() -> Vec<Row> {
    let row = |id| Row { id, name: format!("Tea & <cups> no. {id}"), cents: 250 + id * 7, stock: id % 5 };
    (0..100).map(row).collect()
}

pub fn run(options: &Options) -> Result {
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let outcome = Rc::new(RefCell::new(None));
    let told = Rc::clone(&outcome);
    let measuring = squall::get("/", async move |ctx: &Context| {
        *told.borrow_mut() = Some(compare(ctx, rounds));
        Ok(())
    });
    let made = Rc::new(Cell::new(0_usize));
    let counted = Rc::clone(&made);
    let streaming = squall::get("/stream", async |ctx: &Context| {
        ctx.render_stream("stream.html", squall::context! { count => STREAMED, rows => rows() }).await
    });
    let app = Application::new([measuring, streaming])
        .ui_method("made", move |_, _| {
            counted.set(counted.get() + 1);
            Ok("".into())
        })
        .template_path(format!("{FOLDER}/tornado"))
        .ui_module("Nav", Nav)
        .ui_module("Footer", Footer)
        .ui_module("Pager", Pager_);
    IoLoop::current().run_sync(
        async {
            let app = squall::testing::serve(app);
            app.get("/").await;
            stream(app.port(), &made).await
        },
        None,
    )??;
    let table = outcome.take().ok_or("the page was never asked for")??;
    println!("\nCPU per page: inheritance, 100 rows, three modules; {rounds} rounds of {WINDOW:?}\n");
    print_table(&["engine", "µs/page", "least", "ratio to minijinja", "min..max"], &table);
    Ok(())
}

/// Pages of 100 rows that `/stream` sends one behind the other: 40 MB.
const STREAMED: usize = 4_000;

/// A page that is streamed to a client that stops reading: how far ahead of it the page is made, and what a page costs when
/// it reads on.
async fn stream(port: u16, made: &Cell<usize>) -> Result {
    let own = std::process::id();
    let mut client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    client.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut buffer = vec![0; 1 << 18];
    client.read_exact(&mut buffer).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ahead = made.get();
    let since = cpu_time(own)?;
    let mut bytes = buffer.len();
    loop {
        match client.read(&mut buffer).await? {
            0 => break,
            read => bytes += read,
        }
    }
    let spent = micros(cpu_time(own)?.saturating_sub(since));
    let rest = STREAMED - ahead;
    println!(
        "\nstreamed to a client that reads 256 KiB and then waits: {ahead} of {STREAMED} pages of 100 rows made meanwhile \
         ({} KiB a page); then {:.1} µs a page, sending and receiving included",
        bytes / STREAMED / 1024,
        spent / rest.max(1) as f64
    );
    Ok(())
}

/// An engine: its name, and how to measure the CPU time of one page.
struct Engine<'a> {
    name: &'static str,
    measure: Box<dyn FnMut() -> Result<Duration> + 'a>,
}

/// The table's rows. Engines take turns, so that what disturbs the machine disturbs all.
fn compare(ctx: &Context, rounds: usize) -> Result<Vec<Vec<String>>> {
    let rows = rows();
    let minijinja = minijinja_environment()?;
    let tera = tera_engine()?;
    let squall = || squall_page(ctx, &rows);
    let minijinja = || minijinja_page(&minijinja, &rows);
    let tera = || tera_page(&tera, &rows);
    let askama =
        || Ok(Page { title: TITLE, section: SECTION, rows: &rows, page: PAGE, pages: PAGES }.render()?);
    let expected = normal(&minijinja()?);
    let mut engines = vec![
        Engine { name: "squall", measure: checked(&expected, squall)? },
        Engine { name: BASE, measure: checked(&expected, minijinja)? },
        Engine { name: "minijinja-again", measure: checked(&expected, minijinja)? },
        Engine { name: "tera", measure: checked(&expected, tera)? },
        Engine { name: "askama", measure: checked(&expected, askama)? },
    ];
    if let Some(mut tornado) = Tornado::start(&expected)? {
        engines.push(Engine { name: "tornado", measure: Box::new(move || tornado.measure()) });
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); engines.len()];
    for round in 0..rounds {
        for turn in 0..engines.len() {
            let index = (round + turn) % engines.len();
            times[index].push(micros((engines[index].measure)()?));
        }
    }
    let base = engines.iter().position(|engine| engine.name == BASE).ok_or("no base")?;
    let row = |(engine, own): (&Engine, &Vec<f64>)| {
        let ratio = Spread::of(own.iter().zip(&times[base]).map(|(own, base)| own / base));
        let cost = Spread::of(own.iter().copied());
        vec![
            engine.name.to_owned(),
            format!("{:.2}", cost.median),
            format!("{:.2}", cost.min),
            format!("{:.2}", ratio.median),
            format!("{:.2}..{:.2}", ratio.min, ratio.max),
        ]
    };
    Ok(engines.iter().zip(&times).map(row).collect())
}

/// Measures `page`, once it has shown what all others show.
fn checked<'a>(
    expected: &str,
    page: impl Fn() -> Result<String> + 'a,
) -> Result<Box<dyn FnMut() -> Result<Duration> + 'a>> {
    let found = normal(&page()?);
    if found != expected {
        return Err(format!("the pages differ:\n{expected}\n{found}").into());
    }
    for _ in 0..2_000 {
        black_box(page()?);
    }
    Ok(Box::new(move || {
        let own = std::process::id();
        let since = cpu_time(own)?;
        let mut count = 0;
        loop {
            for _ in 0..50 {
                black_box(page()?);
            }
            count += 50;
            let spent = cpu_time(own)?.saturating_sub(since);
            if spent >= WINDOW {
                return Ok(spent / count);
            }
        }
    }))
}

/// Without white space, in which the engines differ.
fn normal(page: &str) -> String {
    page.split_whitespace()
        .collect::<String>()
        .replace("&#38;", "&amp;")
        .replace("&#60;", "&lt;")
        .replace("&#62;", "&gt;")
}

// --- squall ---

fn squall_page(ctx: &Context, rows: &[Row]) -> Result<String> {
    let values = squall::context! { title => TITLE, section => SECTION, rows, page => PAGE, pages => PAGES };
    ctx.render_string("page.html", values).map_err(|error| error.to_string().into())
}

struct Nav;

impl UiModule for Nav {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> squall::Result<String> {
        ctx.render_string("nav.html", context! { section => arguments.first() })
    }
}

struct Footer;

impl UiModule for Footer {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> squall::Result<String> {
        let (arguments,): (Kwargs,) = minijinja::value::from_args(arguments)?;
        ctx.render_string("footer.html", context! { year => arguments.get::<Value>("year")? })
    }
}

struct Pager_;

impl UiModule for Pager_ {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> squall::Result<String> {
        ctx.render_string("pager.html", context! { page => arguments.first(), pages => arguments.get(1) })
    }
}

// --- minijinja ---

fn minijinja_environment() -> Result<Environment<'static>> {
    let mut env = Environment::new();
    for name in ["base.html", "page.html", "nav.html", "footer.html", "pager.html"] {
        env.add_template_owned(name, std::fs::read_to_string(format!("{FOLDER}/jinja/{name}"))?)?;
    }
    for (function, template) in [("nav", "nav.html"), ("footer", "footer.html"), ("pager", "pager.html")] {
        env.add_function(function, move |state: &minijinja::State, arguments: Kwargs| {
            let values: Vec<(&str, Value)> = arguments
                .args()
                .map(|key| Ok((key, arguments.get(key)?)))
                .collect::<std::result::Result<_, minijinja::Error>>()?;
            let html = state.env().get_template(template)?.render(Value::from_pairs(values))?;
            Ok::<_, minijinja::Error>(Value::from_safe_string(html))
        });
    }
    Ok(env)
}

fn minijinja_page(env: &Environment<'_>, rows: &[Row]) -> Result<String> {
    let values = context! { title => TITLE, section => SECTION, rows => Value::from(Serde(rows)), page => PAGE, pages => PAGES };
    Ok(env.get_template("page.html")?.render(values)?)
}

// --- tera: its functions cannot render, so that the modules are included ---

fn tera_engine() -> Result<tera::Tera> {
    let mut tera = tera::Tera::new();
    let mut texts = Vec::new();
    for name in ["base.html", "page.html", "nav.html", "footer.html", "pager.html"] {
        let text = std::fs::read_to_string(format!("{FOLDER}/jinja/{name}"))?;
        let text = text
            .replace("{{ nav(section=section) }}", "{% include \"nav.html\" %}")
            .replace("{{ footer(year=2026) }}", "{% set year = 2026 %}{% include \"footer.html\" %}")
            .replace("{{ pager(page=page, pages=pages) }}", "{% include \"pager.html\" %}");
        texts.push((name, text));
    }
    tera.add_raw_templates(texts)?;
    Ok(tera)
}

fn tera_page(tera: &tera::Tera, rows: &[Row]) -> Result<String> {
    let mut context = tera::Context::new();
    context.insert("title", TITLE);
    context.insert("section", SECTION);
    context.insert("rows", rows);
    context.insert("page", &PAGE);
    context.insert("pages", &PAGES);
    Ok(tera.render("page.html", &context)?)
}

// --- askama, which is compiled ---

#[derive(askama::Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: &'a str,
    section: &'a str,
    rows: &'a [Row],
    page: u32,
    pages: u32,
}

mod parts {
    #[derive(askama::Template)]
    #[template(path = "nav.html")]
    pub struct Nav<'a> {
        pub section: &'a str,
    }

    #[derive(askama::Template)]
    #[template(path = "footer.html")]
    pub struct Footer {
        pub year: u32,
    }

    #[derive(askama::Template)]
    #[template(path = "pager.html")]
    pub struct Pager {
        pub page: u32,
        pub pages: u32,
    }
}

// --- Tornado, a process that measures itself ---

struct Tornado {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Tornado {
    fn start(expected: &str) -> Result<Option<Self>> {
        let found = Command::new("python3").args(["-c", "import tornado"]).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: tornado (pip install tornado)");
            return Ok(None);
        }
        let mut process = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/template_tornado.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("no pipe to Tornado")?;
        let output = BufReader::new(process.stdout.take().ok_or("no pipe from Tornado")?);
        let mut tornado = Self { process, input, output };
        let lines: usize = tornado.line()?.trim().parse()?;
        let page = (0..lines).map(|_| tornado.line()).collect::<Result<String>>()?;
        if normal(&page) != expected {
            return Err(format!("Tornado's page differs:\n{expected}\n{}", normal(&page)).into());
        }
        Ok(Some(tornado))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    fn measure(&mut self) -> Result<Duration> {
        self.input.write_all(b"\n")?;
        Ok(Duration::try_from_secs_f64(self.line()?.trim().parse()?)?)
    }
}

impl Drop for Tornado {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
