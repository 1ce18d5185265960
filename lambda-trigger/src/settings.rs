//! Settings as texts, and what several programs have in common. The rule: a variable is read by one code in every
//! program, so that the parts of a deployment cannot understand it differently; and an error names the variable, what
//! it holds (unless it is a secret) and what is allowed.
//!
//! | file | subject |
//! |---|---|
//! | [`beside`] | variables of the programs beside one |
//! | `calls` | who may call and what is answered |
//! | `nats` | where NATS is |
//! | `tables` | which tables in DynamoDB |

pub mod beside;

mod calls;
mod nats;
mod tables;

use std::fmt::Display;
use std::str::FromStr;

pub use calls::{CallSettings, Calls};
pub use nats::NatsSettings;
pub use tables::{TableSettings, dynamodb_is_local, tables};

/// A setting that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct InvalidSetting {
    /// The environment variable; the flag has the same name in lower case.
    pub variable: String,
    /// What it holds and what is allowed.
    pub problem: String,
}

/// The variables of this process that begin like ours and are neither the program's nor one of `others`: a misspelt
/// setting must not go unseen.
pub fn unknown_variables(
    program: &clap::Command,
    others: &[&str],
    names: impl Iterator<Item = String>,
) -> Vec<InvalidSetting> {
    let known: Vec<_> = program.get_arguments().filter_map(|argument| argument.get_env()).collect();
    let ours = names.filter(|name| name.starts_with("ANALYTICS_"));
    let unknown =
        ours.filter(|name| !known.iter().any(|known| *known == name.as_str()) && !others.contains(&name.as_str()));
    unknown
        .map(|variable| InvalidSetting { variable, problem: "is not a setting of this program; see --help".to_owned() })
        .collect()
}

/// A setting's text; an empty one counts as unset.
pub fn text(setting: &Option<String>) -> Option<&str> {
    setting.as_deref().filter(|text| !text.is_empty())
}

/// A setting's value, if there is one; `must_be` says what is allowed.
///
/// # Errors
/// The text is no value.
pub fn parse<T: FromStr<Err: Display>>(
    variable: &str,
    setting: &Option<String>,
    must_be: &str,
) -> Result<Option<T>, InvalidSetting> {
    let Some(text) = text(setting) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| refuse(variable, text, &format!("{must_be} ({error})")))
}

/// A setting's number, if there is one.
///
/// # Errors
/// The text is no integer from `min` to `max`.
pub fn number(
    variable: &str,
    setting: &Option<String>,
    min: usize,
    max: usize,
) -> Result<Option<usize>, InvalidSetting> {
    let must_be = format!("an integer from {min} to {max}");
    let Some(text) = text(setting) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.map(Some).ok_or_else(|| refuse(variable, text, &must_be))
}

/// The refusal of a value that is no secret.
pub fn refuse(variable: &str, held: &str, must_be: &str) -> InvalidSetting {
    InvalidSetting { variable: variable.to_owned(), problem: format!("is {held:?}; it must be {must_be}") }
}
