//! Arguments as a POSIX shell reads them back, for commands that a user is shown.

use crate::printable::printable;

/// The argument, in quotes where it needs them.
#[must_use]
pub fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    // What a terminal obeys cannot be shown as it is: such a name has to be typed by hand.
    format!("'{}'", printable(argument).replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_shell_reads_it_back() {
        assert_eq!(quoted("a/b-c.wav"), "a/b-c.wav");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
    }
}
