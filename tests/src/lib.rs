//! The harness of the end-to-end tests, and the replay of real input. The rule: everything here meets the edge as
//! its users do, through the process, its sockets and its contract; nothing reaches inside.
//!
//! | file | subject |
//! |---|---|
//! | [`edge`] | the process under test: start, kill, restart, logs, memory |
//! | [`log`] | what the process said, and where it listens |
//! | [`hosted`] | an edge inside the test's own process, over any store and stream |
//! | [`own_tls`] | a host of such an edge that ends TLS by itself |
//! | [`dynamodb_local`] | a real DynamoDB Local |
//! | [`lambda`] | the real emulator of Lambda, with the workspace's functions |
//! | [`program`] | a program of the workspace, run as it is |
//! | [`nats`] | a real nats-server, alone or as hub and leaf |
//! | [`port`] | ports for servers that come back |
//! | [`stack`] | the production shape as one value, every part of it killable |
//! | [`viewer`] | a page that connects again whenever it is cut |
//! | [`hop`] | a TCP hop that can be cut |
//! | [`http`] | one keep-alive HTTP/1.1 connection |
//! | [`api`] | the calls of the contract over it |
//! | [`socket`] | a WebSocket client that remembers and checks what it is shown |
//! | [`memory`] | what a client remembers of counters, within and across connections |
//! | [`raw`] | a WebSocket at the level of bytes, for frames that no client would send |
//! | [`line`] | a connection, plain or by TLS |
//! | [`certificate`] | a certificate, and clients that trust it |
//! | [`tls_client`] | a TLS client at the level of bytes |
//! | [`token`] | tokens, good and bad |
//! | [`upstream`] | the platform that stands behind the edge |
//! | [`stand_in`] | what may stand in the place of the function that calls are forwarded to |
//! | [`tls`] | a hop that ends TLS |
//! | [`fault_hop`] | what fails between a store and DynamoDB |
//! | [`wait`] | waiting for a condition, with a deadline |
//! | [`input`] | the real input files as increments |
//! | [`replay`] | posts them |

pub mod api;
pub mod certificate;
pub mod dynamodb_local;
pub mod edge;
pub mod fault_hop;
pub mod hop;
pub mod hosted;
pub mod http;
pub mod input;
pub mod lambda;
pub mod line;
pub mod log;
pub mod memory;
pub mod nats;
pub mod own_tls;
pub mod port;
pub mod program;
pub mod raw;
pub mod replay;
pub mod socket;
pub mod stack;
pub mod stand_in;
pub mod tls;
pub mod tls_client;
pub mod token;
pub mod upstream;
pub mod viewer;
pub mod wait;
