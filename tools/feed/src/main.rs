//! The program: which files, where to, and what came of it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgGroup, Parser};
use feed::api::{self, Api, Finalized};
use feed::audio::Audio;
use feed::delivery::Pace;
use feed::display::Display;
use feed::session::{Gateway, Role, SessionId};
use feed::stream::{self, Plan, Summary};
use reqwest::header::HeaderValue;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often new text is asked for.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Audio that was streamed faster than it can be recognised is waited for, as long as there is less
/// of it than this long ago.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(15);

/// Streams audio files into a running gateway, as if they were being said now, and shows the text.
///
/// WAV files of any rate and number of channels are taken, and s16le samples in files that end in
/// .pcm or .raw. What is not acknowledged is sent again, over a new connection if need be.
#[derive(Parser)]
#[command(name = "feed", version, group = ArgGroup::new("files").required(true).multiple(true).args(["teacher", "students", "mixed"]))]
struct Arguments {
    /// The gateway.
    #[arg(long, default_value = "http://127.0.0.1:3000", value_name = "URL")]
    url: Gateway,
    /// A key or a token, for a gateway that asks for one. Better in the environment: arguments are seen
    /// by others.
    #[arg(
        long,
        env = "GATEWAY_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    key: Option<String>,
    /// The session to stream into. Default: a new one, named after the time.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// What the interviewer says.
    #[arg(long, value_name = "FILE")]
    teacher: Option<PathBuf>,
    /// What the candidates say.
    #[arg(long, value_name = "FILE")]
    students: Option<PathBuf>,
    /// What everybody says, in one stream.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["teacher", "students"])]
    mixed: Option<PathBuf>,
    /// As fast as the gateway answers, not a second of audio each second.
    #[arg(long)]
    fast: bool,
    /// The sample rate of .pcm and .raw files, which do not tell it.
    #[arg(long, default_value_t = feed::audio::RATE, value_name = "HZ")]
    raw_rate: u32,
    /// Leave the session open: more will be streamed into it.
    #[arg(long)]
    no_finalize: bool,
    /// The interviewer's name.
    #[arg(long, value_name = "NAME")]
    interviewer: Option<String>,
    /// The name of somebody who takes part; may be given several times.
    #[arg(long, value_name = "NAME")]
    participant: Vec<String>,
    /// Write the result to stdout as JSON.
    #[arg(long)]
    json: bool,
}

/// A header's value that is not shown; empty counts as none.
fn key(given: Option<&str>) -> anyhow::Result<Option<HeaderValue>> {
    let Some(text) = given.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let mut key = HeaderValue::from_str(text).context("the key is not visible ASCII characters")?;
    key.set_sensitive(true);
    Ok(Some(key))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when everything was acknowledged.
async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let files = [
        (Role::Teacher, &arguments.teacher),
        (Role::Students, &arguments.students),
        (Role::Mixed, &arguments.mixed),
    ];
    let key = key(arguments.key.as_deref())?;
    let mut sources = Vec::new();
    for (role, file) in files {
        if let Some(file) = file {
            sources.push((role, Audio::load(file, arguments.raw_rate)?));
        }
    }
    let session = arguments.session.clone().unwrap_or_else(SessionId::fresh);
    let api = Api::new(arguments.url.clone(), session.clone()).with_key(key.clone());
    api.check().await?;
    let display = Display::new();
    display.line(&format!("session {session} on {}", arguments.url));

    let roles: Vec<Role> = sources.iter().map(|(role, _)| *role).collect();
    let streams = sources.iter().map(|(role, audio)| {
        let observer = display.stream(*role, audio.seconds());
        let plan = Plan {
            url: arguments.url.audio(&session, *role),
            session: session.clone(),
            key: key.clone(),
            role: *role,
            pace: if arguments.fast {
                Pace::Fast
            } else {
                Pace::RealTime
            },
            interviewer: arguments.interviewer.clone(),
            participants: arguments.participant.clone(),
        };
        async move { stream::run(&plan, audio, &observer).await }
    });
    let mut live = Live::new(api.clone(), display.clone(), &roles);
    let streamed = tokio::select! {
        streamed = futures::future::join_all(streams) => streamed,
        never = live.follow() => never,
    };

    let mut summaries = Vec::new();
    let mut complete = true;
    for (role, result) in roles.iter().zip(streamed) {
        match result {
            Ok(summary) => summaries.push((*role, summary)),
            Err(error) => {
                complete = false;
                display.line(&format!("error: {error}"));
            }
        }
    }
    // A part of an interview is worth finalizing too: what was acknowledged is in it.
    let finalized = if arguments.no_finalize {
        None
    } else {
        live.drain().await?;
        display.line("finalizing: waiting for the last words");
        let finalized = api.finalize().await.with_context(|| {
            format!(
                "the audio is stored, but not finalized; to try again, give the same files with --session '{session}'"
            )
        })?;
        Some(finalized)
    };
    live.poll().await?;
    let mut counts = Vec::new();
    for (role, summary) in summaries {
        counts.push((role, summary, api.recognition(role).await?.utterances));
    }
    if arguments.json {
        print_json(&session, &counts, finalized.as_ref(), complete);
    } else {
        print_text(&counts, finalized.as_ref());
    }
    Ok(complete)
}

