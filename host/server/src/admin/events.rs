//! What happens, as server-sent events: changes of what is in force when they happen, and figures once a second.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, interval_at};
use weir::{GenerationEvent, Runtime, WatchState};

use crate::problem::{Body, Problem};

/// How often figures are told; it also shows a client that its server lives.
const FIGURES: Duration = Duration::from_secs(1);
/// When somebody who found no place may ask again.
const RETRY: Duration = Duration::from_secs(5);

/// Tells one client until it goes away or the server ends.
pub(super) fn events(
    runtime: &Arc<Runtime>,
    mut stopped: watch::Receiver<bool>,
    watching: &Arc<Semaphore>,
) -> Result<Response<Body>, Problem> {
    let Ok(place) = Arc::clone(watching).try_acquire_owned() else {
        let detail = "as many as may already watch this server's events";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_watchers", detail);
        return Err(Problem { retry_after_ms: Some(RETRY.as_millis() as u64), ..problem });
    };
    let happens = runtime.events().map(|event| event_text(&event));
    let frames = stream::select(happens.boxed(), figures(Arc::clone(runtime)).boxed());
    // An answer that never ends would keep a server from ending.
    let frames = frames.take_until(async move { drop(stopped.wait_for(|stopped| *stopped).await) });
    let frames = frames.map(move |text| {
        let _place = &place;
        Ok::<_, Infallible>(Frame::data(Bytes::from(text)))
    });
    let mut response = Response::new(Either::Right(UnsyncBoxBody::new(StreamBody::new(frames))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Figures at once and then every second.
fn figures(runtime: Arc<Runtime>) -> impl Stream<Item = String> {
    let ticks = interval_at(Instant::now(), FIGURES);
    stream::unfold((ticks, runtime), |(mut ticks, runtime)| async move {
        ticks.tick().await;
        let metrics = serde_json::to_value(runtime.metrics()).expect("metrics always serialise");
        Some((frame("figures", &metrics), (ticks, runtime)))
    })
}

fn event_text(event: &GenerationEvent) -> String {
    match event {
        GenerationEvent::Published(id) => frame("published", &json!(id)),
        GenerationEvent::RolledBack { to, restores } => {
            frame("rolled_back", &json!({"number": to.number, "digest": to.digest, "restores": restores}))
        }
        GenerationEvent::Refused(report) => frame("refused", &json!(**report)),
        GenerationEvent::Watch(WatchState::Watching) => frame("watch", &json!({"degraded": null})),
        GenerationEvent::Watch(WatchState::Degraded(why)) => frame("watch", &json!({"degraded": why})),
        GenerationEvent::Missed(count) => frame("missed", &json!({"events": count})),
        // Kinds that a later library has.
        event => frame("event", &json!({"text": format!("{event:?}")})),
    }
}

/// One event: JSON has no line breaks of its own, so it is one line of data.
fn frame(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
