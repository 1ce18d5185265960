//! The template as JSON. The rule: a short intrinsic (`!Sub x`) becomes its long form (`{"Fn::Sub": x}`), so that what
//! the template says can be compared as a whole.

use std::path::Path;

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// `infra/template.yaml`.
pub(super) fn template() -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/template.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let documents = Yaml::load_from_str(&text)?;
    json(documents.first().context("the template is empty")?)
}

fn json(node: &Yaml<'_>) -> Result<Value> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::String(value)) => Value::from(value.as_ref()),
        Yaml::Sequence(nodes) => Value::Array(nodes.iter().map(json).collect::<Result<_>>()?),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (name, value) in entries {
                let name = name.as_str().context("a name is no text")?;
                object.insert(name.to_owned(), json(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, inner) => {
            let name = match tag.suffix.as_str() {
                short @ ("Ref" | "Condition") => short.to_owned(),
                short => format!("Fn::{short}"),
            };
            Value::Object(Map::from_iter([(name, json(inner)?)]))
        }
        // CloudFormation does not take anchors and aliases.
        other => bail!("the template has a node that CloudFormation does not take: {other:?}"),
    })
}
