//! From an HTTP request to its answer: log, trouble, who may, and then the part that knows the verb.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Extract};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::call::{Call, Options};
use super::discovery;
use super::faults::Effect;
use super::kinds;
use super::list;
use super::refusal::Refusal;
use super::shape::Shape;
use super::state::{self, Shared, State};
use super::store::Key;
use super::tokens;
use super::watch;
use super::writes::{self, Deleted, Place};

/// The largest body that is taken, as in a real server.
const LARGEST_BODY: usize = 3 << 20;
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);

/// All paths.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(Extract(shared): Extract<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else { return refuse(&Refusal::of_code(413)) };
    let call = Call::parse(&parts.method, &parts.uri, &parts.headers);
    let effects = {
        let mut state = shared.lock();
        let request = note(&parts, call.as_ref(), &body);
        let effects = state.faults.effects(&request.verb, &request.resource);
        state.log.add(request);
        effects
    };
    for effect in effects {
        match effect {
            Effect::Late(by) => tokio::time::sleep(by).await,
            Effect::Never => tokio::time::sleep(FOR_EVER).await,
            Effect::Refused(refusal) => return refuse(&refusal),
            Effect::Garbage => {
                return respond(StatusCode::OK, "text/html", Body::from("<html>Log in first</html>"));
            }
        }
    }
    let answered = match call {
        Some(call) => {
            permit(&shared, &parts, Some(&call)).and_then(|()| serve(&shared, &parts, &call, &body))
        }
        None => permit(&shared, &parts, None)
            .and_then(|()| discovery::answer(&shared.lock().store, parts.uri.path())),
    };
    answered.unwrap_or_else(|refusal| refuse(&refusal))
}

/// What is remembered of a request.
fn note(parts: &Parts, call: Option<&Call>, body: &Bytes) -> state::Request {
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    state::Request {
        verb: call.map(|call| call.verb.to_owned()).unwrap_or_default(),
        resource: call.map(Call::resource).unwrap_or_default(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: header(header::AUTHORIZATION),
        content_type: header(header::CONTENT_TYPE),
        body: serde_json::from_slice(body).unwrap_or_default(),
    }
}

/// Who is it, and may they.
fn permit(shared: &Shared, parts: &Parts, call: Option<&Call>) -> Result<(), Refusal> {
    let state = shared.lock();
    if let Some(token) = &state.faults.token {
        let said = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if said.and_then(|said| said.strip_prefix("Bearer ")) != Some(token) {
            return Err(Refusal::of_code(401));
        }
    }
    match call {
        Some(call) if state.faults.is_denied(call.verb, &call.resource()) => {
            Err(Refusal::forbidden(call.verb, &call.resource(), &call.target.group))
        }
        _ => Ok(()),
    }
}

fn serve(shared: &Arc<Shared>, parts: &Parts, call: &Call, body: &Bytes) -> Result<Response, Refusal> {
    if call.verb == "create"
        && let Some(request) = tokens::Request::of(&call.target)
    {
        let body = parse(body)?;
        let answer = shared.change(|state| request.answer(state, body))?;
        return Ok(found(StatusCode::CREATED, &answer));
    }
    let place = place(&shared.lock(), call)?;
    let shape = Shape { kind: place.kind.clone(), metadata_only: call.metadata_only };
    match call.verb {
        "get" => Ok(found(StatusCode::OK, &shape.object(place.object(&shared.lock().store)?))),
        "list" => {
            let options = Options::of(call, &place.kind)?;
            let state = shared.lock();
            Ok(found(StatusCode::OK, &list::list(&state.store, &shape, &options, state.faults.epoch)?))
        }
        "watch" => {
            let options = Options::of(call, &place.kind)?;
            let body = watch::start(shared, shape, options)?;
            Ok(respond(StatusCode::OK, "application/json", body))
        }
        "create" if place.key.name.is_empty() => {
            let object = parse(body)?;
            let made = shared.change(|state| writes::create(&mut state.store, place, object))?;
            Ok(found(StatusCode::CREATED, &shape.object(&made)))
        }
        "update" => {
            let object = parse(body)?;
            let new = shared.change(|state| writes::update(&mut state.store, place, object))?;
            Ok(found(StatusCode::OK, &shape.object(&new)))
        }
        "patch" => {
            let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let (kind, body) = (kind.unwrap_or_default(), parse(body)?);
            let new = shared.change(|State { store, faults, .. }| {
                writes::patch(store, place, kind, &body, faults.another_uid)
            })?;
            Ok(found(StatusCode::OK, &shape.object(&new)))
        }
        "delete" => delete(shared, call, &place, body, &shape),
        _ => Err(Refusal::of_code(405)),
    }
}

fn delete(
    shared: &Shared,
    call: &Call,
    place: &Place,
    body: &Bytes,
    shape: &Shape,
) -> Result<Response, Refusal> {
    let mut options = if body.is_empty() { json!({}) } else { parse(body)? };
    if let Some(grace) = call.query.number("gracePeriodSeconds")?
        && options.is_object()
    {
        options["gracePeriodSeconds"] = json!(grace);
    }
    match shared.change(|state| writes::delete(&mut state.store, place, &options))? {
        Deleted::Marked(object) => Ok(found(StatusCode::OK, &shape.object(&object))),
        Deleted::Gone(object) if place.kind.name == "Pod" => {
            Ok(found(StatusCode::OK, &shape.object(&object)))
        }
        Deleted::Gone(object) => {
            let details = json!({
                "name": place.key.name, "group": place.kind.group,
                "kind": place.kind.plural, "uid": object["metadata"]["uid"],
            });
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            Ok(found(StatusCode::OK, &status))
        }
    }
}

/// Where the request goes; for what is about many objects the name is empty.
fn place(state: &State, call: &Call) -> Result<Place, Refusal> {
    let target = &call.target;
    let kind = kinds::find(&state.store, &target.group, &target.version, &target.resource);
    let kind = kind.ok_or_else(Refusal::no_such_resource)?;
    let status = match target.subresource.as_deref() {
        None => false,
        Some("status") => true,
        Some(_) => return Err(Refusal::no_such_resource()),
    };
    let all_namespaces = target.name.is_none() && matches!(call.verb, "list" | "watch");
    if kind.namespaced != target.namespace.is_some() && !(kind.namespaced && all_namespaces) {
        return Err(Refusal::no_such_resource());
    }
    let namespace = target.namespace.clone().unwrap_or_default();
    let key = Key { table: kind.table(), namespace, name: target.name.clone().unwrap_or_default() };
    Ok(Place { kind, key, status })
}

fn parse(body: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("the body of the request is not JSON: {error}")))
}

/// An answer with an object in it.
pub(crate) fn found(code: StatusCode, object: &Value) -> Response {
    respond(code, "application/json", Body::from(object.to_string()))
}

fn refuse(refusal: &Refusal) -> Response {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = found(code, &refusal.status());
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

pub(crate) fn respond(code: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
