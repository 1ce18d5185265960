//! Who may call the handler, and what its answers are made with. The rule: production without a way to verify tokens is
//! refused, whatever else is set.

use std::fmt::Display;

use analytics_shared::performance::PerformanceConfig;
use analytics_shared::token::{Expectations, Verifier};

use super::{InvalidSetting, number, parse, refuse, text};
use crate::auth::Mode;
use crate::cors::Origins;
use crate::handler::MAX_BODY_BYTES;

/// The settings as they are given.
#[derive(clap::Args, Clone)]
pub struct CallSettings {
    /// development trusts whoever calls; production wants a token from everybody. Default: development for a proxy
    /// that binds nothing but loopback (any other must be told), production for the Lambda function.
    #[arg(long, env = "ANALYTICS_MODE", value_name = "MODE")]
    mode: Option<String>,
    /// Secret of HS256 tokens, at least 32 bytes. Required in production.
    #[arg(long, env = "ANALYTICS_JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    jwt_secret: Option<String>,
    /// Algorithms allowed: HS256.
    #[arg(long, env = "ANALYTICS_JWT_ALGORITHMS", value_name = "LIST")]
    jwt_algorithms: Option<String>,
    /// The `iss` that tokens must have. Default: any.
    #[arg(long, env = "ANALYTICS_JWT_ISSUER", value_name = "TEXT")]
    jwt_issuer: Option<String>,
    /// The `aud` that tokens must name. Default: none, and tokens that name one are refused.
    #[arg(long, env = "ANALYTICS_JWT_AUDIENCE", value_name = "TEXT")]
    jwt_audience: Option<String>,
    /// Pages that may call: a comma-separated list of scheme://host[:port], scheme://*.domain or *. Default: any in
    /// development, pages of this host in production.
    #[arg(long, env = "ANALYTICS_ALLOWED_ORIGINS", value_name = "LIST")]
    allowed_origins: Option<String>,
    /// The largest body of a call, in bytes. Default 1048576.
    #[arg(long, env = "ANALYTICS_MAX_BODY_BYTES", value_name = "N")]
    max_body_bytes: Option<String>,
    /// A JSON file of performance thresholds that replace the defaults of the mode, in whole or in part.
    #[arg(long, env = "ANALYTICS_PERFORMANCE_CONFIG", value_name = "FILE")]
    performance_config: Option<String>,
}

/// The settings as they hold.
#[derive(Debug)]
pub struct Calls {
    /// Whom the process serves.
    pub mode: Mode,
    /// How tokens are verified; there always is one in production.
    pub verifier: Option<Verifier>,
    /// Which pages may call; `None` leaves it to the mode ([`Origins::unset`]).
    pub origins: Option<Origins>,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// How scores and ratings are made.
    pub performance: PerformanceConfig,
}

impl CallSettings {
    /// Whether a mode was chosen.
    pub fn names_mode(&self) -> bool {
        text(&self.mode).is_some()
    }

    /// Checks everything and puts it together.
    ///
    /// # Errors
    /// A variable that does not hold what it must.
    pub fn resolve(&self, default: Mode) -> Result<Calls, InvalidSetting> {
        let mode = match text(&self.mode) {
            None => default,
            Some("development") => Mode::Development,
            Some("production") => Mode::Production,
            Some(other) => return Err(refuse("ANALYTICS_MODE", other, "development or production")),
        };
        let origins = "a comma-separated list of scheme://host[:port], scheme://*.domain or *";
        Ok(Calls {
            mode,
            origins: parse("ANALYTICS_ALLOWED_ORIGINS", &self.allowed_origins, origins)?,
            max_body_bytes: number("ANALYTICS_MAX_BODY_BYTES", &self.max_body_bytes, 1024, 1 << 30)?
                .unwrap_or(MAX_BODY_BYTES),
            performance: self.performance(mode)?,
            verifier: self.verifier(mode)?,
        })
    }

    fn performance(&self, mode: Mode) -> Result<PerformanceConfig, InvalidSetting> {
        let defaults = mode.performance();
        let Some(path) = text(&self.performance_config) else { return Ok(defaults) };
        let invalid = |problem: &dyn Display| InvalidSetting {
            variable: "ANALYTICS_PERFORMANCE_CONFIG".to_owned(),
            problem: format!("names {path:?}: {problem}"),
        };
        let overrides = std::fs::read_to_string(path).map_err(|error| invalid(&error))?;
        defaults.with_overrides(&overrides).map_err(|error| invalid(&error))
    }

    fn verifier(&self, mode: Mode) -> Result<Option<Verifier>, InvalidSetting> {
        let algorithms = text(&self.jwt_algorithms).unwrap_or("HS256");
        if algorithms.split(',').any(|algorithm| algorithm.trim() != "HS256") {
            return Err(refuse("ANALYTICS_JWT_ALGORITHMS", algorithms, "HS256"));
        }
        let expected = Expectations {
            issuer: text(&self.jwt_issuer).map(str::to_owned),
            audience: text(&self.jwt_audience).map(str::to_owned),
        };
        let secret = |problem: String| InvalidSetting { variable: "ANALYTICS_JWT_SECRET".to_owned(), problem };
        match text(&self.jwt_secret) {
            None if mode == Mode::Production => {
                Err(secret("must be set in production: without it no token can be verified".to_owned()))
            }
            None => Ok(None),
            Some(value) => Verifier::hs256(value.as_bytes(), expected)
                .map(Some)
                .map_err(|weak| secret(format!("is not strong enough: {weak}"))),
        }
    }
}
