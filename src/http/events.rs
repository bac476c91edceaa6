//! The feed of what becomes of all tasks: as pages, and as a stream of server-sent events.

use std::{convert::Infallible, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, HeaderMap},
    web::{Bytes, Data},
};
use futures_util::{Stream, stream};

use super::{
    Answer, State,
    api::FeedAnswer,
    caller::Caller,
    ok,
    query::{self, After},
    server::{KEY_ENDED, Over, Until},
};
use crate::{
    domain::{
        access::{About, Scope},
        event::Ear,
    },
    events::feed::Subscription,
    protocol::sse::{self, EVENT_STREAM},
    queue::QueueError,
};

/// Pages, or a stream for those who ask for one.
pub(super) async fn feed(state: Data<State>, caller: Caller, request: HttpRequest) -> Answer {
    if wants_stream(request.headers()) {
        return told(&state, caller, &request).await;
    }
    let asked = query::feed(request.query_string(), state.settings.max_wait)?;
    let cursor = match asked.after {
        After::Cursor(cursor) => cursor,
        After::Latest => state.queue.feed_latest().await?,
    };
    let within = caller.grants.limited_to();
    let read = async |wait| match &within {
        None => {
            let page = state.queue.feed(&cursor, asked.limit, wait).await?;
            Ok::<_, QueueError>((page.items, page.next))
        }
        Some(limits) => state.queue.feed_within(limits, &cursor, asked.limit, wait).await,
    };
    let (items, next) = tokio::select! {
        page = read(asked.wait) => page?,
        () = state.closing.closed() => read(Duration::ZERO).await?,
    };
    Ok(ok(&FeedAnswer { items, next: next.to_string() }))
}

async fn told(state: &State, caller: Caller, request: &HttpRequest) -> Answer {
    let (filter, after) = query::wanted(request.query_string(), request.headers())?;
    let after = match after {
        After::Cursor(cursor) => Some(cursor),
        After::Latest => None,
    };
    // Who asks for others' by name is told so, and does not listen to silence.
    for queue in &filter.queues {
        caller.may(Scope::Read, About::Queue(queue))?;
    }
    let ear = Ear { wants: filter, within: caller.grants.limited_to() };
    let subscription = state.feed.subscribe(ear, after).await.map_err(QueueError::from)?;
    let mut answer = HttpResponse::Ok();
    answer.content_type(EVENT_STREAM);
    // A proxy in between must not collect events until it has many.
    answer.insert_header(("X-Accel-Buffering", "no"));
    Ok(answer.streaming(pieces(subscription, Until::of(state, caller))))
}

/// What a subscriber is told, until the host stops or may tell him no more.
fn pieces(
    subscription: Subscription,
    until: Until,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(Some((subscription, until)), |told| async move {
        let (mut subscription, until) = told?;
        tokio::select! {
            // What comes in the same moment is for somebody else.
            biased;
            over = until.over() => match over {
                Over::Closing => None,
                Over::Caller => Some((Ok(sse::farewell(KEY_ENDED)), None)),
            },
            piece = subscription.next() => Some((Ok(piece?), Some((subscription, until)))),
        }
    })
}

/// Whether the caller asks for a stream of events.
pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|one| {
            let essence = one.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case(EVENT_STREAM)
        })
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_stream_is_for_those_who_ask_for_one() {
        let rows = [
            (None, false),
            (Some("application/json"), false),
            (Some("*/*"), false),
            (Some("text/event-stream"), true),
            (Some("application/json, Text/Event-Stream;q=0.5"), true),
        ];
        for (accept, wants) in rows {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(wants_stream(&headers), wants, "{accept:?}");
        }
    }
}
