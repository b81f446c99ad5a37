//! The two documents: what they refer to, and their schemas, compiled when they are first needed.
//! Nothing is fetched: a reference that leaves them fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Registry, ValidationError, Validator};
use serde_json::{Map, Value};

/// Where the documents would be: the second refers to the first by its name.
const BASE: &str = "https://gateway.invalid/";
/// Mistakes that are told of one value.
const TOLD: usize = 8;
/// Characters that are shown of a value.
const SHOWN: usize = 300;

/// Both documents.
pub struct Documents {
    openapi: Value,
    asyncapi: Value,
    registry: Registry<'static>,
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Documents {
    /// Reads them.
    ///
    /// # Panics
    /// They are no JSON, or refer to what is not there.
    pub fn new(openapi: &str, asyncapi: &str) -> Self {
        let openapi = with_absolute_references(openapi, "openapi.json");
        let asyncapi = with_absolute_references(asyncapi, "asyncapi.json");
        let registry = Registry::new()
            .add(format!("{BASE}openapi.json"), openapi.clone())
            .and_then(|registry| registry.add(format!("{BASE}asyncapi.json"), asyncapi.clone()))
            .and_then(|registry| registry.prepare())
            .expect("documents whose references lead somewhere");
        Self {
            openapi,
            asyncapi,
            registry,
            compiled: Mutex::default(),
        }
    }

    /// The description of the HTTP API.
    #[cfg(test)]
    pub fn openapi(&self) -> &Value {
        &self.openapi
    }

    /// The description of the frames.
    #[cfg(test)]
    pub fn asyncapi(&self) -> &Value {
        &self.asyncapi
    }

    /// The paths of the HTTP API.
    pub fn paths(&self) -> &Map<String, Value> {
        self.openapi["paths"].as_object().expect("paths")
    }

    /// A response that several operations have.
    pub fn named_response(&self, name: &str) -> &Value {
        &self.openapi["components"]["responses"][name]
    }

    /// A response as an operation lists it, which may be a reference.
    pub fn response<'a>(&'a self, listed: &'a Value) -> &'a Value {
        match listed["$ref"].as_str() {
            None => listed,
            Some(reference) => self.resolve(reference),
        }
    }

    /// The schema of a frame among those that `of` lists.
    pub fn frame_of_type(&self, of: &str, kind: &Value) -> Option<&Value> {
        let schemas = &self.asyncapi["components"]["schemas"];
        let listed = schemas[of]["oneOf"].as_array().expect("a list of frames");
        listed.iter().find(|reference| {
            let schema = self.resolve(reference["$ref"].as_str().expect("a reference"));
            let forms = schema["oneOf"].as_array();
            let form = forms.and_then(|forms| forms.first()).unwrap_or(schema);
            form["properties"]["type"]["const"] == *kind
        })
    }

    /// Checks a value against a schema of these documents. The error says where it is wrong, and shows
    /// what is there.
    pub fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let validator = self.validator(schema);
        let mut told = Vec::new();
        for error in validator.iter_errors(value) {
            tell(&error, &mut told);
        }
        match told.is_empty() {
            true => Ok(()),
            false => {
                told.truncate(TOLD);
                Err(told.join("\n  "))
            }
        }
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = compiled.entry(schema.to_string()).or_insert_with(|| {
            let validator = jsonschema::options()
                .with_registry(&self.registry)
                .should_validate_formats(true)
                .build(schema);
            Arc::new(validator.expect("a schema"))
        });
        Arc::clone(validator)
    }

    fn resolve(&self, reference: &str) -> &Value {
        let (document, pointer) = match reference.split_once('#') {
            Some((uri, pointer)) if uri.ends_with("/asyncapi.json") => (&self.asyncapi, pointer),
            Some((_, pointer)) => (&self.openapi, pointer),
            None => panic!("{reference} names a whole document"),
        };
        document
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

/// Schemas are compiled one by one, away from their document: their references have to name it.
fn with_absolute_references(text: &str, name: &str) -> Value {
    let mut document: Value = serde_json::from_str(text).expect("a document is JSON");
    let mut left = vec![&mut document];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                    *reference = match reference.strip_prefix('#') {
                        Some(pointer) => format!("{BASE}{name}#{pointer}"),
                        None => format!("{BASE}{reference}"),
                    };
                }
                left.extend(fields.values_mut());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    document
}

/// One line for a mistake; of alternatives the one that is nearest is told.
fn tell(error: &ValidationError<'_>, told: &mut Vec<String>) {
    let alternatives = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context.as_slice()
        }
        _ => &[],
    };
    let nearest = alternatives
        .iter()
        .filter(|errors| !errors.is_empty())
        .min_by_key(|errors| distance(error, errors));
    if let Some(errors) = nearest {
        for error in errors {
            tell(error, told);
        }
        return;
    }
    let shown: String = error.instance().to_string().chars().take(SHOWN).collect();
    told.push(format!(
        "at {:?}: {} (value: {shown})",
        error.instance_path().to_string(),
        error.masked_with("it"),
    ));
}

/// How far a value is from an alternative: another kind of value is further than any mistake within.
fn distance(whole: &ValidationError<'_>, errors: &[ValidationError<'_>]) -> usize {
    const ANOTHER_KIND: usize = 1000;
    let is_other = |error: &&ValidationError<'_>| {
        error.instance_path() == whole.instance_path()
            && matches!(error.kind(), ValidationErrorKind::Type { .. })
    };
    errors.len() + ANOTHER_KIND * errors.iter().filter(is_other).count()
}
