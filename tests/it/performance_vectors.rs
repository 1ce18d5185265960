//! `shared/vectors/performance.json`: configurations, inputs and outputs for every language that scores. The rule:
//! the file is what this code computes, and cases worked out by hand hold this code to the documented formula.
//!
//! `UPDATE_VECTORS=1 cargo test -p analytics-tests performance_vectors` writes the file anew.
//!
//! Its shape: `configs` by name, each as it is served; `overrides`, how those that are not built in come about
//! (`base` plus `overrides`); `scores`, `unknownTypes` and `trending` with the name of a config, inputs and
//! outputs. A `type` of `null` is none given.

use std::collections::BTreeMap;

use analytics_shared::performance::{self, PerformanceConfig, Rating, RecentChange};
use analytics_shared::{Counts, Field};
use serde::Serialize;
use serde_json::{Value, json};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/performance.json");

const LARGEST: u64 = (1 << 53) - 1;

/// Numbers that no decimal fraction is kind to, a new type, and a metric that counts for nothing.
const OVERRIDES: &str = r#"{
    "thresholds": {"views": {"average": 7, "good": 61, "excellent": 997, "top": 9007199254740991}},
    "defaultWeights": {"views": 0.1, "likes": 0.2, "shares": 0.3, "comments": 0.7},
    "weights": {
        "video": {"comments": 0.333},
        "podcast": {"views": 1, "likes": 0, "shares": 0, "comments": 0}
    },
    "trending": {"windowMs": 7000, "minimumGain": {"views": 3}, "minimumGrowth": 0.3}
}"#;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    configs: BTreeMap<&'static str, PerformanceConfig>,
    overrides: BTreeMap<&'static str, Overridden>,
    scores: Vec<Scored>,
    unknown_types: Vec<Unknown>,
    trending: Vec<Trend>,
}

#[derive(Serialize)]
struct Overridden {
    base: &'static str,
    overrides: Value,
}

#[derive(Serialize)]
struct Scored {
    config: &'static str,
    #[serde(rename = "type")]
    content_type: Option<String>,
    counts: BTreeMap<&'static str, u64>,
    score: f64,
    rating: Rating,
}

#[derive(Serialize)]
struct Unknown {
    config: &'static str,
    #[serde(rename = "type")]
    content_type: &'static str,
    known: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trend {
    config: &'static str,
    before: BTreeMap<&'static str, u64>,
    after: BTreeMap<&'static str, u64>,
    elapsed_ms: u64,
    trending: bool,
}

fn configs() -> BTreeMap<&'static str, PerformanceConfig> {
    let overridden = PerformanceConfig::development().with_overrides(OVERRIDES).expect("the overrides are valid");
    BTreeMap::from([
        ("development", PerformanceConfig::development()),
        ("production", PerformanceConfig::production()),
        ("overridden", overridden),
    ])
}

fn named(counts: &Counts) -> BTreeMap<&'static str, u64> {
    Field::ALL.into_iter().map(|field| (field.name(), counts.get(field))).collect()
}

/// Counts at, just below and just above every threshold of every metric, alone and together; and far from all.
fn interesting_counts(config: &PerformanceConfig) -> Vec<Counts> {
    let served = serde_json::to_value(config).expect("plain data");
    let threshold = |field: Field, name: &str| served["thresholds"][field.name()][name].as_u64().expect("an integer");
    let mut all = vec![Counts::from_array([0; 4]), Counts::from_array([1; 4]), Counts::from_array([LARGEST; 4])];
    all.push(Counts::from_array([LARGEST, 0, 0, 0]));
    all.push(Counts::from_array([LARGEST - 1, 1, LARGEST / 3, 2]));
    all.push(Counts::from_array([123, 17, 4, 9]));
    all.push(Counts::from_array([98_765, 4_321, 210, 33]));
    for name in ["average", "good", "excellent", "top"] {
        all.push(Counts::from_array(Field::ALL.map(|field| threshold(field, name))));
        all.push(Counts::from_array(Field::ALL.map(|field| threshold(field, name) - 1)));
        for field in Field::ALL {
            let at = threshold(field, name);
            for value in [at - 1, at, at.saturating_add(1).min(LARGEST)] {
                let mut values = [0; 4];
                values[field.index()] = value;
                all.push(Counts::from_array(values));
            }
        }
    }
    all
}

