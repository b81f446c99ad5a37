//! Self-introductions: the name that somebody gives in an utterance. It guesses little: no name is
//! better than a wrong one. `docs/merge.md` states the rules.

#[cfg(test)]
mod tests;
mod vocabulary;

use unicode_text::{is_joiner, is_mark, normal};
use vocabulary::{AFTER_CONDITION, ALSO_NAMES, NATIONS_AND_TRADES, NO_NAMES, PARTICLES, TITLES};

/// The fewest and most characters of a name.
pub const NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=80;

/// The most words of a name.
pub const MAX_NAME_WORDS: usize = 5;

/// The most words of a name whose letter case says nothing about where it ends.
pub const MAX_NAME_WORDS_WITHOUT_CASE: usize = 3;

/// The longest name after `I am` in Chinese characters: longer ones are phrases.
pub const MAX_HAN_CHARS: usize = 4;

/// The name in `my name is X`, else in `I am X` or `I'm X`, if there is one: 2 to 80 letters, spaces,
/// `.`, `'` and `-`, as written but in normal form, without punctuation around it. Accents and vowel signs
/// belong to their letters. The triggers are found in any letter
/// case; after `I am` every word of the name must be capitalised.
pub fn introduced_name(text: &str) -> Option<String> {
    let text = normal(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let positions = || 0..words.len();
    positions()
        .find_map(|at| after_my_name_is(&words, at))
        .or_else(|| positions().find_map(|at| after_i_am(&words, at)))
}

/// How the words after a trigger are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// After `I am`: capitalised words only, and nothing after them that a name is not followed by.
    Strict,
    /// After `my name is`: the capitalised words, or, when the first is not, the first few.
    Lenient,
    /// After `MY NAME IS`: the first few words; capitals mean nothing.
    WithoutCase,
}

fn after_my_name_is(words: &[&str], at: usize) -> Option<String> {
    let [my, name, is, rest @ ..] = words.get(at..)? else {
        return None;
    };
    let found = ends_with_word(my, "my")
        && name.eq_ignore_ascii_case("name")
        && is.eq_ignore_ascii_case("is")
        && !is_condition(words, at);
    if !found {
        return None;
    }
    let reading = if *is == "IS" {
        Reading::WithoutCase
    } else {
        Reading::Lenient
    };
    read_name(rest, reading)
}

fn after_i_am(words: &[&str], at: usize) -> Option<String> {
    if is_condition(words, at) {
        return None;
    }
    let (trigger, rest) = match words.get(at..)? {
        [i, am, rest @ ..] if ends_with_word(i, "i") && am.eq_ignore_ascii_case("am") => {
            (*am, rest)
        }
        [im, rest @ ..] if ends_with_word(im, "i'm") || ends_with_word(im, "i’m") => (*im, rest),
        _ => return None,
    };
    // "I AM GOING": all is in capitals, so nothing shows which word is a name.
    if trigger.ends_with('M') {
        return None;
    }
    read_name(rest, Reading::Strict)
}

/// "if I am Bob" introduces nobody.
fn is_condition(words: &[&str], at: usize) -> bool {
    at.checked_sub(1)
        .and_then(|before| words.get(before))
        .is_some_and(|word| AFTER_CONDITION.contains(&word.to_lowercase().as_str()))
}

/// Whether `word` is `expected` (lower case) with at most punctuation, or text of a script without
/// spaces and case, before it.
fn ends_with_word(word: &str, expected: &str) -> bool {
    let Some(start) = word.len().checked_sub(expected.len()) else {
        return false;
    };
    let (Some(before), Some(end)) = (word.get(..start), word.get(start..)) else {
        return false;
    };
    let apart = before.chars().next_back().is_none_or(|last| {
        !last.is_alphanumeric() && last != '\'' && last != '’' || is_without_case(last)
    });
    apart && end.to_lowercase() == expected
}

