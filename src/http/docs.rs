//! The page at `/docs`: reads the document of the API, shows it, and sends requests. It needs nothing
//! from the network, and nothing in it is run that did not come from here.

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS},
};

use super::Answer;

/// What the page may do: run its own script, use its own looks, ask its own host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &str, text: &'static str) -> Answer {
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(text))
}

pub(super) async fn page() -> Answer {
    file("text/html; charset=utf-8", include_str!("docs/page.html"))
}

pub(super) async fn script() -> Answer {
    file("text/javascript; charset=utf-8", include_str!("docs/page.js"))
}

pub(super) async fn style() -> Answer {
    file("text/css; charset=utf-8", include_str!("docs/page.css"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_asks_nobody_else_and_has_no_script_within() {
        let all = [
            include_str!("docs/page.html"),
            include_str!("docs/page.js"),
            include_str!("docs/page.css"),
        ];
        for text in all {
            for part in ["http://", "https://", "innerHTML", "eval(", "@import", " style=", " on"] {
                let found = text.lines().find(|line| line.contains(part) && line.contains('='));
                assert!(found.is_none(), "{part}: {found:?}");
            }
        }
        assert_eq!(all[0].matches("<script").count(), 1);
        assert!(all[0].contains("<script src=\"/docs/page.js\" defer></script>"));
    }
}
