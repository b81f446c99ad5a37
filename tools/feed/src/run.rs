//! One run from the files to the result: which streams, how they ended, what is said of it.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::watch;

use crate::api::{Api, Finalized, Health};
use crate::arguments::Arguments;
use crate::audio::Source;
use crate::connection::Connector;
use crate::delivery::Pace;
use crate::display::Display;
use crate::interrupt::Interrupt;
use crate::live::Live;
use crate::output::{self, Output};
use crate::report::Report;
use crate::resume::Resume;
use crate::session::{Role, SessionId};
use crate::stream::{self, Begin, End, Outcome, Plan};
use crate::{proxy, reading, tls};

/// The last look at the utterances may take this long.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// After a signal the result may take this long to be written.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Streams all files. Gives the exit status.
///
/// # Errors
/// When a file cannot be played, or the gateway is not there: nothing was sent.
pub async fn run(arguments: Arguments, output: Output) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen().context("signals cannot be received")?;
    let mut stop = interrupt.asked();
    let display = Display::new(output);
    let prepared = tokio::select! {
        prepared = prepare(&arguments, &display) => prepared?,
        _ = stop.wait_for(|asked| *asked) => {
            display.line("stopped before anything was sent");
            return Ok(interrupt.status().unwrap_or(1));
        }
    };
    let streamed = stream_all(&arguments, &display, prepared, interrupt.asked()).await;
    let status = conclude(&arguments, &display, streamed, interrupt.asked()).await;
    Ok(interrupt.status().unwrap_or(status))
}

/// What is known before anything is sent.
struct Prepared {
    session: SessionId,
    health: Health,
    connector: Connector,
    sources: Vec<(Role, Source)>,
    api: Api,
}

async fn prepare(arguments: &Arguments, display: &Display) -> anyhow::Result<Prepared> {
    let key = arguments.key()?;
    let mut sources = Vec::new();
    for (role, file) in arguments.files() {
        let (file, raw_rate) = (file.to_owned(), arguments.raw_rate);
        sources.push((
            role,
            blocking(move || Source::open(&file, raw_rate)).await??,
        ));
    }
    let gateway = arguments.url.clone();
    let session = arguments.session.clone().unwrap_or_else(SessionId::fresh);
    let tls = match (gateway.is_encrypted(), &arguments.ca_file) {
        (true, ca_file) => {
            let ca_file = ca_file.clone();
            Some(blocking(move || tls::connector(ca_file.as_deref())).await??)
        }
        (false, None) => None,
        (false, Some(_)) => anyhow::bail!("--ca-file is for https:// gateways, not for {gateway}"),
    };
    if key.is_some() && !gateway.is_encrypted() && !gateway.is_loopback() {
        display.line(&format!(
            "the key goes to {gateway} unencrypted, for everybody on the way to read; https:// would protect it"
        ));
    }
    let proxy = proxy::choose(&gateway, |name| std::env::var(name).ok())?;
    let connector = Connector::new(&gateway, proxy, tls)?;
    let mut api = Api::new(connector.clone(), gateway.clone(), session.clone(), key);
    let health = api.health().await?;
    display.line(&format!("session {session} on {gateway}"));
    if health.is_simulated() {
        display.line("the gateway runs its ASR simulator: the transcripts are INVENTED, they are not what the files say");
    } else if health.asr_enabled == Some(false) {
        display.line(
            "the gateway has no ASR service: the audio is stored, and nothing is transcribed",
        );
    }
    Ok(Prepared {
        session,
        health,
        connector,
        sources,
        api,
    })
}

/// Work that may wait for a disk or a pipe, on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}

/// What is known when all streams have ended.
struct Streamed {
    session: SessionId,
    health: Health,
    outcomes: Vec<(Role, Outcome)>,
    live: Live,
}

async fn stream_all(
    arguments: &Arguments,
    display: &Display,
    prepared: Prepared,
    stop: watch::Receiver<bool>,
) -> Streamed {
    let Prepared {
        session,
        health,
        connector,
        sources,
        api,
    } = prepared;
    let roles: Vec<Role> = sources.iter().map(|(role, _)| *role).collect();
    let mut live = Live::new(api, display.clone(), health.is_simulated(), &roles);
    let streams = sources.into_iter().map(|(role, source)| {
        let observer = display.stream(role, source.expected_seconds());
        let plan = Plan {
            connector: connector.clone(),
            gateway: arguments.url.clone(),
            session: session.clone(),
            // Looked at before.
            key: arguments.key().ok().flatten(),
            role,
            begin: match &arguments.resume {
                Some(resume) => resume.begin(role),
                None => Begin::Behind,
            },
            pace: match arguments.fast {
                true => Pace::Fast,
                false => Pace::RealTime,
            },
            interviewer: arguments.interviewer.clone(),
            participants: arguments.participant.clone(),
        };
        let stop = stop.clone();
        async move {
            let outcome = stream::run(&plan, reading::start(source), &observer, stop).await;
            (role, outcome)
        }
    });
    let streams = futures::future::join_all(streams);
    let mut asked = stop.clone();
    let announced = async {
        if asked.wait_for(|asked| *asked).await.is_ok() {
            display.line("stopping: what was sent is waited for; a second signal does not wait");
        }
        std::future::pending::<std::convert::Infallible>().await
    };
    let outcomes = display
        .during(|| display.progress(), async {
            tokio::select! {
                outcomes = streams => outcomes,
                never = live.follow() => never,
                never = announced => match never {},
            }
        })
        .await;
    Streamed {
        session,
        health,
        outcomes,
        live,
    }
}

