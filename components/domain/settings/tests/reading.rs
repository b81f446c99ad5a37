//! What settings become, and what is said of wrong ones.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use interview_settings::{ALL, BadSettings, MAX_SHOWN_CHARS, Settings};
use proptest::prelude::*;
use unicode_text::at_most_chars;

fn read(set: &[(&str, &str)]) -> Result<Settings, BadSettings> {
    let set: BTreeMap<&str, &str> = set.iter().copied().collect();
    Settings::read(|name| Ok::<_, Infallible>(set.get(name).map(|value| (*value).to_owned())))
}

fn message(set: &[(&str, &str)]) -> String {
    read(set).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_those_of_the_original() {
    let settings = read(&[]).unwrap();
    let asr = &settings.asr;
    assert!(asr.enabled && asr.realtime && !asr.debug_log_events);
    assert!(!asr.is_on(), "there is no key");
    assert_eq!(asr.model, "fun-asr-realtime-2025-11-07");
    assert_eq!(asr.provider, "dashscope");
    assert_eq!(
        asr.ws_url,
        "wss://dashscope.aliyuncs.com/api-ws/v1/inference/"
    );
    assert_eq!(asr.timeout, Duration::from_secs(45));
    assert_eq!(asr.start_timeout(), Duration::from_secs(15));
    assert_eq!((asr.window_seconds, asr.hop_seconds), (10, 3));
    assert_eq!(asr.stream_chunk_bytes, 12_800);
    assert_eq!(asr.send_pacing, Duration::ZERO);
    assert_eq!(asr.catch_up_speed, 8.0);
    assert_eq!((&asr.vocabulary_id, &asr.language_hint), (&None, &None));
    assert_eq!(asr.max_sentence_silence_ms, None);
    assert_eq!(asr.semantic_punctuation, None);
    assert_eq!(settings.inference, None);
    assert_eq!(settings.finalize_flush_timeout, Duration::from_secs(20));
}

#[test]
fn what_is_set_is_what_is_had() {
    let settings = read(&[
        ("aliyun_dashscope_api_key", "k"),
        ("asr_ws_url", " ws://127.0.0.1:9/x "),
        ("asr_timeout_ms", "700"),
        ("asr_realtime_enabled", "off"),
        ("asr_window_seconds", "4"),
        ("asr_hop_seconds", "4"),
        ("asr_stream_chunk_bytes", "3200"),
        ("asr_send_pacing_ms", "20"),
        ("asr_debug_log_events", "1"),
        ("asr_vocabulary_id", "vocab-1"),
        ("asr_language_hints", "zh"),
        ("asr_max_sentence_silence", "200"),
        ("asr_semantic_punctuation_enabled", "false"),
        ("asr_catch_up_speed", "1.5"),
        ("inference_base_url", "https://h:8000/a/"),
        ("inference_api_key", "i"),
        ("inference_timeout_ms", "50000"),
        ("finalize_flush_timeout_ms", "0"),
    ])
    .unwrap();
    let asr = &settings.asr;
    assert!(asr.is_on() && !asr.realtime && asr.debug_log_events);
    assert_eq!(asr.ws_url, "ws://127.0.0.1:9/x");
    assert_eq!(asr.start_timeout(), Duration::from_millis(700));
    assert_eq!((asr.window_seconds, asr.hop_seconds), (4, 4));
    assert_eq!(asr.stream_chunk_bytes, 3_200);
    assert_eq!(asr.send_pacing, Duration::from_millis(20));
    assert_eq!(asr.vocabulary_id.as_deref(), Some("vocab-1"));
    assert_eq!(asr.language_hint.as_deref(), Some("zh"));
    assert_eq!(asr.max_sentence_silence_ms, Some(200));
    assert_eq!(asr.semantic_punctuation, Some(false));
    assert_eq!(asr.catch_up_speed, 1.5);
    let inference = settings.inference.unwrap();
    assert_eq!(inference.url, "https://h:8000/a/speaker/resolve");
    assert_eq!(inference.api_key.expose(), "i");
    assert_eq!(inference.timeout, Duration::from_secs(50));
    assert_eq!(settings.finalize_flush_timeout, Duration::ZERO);
}

#[test]
fn asr_needs_to_be_enabled_and_a_key() {
    let is_on = |set| read(set).unwrap().asr.is_on();
    assert!(is_on(&[("aliyun_dashscope_api_key", "k")]));
    let off = [("aliyun_dashscope_api_key", "k"), ("asr_enabled", "false")];
    assert!(!is_on(&off));
}

#[test]
fn a_wrong_setting_is_named_with_its_value_and_what_is_allowed() {
    assert_eq!(
        message(&[("asr_timeout_ms", "45s")]),
        "ASR_TIMEOUT_MS is \"45s\": write a whole number from 1 to 600000"
    );
    assert_eq!(
        message(&[("asr_stream_chunk_bytes", "3201")]),
        "ASR_STREAM_CHUNK_BYTES is \"3201\": write an even whole number from 320 to 320000"
    );
    assert_eq!(
        message(&[("inference_base_url", "h:80")]),
        "INFERENCE_BASE_URL is \"h:80\": write nothing, or an URL that begins with http:// or \
         https://, without user, password, query or fragment"
    );
}

#[test]
fn the_hop_is_at_most_the_window() {
    assert_eq!(
        message(&[("asr_hop_seconds", "12")]),
        "ASR_HOP_SECONDS is \"12\": write a whole number from 1 to 10, which is ASR_WINDOW_SECONDS"
    );
    // The window's default hop is too long for a shorter window: the message says where it comes from.
    assert!(message(&[("asr_window_seconds", "2")]).starts_with("ASR_HOP_SECONDS is \"3\""));
    // Nothing is said about the hop when the window is not known.
    let message = message(&[("asr_window_seconds", "x"), ("asr_hop_seconds", "50")]);
    assert!(!message.contains("ASR_HOP_SECONDS"), "{message}");
}

#[test]
fn settings_that_are_not_needed_are_checked_too() {
    let message = message(&[("inference_timeout_ms", "50001"), ("asr_enabled", "no")]);
    assert!(message.starts_with("INFERENCE_TIMEOUT_MS"), "{message}");
}

#[test]
fn a_variable_that_cannot_be_read_is_named() {
    let error = Settings::read(|name| match name {
        "asr_model" => Err("the vault is closed"),
        _ => Ok(None),
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "ASR_MODEL cannot be read: the vault is closed"
    );
}

#[test]
fn a_wrong_key_or_origin_is_named_by_its_place() {
    let keys = "a-key-of-20-letters-,desk:wrote:hush-hush-hush-hush";
    let said = message(&[
        ("gateway_api_keys", keys),
        ("cors_allowed_origins", "http://h *"),
    ]);
    let (keys, origins) = said.split_once('\n').unwrap();
    assert!(
        keys.starts_with(
            "GATEWAY_API_KEYS is a secret and not shown (entry 2 has scopes other than `read`, \
             `write` and `admin`): write nothing, or keys, separated by commas"
        ),
        "{keys}"
    );
    assert!(
        origins.starts_with("CORS_ALLOWED_ORIGINS is \"http://h *\" (entry 2 is no origin): write"),
        "{origins}"
    );
    assert!(!said.contains("hush") && !said.contains("a-key"), "{said}");
}

#[test]
fn secrets_are_not_shown() {
    let settings = read(&[
        ("aliyun_dashscope_api_key", "sk-asr"),
        ("inference_base_url", "http://h"),
        ("inference_api_key", "sk-inference"),
    ]);
    let shown = format!("{settings:?}");
    assert!(
        shown.contains("<secret>") && !shown.contains("sk-"),
        "{shown}"
    );
    let wrong = read(&[
        ("aliyun_dashscope_api_key", "sk asr"),
        ("inference_api_key", "sk\ninference"),
        ("inference_base_url", "http://me:sk-password@h"),
    ])
    .unwrap_err();
    let shown = format!("{wrong} {wrong:?}");
    assert!(!shown.contains("sk"), "{shown}");
    assert_eq!(wrong.0.len(), 3, "{shown}");
}

#[test]
fn all_settings_of_the_table_are_read_and_no_others() {
    let asked = RefCell::new(Vec::new());
    let settings = Settings::read(|name| {
        asked.borrow_mut().push(name.to_owned());
        Ok::<_, Infallible>(None)
    });
    settings.unwrap();
    let mut asked = asked.into_inner();
    asked.sort();
    let mut names: Vec<&str> = ALL.iter().map(|row| row.name()).collect();
    names.sort_unstable();
    assert_eq!(asked, names);
}

#[test]
fn every_default_is_allowed_and_written_out_it_changes_nothing() {
    let defaults: Vec<(&str, &str)> = ALL.iter().map(|row| (row.name(), row.default())).collect();
    for row in ALL {
        assert!(row.allows(row.default()), "{}", row.name());
    }
    assert_eq!(read(&defaults), read(&[]));
}

/// A value that no setting takes: every rule refuses a control character.
fn wrong_value() -> impl Strategy<Value = String> {
    ".{0,150}".prop_map(|text| format!("x{text}\u{7}y"))
}

proptest! {
    #[test]
    fn any_value_is_taken_or_refused_by_name(row in 0..ALL.len(), value in "\\PC{0,150}|[0-9]{1,7}|(ws|http)s?://[a-z0-9:@/?#.]{0,20}") {
        let row = ALL[row];
        match read(&[(row.name(), &value)]) {
            Ok(_) => prop_assert!(value.trim().is_empty() || row.allows(value.trim())),
            Err(bad) => {
                prop_assert_eq!(bad.0.len(), 1);
                // A window may be right and yet too short for the hop.
                let name = row.name().to_ascii_uppercase();
                let of_the_pair = name == "ASR_WINDOW_SECONDS" && row.allows(value.trim());
                let named = if of_the_pair { "ASR_HOP_SECONDS" } else { name.as_str() };
                prop_assert_eq!(bad.0[0].name(), named);
                prop_assert_eq!(bad.to_string().lines().count(), 1);
            }
        }
    }

    #[test]
    fn all_wrong_settings_are_reported_in_the_order_of_the_table(
        wrong in proptest::collection::vec(proptest::option::of(wrong_value()), ALL.len()),
    ) {
        let set: Vec<(&str, &str)> = ALL
            .iter()
            .zip(&wrong)
            .filter_map(|(row, value)| Some((row.name(), value.as_deref()?)))
            .collect();
        let expected: Vec<String> =
            set.iter().map(|(name, _)| name.to_ascii_uppercase()).collect();
        let reported: Vec<String> = match read(&set) {
            Ok(_) => Vec::new(),
            Err(bad) => {
                let text = bad.to_string();
                for (line, (name, value)) in text.lines().zip(&set) {
                    let row = ALL.iter().find(|row| row.name() == *name).unwrap();
                    if !row.is_secret() && !value.contains('@') {
                        let start = at_most_chars(value.trim(), MAX_SHOWN_CHARS);
                        let start = format!("{start:?}");
                        prop_assert!(line.contains(&start), "{} in {}", start, line);
                    }
                    prop_assert!(line.ends_with(&format!("write {}", row.allowed())), "{}", line);
                }
                prop_assert_eq!(text.lines().count(), bad.0.len());
                bad.0.iter().map(|bad| bad.name().to_owned()).collect()
            }
        };
        prop_assert_eq!(reported, expected);
    }

    #[test]
    fn windows_and_hops_are_refused_exactly_when_audio_would_be_left_out(
        window in 0_u32..70, hop in 0_u32..70,
    ) {
        let (window_text, hop_text) = (window.to_string(), hop.to_string());
        let settings = read(&[("asr_window_seconds", &window_text), ("asr_hop_seconds", &hop_text)]);
        let right = (1..=60).contains(&window) && (1..=window).contains(&hop);
        prop_assert_eq!(settings.is_ok(), right);
        if let Ok(settings) = settings {
            prop_assert_eq!(
                (settings.asr.window_seconds, settings.asr.hop_seconds),
                (window, hop)
            );
        }
    }

    #[test]
    fn no_secret_is_ever_shown(key in "[ -~]{0,20}é?", wrong in "[a-z]{1,8}") {
        // Longer than what messages themselves may happen to say.
        let key = format!("{key}-secret-part-of-it");
        for name in ["aliyun_dashscope_api_key", "inference_api_key", "gateway_api_keys"] {
            let shown = format!("{:?}", read(&[
                (name, &key),
                ("inference_base_url", "http://h"),
                ("asr_hop_seconds", &wrong),
            ]));
            prop_assert!(!shown.contains("-secret-part-of-it"));
            let shown = format!("{:?}", read(&[(name, &key), ("inference_base_url", "http://h")]));
            prop_assert!(!shown.contains("-secret-part-of-it"));
        }
    }
}
