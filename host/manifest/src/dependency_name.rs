//! Names of component dependencies and which imports they satisfy.

use std::fmt;

use semver::Version;

/// The left side of an entry of `[component.<id>.dependencies]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DependencyName {
    /// A plain import name, such as `transform`.
    Plain(String),
    /// A package or one of its interfaces: `ns:pkg`, `ns:pkg@1.0.0`, `ns:pkg/iface`,
    /// `ns:pkg/iface@1.0.0`.
    Package {
        /// `ns:pkg`.
        package: String,
        /// `iface`; none means every interface of the package.
        interface: Option<String>,
        /// None means any version.
        version: Option<Version>,
    },
}

/// The name is not one of the forms of [`DependencyName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{name}\" is no name of a dependency ({why}); write \"namespace:package\", \
     \"namespace:package/interface@1.0.0\" or a plain import name"
)]
pub struct DependencyNameError {
    name: String,
    why: String,
}

impl DependencyName {
    /// Reads a name.
    ///
    /// # Errors
    /// It has none of the forms above.
    pub fn parse(name: &str) -> Result<Self, DependencyNameError> {
        let fail = |why: String| DependencyNameError {
            name: name.to_owned(),
            why,
        };
        if !name.contains([':', '/', '@']) {
            label(name).map_err(fail)?;
            return Ok(Self::Plain(name.to_owned()));
        }
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => {
                let version = Version::parse(version)
                    .map_err(|error| fail(format!("the version: {error}")))?;
                (path, Some(version))
            }
            None => (name, None),
        };
        let (package, interface) = match path.split_once('/') {
            Some((package, interface)) => {
                label(interface).map_err(|why| fail(format!("the interface: {why}")))?;
                (package, Some(interface.to_owned()))
            }
            None => (path, None),
        };
        let (namespace, package_name) = package
            .split_once(':')
            .ok_or_else(|| fail("it has no namespace".to_owned()))?;
        label(namespace).map_err(|why| fail(format!("the namespace: {why}")))?;
        label(package_name).map_err(|why| fail(format!("the package: {why}")))?;
        Ok(Self::Package {
            package: package.to_owned(),
            interface,
            version,
        })
    }

    /// Whether this dependency satisfies the import `import` of a component, by Spin's rule: the
    /// package must be equal, and so must interface and version where this name has them.
    pub fn matches(&self, import: &str) -> bool {
        match (self, Self::parse(import)) {
            (Self::Plain(own), Ok(Self::Plain(import))) => *own == import,
            (
                Self::Package {
                    package,
                    interface,
                    version,
                },
                Ok(Self::Package {
                    package: import_package,
                    interface: Some(import_interface),
                    version: import_version,
                }),
            ) => {
                *package == import_package
                    && interface
                        .as_ref()
                        .is_none_or(|own| *own == import_interface)
                    && (version.is_none() || *version == import_version)
            }
            _ => false,
        }
    }

    /// Whether one import could be satisfied by both names.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(a), Self::Plain(b)) => a == b,
            (
                Self::Package {
                    package: package_a,
                    interface: interface_a,
                    version: version_a,
                },
                Self::Package {
                    package: package_b,
                    interface: interface_b,
                    version: version_b,
                },
            ) => {
                package_a == package_b
                    && both_equal_or_one_open(interface_a.as_ref(), interface_b.as_ref())
                    && both_equal_or_one_open(
                        version_a.as_ref().map(compatible_series).as_ref(),
                        version_b.as_ref().map(compatible_series).as_ref(),
                    )
            }
            _ => false,
        }
    }
}

impl fmt::Display for DependencyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Package {
                package,
                interface,
                version,
            } => {
                f.write_str(package)?;
                if let Some(interface) = interface {
                    write!(f, "/{interface}")?;
                }
                if let Some(version) = version {
                    write!(f, "@{version}")?;
                }
                Ok(())
            }
        }
    }
}

fn both_equal_or_one_open<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

/// The versions that WIT takes to be the same interface: equal up to the first number that is not 0.
fn compatible_series(version: &Version) -> Version {
    let mut series = version.clone();
    series.build = semver::BuildMetadata::EMPTY;
    if series.pre.is_empty() {
        if series.major > 0 {
            series.minor = 0;
        }
        if series.major > 0 || series.minor > 0 {
            series.patch = 0;
        }
    }
    series
}

/// A kebab-case name of the component model.
fn label(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    for word in text.split('-') {
        if !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err("every word between hyphens starts with a letter".to_owned());
        }
        if !word.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err("only letters, digits and hyphens are allowed".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> DependencyName {
        DependencyName::parse(text).unwrap()
    }

    #[test]
    fn a_name_matches_what_it_leaves_open() {
        for (own, import) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.0"),
            ("foo:bar/baz", "foo:bar/baz@0.1.0"),
            ("foo:bar/baz", "foo:bar/baz"),
            ("foo:bar", "foo:bar/baz@0.1.0"),
            ("foo:bar", "foo:bar/baz"),
            ("foo:bar@0.1.0", "foo:bar/baz@0.1.0"),
            ("foo-bar", "foo-bar"),
        ] {
            assert!(name(own).matches(import), "{own} {import}");
        }
        for (own, import) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.1"),
            ("foo:bar/baz@0.1.0", "foo:bar/baz"),
            ("foo:bar/qux", "foo:bar/baz@0.1.0"),
            ("foo:bar@0.2.0", "foo:bar/baz@0.1.0"),
            ("foo:baz", "foo:bar/baz"),
            ("foo:bar", "bar"),
            ("foo-bar", "foo:bar/baz"),
            ("foo:bar", "not an import"),
        ] {
            assert!(!name(own).matches(import), "{own} {import}");
        }
    }

    #[test]
    fn overlapping_names_could_satisfy_one_import() {
        for (a, b) in [
            ("foo:bar", "foo:bar/baz"),
            ("foo:bar@1.0.0", "foo:bar/baz"),
            ("foo:bar@1.0.0", "foo:bar@1.2.0"),
            ("foo:bar@0.1.0", "foo:bar@0.1.5"),
        ] {
            assert!(
                name(a).overlaps(&name(b)) && name(b).overlaps(&name(a)),
                "{a} {b}"
            );
        }
        for (a, b) in [
            ("foo:bar/a", "foo:bar/b"),
            ("foo:bar@0.1.0", "foo:bar@0.2.0"),
            ("foo:bar@0.0.1", "foo:bar@0.0.2"),
            ("foo:bar@1.0.0-rc1", "foo:bar@1.0.0"),
            ("foo:bar", "foo:baz"),
            ("foo", "foo:bar"),
        ] {
            assert!(!name(a).overlaps(&name(b)), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [
            "",
            "foo:",
            ":bar",
            "foo:bar/",
            "foo:bar@1",
            "foo/bar",
            "fo o",
            "foo@1.0.0",
        ] {
            let error = DependencyName::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("namespace:package"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_read_is_shown_as_it_was(text in "[a-z:/@0-9.-]{0,24}") {
            if let Ok(name) = DependencyName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
