//! What is wrong with the settings, and where it is written.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a value is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In `config/default.toml`, which is built in.
    BuiltIn,
    /// In a file of the user.
    File {
        /// The file, as the user named it.
        path: PathBuf,
        /// The line, counted from 1; absent where the whole file is meant.
        line: Option<usize>,
    },
    /// In an environment variable.
    Env(String),
    /// In a flag that sets this field.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag(field) => write!(f, "flag {field}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is written.
    pub origin: Origin,
    /// The dotted name of the field; empty where a whole file is meant.
    pub field: String,
    /// What is wrong and what to do about it. Never holds a secret.
    pub message: String,
}

impl Problem {
    /// The file that it is written in, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The line that it is written on, if it is in a file.
    pub const fn line(&self) -> Option<usize> {
        match self.origin {
            Origin::File { line, .. } => line,
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, in the order of the sources; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Wraps what was found, each thing once; `None` where nothing was.
    pub fn of(found: Vec<Problem>) -> Option<Self> {
        let mut once: Vec<Problem> = Vec::with_capacity(found.len());
        for problem in found {
            if !once.contains(&problem) {
                once.push(problem);
            }
        }
        (!once.is_empty()).then_some(Self(once))
    }

    /// One problem.
    pub fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// The problems.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
