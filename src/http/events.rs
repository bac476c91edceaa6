//! The feed of what becomes of all tasks.

use actix_web::{HttpRequest, web::Data};

use super::{
    Answer, State,
    api::FeedAnswer,
    ok,
    query::{self, After},
};

pub(super) async fn feed(state: Data<State>, request: HttpRequest) -> Answer {
    let asked = query::feed(request.query_string(), state.settings.max_wait)?;
    let cursor = match asked.after {
        After::Cursor(cursor) => cursor,
        After::Latest => state.queue.feed_latest().await?,
    };
    let page = tokio::select! {
        page = state.queue.feed(&cursor, asked.limit, asked.wait) => page?,
        () = state.closing.closed() => {
            state.queue.feed(&cursor, asked.limit, std::time::Duration::ZERO).await?
        }
    };
    Ok(ok(&FeedAnswer { items: page.events, next: page.next.to_string() }))
}
