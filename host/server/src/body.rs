//! The body of a request: whole, within its bounds of size and time, or passed over.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use crate::problem::{Body as Answer, Problem};

/// Most bytes of a body that are passed over, and how long they may take.
const PASSED_OVER: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads a body of at most so many bytes; `setting` is what says how many.
pub(crate) async fn read(
    request: &mut Request<Incoming>,
    most: usize,
    setting: &str,
    patience: Duration,
) -> Result<Bytes, Problem> {
    match timeout(patience, Limited::new(request.body_mut(), most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the limit is {most} bytes (setting `{setting}`)");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail))
        }
        Ok(Err(error)) => Err(Problem::bad("bad_body", format!("the body broke off: {error}"))),
        Err(_) => {
            let detail = "the body took too long (setting `body_timeout`)";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail))
        }
    }
}

/// The answer to a request that is refused, when what is left of its body has been passed over: a connection that ends with
/// bytes unread is reset, which some clients see before they see the answer.
pub(crate) async fn refused(mut request: Request<Incoming>, problem: Problem) -> Response<Answer> {
    // Whoever expects a word before they send the body has sent none, and asking for it would be that word.
    if !request.headers().contains_key(EXPECT) && problem.status != StatusCode::REQUEST_TIMEOUT {
        pass_over(request.body_mut()).await;
    }
    problem.response()
}

async fn pass_over(body: &mut Incoming) {
    let mut left = PASSED_OVER;
    let passing = async {
        while left > 0
            && !body.is_end_stream()
            && let Some(Ok(frame)) = body.frame().await
        {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    // Whoever sends more, or more slowly, is cut.
    let _ = timeout(PATIENCE, passing).await;
}
