//! What the host's tests run: a component that does what it is told, faults included. A text frame
//! is a command; the answer is a text frame. `GET /<command>` does the same over HTTP.

use std::cell::Cell;

use bindings::exports::realtime::sockets::{mailbox, startup, upgrades};
use bindings::realtime::sockets::types::{Account, Event, Payload};
use bindings::realtime::sockets::{lanes, metrics, sockets, timers};
use bindings::wasi::config::store as config;
use bindings::wasi::keyvalue::{atomics, store};
use spin_sdk::http::{IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../../wit",
        inline: "
            package echo:guest;

            world guest {
                include realtime:sockets/app@0.1.0;
                include wasi:keyvalue/imports@0.2.0-draft2;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        world: "echo:guest/guest",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Echo;
    export!(Echo);
}

struct Echo;

thread_local! {
    /// Calls that this instance has had: shows whether it is used again.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

impl startup::Guest for Echo {
    fn check() -> Result<(), String> {
        match config::get("at_start") {
            Ok(Some(command)) if command == "spin" => loop {
                std::hint::spin_loop();
            },
            Ok(Some(command)) if command == "trap" => panic!("told to"),
            Ok(Some(command)) if command == "store" => {
                Err(format!("{:?}", store::open("default").map(|_| ())))
            }
            Ok(Some(command)) if !command.is_empty() => Err(format!(
                "AT_START is {command:?}: write nothing\nand a second line"
            )),
            _ => Ok(()),
        }
    }

    /// The setting `errands` has a page per word, each names a lane; `broken` fails the first time.
    async fn resume(cursor: Option<u64>) -> Result<startup::Errands, String> {
        let words = config::get("errands").ok().flatten().unwrap_or_default();
        let words: Vec<&str> = words.split_whitespace().collect();
        let at = cursor.unwrap_or(0);
        let Some(word) = usize::try_from(at).ok().and_then(|at| words.get(at)) else {
            return Ok(startup::Errands {
                items: Vec::new(),
                cursor: None,
            });
        };
        let store = store::open("default").map_err(|error| format!("{error:?}"))?;
        if *word == "broken" && matches!(atomics::increment(&store, "broken", 1), Ok(1)) {
            return Err("told to".into());
        }
        Ok(startup::Errands {
            items: vec![startup::Errand {
                lane: (*word).to_owned(),
                body: b"resumed".to_vec(),
                is_long: word.starts_with("long"),
            }],
            cursor: Some(at + 1),
        })
    }
}

/// One socket in all lanes together.
fn account() -> Account {
    Account {
        name: "one".into(),
        max_sockets: 1,
        group: String::new(),
        max_groups: 1,
    }
}

impl upgrades::Guest for Echo {
    fn admit(request: upgrades::Request) -> Result<upgrades::Admission, upgrades::Refusal> {
        if request.query == "trap" {
            panic!("told to");
        }
        match request.path.strip_prefix("/ws/") {
            Some(lane) if !lane.is_empty() => Ok(upgrades::Admission {
                lane: lane.to_owned(),
                // The first of those that are offered.
                protocol: request
                    .headers
                    .iter()
                    .find(|(name, _)| name == "sec-websocket-protocol")
                    .and_then(|(_, offered)| offered.split(',').next())
                    .map(str::to_owned),
                standing: match request.query.as_str() {
                    "unknown" => upgrades::Standing::Unknown,
                    "counted" => upgrades::Standing::Counted(account()),
                    _ => upgrades::Standing::Plain,
                },
                context: request.query,
            }),
            _ => Err(upgrades::Refusal {
                status: 418,
                headers: vec![("content-type".into(), "text/plain".into())],
                body: b"no lane".to_vec(),
            }),
        }
    }
}

impl mailbox::Guest for Echo {
    async fn handle(lane: String, events: Vec<Event>) -> Result<(), String> {
        CALLS.set(CALLS.get() + 1);
        for event in events {
            match event {
                Event::Frames(frames) => {
                    for payload in frames.payloads {
                        if matches!(&payload, Payload::Text(text) if text == "settle") {
                            let settled = sockets::settle(&frames.socket, Some(&account()));
                            let paused = sockets::pause(&frames.socket, 1);
                            let answer = Payload::Text(format!("{settled:?} {paused:?}"));
                            let _ = sockets::send(&frames.socket, &[answer]);
                            continue;
                        }
                        let answer = match payload {
                            Payload::Text(text) => Payload::Text(obey(&lane, &text).await?),
                            binary => binary,
                        };
                        let _ = sockets::send(&frames.socket, &[answer]);
                    }
                }
                Event::Message(message) => match message.call {
                    Some(call) => drop(lanes::reply(&call, &message.body)),
                    None => {
                        println!("{lane}: {}", String::from_utf8_lossy(&message.body));
                    }
                },
                Event::Timer(fired) => println!("timer {}", fired.name),
                _ => {}
            }
        }
        Ok(())
    }
}

async fn obey(lane: &str, command: &str) -> Result<String, String> {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    Ok(match word {
        "trap" => panic!("told to"),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "eat" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 1 << 20]);
            }
        }
        "fail" => return Err("told to".into()),
        "print" => {
            println!("{rest}");
            "printed".into()
        }
        "calls" => CALLS.get().to_string(),
        "config" => format!("{:?}", config::get(rest)),
        "environment" => format!("{:?}", std::env::vars().collect::<Vec<_>>()),
        "files" => format!(
            "{:?}",
            std::fs::read_dir("/").map(|_| ()).map_err(|e| e.kind())
        ),
        "store" => format!("{:?}", store::open(rest).map(|_| ())),
        "increment" => {
            let bucket = store::open("default").map_err(|error| format!("{error:?}"))?;
            format!("{:?}", atomics::increment(&bucket, rest, 1))
        }
        // count <name> <label's value>
        "count" => {
            let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
            metrics::add(name, &[("kind".into(), value.into())], 2);
            "counted".into()
        }
        "observe" => {
            metrics::observe(rest, &[], 1.5);
            "observed".into()
        }
        // level <name> <value>: of this lane
        "level" => {
            let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
            let value = value.parse().unwrap_or(f64::NAN);
            metrics::level(lane, name, &[], value);
            "levelled".into()
        }
        "timer" => format!("{:?}", timers::set(lane, rest, 1)),
        "open" => format!(
            "{:?}",
            sockets::open(&sockets::Target {
                url: rest.to_owned(),
                headers: Vec::new(),
                lane: lane.to_owned(),
                context: String::new(),
                connect_timeout_ms: 1000,
            })
            .map(|_| ())
        ),
        "get" => {
            let request = Request::get(rest)
                .body(String::new())
                .map_err(|e| e.to_string())?;
            match spin_sdk::http::send(request).await {
                Ok(response) => response.status().as_u16().to_string(),
                Err(error) => format!("{error:?}"),
            }
        }
        // Another lane: this one is busy with this very call.
        "ask" => match lanes::call("asked".into(), rest.as_bytes().to_vec(), 5_000).await {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(error) => format!("{error:?}"),
        },
        _ => command.to_owned(),
    })
}

#[http_service]
async fn http(request: Request) -> Result<impl IntoResponse, String> {
    use spin_sdk::http::body::IncomingBodyExt;
    CALLS.set(CALLS.get() + 1);
    let path = request
        .uri()
        .path()
        .trim_start_matches('/')
        .replace('/', " ");
    if path == "length" {
        let length = request
            .into_body()
            .bytes()
            .await
            .map_err(|e| e.to_string())?
            .len();
        return Ok((StatusCode::OK, length.to_string()));
    }
    if path == "uri" {
        return Ok((StatusCode::OK, request.uri().to_string()));
    }
    Ok((StatusCode::OK, obey("http", &path).await?))
}
