//! Follows all links below a page, ten requests at once, as Tornado's demo of that name: workers and a queue.
//! `cargo run --release --example webspider -- --url http://localhost:8888/`
//!
//! Without `--url` it serves itself a maze of a hundred pages and a few dead ends. `--concurrency` is the number of workers.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use squall::httpclient::{AsyncHttpClient, HttpClientError};
use squall::queues::Queue;
use squall::{Application, Context, HttpServer, OrStatus, Result, get, options};
use squall_examples::fail;
use url::Url;

/// A crawl and what it has found.
struct Spider {
    client: AsyncHttpClient,
    /// Pages below it are followed.
    base: String,
    queue: Queue<Url>,
    seen: RefCell<HashSet<Url>>,
    fetched: Cell<usize>,
    dead: RefCell<Vec<String>>,
}

impl Spider {
    async fn work(self: Rc<Self>) {
        loop {
            let url = self.queue.get().await;
            match self.links(&url).await {
                Ok(links) => {
                    self.fetched.set(self.fetched.get() + 1);
                    for link in links.into_iter().filter(|link| link.as_str().starts_with(&self.base)) {
                        if self.seen.borrow_mut().insert(link.clone()) {
                            // The queue has no limit: a worker that waited for room might wait for itself.
                            self.queue.put(link).await;
                        }
                    }
                }
                Err(error) => self.dead.borrow_mut().push(format!("{url} ({error})")),
            }
            self.queue.task_done();
        }
    }

    /// The pages that a page links to.
    async fn links(&self, url: &Url) -> Result<Vec<Url>, HttpClientError> {
        let response = self.client.fetch(url.as_str()).await?;
        // A redirect may have led elsewhere, and links start there.
        let here = Url::parse(response.effective_url()).unwrap_or_else(|_| url.clone());
        let text = response.text();
        let links = hrefs(&text).filter_map(|href| here.join(href).ok());
        Ok(links.map(without_fragment).collect())
    }
}

/// The values of `href` in `<a>` tags. Good enough for a demonstration, not for the Web.
fn hrefs(html: &str) -> impl Iterator<Item = &str> {
    html.split("<a ").skip(1).filter_map(|rest| {
        let tag = rest.split('>').next()?;
        tag.split_once("href=\"")?.1.split('"').next()
    })
}

/// `page#part` is `page`.
fn without_fragment(mut url: Url) -> Url {
    url.set_fragment(None);
    url
}

/// A site to crawl: page n links to pages 2n and 2n + 1, to the first one, to a part of itself and, sometimes, to nothing.
fn maze(pages: usize, most_at_once: Rc<Cell<usize>>) -> Application {
    let now = Rc::new(Cell::new(0));
    Application::new([get("/page/{n}", async move |ctx: &Context| {
        let n: usize = ctx.path_arg("n")?;
        (1..=pages).contains(&n).then_some(()).or_status(404)?;
        now.set(now.get() + 1);
        most_at_once.set(most_at_once.get().max(now.get()));
        tokio::time::sleep(Duration::from_millis(5)).await;
        now.set(now.get() - 1);
        let next = [2 * n, 2 * n + 1].into_iter().filter(|next| *next <= pages);
        let links: String = next.map(|next| format!("<a href=\"{next}\">{next}</a>\n")).collect();
        let dead =
            if n.is_multiple_of(40) { format!("<a href=\"/page/{n}00\">no</a>") } else { String::new() };
        ctx.write(format!("{links}<a href=\"/page/1\">first</a> <a href=\"#top\">top</a> {dead}"));
        Ok(())
    })])
}

#[squall::main]
async fn main() -> Result {
    let concurrency = options::define("concurrency", 10_usize).help("fetches at once");
    let url = options::define_opt::<String>("url").help("where to begin; by default a site of its own");
    options::parse_command_line()?;
    let concurrency = concurrency.get();
    let most_at_once = Rc::new(Cell::new(0));
    let mut site: Option<HttpServer> = None;
    let start = match url.get() {
        Some(url) => url,
        None => {
            let server = maze(100, Rc::clone(&most_at_once)).listen(0)?;
            let port =
                server.local_addrs().first().and_then(squall::netutil::Address::port).unwrap_or_default();
            site = Some(server);
            format!("http://localhost:{port}/page/1")
        }
    };
    let Ok(start) = Url::parse(&start) else { fail(&format!("{start} is no URL")) };
    let base = start.join(".").map_or_else(|_| start.to_string(), Into::into);

    let client = AsyncHttpClient::builder().max_clients(concurrency).build();
    let spider = Rc::new(Spider {
        client,
        base,
        queue: Queue::new(0),
        seen: RefCell::new(HashSet::from([start.clone()])),
        fetched: Cell::new(0),
        dead: RefCell::default(),
    });
    let began = Instant::now();
    spider.queue.put(start).await;
    let workers: Vec<_> =
        (0..concurrency).map(|_| tokio::task::spawn_local(Rc::clone(&spider).work())).collect();
    let finished = spider.queue.join_timeout(Duration::from_secs(300)).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);

    println!("Done in {} seconds, fetched {} URLs.", began.elapsed().as_secs(), spider.fetched.get());
    let mut dead = spider.dead.take();
    dead.sort();
    if !dead.is_empty() {
        println!("Unable to fetch {} URLs:\n  {}", dead.len(), dead.join("\n  "));
    }
    if site.is_some() {
        println!("The site was asked for {} pages at once.", most_at_once.get());
    }
    finished?;
    Ok(())
}