/// Changes on both sides of every criterion.
fn interesting_changes(config: &PerformanceConfig) -> Vec<RecentChange> {
    let served = serde_json::to_value(config).expect("plain data");
    let window = served["trending"]["windowMs"].as_u64().expect("an integer");
    let mut all = Vec::new();
    let mut push = |before: [u64; 4], after: [u64; 4], elapsed_ms: u64| {
        let (before, after) = (Counts::from_array(before), Counts::from_array(after));
        all.push(RecentChange { before, after, elapsed_ms });
    };
    push([0; 4], [0; 4], 0);
    push([0; 4], [LARGEST; 4], 0);
    push([0; 4], [LARGEST; 4], LARGEST);
    push([LARGEST; 4], [LARGEST; 4], window);
    push([LARGEST; 4], [0; 4], window);
    for field in Field::ALL {
        let gain = served["trending"]["minimumGain"][field.name()].as_u64().expect("an integer");
        let only = |value: u64| {
            let mut values = [0; 4];
            values[field.index()] = value;
            values
        };
        for gained in [gain - 1, gain, gain + 1] {
            push(only(0), only(gained), window);
            push(only(0), only(gained), 0);
            // Over twice the window half of the gain counts; one millisecond more than a window takes a little.
            push(only(0), only(2 * gained), 2 * window);
            push(only(0), only(gained), window + 1);
            // A tenth more of ten times as much, and of a little more and less than that.
            push(only(10 * gain), only(10 * gain + gained), window);
            push(only(10 * gain + 1), only(10 * gain + 1 + gained), window);
            push(only(10 * gain - 1), only(10 * gain - 1 + gained), window);
        }
    }
    all
}

fn vectors() -> Vectors {
    let configs = configs();
    let (mut scores, mut unknown_types, mut trending) = (Vec::new(), Vec::new(), Vec::new());
    for (name, config) in &configs {
        let mut scored = |content_type: Option<&str>, counts: &Counts| {
            let score = performance::score(counts, content_type, config).expect("the type is known");
            let content_type = content_type.map(str::to_owned);
            scores.push(Scored {
                config: name,
                content_type,
                counts: named(counts),
                score: score.score,
                rating: score.rating,
            });
        };
        for counts in interesting_counts(config) {
            scored(None, &counts);
        }
        for content_type in config.content_types() {
            for counts in [[0; 4], [123, 17, 4, 9], [98_765, 4_321, 210, 33], [5, 0, 3, 1], [LARGEST; 4]] {
                scored(Some(content_type), &Counts::from_array(counts));
            }
        }
        for content_type in ["", "default", "Video", "video ", "__proto__"] {
            let error = performance::score(&Counts::default(), Some(content_type), config);
            let known = error.expect_err("the type is unknown").known;
            unknown_types.push(Unknown { config: name, content_type, known });
        }
        trending.extend(interesting_changes(config).into_iter().map(|change| Trend {
            config: name,
            before: named(&change.before),
            after: named(&change.after),
            elapsed_ms: change.elapsed_ms,
            trending: performance::trending(&change, config),
        }));
    }
    let overrides = serde_json::from_str(OVERRIDES).expect("the overrides are JSON");
    let overrides = BTreeMap::from([("overridden", Overridden { base: "development", overrides })]);
    Vectors { configs, overrides, scores, unknown_types, trending }
}

/// JSON with one case a line, so that a change shows as the cases that it changes.
fn text(vectors: &Vectors) -> String {
    fn line(value: &impl Serialize) -> String {
        serde_json::to_string(value).expect("plain data")
    }
    fn object<T: Serialize>(members: &BTreeMap<&str, T>) -> String {
        let lines: Vec<String> =
            members.iter().map(|(name, value)| format!("{}:{}", line(name), line(value))).collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }
    fn array<T: Serialize>(members: &[T]) -> String {
        let lines: Vec<String> = members.iter().map(line).collect();
        format!("[\n{}\n]", lines.join(",\n"))
    }
    format!(
        "{{\n\"configs\":{},\n\"overrides\":{},\n\"scores\":{},\n\"unknownTypes\":{},\n\"trending\":{}\n}}\n",
        object(&vectors.configs),
        object(&vectors.overrides),
        array(&vectors.scores),
        array(&vectors.unknown_types),
        array(&vectors.trending),
    )
}

#[test]
fn the_file_is_what_the_code_computes() {
    let computed = text(&vectors());
    if std::env::var_os("UPDATE_VECTORS").is_some_and(|value| value == "1") {
        std::fs::write(PATH, &computed).expect("the file can be written");
    }
    let file = std::fs::read_to_string(PATH).expect("the file is there");
    // As values: the order of keys is nobody's business.
    let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("the vectors are JSON");
    let (computed, file) = (parsed(&computed), parsed(&file));
    for part in ["configs", "overrides", "scores", "unknownTypes", "trending"] {
        let cases = |value: &Value| value[part].as_array().cloned().unwrap_or_else(|| vec![value[part].clone()]);
        for (computed, file) in cases(&computed).iter().zip(&cases(&file)) {
            assert_eq!(computed, file, "{part}; UPDATE_VECTORS=1 writes the file anew");
        }
    }
    assert_eq!(computed, file);
}

fn score_of(counts: [u64; 4], content_type: Option<&str>, config: &PerformanceConfig) -> (f64, Rating) {
    let score = performance::score(&Counts::from_array(counts), content_type, config).expect("the type is known");
    (score.score, score.rating)
}

