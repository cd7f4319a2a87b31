//! What a token may be used for.

use std::fmt;
use std::str::FromStr;

/// One thing that a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// See sweeps, results, workers and metrics.
    Read,
    /// Submit, steer and cancel sweeps, and import checkpoints. Includes `read`.
    Submit,
    /// Be a worker: lease, report, and exchange artifacts.
    Work,
    /// Everything, tokens included.
    Admin,
}

impl Scope {
    /// All, from the least.
    pub const ALL: [Self; 4] = [Self::Read, Self::Submit, Self::Work, Self::Admin];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Work => "work",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// True where whoever has this scope may do all that `other` stands for.
    pub fn includes(self, other: Self) -> bool {
        self == other || self == Self::Admin || (self == Self::Submit && other == Self::Read)
    }
}

/// The scopes of a token: at least one, each once. Written `read,work`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

/// A list of scopes that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// No such scope.
    #[error("`{0}` is no scope; there are read, submit, work and admin")]
    Unknown(String),
    /// None was given.
    #[error("a token needs at least one scope: read, submit, work or admin")]
    Empty,
}

impl Scopes {
    /// Those scopes, in order and each once.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopesError> {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() { Err(ScopesError::Empty) } else { Ok(Self(scopes)) }
    }

    /// Everything.
    pub fn all() -> Self {
        Self(vec![Scope::Admin])
    }

    /// True when one of them includes one of `any_of`.
    pub fn allow(&self, any_of: &[Scope]) -> bool {
        self.0.iter().any(|mine| any_of.iter().any(|&needed| mine.includes(needed)))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|scope| scope.name())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Scopes {
    type Err = ScopesError;

    fn from_str(text: &str) -> Result<Self, ScopesError> {
        let scopes = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let scopes = scopes.map(|name| Scope::from_name(name).ok_or_else(|| ScopesError::Unknown(name.to_owned())));
        Self::new(scopes.collect::<Result<Vec<_>, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_back_in_order_and_wrong_ones_are_named() {
        let scopes: Scopes = "work, read,work".parse().unwrap();
        assert_eq!(scopes.to_string(), "read,work");
        assert_eq!("root".parse::<Scopes>().unwrap_err(), ScopesError::Unknown("root".into()));
        assert_eq!(" , ".parse::<Scopes>().unwrap_err(), ScopesError::Empty);
    }

    #[test]
    fn admin_includes_all_submit_includes_read_and_work_nothing_else() {
        for other in Scope::ALL {
            assert!(Scope::Admin.includes(other));
            assert_eq!(Scope::Read.includes(other), other == Scope::Read);
            assert_eq!(Scope::Work.includes(other), other == Scope::Work);
            assert_eq!(Scope::Submit.includes(other), matches!(other, Scope::Submit | Scope::Read));
        }
    }
}