/// Reads a name from the beginning of `words`.
fn read_name(words: &[&str], reading: Reading) -> Option<String> {
    let mut reading = reading;
    let mut name: Vec<String> = Vec::new();
    // After "J." a sentence may end or the name may go on.
    let mut may_end = false;
    for raw in words {
        let word = Word::parse(raw, name.is_empty())?;
        if word.text.is_empty() {
            break;
        }
        let lower = word.text.to_lowercase();
        let lenient_start = name.is_empty() && reading == Reading::Lenient;
        let capital = is_capitalised(&word.text);
        let particle = PARTICLES.contains(&lower.as_str());
        if lenient_start && !capital && !particle {
            reading = Reading::WithoutCase;
        }
        let could_be_name =
            capital && reading != Reading::WithoutCase && ALSO_NAMES.contains(&lower.as_str());
        if NO_NAMES.contains(&uncontracted(&lower)) && !could_be_name {
            break;
        }
        if lower.ends_with("'s") {
            return None;
        }
        match reading {
            Reading::Strict => {
                let no_name = name.is_empty() && NATIONS_AND_TRADES.contains(&lower.as_str());
                let phrase =
                    word.text.chars().all(is_han) && word.text.chars().count() > MAX_HAN_CHARS;
                if no_name || phrase {
                    return None;
                }
                if !capital && !particle {
                    if may_end {
                        break;
                    }
                    return None;
                }
            }
            Reading::Lenient if !capital && !particle => break,
            Reading::Lenient | Reading::WithoutCase => {}
        }
        name.push(word.text);
        let limit = match reading {
            Reading::WithoutCase => MAX_NAME_WORDS_WITHOUT_CASE,
            Reading::Strict | Reading::Lenient => MAX_NAME_WORDS,
        };
        if name.len() > limit {
            return None;
        }
        if word.ends_name {
            break;
        }
        may_end = word.may_end_name;
    }
    finished(name, reading)
}

/// The words of a name as one text, if they make a name.
fn finished(mut name: Vec<String>, reading: Reading) -> Option<String> {
    let is_particle = |word: &String| PARTICLES.contains(&word.as_str());
    if reading != Reading::WithoutCase {
        while name.last().is_some_and(is_particle) {
            name.pop();
        }
    }
    let name = name.join(" ");
    let name = name.trim_end_matches(|c: char| !c.is_alphabetic() && !is_mark(c));
    let letters = name.chars().filter(|c| c.is_alphabetic()).count();
    (letters >= *NAME_CHARS.start() && NAME_CHARS.contains(&name.chars().count()))
        .then(|| name.to_owned())
}

/// One word of what may be a name.
struct Word {
    /// Only letters, `.`, `'` and `-`; empty when the name ends before this word.
    text: String,
    /// The name ends with this word.
    ends_name: bool,
    /// The name may end with this word or go on.
    may_end_name: bool,
}

impl Word {
    /// None: with such a word it is no name at all ("Bob2").
    fn parse(raw: &str, first: bool) -> Option<Self> {
        let raw = if first {
            raw.trim_start_matches(|c: char| !c.is_alphanumeric())
        } else {
            raw
        };
        let end = raw.find(|c: char| !is_name_char(c)).unwrap_or(raw.len());
        let (text, rest) = raw.split_at(end);
        if rest
            .chars()
            .next()
            .is_some_and(|c| c.is_numeric() || c == '_' || c == '@')
        {
            return None;
        }
        let text = text.replace('’', "'");
        let bare = text.trim_end_matches(['.', '\'', '-']);
        // Two sentences without a space between them.
        if let Some((head, tail)) = bare.split_once('.')
            && head.chars().count() > 1
            && !tail.is_empty()
        {
            return Some(Word {
                text: head.to_owned(),
                ends_name: true,
                may_end_name: false,
            });
        }
        let dotted = text[bare.len()..].starts_with('.');
        let title = TITLES.contains(&bare.to_lowercase().as_str());
        let initials = bare.split('.').all(|part| part.chars().count() == 1);
        let abbreviated = dotted && rest.is_empty() && (title || initials);
        Some(Word {
            text: if abbreviated {
                format!("{bare}.")
            } else {
                bare.to_owned()
            },
            ends_name: !abbreviated && bare.len() < raw.len(),
            may_end_name: abbreviated,
        })
    }
}

/// `we` of `we'll`.
fn uncontracted(word: &str) -> &str {
    ["'d", "'ll", "'m", "'re", "'s", "'ve"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending))
        .unwrap_or(word)
}

fn is_name_char(character: char) -> bool {
    character.is_alphabetic()
        || is_mark(character)
        || is_joiner(character)
        || matches!(character, '.' | '\'' | '’' | '-')
}

fn is_han(character: char) -> bool {
    matches!(character, '\u{4e00}'..='\u{9fff}')
}

fn is_without_case(character: char) -> bool {
    character.is_alphabetic() && !character.is_lowercase() && !character.is_uppercase()
}

/// `Ada`, `O'Brien`, `d'Arc`, `al-Farsi`, and words of scripts without case.
fn is_capitalised(word: &str) -> bool {
    let starts = |part: &str| {
        part.chars()
            .next()
            .is_some_and(|first| first.is_uppercase() || is_without_case(first))
    };
    starts(word)
        || word
            .split_once(['\'', '-'])
            .is_some_and(|(_, part)| starts(part))
}
