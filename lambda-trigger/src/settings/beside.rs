//! Variables of other programs that an environment may hold besides those of the relay. The rule: it is every variable of
//! `analytics-proxy` and of the function, for the container image, the emulator and a shell start several programs
//! with the same ones; a name that none of them has is misspelt.

/// The variables of `analytics-proxy` that the relay has no use for; those of the function are among them.
pub const OF_THE_PROXY: [&str; 35] = [
    "ANALYTICS_ADMIN_ADDR",
    "ANALYTICS_ALLOWED_ORIGINS",
    "ANALYTICS_API_PORT",
    "ANALYTICS_BIND",
    "ANALYTICS_DATA_DIR",
    "ANALYTICS_DRAIN_SECONDS",
    "ANALYTICS_FEED",
    "ANALYTICS_HANDSHAKE_TIMEOUT_MS",
    "ANALYTICS_HEARTBEAT_INTERVAL_MS",
    "ANALYTICS_HEARTBEAT_TIMEOUT_MS",
    "ANALYTICS_IO_URING",
    "ANALYTICS_JWT_ALGORITHMS",
    "ANALYTICS_JWT_AUDIENCE",
    "ANALYTICS_JWT_ISSUER",
    "ANALYTICS_JWT_SECRET",
    "ANALYTICS_MAX_BODY_BYTES",
    "ANALYTICS_MAX_CONNECTIONS",
    "ANALYTICS_MAX_CONNECTIONS_PER_IP",
    "ANALYTICS_MAX_CONTENT_IDS",
    "ANALYTICS_MAX_MESSAGE_BYTES",
    "ANALYTICS_MESSAGES_PER_SECOND",
    "ANALYTICS_MODE",
    "ANALYTICS_PERFORMANCE_CONFIG",
    "ANALYTICS_SIMULATE",
    "ANALYTICS_SIMULATION_INTERVAL_MS",
    "ANALYTICS_STORE",
    "ANALYTICS_STORE_EPOCH",
    "ANALYTICS_TLS_CERT",
    "ANALYTICS_TLS_KEY",
    "ANALYTICS_TLS_PORT",
    "ANALYTICS_TRIGGER_URL",
    "ANALYTICS_TRUSTED_PROXIES",
    "ANALYTICS_UPSTREAM",
    "ANALYTICS_WORKERS",
    "ANALYTICS_WS_PORT",
];

/// The variables of programs that are used from a shell: the replay and the tests.
pub const OF_THE_SHELL: [&str; 5] =
    ["ANALYTICS_DATA", "ANALYTICS_TOKEN", "ANALYTICS_PROXY_BIN", "ANALYTICS_TEST_SEED", "ANALYTICS_TEST_TLS"];

/// The variables that only `stream-relay` has.
pub const OF_THE_RELAY: [&str; 2] = ["ANALYTICS_NATS_MAX_BYTES", "ANALYTICS_NATS_REPLICAS"];
