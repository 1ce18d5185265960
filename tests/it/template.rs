//! The template that deploys production. The rule: what a linter cannot know is held here: tables as the programs make
//! them, permissions as the programs use them, no change ever skipped, no secret in the text.

mod document;

use std::collections::{BTreeMap, BTreeSet};

use analytics_tests::dynamodb_local::{self, fresh_tables};
use analytics_tests::program;
use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{TableDescription, TimeToLiveStatus};
use lambda_trigger::dynamodb::{DynamoOptions, create_tables};
use serde_json::{Map, Value, json};

use document::template;

/// The resources of a type, by name.
fn of_type<'t>(template: &'t Value, kind: &str) -> BTreeMap<&'t str, &'t Value> {
    let all = template["Resources"].as_object().into_iter().flatten();
    all.filter(|(_, resource)| resource["Type"] == kind).map(|(name, resource)| (name.as_str(), resource)).collect()
}

/// Every value in a tree, its own root included.
fn values(tree: &Value) -> Vec<&Value> {
    let below: Vec<&Value> = match tree {
        Value::Array(items) => items.iter().collect(),
        Value::Object(entries) => entries.values().collect(),
        _ => Vec::new(),
    };
    std::iter::once(tree).chain(below.into_iter().flat_map(values)).collect()
}

fn environment<'t>(template: &'t Value, function: &str) -> &'t Map<String, Value> {
    let variables = &template["Resources"][function]["Properties"]["Environment"]["Variables"];
    variables.as_object().expect("the function has variables")
}

/// The variables that a program knows.
fn known(program: &str) -> Result<BTreeSet<String>> {
    let help = program::output(program, &["--help"])?;
    let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    Ok(named.map(str::to_owned).collect())
}

/// Promise: the tables of the template are those that the programs make for themselves, and kept for good.
#[tokio::test]
async fn the_tables_are_those_that_the_programs_make() -> Result<()> {
    let local = dynamodb_local::shared().await?;
    let tables = fresh_tables();
    create_tables(&local.client(), &tables).await?;
    let sdk = Client::new(&dynamodb_local::config(local.port()));
    let template = template()?;
    let deployed = of_type(&template, "AWS::DynamoDB::Table");
    let programs = [
        ("CountersTable", "counters", tables.counters()),
        ("IdempotencyTable", "idempotency", tables.idempotency()),
        ("PresenceTable", "presence", tables.presence()),
    ];
    assert_eq!(deployed.keys().copied().collect::<Vec<_>>(), programs.map(|(resource, ..)| resource));
    for (resource, ending, name) in programs {
        let made = sdk.describe_table().table_name(name).send().await?.table.context("it was made")?;
        let expiry = sdk.describe_time_to_live().table_name(name).send().await?.time_to_live_description;
        let expiry = expiry.filter(|expiry| expiry.time_to_live_status() == Some(&TimeToLiveStatus::Enabled));
        let expires = expiry.as_ref().and_then(|expiry| expiry.attribute_name());
        let deployed = deployed[resource];
        assert_eq!(deployed["Properties"], properties(ending, &made, expires), "{resource}");
        assert_eq!(
            (&deployed["DeletionPolicy"], &deployed["UpdateReplacePolicy"]),
            (&"Retain".into(), &"Retain".into())
        );
    }
    Ok(())
}

