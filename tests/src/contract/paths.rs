//! Which path of the OpenAPI document a request's path is.

use serde_json::{Map, Value};

/// What the document has for a path.
pub enum Found<'a> {
    /// Its path item.
    Item(&'a Map<String, Value>),
    /// Nothing.
    Nothing,
}

/// The path without its query.
pub fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// The item of a path as it was sent. Of several templates the one with the most literal segments
/// counts, slashes at the end do not, and a parameter is one segment that is not empty.
pub fn find<'a>(paths: &'a Map<String, Value>, path: &str) -> Found<'a> {
    let path = without_query(path).trim_end_matches('/');
    let matching = paths
        .iter()
        .filter(|(template, _)| matches(template, path))
        .max_by_key(|(template, _)| template.split('/').filter(|s| !is_parameter(s)).count());
    match matching.and_then(|(_, item)| item.as_object()) {
        Some(item) => Found::Item(item),
        None => Found::Nothing,
    }
}

/// The methods of an item, sorted, as `Allow` lists them: HEAD goes with GET.
pub fn methods(item: &Map<String, Value>) -> Vec<String> {
    let mut methods: Vec<_> = item
        .keys()
        .map(|method| method.to_ascii_uppercase())
        .collect();
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    methods.sort_unstable();
    methods
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(wanted, given)| wanted == given || (is_parameter(wanted) && !given.is_empty()))
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}
