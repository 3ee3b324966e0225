//! Hooks before a handler and layers around it in every order of two, and in many of four: each may wait, stop, fail, panic,
//! mend what failed or give up. What happens is computed beside it.

use std::pin::pin;

use futures_util::future::poll_immediate;
use squall::testing::serve;
use squall::web::{Next, UrlSpec};
use squall::{Application, Context, HttpError, Result, get};
use tokio::task::yield_now;

use super::Log;

#[derive(Debug, Clone, Copy)]
struct Step {
    kind: Kind,
    waits: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Before(Act),
    /// Runs what is further in, and acts then.
    Around(Act),
    /// Acts without running it.
    Instead(Act),
    /// Makes an error good.
    Mends,
    /// Looks at what is further in once, and drops it when it has to wait.
    GivesUp,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Passes,
    Finishes,
    Fails,
    Panics,
}

use Act::*;
use Kind::*;

const ACTS: [Act; 4] = [Passes, Finishes, Fails, Panics];

fn steps() -> Vec<Step> {
    let kinds = ACTS.into_iter().flat_map(|act| [Before(act), Around(act), Instead(act)]);
    let kinds = kinds.chain([Mends, GivesUp]);
    kinds.flat_map(|kind| [false, true].map(|waits| Step { kind, waits })).collect()
}

/// What happens, in order.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Line(String),
    Waits,
    Finishes,
}

type Outcome = std::result::Result<(), &'static str>;

fn act_in_model(act: Act, events: &mut Vec<Event>) -> Outcome {
    match act {
        Passes => Ok(()),
        Finishes => {
            events.push(Event::Finishes);
            Ok(())
        }
        Fails => Err("HTTP 409: Conflict"),
        Panics => Err("panic: on purpose"),
    }
}

/// What a way should do from the step at `at` on; the handler is the last one.
fn model(way: &[Step], at: usize, events: &mut Vec<Event>) -> Outcome {
    let step = way[at];
    events.push(Event::Line(format!("+{at}")));
    if step.waits {
        events.push(Event::Waits);
    }
    match step.kind {
        Before(act) => {
            act_in_model(act, events)?;
            // The handler stands at the end as one of these.
            if at + 1 == way.len() || matches!(act, Finishes) { Ok(()) } else { model(way, at + 1, events) }
        }
        Instead(act) => act_in_model(act, events),
        Around(act) => {
            let inner = model(way, at + 1, events);
            events.push(Event::Line(format!("-{at}:{inner:?}")));
            if matches!(act, Passes) { inner } else { act_in_model(act, events) }
        }
        Mends => {
            let _ = model(way, at + 1, events);
            Ok(())
        }
        GivesUp => {
            let mut inner = Vec::new();
            let outcome = model(way, at + 1, &mut inner);
            match inner.iter().position(|event| *event == Event::Waits) {
                Some(first) => {
                    events.extend(inner.into_iter().take(first));
                    Ok(())
                }
                None => {
                    events.append(&mut inner);
                    outcome
                }
            }
        }
    }
}

async fn act_on(ctx: &Context, act: Act) -> Result {
    match act {
        Passes => Ok(()),
        Finishes if ctx.is_finished() => Ok(()),
        Finishes => ctx.finish().await,
        Fails => Err(HttpError::new(409).into()),
        Panics => panic!("on purpose"),
    }
}

async fn begin(log: &Log, at: usize, step: Step) {
    log.add(format!("+{at}"));
    if step.waits {
        yield_now().await;
    }
}

fn route(way: &[Step], place: usize, log: &Log) -> UrlSpec {
    let (handler, layers) = way.split_last().unwrap();
    let (last, own, handler) = (layers.len(), log.clone(), *handler);
    let mut route = get(format!("/{place}"), async move |ctx: &Context| {
        begin(&own, last, handler).await;
        match handler.kind {
            Before(act) => act_on(ctx, act).await,
            _ => unreachable!("a handler is like what comes before one"),
        }
    });
    for (at, step) in layers.iter().copied().enumerate() {
        let log = log.clone();
        route = match step.kind {
            Before(act) => route.before(async move |ctx: &Context| {
                begin(&log, at, step).await;
                act_on(ctx, act).await
            }),
            _ => route.around(async move |ctx: &Context, next: Next<'_>| {
                begin(&log, at, step).await;
                match step.kind {
                    Before(act) | Instead(act) => act_on(ctx, act).await,
                    Around(act) => {
                        let inner = next.run(ctx).await;
                        let shown = inner.as_ref().map_err(ToString::to_string);
                        log.add(format!("-{at}:{shown:?}"));
                        if matches!(act, Passes) { inner } else { act_on(ctx, act).await }
                    }
                    Mends => next.run(ctx).await.or(Ok(())),
                    GivesUp => poll_immediate(pin!(next.run(ctx))).await.unwrap_or(Ok(())),
                }
            }),
        };
    }
    route
}

/// All of no more than two layers, and 1,000 of three or four, the same each time; each with a handler.
fn ways() -> Vec<Vec<Step>> {
    let all = steps();
    let handlers: Vec<_> = all.iter().copied().filter(|step| matches!(step.kind, Before(_))).collect();
    let mut ways: Vec<Vec<Step>> = vec![Vec::new()];
    ways.extend(all.iter().map(|step| vec![*step]));
    ways.extend(all.iter().flat_map(|outer| all.iter().map(|inner| vec![*outer, *inner])));
    let mut state = 2026_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..1000 {
        let length = 3 + random(2);
        ways.push((0..length).map(|_| all[random(all.len())]).collect());
    }
    for (place, way) in ways.iter_mut().enumerate() {
        way.push(handlers[place % handlers.len()]);
    }
    ways
}

#[squall::test(timeout = 300)]
async fn every_mixture_does_what_it_should() {
    let (log, ways) = (Log::default(), ways());
    let routes: Vec<_> = ways.iter().enumerate().map(|(place, way)| route(way, place, &log)).collect();
    let server = serve(Application::new(routes));
    for (place, way) in ways.iter().enumerate() {
        let mut events = Vec::new();
        let outcome = model(way, 0, &mut events);
        let status = match outcome {
            _ if events.contains(&Event::Finishes) => 200,
            Ok(()) => 200,
            Err(error) if error.starts_with("HTTP") => 409,
            Err(_) => 500,
        };
        let expected: Vec<_> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Line(line) => Some(line),
                _ => None,
            })
            .collect();
        let response = server.get(&format!("/{place}")).await;
        assert_eq!((response.status(), log.take()), (status, expected.join(" ")), "{way:?}");
    }
    assert!(ways.len() > 1700, "{}", ways.len());
}
