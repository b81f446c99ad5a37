//! Web pages of elsewhere: what a browser is told, and which WebSockets they may open.

use end_to_end::http::{Answer, request, with_header};
use end_to_end::{Asr, Gateway, Settings};
use serde_json::json;

use super::{ADMIN, READ, WRITE, with_keys};

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";
const STATE: &str = "/v1/sessions/page/state";

/// A request as a browser sends it for a page.
async fn of_page(
    gateway: &Gateway,
    method: &str,
    path: &str,
    origin: &str,
    more: &[(&'static str, &str)],
) -> Answer {
    let mut request = with_header(request(method, path, None), "origin", origin);
    for (name, value) in more {
        request = with_header(request, name, value);
    }
    gateway.send(request).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

fn has_cors(answer: &Answer) -> bool {
    answer
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn a_page_that_is_allowed_may_ask_and_read_and_others_may_not() {
    let asr = Asr::start().await;
    let settings = with_keys(&asr).set(
        "CORS_ALLOWED_ORIGINS",
        "http://localhost:5173 https://app.example:443",
    );
    let gateway = Gateway::start(settings).await;
    let asks = [
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    for (path, methods) in [
        ("/v1/sessions/page/config", "POST"),
        (STATE, "GET, HEAD"),
        ("/v1/sessions/page", "DELETE"),
        ("/health", "GET, HEAD"),
        ("/nothing", "GET, HEAD, POST, DELETE"),
    ] {
        let answer = of_page(&gateway, "OPTIONS", path, APP, &asks).await;
        assert_eq!(answer.status, 204, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", APP),
            ("access-control-allow-methods", methods),
            (
                "access-control-allow-headers",
                "authorization, content-type, x-api-key, x-idempotency-key",
            ),
            ("access-control-max-age", "600"),
            ("vary", "origin"),
        ] {
            assert_eq!(header(&answer, name), Some(value), "{path} {name}");
        }
        assert_eq!(header(&answer, "access-control-allow-credentials"), None);
        // Neither a page of elsewhere nor who only says OPTIONS is told anything.
        let answer = of_page(&gateway, "OPTIONS", path, EVIL, &asks).await;
        let expected = if path == "/health" { 405 } else { 401 };
        assert!(
            answer.status == expected && !has_cors(&answer),
            "{answer:?}"
        );
        assert_eq!(header(&answer, "vary"), Some("origin"));
        let answer = of_page(&gateway, "OPTIONS", path, APP, &[]).await;
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    // On every answer, also those that refuse.
    for (path, key, status) in [
        (STATE, READ, 200),
        (STATE, "", 401),
        ("/nothing", READ, 404),
        ("/health", "", 200),
    ] {
        let keyed = [("x-api-key", key)];
        let answer = of_page(&gateway, "GET", path, APP, &keyed).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(header(&answer, "access-control-allow-origin"), Some(APP));
        assert_eq!(header(&answer, "vary"), Some("origin"));
        let answer = of_page(&gateway, "GET", path, EVIL, &keyed).await;
        assert!(answer.status == status && !has_cors(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn a_page_of_elsewhere_changes_nothing() {
    let asr = Asr::start().await;
    let closed = Gateway::start(with_keys(&asr)).await;
    let listed = Settings::with_asr(&asr).set("CORS_ALLOWED_ORIGINS", APP);
    let listed = Gateway::start(listed).await;
    let open = Gateway::start(Settings::with_asr(&asr)).await;
    const CROSS: Option<&str> = Some("cross-site");
    // By whether there are keys, a list, or neither, where no key is shown: with keys a page that may ask is
    // told 401.
    let rows = [
        (None, None, [true, true, true]),
        (Some("own"), None, [true, true, true]),
        (Some("own"), Some("same-origin"), [true, true, true]),
        (Some(APP), None, [false, true, true]),
        (Some(APP), CROSS, [false, true, false]),
        (Some(EVIL), None, [false, false, true]),
        (Some(EVIL), CROSS, [false, false, false]),
        (Some("null"), CROSS, [false, false, false]),
    ];
    for (at, gateway) in [&closed, &listed, &open].into_iter().enumerate() {
        let own = format!("http://{}", gateway.address());
        for (origin, site, may) in rows {
            // As a page sends it that does without the answer.
            let send = async |method: &str, path: &str, key: Option<&str>| {
                let body = (method == "POST").then(|| json!({"interviewer_name": "Eve"}));
                let mut sent = request(method, path, body.as_ref());
                sent.headers_mut()
                    .insert("content-type", "text/plain".parse().unwrap());
                sent = with_header(sent, "host", &gateway.address().to_string());
                if let Some(key) = key {
                    sent = with_header(sent, "x-api-key", key);
                }
                let origin = origin.map(|name| if name == "own" { own.as_str() } else { name });
                for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                    if let Some(value) = value {
                        sent = with_header(sent, name, value);
                    }
                }
                gateway.send(sent).await
            };
            for (method, path) in [
                ("POST", "/v1/sessions/page/config"),
                ("POST", "/v1/sessions/page/finalize"),
                ("POST", "/v1/sessions/page/asr-reset"),
                ("DELETE", "/v1/sessions/page"),
            ] {
                let answer = send(method, path, None).await;
                let served = if at == 0 { 401 } else { 200 };
                match may[at] {
                    true => {
                        assert_eq!(answer.status, served, "{method} {path} {origin:?} {site:?}")
                    }
                    false => assert_eq!(
                        (answer.status, answer.detail().as_str()),
                        (403, "this origin is not allowed"),
                        "{method} {path} {origin:?} {site:?}"
                    ),
                }
                // Where there are keys, one that is shown decides, and nothing else.
                if at == 0 {
                    for (key, status) in [(ADMIN, 200), ("no-such-key", 401)] {
                        let answer = send(method, path, Some(key)).await;
                        assert_eq!(answer.status, status, "{method} {path} {origin:?} {site:?}");
                    }
                }
            }
            // What changes nothing is answered: without CORS headers no page of elsewhere reads it.
            let answer = send("GET", STATE, Some(ADMIN)).await;
            assert_eq!(answer.status, 200, "{origin:?} {site:?}");
        }
    }
}

#[tokio::test]
async fn a_websocket_of_a_page_of_elsewhere_is_refused_once_doors_are_closed() {
    let asr = Asr::start().await;
    let closed = Gateway::start(with_keys(&asr)).await;
    let listed = Settings::with_asr(&asr).set("CORS_ALLOWED_ORIGINS", APP);
    let listed = Gateway::start(listed).await;
    let open = Gateway::start(Settings::with_asr(&asr)).await;
    // A key that is shown decides, where there are keys.
    for (gateway, of_app, of_evil) in [(&closed, 101, 101), (&listed, 101, 403), (&open, 101, 101)]
    {
        let own = format!("http://{}", gateway.address());
        for url in ["/v1/audio/ws/page/teacher", "/v1/sessions/page/live"] {
            for (origin, expected) in [
                (None, 101),
                (Some(own.as_str()), 101),
                (Some(APP), of_app),
                (Some(EVIL), of_evil),
                (Some("null"), of_evil),
                (Some("file://"), of_evil),
            ] {
                let mut headers = vec![("x-api-key", WRITE)];
                headers.extend(origin.map(|origin| ("origin", origin)));
                let status = match gateway.open_with(url, &headers).await {
                    Ok(_) => 101,
                    Err(refused) => refused.status,
                };
                assert_eq!(status, expected, "{url} {origin:?}");
            }
        }
        let own_as_others_write_it = format!("HTTP://{}/", gateway.address());
        let headers = [
            ("origin", own_as_others_write_it.as_str()),
            ("x-api-key", WRITE),
        ];
        assert!(
            gateway
                .open_with("/v1/audio/ws/page/teacher", &headers)
                .await
                .is_ok()
        );
        // Without a list nothing is said of origins.
        let answer = of_page(gateway, "GET", "/health", EVIL, &[]).await;
        assert_eq!(answer.status, 200);
        assert!(!has_cors(&answer));
    }
    // Who shows no key in the handshake is asked where the page is from, however that is written.
    for (gateway, origin, expected) in [
        (&closed, EVIL, 403),
        (&closed, "null", 403),
        (&listed, "HTTPS://App.Example:443/", 101),
        (&listed, "https://app.example:444", 403),
    ] {
        let headers = [("origin", origin)];
        let status = match gateway
            .open_with("/v1/audio/ws/page/teacher", &headers)
            .await
        {
            Ok(_) => 101,
            Err(refused) => refused.status,
        };
        assert_eq!(status, expected, "{origin}");
    }
    // The log names what was compared, once in a while.
    closed
        .says("refused: origin \"https://evil.example\", host ")
        .await;
    closed.says("CORS_ALLOWED_ORIGINS is empty").await;
    let asks = [("access-control-request-method", "GET")];
    let answer = of_page(&open, "OPTIONS", STATE, APP, &asks).await;
    assert!(answer.status == 405 && !has_cors(&answer), "{answer:?}");
    assert_eq!(header(&answer, "vary"), None);
}
