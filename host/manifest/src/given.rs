//! What whoever starts the host gave for variables: options, the environment, and a `.env` file, with the
//! contents of the files that values name. What the values mean is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

use crate::env_file::EnvFile;
use crate::variable_source::{VariableFileError, VariableSource, expand, read_set};
use crate::variables::environment_names;

/// Values for variables, each from where it was given. Values are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GivenVariables {
    options: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    unknown: Vec<String>,
}

/// A value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// A file that was named cannot be used.
    #[error(transparent)]
    File(#[from] VariableFileError),
    /// A value in the environment is no text. Taken for not set it could leave an app without its keys.
    #[error("the value of {name} in the environment is not UTF-8 text: write it anew")]
    NotText {
        /// Its name.
        name: String,
    },
}

impl GivenVariables {
    /// Reads the options in their order, of which the last one for a variable counts, and the environment,
    /// of which only the names that can set one of `variables` are looked at. What the environment does not
    /// have, `env_file` may have. A value `@FILE` is that file's content.
    ///
    /// # Errors
    /// A file cannot be used, or a value is no text.
    pub fn read<'a>(
        variables: impl IntoIterator<Item = &'a str>,
        options: &[VariableSource],
        environment: impl Fn(&str) -> Option<OsString>,
        env_file: &EnvFile,
    ) -> Result<Self, GivenError> {
        let mut given = Self::default();
        for option in options {
            given.options.extend(read_set(option)?);
        }
        let names: BTreeSet<String> = variables.into_iter().flat_map(environment_names).collect();
        let in_file = env_file.read()?;
        let folder = env_file.path().parent();
        for name in &names {
            let value = match environment(name) {
                Some(value) => {
                    let text = value
                        .into_string()
                        .map_err(|_| GivenError::NotText { name: name.clone() })?;
                    expand(&format!("{name} in the environment"), &text, None)?
                }
                None => match in_file.get(name) {
                    Some(value) => {
                        let place = format!("{name} in {}", env_file.path().display());
                        expand(&place, value, folder)?
                    }
                    None => continue,
                },
            };
            given.environment.insert(name.clone(), value);
        }
        given.unknown = in_file
            .into_keys()
            .filter(|name| !names.contains(name))
            .collect();
        Ok(given)
    }

    /// Values of options, by the names of variables.
    pub fn options(&self) -> &BTreeMap<String, String> {
        &self.options
    }

    /// The value of a name in the environment, such as `SPIN_VARIABLE_ASR_MODEL` or `ASR_MODEL`.
    pub fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    /// Names in the `.env` file that set none of the variables.
    pub fn unknown_in_file(&self) -> &[String] {
        &self.unknown
    }
}

impl fmt::Debug for GivenVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenVariables")
            .field("options", &self.options.keys())
            .field("environment", &self.environment.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::path::Path;

    use super::*;

    const VARIABLES: [&str; 2] = ["api_keys", "model"];

    /// What is given with these options, this environment and this `.env`, in a folder with two files.
    fn given(
        options: &[&str],
        environment: &[(&str, &str)],
        env_file: &str,
    ) -> Result<GivenVariables, String> {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let at = |text: &str| text.replace("FOLDER", folder.path().to_str().unwrap());
        put("keys", "from-file\n");
        put("set.toml", "model = \"m-set\"\napi_keys = \"k-set\"\n");
        let env_file = EnvFile::IfThere(put(".env", &at(env_file)));
        let options: Vec<VariableSource> = options
            .iter()
            .map(|option| at(option).parse().unwrap())
            .collect();
        let environment = |name: &str| {
            let found = environment.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(at(value)))
        };
        GivenVariables::read(VARIABLES, &options, environment, &env_file)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_read_wherever_it_is_named() {
        let option = given(&["api_keys=@FOLDER/keys"], &[], "").unwrap();
        assert_eq!(option.options()["api_keys"], "from-file");
        for name in ["SPIN_VARIABLE_API_KEYS", "API_KEYS"] {
            let environment = given(&[], &[(name, "@FOLDER/keys")], "").unwrap();
            let value = environment.environment(name);
            assert_eq!(value.as_deref(), Some("from-file"));
            // Beside the file that names it.
            for text in ["@keys", "@FOLDER/keys"] {
                let file = given(&[], &[], &format!("{name}={text}")).unwrap();
                assert_eq!(file.environment(name).as_deref(), Some("from-file"));
            }
        }
    }

    #[test]
    fn of_two_options_the_last_one_counts() {
        let set = given(&["model=m", "@FOLDER/set.toml"], &[], "").unwrap();
        assert_eq!(set.options()["model"], "m-set");
        let one = given(&["@FOLDER/set.toml", "model=m"], &[], "").unwrap();
        assert_eq!(one.options()["model"], "m");
        assert_eq!(one.options()["api_keys"], "k-set");
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let both = given(
            &[],
            &[("MODEL", "m-1")],
            "MODEL=m-2\nAPI_KEYS=k-2\nMODLE=x\n",
        )
        .unwrap();
        assert_eq!(both.environment("MODEL").as_deref(), Some("m-1"));
        assert_eq!(both.environment("API_KEYS").as_deref(), Some("k-2"));
        assert_eq!(both.environment("MODLE"), None);
        assert_eq!(both.unknown_in_file(), ["MODLE"]);
    }

    #[test]
    fn only_names_of_variables_are_looked_at() {
        let given = given(&[], &[("EDITOR", "@FOLDER/missing")], "").unwrap();
        assert_eq!(given.environment("EDITOR"), None);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_where_it_was_given() {
        for (options, environment, file, place) in [
            (
                &["api_keys=@FOLDER/none"][..],
                &[][..],
                "",
                "--variable api_keys: ",
            ),
            (
                &[],
                &[("SPIN_VARIABLE_API_KEYS", "@FOLDER/none")],
                "",
                "SPIN_VARIABLE_API_KEYS in the environment: ",
            ),
            (&[], &[], "API_KEYS=@none", "API_KEYS in /"),
        ] {
            let error = given(options, environment, file).unwrap_err();
            assert!(error.starts_with(place), "{error}");
            assert!(
                error.contains("none cannot be read: No such file"),
                "{error}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_not_taken_for_none() {
        use std::os::unix::ffi::OsStringExt;

        let environment =
            |name: &str| (name == "API_KEYS").then(|| OsString::from_vec(vec![b'k', 0xff]));
        let none = EnvFile::IfThere(Path::new("no/such").to_owned());
        let error = GivenVariables::read(VARIABLES, &[], environment, &none).unwrap_err();
        assert!(error.to_string().contains("API_KEYS"), "{error}");
    }

    #[test]
    fn values_are_not_shown() {
        let given = given(&["api_keys=hush"], &[("MODEL", "hush")], "").unwrap();
        let shown = format!("{given:?}");
        assert!(
            shown.contains("api_keys") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
