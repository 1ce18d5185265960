//! The tables. The rule: whatever the store relies on is checked, and what is wrong is said by the table's name.

use analytics_tests::dynamodb_local::{self, fresh_tables};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use lambda_trigger::dynamodb::{TablesError, check_tables, create_tables};

#[tokio::test]
async fn tables_that_were_made_pass_the_check() {
    let local = dynamodb_local::shared().await.expect("DynamoDB Local runs");
    let (client, tables) = (local.client(), fresh_tables());
    let missing = check_tables(&client, &tables).await;
    assert!(matches!(&missing, Err(TablesError::Missing(name)) if name == tables.counters()), "{missing:?}");
    create_tables(&client, &tables).await.expect("the tables are made");
    create_tables(&client, &tables).await.expect("tables that exist are left alone");
    check_tables(&client, &tables).await.expect("the tables are as they must be");
}

#[tokio::test]
async fn a_table_of_another_shape_is_named() {
    let local = dynamodb_local::shared().await.expect("DynamoDB Local runs");
    let client = local.client();
    let sdk = Client::new(&dynamodb_local::config(local.port()));

    let tables = fresh_tables();
    make(&sdk, tables.counters(), &[("pk", ScalarAttributeType::S), ("sk", ScalarAttributeType::S)]).await;
    create_tables(&client, &tables).await.expect("the others are made");
    named(check_tables(&client, &tables).await, tables.counters(), "stream");

    let tables = fresh_tables();
    make(&sdk, tables.idempotency(), &[("id", ScalarAttributeType::B)]).await;
    create_tables(&client, &tables).await.expect("the others are made");
    named(check_tables(&client, &tables).await, tables.idempotency(), "key must be id");

    let tables = fresh_tables();
    create_tables(&client, &tables).await.expect("the tables are made");
    sdk.delete_table().table_name(tables.presence()).send().await.expect("it is deleted");
    make(&sdk, tables.presence(), &[("pk", ScalarAttributeType::S), ("proxy", ScalarAttributeType::S)]).await;
    named(check_tables(&client, &tables).await, tables.presence(), "time to live");
}

#[tokio::test]
async fn an_unreachable_dynamodb_says_so() {
    let local = dynamodb_local::DynamoLocal::start(None).await.expect("DynamoDB Local starts");
    let (client, tables) = (local.client(), fresh_tables());
    local.kill().expect("it is killed");
    for result in [check_tables(&client, &tables).await, create_tables(&client, &tables).await] {
        assert!(matches!(&result, Err(TablesError::Failed { table, .. }) if table == tables.counters()), "{result:?}");
    }
}

async fn make(sdk: &Client, name: &str, keys: &[(&str, ScalarAttributeType)]) {
    let mut request = sdk.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for ((attribute, kind), role) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        let definition = AttributeDefinition::builder().attribute_name(*attribute).attribute_type(kind.clone());
        let element = KeySchemaElement::builder().attribute_name(*attribute).key_type(role);
        request = request
            .attribute_definitions(definition.build().expect("a whole definition"))
            .key_schema(element.build().expect("a whole element"));
    }
    request.send().await.expect("the table is made");
}

fn named(result: Result<(), TablesError>, table: &str, what: &str) {
    let error = result.expect_err("the table is of another shape").to_string();
    assert!(error.contains(table) && error.contains(what), "{error}");
}
