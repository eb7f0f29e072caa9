//! The body of a request, whole, within its bounds of size and time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use tokio::time::timeout;

use crate::problem::Problem;

/// Reads a body of at most so many bytes; `setting` is what says how many.
pub(crate) async fn read(
    request: Request<Incoming>,
    most: usize,
    setting: &str,
    patience: Duration,
) -> Result<Bytes, Problem> {
    match timeout(patience, Limited::new(request.into_body(), most).collect()).await {
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