#[test]
fn scores_worked_out_by_hand() {
    let development = PerformanceConfig::development();
    let production = PerformanceConfig::production();
    // Every count at one threshold: that threshold's points and name, whatever the weights.
    assert_eq!(score_of([10, 3, 2, 2], None, &development), (25.0, Rating::Average));
    assert_eq!(score_of([50, 10, 5, 5], Some("video"), &development), (50.0, Rating::Good));
    assert_eq!(score_of([200, 40, 20, 20], Some("post"), &development), (75.0, Rating::Excellent));
    assert_eq!(score_of([1_000, 200, 100, 100], None, &development), (100.0, Rating::Excellent));
    assert_eq!(score_of([1_000, 50, 10, 10], None, &production), (25.0, Rating::Average));
    assert_eq!(score_of([1_000_000, 50_000, 10_000, 10_000], Some("image"), &production), (100.0, Rating::Excellent));
    assert_eq!(score_of([0; 4], None, &production), (0.0, Rating::Poor));
    assert_eq!(score_of([LARGEST; 4], None, &production), (100.0, Rating::Excellent));

    // Views alone, 30 of [10, 50): 25 * (1 + 20 / 40) = 37.5; 4 of 10 of that: 15.
    assert_eq!(score_of([30, 0, 0, 0], None, &development), (15.0, Rating::Poor));
    // A video weighs views 5 of 10: 18.75.
    assert_eq!(score_of([30, 0, 0, 0], Some("video"), &development), (18.75, Rating::Poor));
    // 1 of [0, 3) likes: 25 / 3 = 8.333…; 3 of 10 of that: 2.5. One view: 25 / 10 = 2.5; 4 of 10: 1. Together 3.5.
    assert_eq!(score_of([1, 1, 0, 0], None, &development), (3.5, Rating::Poor));
    // 1 of [0, 3) likes for an article, 2 of 10: 1.666…, rounded to two decimals.
    assert_eq!(score_of([0, 1, 0, 0], Some("article"), &development), (1.67, Rating::Poor));
    // 1 view of 1 000: 25 / 1000 * 0.4 = 0.01. Of a post, 2 of 10: 0.005, and halves go up.
    assert_eq!(score_of([1, 0, 0, 0], None, &production), (0.01, Rating::Poor));
    assert_eq!(score_of([1, 0, 0, 0], Some("post"), &production), (0.01, Rating::Poor));

    // The rating is that of the rounded score. 99 999 views: 25 * (2 + 89999 / 90000) = 74.99972…; 75 for likes,
    // shares and comments: (4 * 74.99972… + 6 * 75) / 10 = 74.99988…, rounded 75.
    assert_eq!(score_of([99_999, 5_000, 1_000, 1_000], None, &production), (75.0, Rating::Excellent));
    // 9 950 views: 25 * (1 + 8950 / 9000) = 49.8611…; with 50 for the rest (4 * 49.8611… + 300) / 10 = 49.9444….
    assert_eq!(score_of([9_950, 500, 100, 100], None, &production), (49.94, Rating::Average));
}

#[test]
fn trends_worked_out_by_hand() {
    let development = PerformanceConfig::development();
    let views = |before: u64, after: u64, elapsed_ms: u64| {
        let [before, after] = [before, after].map(|views| Counts::from_array([views, 0, 0, 0]));
        performance::trending(&RecentChange { before, after, elapsed_ms }, &development)
    };
    // Five views a minute, and a tenth of what there was.
    assert!(views(0, 5, 60_000));
    assert!(!views(0, 4, 60_000));
    assert!(views(50, 55, 60_000));
    assert!(!views(51, 56, 60_000));
    // Five in a second are five a minute at least; nothing is extrapolated from four.
    assert!(views(0, 5, 1_000));
    assert!(!views(0, 4, 1_000));
    assert!(views(0, 5, 0));
    // Ten in two minutes are five a minute; in a millisecond more they are less.
    assert!(views(0, 10, 120_000));
    assert!(!views(0, 10, 120_001));
    // A loss is no trend, and one metric is enough.
    assert!(!views(100, 50, 60_000));
    let change = RecentChange {
        before: Counts::from_array([1_000, 10, 0, 0]),
        after: Counts::from_array([900, 12, 0, 0]),
        elapsed_ms: 60_000,
    };
    assert!(performance::trending(&change, &development));
}

#[test]
fn an_unknown_type_names_the_known_ones() {
    let error = performance::score(&Counts::default(), Some("vidoe"), &PerformanceConfig::development());
    let text = error.expect_err("the type is unknown").to_string();
    assert_eq!(text, "type must be one of article, image, post, product, video");
}

#[test]
fn the_configuration_is_served_in_this_shape() {
    let served = serde_json::to_value(PerformanceConfig::production()).expect("plain data");
    assert_eq!(served["thresholds"]["likes"], json!({"average": 50, "good": 500, "excellent": 5000, "top": 50000}));
    assert_eq!(served["defaultWeights"], json!({"views": 4.0, "likes": 3.0, "shares": 2.0, "comments": 1.0}));
    assert_eq!(served["weights"]["video"], json!({"views": 5.0, "likes": 3.0, "shares": 1.0, "comments": 1.0}));
    let gain = json!({"views": 500, "likes": 50, "shares": 20, "comments": 20});
    assert_eq!(served["trending"], json!({"windowMs": 3600000, "minimumGain": gain, "minimumGrowth": 0.1}));
}
