//! `docs/r2.md` lists the settings as they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use blob_store::SETTINGS;

#[test]
fn the_page_has_every_setting() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/r2.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: Vec<String> = SETTINGS
        .iter()
        .map(|setting| {
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let (name, allowed, meaning) = (setting.name, setting.allowed, setting.meaning);
            let secret = if setting.secret { " Secret." } else { "" };
            format!("| `{name}` | {default} | {allowed} | {meaning}{secret} |")
        })
        .collect();
    let rows = rows.join("\n");
    let named = page.matches("| `S3_").count() + page.matches("| `BLOB_STORE").count();
    assert!(page.contains(&rows), "write into docs/r2.md:\n{rows}");
    assert_eq!(named, SETTINGS.len(), "settings that are none any more");
}
