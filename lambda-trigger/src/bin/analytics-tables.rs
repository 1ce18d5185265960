//! `analytics-tables`: makes the tables on a DynamoDB of this machine, and checks them anywhere. The rule: in an account
//! tables are deployed, with backups and alarms, and never made by a program.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use aws_config::BehaviorVersion;
use clap::{Parser, Subcommand};
use lambda_trigger::dynamodb::{DynamoClient, Tables, check_tables, create_tables};
use lambda_trigger::settings;

/// Makes or checks the tables of the counters.
///
/// AWS's own variables (AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB, …) count as always.
#[derive(Parser)]
#[command(name = "analytics-tables", version, max_term_width = 120)]
struct Settings {
    /// What the names of the tables begin with. Default analytics.
    #[arg(long, env = "ANALYTICS_TABLE_PREFIX", value_name = "PREFIX", global = true)]
    table_prefix: Option<String>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Clone, Copy)]
enum Task {
    /// Makes the tables that do not exist. Only with an AWS_ENDPOINT_URL_DYNAMODB on this machine.
    Create,
    /// Says whether the tables are there, in the shape that the programs rely on: after a restore, before a deployment.
    /// Needs dynamodb:DescribeTable and dynamodb:DescribeTimeToLive.
    Check,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let result = settings::tables(&settings.table_prefix)
        .map_err(anyhow::Error::from)
        .and_then(|(prefix, tables)| run(settings.task, &tables).map(|done| println!("the tables {prefix}-* {done}")));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("analytics-tables: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task, tables: &Tables) -> anyhow::Result<&'static str> {
    if matches!(task, Task::Create) {
        ensure!(
            settings::dynamodb_is_local(),
            "AWS_ENDPOINT_URL_DYNAMODB names no DynamoDB on this machine; in an account, infra/template.yaml makes the tables"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        let client = DynamoClient::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
        match task {
            Task::Create => create_tables(&client, tables).await.map(|()| "are there"),
            Task::Check => check_tables(&client, tables).await.map(|()| "are as they must be"),
        }
        .map_err(anyhow::Error::from)
    })
}