/// A table as the template must state it.
fn properties(ending: &str, made: &TableDescription, expires: Option<&str>) -> Value {
    let mut attributes: Vec<(&str, &str)> = made
        .attribute_definitions()
        .iter()
        .map(|attribute| (attribute.attribute_name(), attribute.attribute_type().as_str()))
        .collect();
    let keys: Vec<(&str, &str)> =
        made.key_schema().iter().map(|key| (key.attribute_name(), key.key_type().as_str())).collect();
    // In the order of the keys, which is the template's.
    attributes.sort_by_key(|(name, _)| keys.iter().position(|(key, _)| key == name));
    let billing = made.billing_mode_summary().and_then(|summary| summary.billing_mode());
    let mut properties = json!({
        "TableName": {"Fn::Sub": format!("${{TablePrefix}}-{ending}")},
        "BillingMode": billing.map(|mode| mode.as_str()),
        "AttributeDefinitions": attributes.iter().map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind})).collect::<Value>(),
        "KeySchema": keys.iter().map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})).collect::<Value>(),
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true},
        "DeletionProtectionEnabled": true,
        "SSESpecification": {"SSEEnabled": true, "SSEType": "KMS"},
    });
    if let Some(view) = made.stream_specification().and_then(|stream| stream.stream_view_type()) {
        properties["StreamSpecification"] = json!({"StreamViewType": view.as_str()});
    }
    if let Some(attribute) = expires {
        properties["TimeToLiveSpecification"] = json!({"AttributeName": attribute, "Enabled": true});
    }
    properties
}

/// Promise: the relay skips no record, and its source is exactly this.
#[test]
fn no_record_of_the_stream_is_ever_skipped() -> Result<()> {
    let template = template()?;
    let sources = of_type(&template, "AWS::Lambda::EventSourceMapping");
    let expected = json!({
        "FunctionName": {"Ref": "RelayFunction"},
        "EventSourceArn": {"Fn::If": ["MakesTables", {"Fn::GetAtt": "CountersTable.StreamArn"}, {"Ref": "CountersStreamArn"}]},
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 500,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": true,
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": -1,
    });
    assert_eq!(sources.into_values().map(|source| &source["Properties"]).collect::<Vec<_>>(), [&expected]);
    // An event of SAM's would be a second source, with properties that no linter knows.
    for function in of_type(&template, "AWS::Serverless::Function").into_values() {
        assert!(function["Properties"].get("Events").is_none());
    }
    Ok(())
}

