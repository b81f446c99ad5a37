//! One rule each.

use interview_live::limits::{
    LOOK_MS, MAX_BEHIND, MAX_BEHIND_MS, MAX_VIEWERS, PARTIAL_INTERVAL_MS, RETRY_MS,
    SUBSCRIBER_RESERVE,
};
use interview_live::{Ask, Input, Listening};
use interview_session::asr::WsState;
use interview_session::lane::LiveKind::{self, Events, Partials, Utterances};
use interview_session::role::StreamRole;
use interview_session::role::StreamRole::{Mixed, Students, Teacher};

use super::world::{Fault, World};

const ALL: [LiveKind; 3] = [Utterances, Partials, Events];

fn partial(role: StreamRole, start_ms: u64, text: &str) -> Input {
    Input::Partial {
        role,
        start_ms,
        text: text.into(),
    }
}

fn asr(role: StreamRole, state: WsState) -> Input {
    Input::AsrState { role, state }
}

fn joined(socket: &str) -> Input {
    Input::Joined {
        socket: socket.into(),
        ask: Ask::default(),
    }
}

fn types(world: &World, socket: &str) -> Vec<String> {
    let frames = world.sockets[socket].got.iter();
    frames.map(|f| f["type"].as_str().unwrap().into()).collect()
}

