//! Overrides of a built-in configuration from a JSON file. The rule: what is not named stays, and whatever is
//! unknown or out of bounds is refused with the path of its key.
//!
//! The file has the shape in which the configuration is served, any part of it left out. A name under `weights`
//! that is not a type yet becomes one, and then needs all four weights.

use serde_json::{Map, Value};

use super::{PerMetric, PerformanceConfig, Thresholds, TrendingCriteria};
use crate::{Field, Id, version::MAX_SAFE};

/// The largest weight: any proportion can be said with it, and sums stay far from infinity.
const MAX_WEIGHT: f64 = 1_000_000.0;

const METRICS: [&str; 4] = ["views", "likes", "shares", "comments"];

/// Why overrides are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// The text is not JSON.
    #[error("the performance configuration is not JSON: {0}")]
    NotJson(String),
    /// A key is unknown or its value not allowed.
    #[error("{key} {problem}")]
    Key {
        /// The path of the key from the top, joined with dots.
        key: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

impl PerformanceConfig {
    /// This configuration with the values that a JSON text names in place of its own.
    pub fn with_overrides(mut self, json_text: &str) -> Result<PerformanceConfig, InvalidConfig> {
        let json: Value = serde_json::from_str(json_text).map_err(|error| InvalidConfig::NotJson(error.to_string()))?;
        let top = Section::new(String::new(), &json)?;
        top.only(&["thresholds", "defaultWeights", "weights", "trending"])?;
        top.within("thresholds", |section| set_thresholds(section, &mut self.thresholds))?;
        top.within("defaultWeights", |section| set_weights(section, &mut self.default_weights))?;
        top.within("weights", |section| self.set_types(section))?;
        top.within("trending", |section| set_trending(section, &mut self.trending))?;
        Ok(self)
    }

    fn set_types(&mut self, section: &Section<'_>) -> Result<(), InvalidConfig> {
        for name in section.fields.keys() {
            if Id::new(name).is_err() {
                return Err(section.refuse(name, format!("must be a content type: {}", crate::id::ALLOWED)));
            }
            section.within(name, |weights| {
                let known = self.weights.get(name).copied();
                if known.is_none()
                    && let Some(missing) = METRICS.into_iter().find(|metric| !weights.fields.contains_key(*metric))
                {
                    return Err(weights.refuse(missing, "must be given, because the content type is a new one"));
                }
                let mut merged = known.unwrap_or(PerMetric { views: 0.0, likes: 0.0, shares: 0.0, comments: 0.0 });
                set_weights(weights, &mut merged)?;
                self.weights.insert(name.clone(), merged);
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn set_thresholds(section: &Section<'_>, target: &mut PerMetric<Thresholds>) -> Result<(), InvalidConfig> {
    section.only(&METRICS)?;
    for field in Field::ALL {
        section.within(field.name(), |metric| {
            let Thresholds { average, good, excellent, top } = target.get_mut(field);
            metric.only(&["average", "good", "excellent", "top"])?;
            metric.integer("average", average)?;
            metric.integer("good", good)?;
            metric.integer("excellent", excellent)?;
            metric.integer("top", top)?;
            for (name, value, below, bound) in [
                ("good", *good, "average", *average),
                ("excellent", *excellent, "good", *good),
                ("top", *top, "excellent", *excellent),
            ] {
                if value <= bound {
                    return Err(metric.refuse(name, format!("({value}) must be greater than {below} ({bound})")));
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn set_weights(section: &Section<'_>, target: &mut PerMetric<f64>) -> Result<(), InvalidConfig> {
    section.only(&METRICS)?;
    for field in Field::ALL {
        section.number(field.name(), MAX_WEIGHT, target.get_mut(field))?;
    }
    if Field::ALL.into_iter().all(|field| *target.get(field) == 0.0) {
        return Err(InvalidConfig::Key { key: section.path.clone(), problem: "must not be 0 for every metric".into() });
    }
    Ok(())
}

fn set_trending(section: &Section<'_>, target: &mut TrendingCriteria) -> Result<(), InvalidConfig> {
    section.only(&["windowMs", "minimumGain", "minimumGrowth"])?;
    section.integer("windowMs", &mut target.window_ms)?;
    section.number("minimumGrowth", MAX_WEIGHT, &mut target.minimum_growth)?;
    section.within("minimumGain", |gains| {
        gains.only(&METRICS)?;
        Field::ALL.into_iter().try_for_each(|field| gains.integer(field.name(), target.minimum_gain.get_mut(field)))
    })
}

/// An object of the file and the path that leads to it.
struct Section<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    fn new(path: String, value: &'a Value) -> Result<Section<'a>, InvalidConfig> {
        match value.as_object() {
            Some(fields) => Ok(Section { path, fields }),
            None => {
                let key = if path.is_empty() { "the performance configuration".into() } else { path };
                Err(InvalidConfig::Key { key, problem: "must be an object".into() })
            }
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn refuse(&self, key: &str, problem: impl Into<String>) -> InvalidConfig {
        InvalidConfig::Key { key: self.path_of(key), problem: problem.into() }
    }

    /// Refuses every key that is not listed.
    fn only(&self, known: &[&str]) -> Result<(), InvalidConfig> {
        match self.fields.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.refuse(key, format!("is unknown; here belong {}", known.join(", ")))),
        }
    }

    /// Runs `set` on the object under a key if it is there.
    fn within(
        &self,
        key: &str,
        set: impl FnOnce(&Section<'a>) -> Result<(), InvalidConfig>,
    ) -> Result<(), InvalidConfig> {
        match self.fields.get(key) {
            None => Ok(()),
            Some(value) => set(&Section::new(self.path_of(key), value)?),
        }
    }

    fn integer(&self, key: &str, target: &mut u64) -> Result<(), InvalidConfig> {
        let Some(value) = self.fields.get(key) else { return Ok(()) };
        *target = value
            .as_u64()
            .filter(|value| (1..=MAX_SAFE).contains(value))
            .ok_or_else(|| self.refuse(key, format!("must be an integer from 1 to {MAX_SAFE}")))?;
        Ok(())
    }

    fn number(&self, key: &str, max: f64, target: &mut f64) -> Result<(), InvalidConfig> {
        let Some(value) = self.fields.get(key) else { return Ok(()) };
        *target = value
            .as_f64()
            .filter(|value| (0.0..=max).contains(value))
            // Negative zero equals zero, but would be served as "-0.0".
            .map(f64::abs)
            .ok_or_else(|| self.refuse(key, format!("must be a number from 0 to {max}")))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(overrides: Value) -> String {
        match PerformanceConfig::development().with_overrides(&overrides.to_string()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{overrides} was taken"),
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let base = PerformanceConfig::production();
        assert_eq!(base.clone().with_overrides("{}"), Ok(base.clone()));
        let overrides = json!({
            "thresholds": {"views": {"average": 999}, "likes": {}},
            "weights": {"video": {"likes": 0.5}, "podcast": {"views": 1, "likes": 0, "shares": 0, "comments": 0}},
            "trending": {"minimumGain": {"shares": 7}},
        });
        let changed = base.clone().with_overrides(&overrides.to_string()).expect("the overrides are valid");
        let mut expected = base;
        expected.thresholds.views.average = 999;
        expected.weights.get_mut("video").expect("a built-in type").likes = 0.5;
        let podcast = PerMetric { views: 1.0, likes: 0.0, shares: 0.0, comments: 0.0 };
        expected.weights.insert("podcast".into(), podcast);
        expected.trending.minimum_gain.shares = 7;
        assert_eq!(changed, expected);
    }

    #[test]
    fn a_configuration_as_served_is_a_valid_override_that_replaces_all_of_another() {
        for (from, to) in [
            (PerformanceConfig::development(), PerformanceConfig::production()),
            (PerformanceConfig::production(), PerformanceConfig::development()),
        ] {
            let served = serde_json::to_string(&to).expect("plain data");
            assert_eq!(from.with_overrides(&served), Ok(to));
        }
    }

    #[test]
    fn refusals_name_the_key() {
        for (overrides, message) in [
            (json!([]), "the performance configuration must be an object"),
            (json!(null), "the performance configuration must be an object"),
            (json!({"treshold": {}}), "treshold is unknown; here belong thresholds, defaultWeights, weights, trending"),
            (json!({"thresholds": 1}), "thresholds must be an object"),
            (
                json!({"thresholds": {"clicks": {}}}),
                "thresholds.clicks is unknown; here belong views, likes, shares, comments",
            ),
            (
                json!({"thresholds": {"views": {"best": 1}}}),
                "thresholds.views.best is unknown; here belong average, good, excellent, top",
            ),
            (
                json!({"thresholds": {"views": {"good": 200}}}),
                "thresholds.views.excellent (200) must be greater than good (200)",
            ),
            (
                json!({"thresholds": {"views": {"average": 60}}}),
                "thresholds.views.good (50) must be greater than average (60)",
            ),
            (
                json!({"thresholds": {"likes": {"top": 1}}}),
                "thresholds.likes.top (1) must be greater than excellent (40)",
            ),
            (
                json!({"thresholds": {"views": {"average": 0}}}),
                "thresholds.views.average must be an integer from 1 to 9007199254740991",
            ),
            (
                json!({"thresholds": {"views": {"top": 1u64 << 53}}}),
                "thresholds.views.top must be an integer from 1 to 9007199254740991",
            ),
            (
                json!({"thresholds": {"views": {"average": 1.5}}}),
                "thresholds.views.average must be an integer from 1 to 9007199254740991",
            ),
            (
                json!({"thresholds": {"views": {"average": null}}}),
                "thresholds.views.average must be an integer from 1 to 9007199254740991",
            ),
            (json!({"weights": {"video": {"views": -1}}}), "weights.video.views must be a number from 0 to 1000000"),
            (json!({"weights": {"video": {"views": 1e7}}}), "weights.video.views must be a number from 0 to 1000000"),
            (json!({"weights": {"video": {"views": "5"}}}), "weights.video.views must be a number from 0 to 1000000"),
            (
                json!({"weights": {"video": {"clicks": 1}}}),
                "weights.video.clicks is unknown; here belong views, likes, shares, comments",
            ),
            (
                json!({"weights": {"vidoe": {"views": 1}}}),
                "weights.vidoe.likes must be given, because the content type is a new one",
            ),
            (
                json!({"weights": {"video": {"views": 0, "likes": 0, "shares": 0, "comments": -0.0}}}),
                "weights.video must not be 0 for every metric",
            ),
            (
                json!({"defaultWeights": {"views": 0, "likes": 0, "shares": 0, "comments": 0}}),
                "defaultWeights must not be 0 for every metric",
            ),
            (json!({"trending": {"windowMs": 0}}), "trending.windowMs must be an integer from 1 to 9007199254740991"),
            (json!({"trending": {"minimumGrowth": -0.1}}), "trending.minimumGrowth must be a number from 0 to 1000000"),
            (
                json!({"trending": {"minimumGain": {"views": 0}}}),
                "trending.minimumGain.views must be an integer from 1 to 9007199254740991",
            ),
            (
                json!({"trending": {"window": 1}}),
                "trending.window is unknown; here belong windowMs, minimumGain, minimumGrowth",
            ),
        ] {
            assert_eq!(refused(overrides), message);
        }
        assert!(refused(json!({"weights": {"": {}}})).starts_with("weights. must be a content type"));
    }

    #[test]
    fn a_number_that_is_not_finite_is_not_json() {
        for text in ["{\"trending\":{\"minimumGrowth\":1e999}}", "{\"trending\":{\"minimumGrowth\":NaN}}", ""] {
            let refused = PerformanceConfig::development().with_overrides(text);
            assert!(matches!(refused, Err(InvalidConfig::NotJson(_))), "{text}: {refused:?}");
        }
    }
}
