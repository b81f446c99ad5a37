//! docs/reliability.md says which test shows what, and which constant bounds it. Names change: here they
//! are held against the sources. It knows the form of that page's tables and nothing of what is true.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::build::workspace;

/// The faults of the list.
const FAULTS: std::ops::RangeInclusive<u32> = 1..=34;
/// Where sources are.
const SOURCES: [&str; 4] = ["components", "host", "tests", "tools"];
const COLUMNS: usize = 5;

/// A row of a fault.
struct Row {
    number: u32,
    limits: Vec<(String, String)>,
    tests: Vec<(String, String)>,
}

fn rows() -> Vec<Row> {
    let page = fs::read_to_string(workspace().join("docs/reliability.md")).expect("the page");
    let row = |line: &str| {
        let cells: Vec<_> = line
            .strip_prefix('|')?
            .strip_suffix('|')?
            .split('|')
            .collect();
        let number = cells.first()?.trim().parse().ok()?;
        assert_eq!(cells.len(), COLUMNS, "{line}");
        Some(Row {
            number,
            limits: names(cells[3]),
            tests: names(cells[4]),
        })
    };
    page.lines().filter_map(row).collect()
}

/// The names that a cell has, each with the file that was named last before it.
fn names(cell: &str) -> Vec<(String, String)> {
    let mut file = None;
    let mut names = Vec::new();
    for text in cell.split('`').skip(1).step_by(2) {
        if text.ends_with(".rs") {
            file = Some(text);
        } else if let Some(file) = file
            && !is_of_the_operator(text, cell)
        {
            names.push((file.to_owned(), text.to_owned()));
        }
    }
    names
}

/// Settings and options stand behind such a word, up to the next semicolon.
fn is_of_the_operator(name: &str, cell: &str) -> bool {
    cell.split(';').any(|part| {
        let part = part.trim();
        let is_theirs = ["setting ", "settings ", "option ", "options "]
            .iter()
            .any(|word| part.starts_with(word));
        is_theirs && !part.contains(".rs`") && part.contains(&format!("`{name}`"))
    })
}

/// Every source by its path in the workspace.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut sources = BTreeMap::new();
    let mut folders: Vec<_> = SOURCES.iter().map(|name| workspace().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                sources.insert(path, text);
            }
        }
    }
    sources
}

/// The one source whose path ends so.
fn find<'a>(sources: &'a BTreeMap<PathBuf, String>, file: &str) -> Result<&'a String, String> {
    let ends_so = |(path, _): &(&PathBuf, &String)| path.ends_with(Path::new(file));
    let found: Vec<_> = sources.iter().filter(ends_so).collect();
    match found.as_slice() {
        [(_, text)] => Ok(text),
        found => Err(format!("{file} is {} sources", found.len())),
    }
}

#[test]
fn every_fault_has_a_row() {
    let numbers: Vec<_> = rows().iter().map(|row| row.number).collect();
    assert_eq!(numbers, FAULTS.collect::<Vec<_>>());
}

#[test]
fn the_tests_and_limits_that_the_table_names_are_in_the_sources() {
    let sources = sources();
    let mut wrong = Vec::new();
    for row in rows() {
        let number = row.number;
        if row.tests.is_empty() {
            wrong.push(format!("{number} has no test"));
        }
        let tests = row
            .tests
            .iter()
            .map(|(file, test)| (file, format!("fn {test}(")));
        let limits = row
            .limits
            .iter()
            .map(|(file, limit)| (file, format!("const {limit}:")));
        for (file, item) in tests.chain(limits) {
            match find(&sources, file) {
                Ok(text) if text.contains(&item) => {}
                Ok(_) => wrong.push(format!("{number}: {file} has no `{item}`")),
                Err(why) => wrong.push(format!("{number}: {why}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_test_of_a_fault_is_in_the_row_of_its_number() {
    let rows = rows();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for line in text.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            let name = line
                .strip_prefix("fn fault_")
                .and_then(|line| line.split('(').next());
            let Some(name) = name else { continue };
            let numbers = name.split('_').map_while(|part| part.parse::<u32>().ok());
            // Some tests are about two; other figures stand behind a word.
            for number in numbers.filter(|number| FAULTS.contains(number)) {
                let test = format!("fault_{name}");
                let row = rows.iter().find(|row| row.number == number);
                let is_there = |(file, named): &(String, String)| {
                    *named == test && path.ends_with(Path::new(file))
                };
                if !row.is_some_and(|row| row.tests.iter().any(is_there)) {
                    wrong.push(format!("{number}: {test} of {}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// docs/limits.md names tests and constants too, each behind its file.
#[test]
fn the_tests_and_constants_that_the_page_of_limits_names_are_in_the_sources() {
    let page = fs::read_to_string(workspace().join("docs/limits.md")).expect("the page");
    let sources = sources();
    // That page is held against the settings elsewhere.
    let settings = fs::read_to_string(workspace().join("docs/settings.md")).expect("the settings");
    let (mut file, mut wrong, mut found) = (None, Vec::new(), 0);
    for text in page.split('`').skip(1).step_by(2) {
        let is_word = |of: fn(char) -> bool| text.chars().all(|letter| of(letter) || letter == '_');
        if text.ends_with(".rs") {
            file = Some(text);
            continue;
        }
        if settings.contains(&format!("| `{text}` |")) {
            continue;
        }
        let item = if is_word(|letter| letter.is_ascii_uppercase()) && !text.starts_with("HOST_") {
            format!("const {text}:")
        } else if text.matches('_').count() > 3
            && !text.ends_with("_total")
            && is_word(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        {
            format!("fn {text}(")
        } else {
            continue;
        };
        found += 1;
        match file.map(|file| (file, find(&sources, file))) {
            Some((_, Ok(text))) if text.contains(&item) => {}
            Some((file, Ok(_))) => wrong.push(format!("{file} has no `{item}`")),
            Some((_, Err(why))) => wrong.push(why),
            None => wrong.push(format!("no file before `{item}`")),
        }
    }
    assert!(wrong.is_empty() && found > 30, "{found}: {wrong:#?}");
}