/// Promise: who may do what is this list and nothing else.
#[test]
fn permissions_are_exactly_what_the_programs_need() -> Result<()> {
    let template = template()?;
    let table = |ending: &str| {
        let name = format!("${{TablePrefix}}-{ending}");
        json!({"Fn::Sub": format!("arn:${{AWS::Partition}}:dynamodb:${{AWS::Region}}:${{AWS::AccountId}}:table/{name}")})
    };
    let log = |group: &str| json!({"Fn::GetAtt": format!("{group}.Arn")});
    let write_log = json!(["logs:CreateLogStream", "logs:PutLogEvents"]);
    let stream =
        json!(["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"]);
    let network = json!([
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    ]);
    let expected = [
        ("CallsPolicy", json!(["dynamodb:UpdateItem", "dynamodb:BatchGetItem", "dynamodb:Query"]), table("counters")),
        ("CallsPolicy", json!(["dynamodb:PutItem"]), table("idempotency")),
        ("CallsPolicy", json!(["dynamodb:Query"]), table("presence")),
        ("ProxyPolicy", json!(["dynamodb:BatchGetItem", "dynamodb:Query"]), table("counters")),
        ("ProxyPolicy", json!(["dynamodb:PutItem", "dynamodb:DeleteItem"]), table("presence")),
        ("RelayPolicy", stream, table("counters/stream/*")),
        ("RelayRole", write_log.clone(), log("RelayLog")),
        ("RelayRole", network, json!("*")),
        ("TriggerRole", write_log, log("TriggerLog")),
    ];
    let policies = of_type(&template, "AWS::IAM::ManagedPolicy");
    let roles = of_type(&template, "AWS::IAM::Role");
    let mut found = Vec::new();
    for (name, resource) in policies.into_iter().chain(roles) {
        // How a role is taken on is no permission of its own.
        let mut properties = resource["Properties"].clone();
        let trust = properties.as_object_mut().and_then(|all| all.remove("AssumeRolePolicyDocument"));
        if let Some(trust) = trust {
            let statement = json!([{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]);
            assert_eq!(trust["Statement"], statement, "{name}");
        }
        for statement in values(&properties).into_iter().filter(|value| value.get("Effect").is_some()) {
            assert_eq!(statement["Effect"], "Allow", "{name}");
            let entries = statement.as_object().map(Map::len);
            assert_eq!(entries, Some(4), "{name} has Sid, Effect, Action, Resource and nothing else: {statement}");
            found.push((name, statement["Action"].clone(), statement["Resource"].clone()));
        }
    }
    found.sort_by_key(|(name, ..)| *name);
    assert_eq!(found, expected);
    let attached = |role: &str| template["Resources"][role]["Properties"]["ManagedPolicyArns"].clone();
    assert_eq!(attached("TriggerRole"), json!([{"Ref": "CallsPolicy"}]));
    assert_eq!(attached("RelayRole"), json!([{"Ref": "RelayPolicy"}]));
    // No policy from anywhere else: SAM has shorthands for that, too.
    for (name, function) in of_type(&template, "AWS::Serverless::Function") {
        assert!(function["Properties"].get("Policies").is_none(), "{name}");
        assert!(function["Properties"]["Role"]["Fn::GetAtt"].is_string(), "{name}");
    }
    Ok(())
}

/// Promise: the URL is open to callers without AWS signatures, by both permissions, and nothing else is.
#[test]
fn only_the_url_is_public() -> Result<()> {
    let template = template()?;
    let function = json!({"Ref": "TriggerFunction"});
    let permissions: Vec<&Value> = of_type(&template, "AWS::Lambda::Permission")
        .into_values()
        .map(|permission| &permission["Properties"])
        .collect();
    let both = [
        json!({"FunctionName": function, "Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": true}),
        json!({"FunctionName": function, "Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE"}),
    ];
    assert_eq!(permissions, both.iter().collect::<Vec<_>>());
    let urls: Vec<&Value> =
        of_type(&template, "AWS::Lambda::Url").into_values().map(|url| &url["Properties"]).collect();
    // CORS stays the function's own: two that set the headers would set them twice.
    assert_eq!(urls, [&json!({"TargetFunctionArn": {"Fn::GetAtt": "TriggerFunction.Arn"}, "AuthType": "NONE"})]);
    Ok(())
}

/// Promise: a function knows each of its variables, gets its secrets from Secrets Manager, outlives its own deadlines
/// and keeps its log for a stated time.
#[test]
fn functions_are_configured_for_the_programs_that_they_run() -> Result<()> {
    let template = template()?;
    let functions = of_type(&template, "AWS::Serverless::Function");
    let programs = [("RelayFunction", "stream-relay", "RelayLog"), ("TriggerFunction", "trigger-update", "TriggerLog")];
    assert_eq!(functions.keys().copied().collect::<Vec<_>>(), programs.map(|(function, ..)| function));
    for (function, program, log) in programs {
        let properties = &functions[function]["Properties"];
        assert_eq!(properties["CodeUri"], json!(format!("../target/lambda/{program}/")));
        assert_eq!((&properties["Runtime"], &properties["Handler"]), (&"provided.al2023".into(), &"bootstrap".into()));
        assert_eq!(properties["LoggingConfig"], json!({"LogGroup": {"Ref": log}}));
        let group = &template["Resources"][log];
        assert_eq!(group["Type"], "AWS::Logs::LogGroup");
        assert_eq!(group["Properties"]["RetentionInDays"], json!({"Ref": "LogRetentionDays"}));
        let known = known(program)?;
        for variable in environment(&template, function).keys() {
            assert!(known.contains(variable), "{program} does not know {variable}; it knows {known:?}");
        }
    }
    let deadline = DynamoOptions::new(fresh_tables()).deadline.as_secs();
    let time = template["Resources"]["TriggerFunction"]["Properties"]["Timeout"].as_u64().context("a time-out")?;
    assert!(time > deadline + 2, "{time} s leave no time to answer after the store's {deadline} s");
    let secret =
        |parameter: &str| json!({"Fn::Sub": format!("{{{{resolve:secretsmanager:${{{parameter}}}:SecretString}}}}")});
    assert_eq!(environment(&template, "TriggerFunction")["ANALYTICS_JWT_SECRET"], secret("JwtSecretId"));
    assert_eq!(environment(&template, "TriggerFunction")["ANALYTICS_MODE"], "production");
    assert_eq!(environment(&template, "RelayFunction")["ANALYTICS_NATS_URL"], secret("NatsUrlSecretId"));
    Ok(())
}

/// Promise: every alarm is about a metric that exists, and tells the topic.
#[test]
fn alarms_watch_the_relay_the_calls_and_the_tables() -> Result<()> {
    let template = template()?;
    let actions = json!({"Fn::If": ["TellsSomebody", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]});
    let mut watched = BTreeSet::new();
    for (name, alarm) in of_type(&template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        assert_eq!((&properties["AlarmActions"], &properties["OKActions"]), (&actions, &actions), "{name}");
        assert!(properties["AlarmDescription"].is_string(), "{name}");
        // Silence is normal when nobody counts anything.
        assert_eq!(properties["TreatMissingData"], "notBreaching", "{name}");
        for metric in values(properties).into_iter().filter(|value| value.get("MetricName").is_some()) {
            let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
            let of: Vec<String> = dimensions
                .map(|dimension| {
                    let value = &dimension["Value"];
                    let text = [&value["Ref"], &value["Fn::Sub"], value].into_iter().find_map(Value::as_str);
                    format!("{}={}", dimension["Name"].as_str().unwrap_or("?"), text.unwrap_or("?"))
                })
                .collect();
            let (space, metric) = (metric["Namespace"].as_str(), metric["MetricName"].as_str());
            watched.insert(format!("{}/{} {}", space.unwrap_or("?"), metric.unwrap_or("?"), of.join(" ")));
        }
    }
    let relay = ["Errors", "Invocations", "IteratorAge", "Throttles"].map(|metric| (metric, "RelayFunction"));
    let calls = ["Errors", "Throttles", "Url5xxCount"].map(|metric| (metric, "TriggerFunction"));
    let lambda = relay.into_iter().chain(calls).map(|(metric, of)| format!("AWS/Lambda/{metric} FunctionName={of}"));
    let tables = [
        ("ConsumedWriteCapacityUnits", "counters"),
        ("ReadThrottleEvents", "counters"),
        ("ReadThrottleEvents", "presence"),
        ("SystemErrors", "counters Operation=BatchGetItem"),
        ("SystemErrors", "counters Operation=Query"),
        ("SystemErrors", "counters Operation=TransactWriteItems"),
        ("SystemErrors", "counters Operation=UpdateItem"),
        ("WriteThrottleEvents", "counters"),
        ("WriteThrottleEvents", "idempotency"),
        ("WriteThrottleEvents", "presence"),
    ];
    let tables = tables.map(|(metric, of)| format!("AWS/DynamoDB/{metric} TableName=${{TablePrefix}}-{of}"));
    assert_eq!(watched, lambda.chain(tables).collect());
    Ok(())
}

/// Promise: every parameter says what it is for and is used, and none has a secret as its value.
#[test]
fn parameters_are_explained_and_none_holds_a_secret() -> Result<()> {
    let template = template()?;
    let text = serde_json::to_string(&[&template["Resources"], &template["Conditions"]])?;
    for (name, parameter) in template["Parameters"].as_object().context("the template has parameters")? {
        assert!(parameter["Description"].as_str().is_some_and(|text| text.len() > 15), "{name} is explained");
        let used = [format!("{{\"Ref\":\"{name}\"}}"), format!("${{{name}}}")];
        assert!(used.iter().any(|used| text.contains(used)), "{name} is used");
        // Names of secrets are fine; a secret itself would stand in every deployment's parameters.
        let holds_one = ["secret", "password", "url", "token"].iter().any(|word| name.to_lowercase().contains(word));
        assert!(!holds_one || name.ends_with("SecretId") || name == "SecretsAsOf", "{name}");
    }
    Ok(())
}
