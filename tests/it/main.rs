//! End-to-end tests: everything that crosses a crate's border. The rule: each test starts what it needs on free ports,
//! waits for conditions instead of times, and states in its first line the promise that it holds the edge to.

mod churn;
mod configuration;
mod convergence;
mod crash;
mod dynamodb_store;
mod embedded_store;
mod exactly_once;
mod faults;
mod foreign_clients;
mod forward;
mod frames;
mod golden;
mod http_contract;
mod isolation;
mod lambda;
mod lifecycle;
mod limits;
mod messages;
mod nats_feed;
mod nats_permissions;
mod origins;
mod performance_vectors;
mod plugin;
mod presence;
mod relay;
mod replay;
mod serverless;
mod shared_properties;
mod store_suite;
mod streams;
mod subscription;
mod template;
mod tokens;
mod totals;
mod upstream;
