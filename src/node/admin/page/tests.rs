use std::collections::BTreeSet;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::{Method, Request};
use tower::ServiceExt as _;

use super::*;

async fn ask(method: Method, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    router::<()>().with_state(()).oneshot(request).await.unwrap()
}

/// All the text of the page, by file.
fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().map(|(name, _, text)| (*name, *text)).chain([("index.html", INDEX)])
}

/// What stands between quotes after each of some words, such as the modules a script imports.
fn quoted_after<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    text.split(word).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_trust_nothing_else() {
    let paths = FILES.iter().map(|(name, ..)| format!("/page/{name}")).chain(["/".to_owned()]);
    for path in paths {
        for method in [Method::GET, Method::HEAD] {
            let answer = ask(method, &path).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let header = |name: HeaderName| answer.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header(CONTENT_SECURITY_POLICY), POLICY, "{path}");
            assert_eq!(header(X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
            assert_eq!(header(REFERRER_POLICY), "no-referrer", "{path}");
            assert_eq!(header(CACHE_CONTROL), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn nothing_but_the_page_is_under_its_path() {
    for path in
        ["/page/none.js", "/page/..%2f..%2fadmin.rs", "/page/", "/page/index.html", "/page/map.js/more"]
    {
        assert_eq!(ask(Method::GET, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask(Method::POST, "/").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn every_file_of_the_page_is_served_and_used() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("admin/page");
    let there =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<_> =
        there.filter(|name| !matches!(name.as_str(), "index.html" | "tests.rs")).collect();
    let served: BTreeSet<_> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(there, served);
    let linked = ["href=\"page/", "src=\"page/"].iter().flat_map(|word| quoted_after(INDEX, word));
    let imported = FILES.iter().flat_map(|(_, _, text)| quoted_after(text, "from \"./"));
    let used: BTreeSet<_> = linked.chain(imported).map(str::to_owned).collect();
    assert_eq!(used, served);
}

/// What others have chosen must not become markup, and the page must work where there is no internet.
#[test]
fn the_page_makes_no_markup_out_of_text_and_asks_nobody_else() {
    let dangerous = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "srcdoc",
        "DOMParser",
        "createContextualFragment",
        "setHTML",
        "javascript:",
        "style=",
        "onclick",
    ];
    for (name, text) in texts() {
        for word in dangerous {
            assert!(!text.contains(word), "{name} uses {word}");
        }
        let foreign = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("://") && !foreign.contains("url("), "{name} names another place");
    }
}

#[test]
fn every_view_has_a_tab_and_a_panel() {
    let (_, _, place) = FILES.iter().find(|(name, ..)| *name == "place.js").unwrap();
    let list = place.split("VIEWS = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let views: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert_eq!(views.len(), 9);
    for view in views {
        assert!(INDEX.contains(&format!("id=\"tab-{view}\" aria-controls=\"panel-{view}\"")), "{view}");
        assert!(INDEX.contains(&format!("id=\"panel-{view}\" aria-labelledby=\"tab-{view}\"")), "{view}");
    }
}
