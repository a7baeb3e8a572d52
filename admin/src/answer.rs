//! What is answered to which request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use outlast_service::Statistics;
use serde_json::{Value, json};

use crate::body::Answer;
use crate::events::{self, Hub};
use crate::guard::{Guard, Refusal};
use crate::page::Page;
use crate::{AdminLimits, Routed, Source, json, metrics};

/// The most sessions that are listed at once, and how many are if nobody says so.
const ROWS: (usize, usize) = (1_000, 50);
const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Everything there is to answer with.
pub(crate) struct Site {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) limits: AdminLimits,
    pub(crate) guard: Guard,
    pub(crate) drain: Option<Box<dyn Fn() + Send + Sync>>,
    /// Somebody who may has asked for it.
    pub(crate) draining: AtomicBool,
    pub(crate) routed: Option<Box<dyn Fn() -> Routed + Send + Sync>>,
    pub(crate) page: Page,
    pub(crate) hub: Hub,
}

impl Site {
    /// `follows` is set if the connection is to last.
    pub(crate) fn answer<B>(&self, request: &Request<B>, follows: &AtomicBool) -> Response<Answer> {
        let answered =
            self.guard.may_look(request.headers()).and_then(|()| self.route(request, follows));
        let mut answer = answered.unwrap_or_else(refuse);
        let headers = answer.headers_mut();
        let fixed = [
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        answer
    }

    fn route<B>(
        &self,
        request: &Request<B>,
        follows: &AtomicBool,
    ) -> Result<Response<Answer>, Refusal> {
        let path = request.uri().path();
        let acts = path == "/api/drain";
        let method = request.method();
        let wanted = if acts { [Method::POST, Method::POST] } else { [Method::GET, Method::HEAD] };
        match path {
            "/" | "/metrics" | "/healthz" | "/readyz" | "/events" | "/api/stats"
            | "/api/sessions" | "/api/drain" => {}
            _ => return Err((StatusCode::NOT_FOUND, "there is nothing here")),
        }
        if !wanted.contains(method) {
            let mut answer = refuse((StatusCode::METHOD_NOT_ALLOWED, "not with this method"));
            let allowed = if acts { "POST" } else { "GET, HEAD" };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return Ok(answer);
        }
        Ok(match path {
            "/" => self.page.answer(),
            "/metrics" => {
                let (all, routed) = self.look();
                let text = metrics::encode(&all, self.is_draining(), routed);
                whole(StatusCode::OK, metrics::CONTENT_TYPE, text)
            }
            "/healthz" => whole(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" if self.is_draining() => {
                whole(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "draining\n")
            }
            "/readyz" => whole(StatusCode::OK, PLAIN, "ready\n"),
            "/events" => return self.follow(method, follows),
            "/api/stats" => whole(StatusCode::OK, JSON, self.statistics().to_string()),
            "/api/sessions" => {
                let rows = json::rows(self.source.rows(limit(request.uri().query())?));
                whole(StatusCode::OK, JSON, rows.to_string())
            }
            _ => return self.drain(request),
        })
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.source.is_draining()
    }

    fn look(&self) -> (Statistics, Option<Routed>) {
        (self.source.statistics(), self.routed.as_ref().map(|routed| routed()))
    }

    fn statistics(&self) -> Value {
        let (all, routed) = self.look();
        json::statistics(&all, self.is_draining(), routed)
    }

    /// What the page shows.
    fn event(&self) -> Bytes {
        let rows = json::rows(self.source.rows(self.limits.rows));
        let drainable = self.guard.has_token() && self.drain.is_some();
        let all = json!({ "stats": self.statistics(), "sessions": rows, "drainable": drainable });
        events::event(&all)
    }

    /// Tells everybody who follows.
    pub(crate) fn tell(&self) {
        self.hub.tell(|| self.event());
    }

    fn follow(&self, method: &Method, follows: &AtomicBool) -> Result<Response<Answer>, Refusal> {
        const EVENTS: &str = "text/event-stream";
        if *method == Method::HEAD {
            return Ok(whole(StatusCode::OK, EVENTS, ""));
        }
        let Some(events) = self.hub.follow(self.limits.followers, || self.event()) else {
            let mut answer = refuse((StatusCode::SERVICE_UNAVAILABLE, "enough follow already"));
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return Ok(answer);
        };
        follows.store(true, Ordering::Relaxed);
        let mut answer = whole(StatusCode::OK, EVENTS, "");
        *answer.body_mut() = Answer::Events(events);
        Ok(answer)
    }

    fn drain<B>(&self, request: &Request<B>) -> Result<Response<Answer>, Refusal> {
        if let Err((status, why)) = self.guard.may_act(request.headers()) {
            let mut answer = refuse((status, why));
            if status == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer");
                answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            return Ok(answer);
        }
        let Some(drain) = &self.drain else {
            return Err((StatusCode::NOT_IMPLEMENTED, "this server cannot be drained from here"));
        };
        let again = self.draining.swap(true, Ordering::AcqRel);
        if !again {
            drain();
        }
        let body = json!({ "draining": true, "again": again });
        Ok(whole(StatusCode::ACCEPTED, JSON, body.to_string()))
    }
}

/// How many sessions are wanted.
fn limit(query: Option<&str>) -> Result<usize, Refusal> {
    let Some(query) = query else {
        return Ok(ROWS.1);
    };
    let limit = query.strip_prefix("limit=").and_then(|limit| limit.parse().ok());
    let limit = limit.filter(|limit| (1..=ROWS.0).contains(limit));
    limit.ok_or((StatusCode::BAD_REQUEST, "limit is a number from 1 to 1000"))
}

/// An answer that is there.
pub(crate) fn whole(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Answer> {
    let mut answer = Response::new(Answer::whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn refuse((status, why): Refusal) -> Response<Answer> {
    whole(status, JSON, json!({ "error": why }).to_string())
}
