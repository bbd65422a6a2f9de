//! Ranges of topics: what tries ask of them.

use subak_core::range::{Answer, Operation};
use subak_proto as proto;

use crate::engine::{Core, fence};

/// Does what a try asks; `None` for a message that names no try. `is_own`: the try was handed to the
/// worker that asks.
pub(super) async fn answer(
    core: &Core,
    request: proto::RangeRequest,
    is_own: bool,
) -> Option<proto::RangeReply> {
    let fence = fence(request.r#try.as_ref()?);
    let asked = match serde_json::from_slice::<Operation>(&request.operation) {
        Ok(_) if !is_own => Ok(None),
        Ok(operation) => {
            core.asked(core.store.range_ask(&fence, operation)).await.map_err(|error| {
                tracing::warn!(error = format!("{error:#}"), "a range could not be recorded");
                "the range could not be recorded now".to_owned()
            })
        }
        Err(error) => Err(format!("the server does not know the request: {error}")),
    };
    let answer = asked.and_then(|answer| answer.ok_or_else(|| "the try was superseded".to_owned()));
    let reply = proto::RangeReply { id: request.id, ..proto::RangeReply::default() };
    Some(match answer.and_then(|answer| written(&answer)) {
        Ok(answer) => proto::RangeReply { answer, ..reply },
        Err(error) => proto::RangeReply { error, ..reply },
    })
}

fn written(answer: &Answer) -> Result<Vec<u8>, String> {
    serde_json::to_vec(answer).map_err(|error| error.to_string())
}
