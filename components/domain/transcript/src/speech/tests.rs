#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{NAME_CHARS, introduced_name};
use proptest::prelude::*;
use unicode_text::{is_joiner, is_mark};

#[track_caller]
fn named(text: &str, expected: &str) {
    assert_eq!(introduced_name(text).as_deref(), Some(expected), "{text:?}");
}

#[track_caller]
fn nobody(text: &str) {
    assert_eq!(introduced_name(text), None, "{text:?}");
}

#[test]
fn the_three_triggers() {
    named("My name is Alice", "Alice");
    named("I am Alice", "Alice");
    named("I'm Alice", "Alice");
    named("I’m Alice", "Alice");
    named("Hello everyone, my name is Ada Lovelace.", "Ada Lovelace");
    named("hello i am Alice", "Alice");
    named("i'm Alice", "Alice");
    named("MY NAME IS ALICE", "ALICE");
    named("My Name Is Alice", "Alice");
}

#[test]
fn fault_32_what_somebody_is_or_does_is_no_name() {
    nobody("I am going to ask you about databases");
    nobody("I Am Going To Ask You About Databases");
    nobody("I AM GOING TO ASK YOU");
    nobody("I'm glad that you are here");
    nobody("I am a developer");
    nobody("I'm OK");
    nobody("I'm Okay.");
    nobody("I am not Bob");
    nobody("I'm Chinese.");
    nobody("I am German and I live in Berlin");
    nobody("I'm Java developer");
    nobody("I am Microsoft certified");
    nobody("I'm Senior Engineer at Google");
    nobody("I'm Bob's manager");
    nobody("I am 25 years old");
    nobody("I'm Bob2");
    nobody("I am");
    nobody("I'm");
    nobody("I am.");
    nobody("Do you know who I am? Bob asked.");
    nobody("If I am Bob, then you are Alice");
    nobody("i am alice");
}

#[test]
fn fault_32_a_name_ends_where_the_sentence_ends() {
    named("I am Ada. Tell me about databases", "Ada");
    named("I'm Ada Lovelace, and this is Bob", "Ada Lovelace");
    named("My name is Ada! Welcome", "Ada");
    named("My name is Ada? Yes", "Ada");
    named("My name is Ada; Bob is late", "Ada");
    named("I'm Ada.Tell me", "Ada");
    named("my name is 李雷。请介绍一下自己", "李雷");
    named("my name is Ada - Bob is late", "Ada");
    named("my name is Ada 🙂 Bob is late", "Ada");
    named("I'm Ada🙂", "Ada");
    named("(I'm Ada)", "Ada");
    named("my name is \"Ada\" Bob", "Ada");
}

#[test]
fn fault_32_a_name_ends_before_words_that_are_no_name() {
    named("my name is Alice and I will be your interviewer", "Alice");
    named("I am Alice from Berlin", "Alice");
    named("I'm Alice I work here", "Alice");
    named("My name is Ada your interviewer", "Ada");
    named("my name is alice and i am going to ask you", "alice");
    named(
        "my name is juan carlos garcia nice to meet you",
        "juan carlos garcia",
    );
    named("MY NAME IS ADA SO LET US BEGIN", "ADA");
    named("My name is Ada speaking of which", "Ada");
    named("My name is Ada works at a bank", "Ada");
}

#[test]
fn after_my_name_is_there_may_be_no_name() {
    nobody("my name is not important");
    nobody("my name is on the list");
    nobody("my name is");
    nobody("my name is 42");
    nobody("my name is hard to pronounce");
    nobody("my name is mentioned nowhere outside Berlin");
    nobody("he asked what my name is. Bob knew");
    nobody("dummy name is Bob");
}

#[test]
fn a_later_introduction_counts_and_the_clearer_one_wins() {
    named("I'm glad you came. I'm Bob", "Bob");
    named("I'm Bob. My name is Robert", "Robert");
    named("my name is not important. I am Bob", "Bob");
}

#[test]
fn letters_of_any_script_and_the_marks_within_names() {
    named("I'm José Álvarez", "José Álvarez");
    // In normal form, however it came.
    named("I'm Jose\u{301} A\u{301}lvarez.", "José Álvarez");
    named("I am E\u{301}. Dupont", "É. Dupont");
    named("my name is संजय शर्मा", "संजय शर्मा");
    named("I am संजय शर्मा।", "संजय शर्मा");
    // A name that ends with a mark, one with a joiner within.
    named("my name is சுரேஷ்.", "சுரேஷ்");
    named("my name is علی\u{200c}رضا", "علی\u{200c}رضا");
    named("my name is Ольга Петрова.", "Ольга Петрова");
    named("I am 李雷", "李雷");
    named("你好，I'm 李雷", "李雷");
    named("大家好my name is Ada", "Ada");
    nobody("I'm 负责后端开发的");
    named("I'm Anne-Marie O'Brien", "Anne-Marie O'Brien");
    named("I'm Anne O’Brien", "Anne O'Brien");
    named("I'm Ludwig van Beethoven", "Ludwig van Beethoven");
    named("I'm de Souza", "de Souza");
    named("I'm d'Artagnan", "d'Artagnan");
    named("I'm Will Smith", "Will Smith");
    nobody("I'm de facto the lead");
}

#[test]
fn dots_within_names() {
    named("I'm J. R. Smith. Welcome", "J. R. Smith");
    named("I'm J.R.R. Tolkien", "J.R.R. Tolkien");
    named("I am Dr. Smith", "Dr. Smith");
    named("I am Ada B. Let's begin", "Ada B");
    named("I am Ada B. working here", "Ada B");
    named("I am Ada we're two today", "Ada");
    named("I am Martin King Jr.", "Martin King Jr");
}

#[test]
fn the_length_of_a_name() {
    nobody("my name is X");
    nobody("I'm J.");
    named("my name is Al", "Al");
    let long = "A".repeat(80);
    named(&format!("my name is {long}"), &long);
    nobody(&format!("my name is {long}A"));
    nobody("I'm Ada Bea Cleo Dora Edda Fay");
}

proptest! {
    #[test]
    fn any_text_is_survived_and_a_name_has_only_what_a_name_has(
        text in "(\\PC{0,20}|(my name is|I am|I'm|i’m) ?(\\PC{0,20}|[A-Za-zé李.' 0-9-]{0,90}))*"
    ) {
        if let Some(name) = introduced_name(&text) {
            prop_assert!(NAME_CHARS.contains(&name.chars().count()));
            prop_assert_eq!(name.trim(), name.as_str());
            let is_name_char = |c: char| {
                let is_within = is_mark(c) || is_joiner(c);
                c.is_alphabetic() || is_within || matches!(c, ' ' | '.' | '\'' | '-')
            };
            prop_assert!(name.chars().all(is_name_char), "{}", name);
        }
    }
}