fn texts(world: &World, socket: &str) -> Vec<String> {
    let frames = world.sockets[socket].got.iter();
    frames
        .filter_map(|f| Some(f["text"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn until_somebody_listens_nothing_is_written() {
    let mut world = World::new();
    world.say(Mixed, 3);
    world.batch(&[
        partial(Mixed, 9000, "so"),
        asr(Mixed, WsState::Running),
        Input::Left { socket: "x".into() },
    ]);
    assert_eq!((world.commits, world.timer), (0, None));
}

#[test]
fn what_the_logs_hold_is_numbered_when_the_first_viewer_comes() {
    let mut world = World::new();
    world.say(Teacher, 1);
    world.identify(Teacher);
    world.now += 5;
    world.say(Mixed, 1);
    world.now -= 3;
    world.say(Students, 1);
    world.view("all", Some(0), None);
    world.view("teacher", Some(0), Some(Teacher));
    world.view("now", None, None);
    world.settle();
    assert_eq!(world.numbers("all"), [1, 2, 3, 4]);
    assert_eq!(
        types(&world, "all"),
        ["utterance", "speaker_event", "utterance", "utterance"]
    );
    let roles: Vec<_> = world.sockets["all"]
        .got
        .iter()
        .map(|f| &f["stream_role"])
        .collect();
    assert_eq!(roles, ["teacher", "teacher", "students", "mixed"]);
    assert_eq!(world.numbers("teacher"), [1, 2]);
    assert!(world.numbers("now").is_empty());
    world.say(Mixed, 1);
    world.settle();
    assert_eq!(world.numbers("now"), [5]);
    assert_eq!(
        world.sockets["now"].got[0]["utterance"]["utterance_id"],
        "mixed-0-1"
    );
}

#[test]
fn however_few_entries_a_read_gives_nothing_is_left_out() {
    for page in 1..4 {
        let mut world = World::new();
        world.page = page;
        for role in [Teacher, Students, Mixed] {
            world.say(role, 20);
            world.identify(role);
            world.now += 1;
        }
        world.view("all", Some(0), None);
        world.settle();
        let all: Vec<_> = (1..=63).collect();
        assert_eq!(world.numbers("all"), all, "as they are numbered, {page}");
        // As they are read from the live log, by some who want all and some who do not.
        world.view("again", Some(0), None);
        world.view("middle", Some(30), None);
        world.view("teacher", Some(0), Some(Teacher));
        world.settle();
        assert_eq!(world.numbers("again"), all, "as they are read, {page}");
        assert_eq!(world.numbers("middle"), all[30..], "{page}");
        assert_eq!(world.numbers("teacher").len(), 21, "{page}");
    }
}

#[test]
fn a_viewer_that_comes_while_old_entries_are_numbered_sees_what_came_after_it() {
    let mut world = World::new();
    world.say(Mixed, 1_200);
    world.now += 1;
    world.view("now", None, None);
    assert!(world.again, "one batch does not number all");
    world.say(Mixed, 2);
    world.batch(&[
        partial(Mixed, 2_000_000, "so"),
        asr(Mixed, WsState::Running),
    ]);
    world.settle();
    assert_eq!(world.numbers("now"), [1_201, 1_202, 1_203, 1_204]);
    assert_eq!(
        types(&world, "now"),
        ["utterance", "utterance", "asr_state", "partial"]
    );
}

#[test]
fn a_number_that_is_not_given_yet_means_from_now_on() {
    let mut world = World::new();
    world.say(Mixed, 2);
    world.view("far", Some(u64::MAX), None);
    world.view("last", Some(2), None);
    world.view("last but one", Some(1), None);
    world.say(Mixed, 1);
    world.settle();
    assert_eq!(world.numbers("far"), [3]);
    assert_eq!(world.numbers("last"), [3]);
    assert_eq!(world.numbers("last but one"), [2, 3]);
}

#[test]
fn a_subscriber_gets_its_kinds_of_all_roles_and_every_state() {
    let mut world = World::new();
    world.open("s", 512);
    world.subscribe("s", &[Events], None);
    assert_eq!(
        world.listening,
        Listening {
            events: true,
            ..Listening::default()
        }
    );
    world.say(Teacher, 1);
    world.identify(Teacher);
    world.batch(&[partial(Mixed, 0, "so"), asr(Students, WsState::Running)]);
    world.settle();
    assert_eq!(types(&world, "s"), ["speaker_event", "asr_state"]);
    // No partial got a number: nobody listens to them.
    assert_eq!(world.numbers("s"), [2, 3]);
    assert_eq!(world.live.len(), 3);

    world.subscribe("s", &ALL, None);
    world.now += PARTIAL_INTERVAL_MS;
    world.batch(&[partial(Mixed, 0, "so")]);
    world.settle();
    assert_eq!(
        types(&world, "s"),
        ["speaker_event", "asr_state", "partial"]
    );
    world.subscribe("s", &ALL, Some(3));
    world.settle();
    assert_eq!(world.numbers("s"), [2, 3, 4, 4]);
    world.subscribe("s", &[], None);
    assert_eq!(world.listening, Listening::default());
    world.say(Teacher, 1);
    world.settle();
    assert_eq!(world.numbers("s"), [2, 3, 4, 4]);
    assert_eq!(world.timer, None);
}

#[test]
fn partials_come_at_intervals_the_last_one_surely() {
    let mut world = World::new();
    world.created = true;
    world.view("v", None, None);
    world.batch(&[partial(Mixed, 0, "a"), partial(Mixed, 0, "a b")]);
    assert_eq!(world.timer, Some(LOOK_MS));
    world.now += 100;
    world.batch(&[partial(Mixed, 0, "a b c"), partial(Teacher, 0, "x")]);
    assert_eq!(world.timer, Some(PARTIAL_INTERVAL_MS - 100));
    world.now += 100;
    world.batch(&[partial(Mixed, 0, "a b c d")]);
    world.now += PARTIAL_INTERVAL_MS - 200;
    world.batch(&[]);
    world.settle();
    assert_eq!(texts(&world, "v"), ["a b", "x", "a b c d"]);
}

#[test]
fn a_partial_that_says_nothing_new_gets_no_number() {
    let mut world = World::new();
    world.say(Mixed, 2);
    world.view("v", None, None);
    for text in ["so", "so", " ", ""] {
        world.batch(&[partial(Mixed, 2_000, text)]);
        world.now += PARTIAL_INTERVAL_MS;
    }
    // The last utterance is at 1000 to 1900.
    for start_ms in [0, 1_000, 1_899] {
        world.batch(&[partial(Mixed, start_ms, "old")]);
        world.now += PARTIAL_INTERVAL_MS;
    }
    world.batch(&[partial(Mixed, 1_900, "so")]);
    // It becomes final before its turn comes.
    world.batch(&[partial(Mixed, 2_100, "so it")]);
    world.say(Mixed, 1);
    world.settle();
    assert_eq!(texts(&world, "v"), ["so", "so"]);
    assert_eq!(types(&world, "v"), ["partial", "partial", "utterance"]);
}

#[test]
fn a_clock_that_steps_back_holds_up_no_partial() {
    let mut world = World::new();
    world.created = true;
    world.view("v", None, None);
    world.batch(&[partial(Mixed, 0, "a")]);
    world.now -= 100_000;
    world.batch(&[partial(Mixed, 0, "b")]);
    world.settle();
    assert_eq!(texts(&world, "v"), ["a", "b"]);
}

#[test]
fn only_changes_of_the_state_are_told() {
    let mut world = World::new();
    world.created = true;
    world.view("v", None, None);
    for state in [WsState::Connecting, WsState::Connecting, WsState::Running] {
        world.batch(&[asr(Mixed, state)]);
    }
    world.batch(&[asr(Mixed, WsState::Error), asr(Mixed, WsState::Running)]);
    world.settle();
    assert_eq!(world.numbers("v"), [1, 2]);
    // Whoever comes when nobody was there is told anew.
    world.leave("v");
    world.batch(&[]);
    world.view("w", None, None);
    world.batch(&[asr(Mixed, WsState::Running)]);
    world.settle();
    assert_eq!(world.numbers("w"), [3]);
}

#[test]
fn after_a_reset_numbers_go_on_and_old_ones_are_skipped() {
    let mut world = World::new();
    world.say(Mixed, 2);
    world.say(Teacher, 1);
    world.view("v", Some(0), None);
    world.settle();
    world.reset(Mixed);
    world.say(Mixed, 1);
    world.batch(&[partial(Mixed, 1_000, "so")]);
    world.settle();
    assert_eq!(world.numbers("v"), [1, 2, 3, 4, 5]);
    world.view("w", Some(0), None);
    world.settle();
    assert_eq!(world.numbers("w"), [3, 4, 5]);
}

#[test]
fn a_slow_viewer_is_fed_from_the_log_and_holds_up_nobody() {
    let mut world = World::new();
    world.created = true;
    world.view("slow", None, None);
    world.view("quick", None, None);
    world.sockets.get_mut("slow").unwrap().capacity = 20;
    world.say(Mixed, 100);
    world.batch(&[]);
    assert_eq!(world.sockets["slow"].queued.len(), 4);
    assert_eq!(world.sockets["quick"].queued.len(), 100);
    assert_eq!((world.timer, world.again), (Some(RETRY_MS), false));
    world.settle();
    let all: Vec<u64> = (1..=100).collect();
    assert_eq!(world.numbers("slow"), all);
}

#[test]
fn who_reads_nothing_is_given_up_who_resumes_is_not() {
    let mut world = World::new();
    world.created = true;
    world.view("stuck", None, None);
    world.open("client", 512);
    world.subscribe("client", &ALL, None);
    world.say(Mixed, MAX_BEHIND as usize + 1_000);
    world.view("resumes", Some(0), None);
    let resumes = |world: &mut World| world.sockets.get_mut("resumes").unwrap().drain(20);
    for _ in 0..(MAX_BEHIND_MS / RETRY_MS) {
        world.batch(&[]);
        resumes(&mut world);
        world.now += RETRY_MS;
        assert_eq!(world.sockets["stuck"].closed, None);
    }
    for _ in 0..10 {
        world.batch(&[]);
        resumes(&mut world);
        world.now += RETRY_MS;
    }
    let last = 512 - u64::from(interview_live::limits::VIEWER_RESERVE);
    assert_eq!(
        world.sockets["stuck"].closed,
        Some((
            1008,
            format!("frames are not read: reconnect with ?after={last}")
        ))
    );
    assert_eq!(world.sockets["client"].closed, None);
    let queued = world.sockets["client"].queued.len();
    assert_eq!(queued, 512 - SUBSCRIBER_RESERVE as usize);
    assert_eq!(world.notes.len(), 1, "{:?}", world.notes);
    world.settle();
    assert_eq!(world.sockets["client"].got.len(), queued);
    assert_eq!(world.sockets["resumes"].closed, None);
    assert_eq!(
        world.sockets["resumes"].got.len(),
        MAX_BEHIND as usize + 1_000
    );
}

/// Found by the property: a client with room for one frame at a time reads each at once, while the session's
/// log gets its numbers, and was given up after 122 frames.
#[test]
fn who_reads_one_frame_at_a_time_while_the_log_grows_is_not_given_up() {
    let mut world = World::new();
    world.created = true;
    world.say(Mixed, 752);
    world.open("client", SUBSCRIBER_RESERVE as usize + 1);
    world.subscribe("client", &[Utterances], Some(0));
    world.say(Teacher, 371);
    world.settle();
    let all: Vec<u64> = (1..=1_123).collect();
    assert_eq!(world.numbers("client"), all);
    assert!(world.notes.is_empty(), "{:?}", world.notes);
}

#[test]
fn who_reads_slower_than_is_spoken_is_fed_and_who_stops_is_given_up() {
    let mut world = World::new();
    world.created = true;
    world.view("slow", Some(0), None);
    world.sockets.get_mut("slow").unwrap().capacity = 17;
    world.say(Mixed, MAX_BEHIND as usize + 100);
    // The end of the log moves away: ten utterances for each frame that is read.
    for _ in 0..(2 * MAX_BEHIND_MS / RETRY_MS) {
        world.say(Mixed, 10);
        world.batch(&[]);
        world.sockets.get_mut("slow").unwrap().drain(1);
        world.now += RETRY_MS;
    }
    assert_eq!(world.sockets["slow"].closed, None);
    let last = world.numbers("slow").len() as u64;
    for _ in 0..=(MAX_BEHIND_MS / RETRY_MS + 1) {
        world.batch(&[]);
        world.now += RETRY_MS;
    }
    let last = last + world.sockets["slow"].queued.len() as u64;
    let reason = format!("frames are not read: reconnect with ?after={last}");
    assert_eq!(world.sockets["slow"].closed, Some((1008, reason)));
}

#[test]
fn no_more_than_the_limit_may_listen() {
    let mut world = World::new();
    world.created = true;
    for n in 0..MAX_VIEWERS {
        world.view(&format!("v{n}"), None, None);
    }
    world.view("one more", None, None);
    assert_eq!(
        world.sockets["one more"].closed,
        Some((1013, "too many viewers: try again later, in 5 s".into()))
    );
    world.open("client", 512);
    world.subscribe("client", &ALL, None);
    assert_eq!(world.sockets["client"].closed, None);
    assert_eq!(world.notes.len(), 1);
    world.say(Mixed, 1);
    world.settle();
    assert!(world.numbers("client").is_empty());
    // One that is gone makes room, though nobody said so.
    world.leave("v3");
    world.view("later", None, None);
    assert_eq!(world.sockets["later"].closed, None);
}

#[test]
fn watching_a_session_that_does_not_exist_leaves_nothing() {
    let mut world = World::new();
    world.view("v", Some(5), None);
    world.view("w", None, None);
    assert!(world.record.is_some());
    world.leave("v");
    world.batch(&[Input::Left { socket: "v".into() }]);
    assert!(world.record.is_some());
    world.leave("w");
    world.batch(&[]);
    assert_eq!(world.record, None);
    assert_eq!(world.listening, Listening::default());
}

#[test]
fn when_all_are_gone_the_log_stays_and_the_next_one_resumes() {
    let mut world = World::new();
    world.say(Mixed, 1);
    world.view("v", Some(0), None);
    world.settle();
    // A new process: no socket is known any more.
    world.sockets.clear();
    world.batch(&[]);
    assert_eq!((world.listening, world.timer), (Listening::default(), None));
    world.say(Mixed, 2);
    world.batch(&[]);
    assert_eq!(world.live.len(), 1);
    world.view("w", Some(1), None);
    world.settle();
    assert_eq!(world.numbers("w"), [2, 3]);
}

#[test]
fn a_batch_that_changes_nothing_writes_nothing() {
    let mut world = World::new();
    world.say(Mixed, 1);
    world.view("v", None, None);
    let commits = world.commits;
    world.batch(&[]);
    assert_eq!((world.commits, world.timer), (commits, Some(LOOK_MS)));
}

#[test]
fn a_batch_that_is_repeated_sends_nothing_twice() {
    for fault in [Fault::BeforeCommit, Fault::AfterCommit, Fault::AtTheEnd] {
        let mut world = World::new();
        world.created = true;
        world.open("v", 512);
        world.batch_with(&[joined("v")], fault);
        world.say(Mixed, 2);
        let inputs = [asr(Mixed, WsState::Running), partial(Mixed, 5_000, "so")];
        world.batch_with(&inputs, fault);
        world.settle();
        assert_eq!(world.numbers("v"), [1, 2, 3, 4], "{fault:?}");
        let closed = &world.sockets["v"].closed;
        if fault == Fault::AtTheEnd {
            let reason = "the gateway failed: reconnect with ?after=4".into();
            assert_eq!(*closed, Some((1011, reason)));
        } else {
            assert_eq!(*closed, None);
        }
        assert_eq!(world.live.len(), 4);
    }
}

#[test]
fn a_repeated_subscription_loses_nothing() {
    let mut world = World::new();
    world.created = true;
    world.open("s", 512);
    let subscribed = Input::Subscribed {
        socket: "s".into(),
        kinds: ALL.to_vec(),
        after: None,
    };
    let inputs = [subscribed, asr(Mixed, WsState::Running)];
    world.batch_with(&inputs, Fault::AfterCommit);
    world.settle();
    assert_eq!(world.numbers("s"), [1]);
}