/// Finalizes where there is something to finalize, says what came of it, and gives the exit status.
async fn conclude(
    arguments: &Arguments,
    display: &Display,
    streamed: Streamed,
    mut stop: watch::Receiver<bool>,
) -> u8 {
    let Streamed {
        session,
        health,
        outcomes,
        mut live,
    } = streamed;
    for (role, outcome) in &outcomes {
        if let End::Failed(error) = &outcome.end {
            display.line(&format!("error: {role}: {error}"));
        }
    }
    let is_stored = outcomes
        .iter()
        .any(|(_, outcome)| outcome.summary.has_audio());
    // It was waited for long enough.
    let is_gone = outcomes
        .iter()
        .any(|(_, outcome)| matches!(outcome.end, End::Failed(stream::Error::Lost(_))));
    let is_stopped = *stop.borrow();
    let finalized = if arguments.no_finalize || !is_stored || is_gone || is_stopped {
        None
    } else {
        let finalizing = finalize(display, &mut live);
        tokio::select! {
            finalized = finalizing => Some(finalized),
            _ = stop.wait_for(|asked| *asked) => None,
        }
    };
    let is_stopped = *stop.borrow();
    let mut streams = Vec::new();
    for (role, outcome) in outcomes {
        let utterances = match is_stored && !is_gone && !is_stopped {
            true => tokio::time::timeout(LAST_LOOK, live.utterances(role))
                .await
                .ok(),
            false => None,
        };
        streams.push((role, outcome, utterances.and_then(Result::ok)));
    }
    let report = Report {
        session: &session,
        health: &health,
        streams: &streams,
        finalized: finalized
            .as_ref()
            .and_then(|finalized| finalized.as_ref().ok()),
    };
    let text = match arguments.json {
        true => report.to_json(),
        false => report.to_text(),
    };
    let written = tokio::select! {
        written = output::to_stdout(text) => written,
        () = stopped_for(&mut stop) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = written {
        display.line(&format!("the result cannot be written to stdout: {error}"));
    }
    let is_finalized = arguments.no_finalize || report.finalized.is_some();
    if let Some(Err(error)) = &finalized {
        display.line(&format!("error: not finalized: {error}"));
    }
    let is_done = report.is_complete() && is_finalized && !is_stopped;
    if !is_done {
        display.line(&what_to_do(arguments, &session, &streams));
    }
    u8::from(!is_done)
}

/// Ends some time after a signal: a reader that stands still is not waited for any longer.
async fn stopped_for(stop: &mut watch::Receiver<bool>) {
    // Nobody left who could ask is as good as a signal.
    let _ = stop.wait_for(|asked| *asked).await;
    tokio::time::sleep(LAST_WRITE).await;
}

async fn finalize(display: &Display, live: &mut Live) -> Result<Finalized, crate::api::Error> {
    let began = Instant::now();
    let passed = || began.elapsed().as_secs();
    let waiting = || format!("waiting for the recognition, {} s", passed());
    display.during(waiting, live.drain()).await?;
    display.line("finalizing: waiting for the last words");
    let waiting = || format!("finalizing: waiting for the last words, {} s", passed());
    let finalized = display.during(waiting, live.finalize()).await?;
    // It is done: what cannot be shown any more is no failure.
    let _ = tokio::time::timeout(LAST_LOOK, live.poll()).await;
    Ok(finalized)
}

/// What is stored of a run that is not done, and how to go on with it.
fn what_to_do(
    arguments: &Arguments,
    session: &SessionId,
    streams: &[(Role, Outcome, Option<u64>)],
) -> String {
    if !streams
        .iter()
        .any(|(_, outcome, _)| outcome.summary.has_audio())
    {
        return "nothing is stored".to_owned();
    }
    let stored: Vec<String> = streams
        .iter()
        .map(|(role, outcome, _)| {
            let summary = &outcome.summary;
            format!("{} s of {role}", summary.skipped + summary.chunks)
        })
        .collect();
    let places = streams
        .iter()
        .map(|(role, outcome, _)| (*role, outcome.summary.first_seq));
    let command = arguments.command_to_resume(session, &Resume::of(places));
    let with_key = match arguments.key.is_some() {
        true => " (with the same key)",
        false => "",
    };
    format!(
        "session '{session}' is not done: {} are stored and acknowledged; to go on{with_key}: {command}",
        stored.join(" and ")
    )
}