/// Shows utterances as they appear.
struct Live {
    api: Api,
    display: Display,
    /// For each stream the ids that its last answer held.
    seen: Vec<(Role, HashSet<String>)>,
}

impl Live {
    fn new(api: Api, display: Display, roles: &[Role]) -> Self {
        Self {
            api,
            display,
            seen: roles.iter().map(|role| (*role, HashSet::new())).collect(),
        }
    }

    async fn follow(&mut self) -> ! {
        let mut ticks = interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // The streams notice by themselves when the gateway is gone, and say so.
            let _ = self.poll().await;
        }
    }

    /// Waits until the recognition has had all that is stored, or does not get on.
    async fn drain(&mut self) -> Result<(), api::Error> {
        let mut ticks = interval(POLL_EVERY);
        let mut least = u64::MAX;
        let mut least_since = Instant::now();
        loop {
            ticks.tick().await;
            self.poll().await?;
            let mut backlog = 0;
            for (role, _) in &self.seen {
                backlog += self.api.recognition(*role).await?.backlog;
            }
            if backlog == 0 {
                return Ok(());
            }
            if backlog < least {
                if least == u64::MAX {
                    self.display
                        .line(&format!("{backlog} s of audio wait to be recognised"));
                }
                least = backlog;
                least_since = Instant::now();
            } else if least_since.elapsed() > BACKLOG_PATIENCE {
                self.display.line(&format!(
                    "{backlog} s of audio are not recognised and will be missing: the recognition does not get on; see asr_by_stream in the session's state"
                ));
                return Ok(());
            }
        }
    }

    async fn poll(&mut self) -> Result<(), api::Error> {
        for (role, seen) in &mut self.seen {
            let utterances = self.api.utterances(*role).await?;
            for utterance in &utterances {
                if !seen.contains(&utterance.utterance_id) {
                    self.display.utterance(*role, utterance);
                }
            }
            *seen = utterances
                .into_iter()
                .map(|said| said.utterance_id)
                .collect();
        }
        Ok(())
    }
}

fn print_text(counts: &[(Role, Summary, u64)], finalized: Option<&Finalized>) {
    for (role, summary, utterances) in counts {
        let Summary {
            chunks,
            stored,
            duplicate,
            resent,
            reconnects,
            ..
        } = summary;
        println!(
            "{role}: {chunks} s of audio acknowledged ({stored} stored, {duplicate} known before, {resent} sent again, {reconnects} reconnects), {utterances} utterances"
        );
    }
    if let Some(finalized) = finalized {
        println!(
            "result: {} in the gateway's blob store (by default the directory .spin/blobs/ beside its spin.toml)",
            finalized.result_key
        );
    }
}

fn print_json(
    session: &SessionId,
    counts: &[(Role, Summary, u64)],
    finalized: Option<&Finalized>,
    complete: bool,
) {
    let streams: Vec<_> = counts
        .iter()
        .map(|(role, summary, utterances)| {
            json!({"stream_role": role, "delivery": summary, "utterances": utterances})
        })
        .collect();
    let result = json!({
        "session_id": session,
        "complete": complete,
        "streams": streams,
        "result_key": finalized.map(|finalized| &finalized.result_key),
        "event_count": finalized.map(|finalized| finalized.event_count),
    });
    println!("{result}");
}
