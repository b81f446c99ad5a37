//! `docs/settings.md`, rendered from the table.

use std::fmt::Write;

use crate::table::{ALL, Row};

/// How the file is written anew.
pub const COMMAND: &str =
    "cargo run --quiet --package interview-settings --example settings-page > docs/settings.md";

/// The whole page.
#[must_use]
pub fn render() -> String {
    let mut page = format!(
        "<!-- Rendered from the table in components/domain/settings; a test compares the two. Write it\n\
         anew with: {COMMAND} -->\n\n{HEAD}"
    );
    for row in ALL {
        // Writing into a String does not fail.
        let _ = writeln!(page, "{}", line(*row));
    }
    page.push_str(TAIL);
    page
}

fn line(row: &dyn Row) -> String {
    let default = match row.default() {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let mark = match (row.is_original(), row.is_secret()) {
        (true, true) => "original, secret",
        (true, false) => "original",
        (false, true) => "new, secret",
        (false, false) => "new",
    };
    format!(
        "| `{}` | {default} | {} | {} | {mark} |",
        row.name().to_ascii_uppercase(),
        row.allowed(),
        row.meaning()
    )
}

const HEAD: &str = r#"# Settings

Each is an environment variable of the host, with or without `SPIN_VARIABLE_` before its name (with it
wins), or `--variable name=value`, which wins over both:

```sh
ASR_MODEL=fun-asr-realtime ASR_MAX_SENTENCE_SILENCE=800 cargo up
```

A value `@FILE` is the content of that file, of at most 64 KiB, without the end of its last line: secrets
need not be on a command line or in the environment. `--variable @FILE.toml` (or `.json`) gives several, texts
by their names in lower case. A file that is missing, empty or too large ends the start with its name.

```sh
GATEWAY_API_KEYS=@/run/secrets/keys cargo up -- --variable aliyun_dashscope_api_key=@/run/secrets/asr
```

A file `.env` beside `spin.toml` is read too, as Spin reads it (`NAME=value` in each line), for names that the
environment does not have; `--env-file` names another one. It is for these settings and those of the stores
([r2.md](r2.md), [redis.md](redis.md), [durability.md](durability.md)), not for options of the host; a name
in it that is none of them is named in the log. A relative `@FILE` in it is beside it, anywhere else in the
working directory.

All are read and checked before the host takes a request. White space around a value does not count; a
value that is empty counts as not set. A value that is not allowed ends the start with status 1 and a
line on standard error for each such setting: its name, its value, what is allowed.

```text
error: component 'audio-stream' refuses to start:
  ASR_TIMEOUT_MS is "45s": write a whole number from 1 to 600000
  ASR_HOP_SECONDS is "12": write a whole number from 1 to 10, which is ASR_WINDOW_SECONDS
```

A changed setting is seen by the next start. The value of a secret is never shown: not in such a line,
not in the log, not by `/health`.

| setting | default | allowed | meaning | |
|---|---|---|---|---|
"#;

const TAIL: &str = r#"
`original`: the gateway that this one replaces has it, with this name, default and meaning. `new`: it
has not.

## What ASR_DEBUG_LOG_EVENTS logs

For each event of the ASR service its name (`task-started`, `result-generated`, ...), the task it
belongs to, and its times; never what was said, and neither audio nor keys. The log of a gateway may be
read by people who may not read the interviews.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_the_table() {
        for row in ALL {
            let line = line(*row);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(line.matches('|').count(), 6, "{line}");
        }
    }
}
