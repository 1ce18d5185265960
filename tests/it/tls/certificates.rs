//! Promise: a certificate is right as a whole or refused with its variable's name, and a renewed one is taken up while the
//! edge runs.

use std::fs;
use std::path::Path;

use analytics_tests::certificate::Certificate;
use analytics_tests::edge::Edge;
use analytics_tests::line::Line;
use analytics_tests::raw::Raw;
use analytics_tests::socket::Socket;
use analytics_tests::wait;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::net::TcpStream;

use super::by_tls;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Promise: a certificate, a key and a port that do not hold together end the process before anything is bound, with the
/// variable's name and what is wrong.
#[tokio::test]
async fn settings_that_do_not_hold_together_are_refused() -> Result<()> {
    let (good, other) = (Certificate::new()?, Certificate::new()?);
    let scratch = tempfile::tempdir()?;
    let file = |name: &str, content: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, content).map(|()| path)
    };
    let key = fs::read_to_string(good.key())?;
    let empty = file("empty", "")?;
    let noise = file("noise", "no certificate, and no key")?;
    let torn = file("torn", &key[..key.len() / 2])?;
    let encrypted =
        file("encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")?;
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n\
               -----END RSA PRIVATE KEY-----\n";
    let old = file("old", old)?;
    let broken = file("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")?;
    let chain = fs::read_to_string(good.chain())?;
    let tail = file("tail", &(chain + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))?;
    let missing = scratch.path().join("missing");
    let (chain, key, other) = (good.chain(), good.key(), other.key());
    const CERT: &str = "ANALYTICS_TLS_CERT";
    const KEY: &str = "ANALYTICS_TLS_KEY";
    const PORT: &str = "ANALYTICS_TLS_PORT";
    let pair =
        |certificate, key| -> Result<Vec<(&str, &str)>> { Ok(vec![(CERT, text(certificate)?), (KEY, text(key)?)]) };
    for (env, variable, wrong) in [
        (vec![(CERT, text(&chain)?)], KEY, "beside ANALYTICS_TLS_CERT"),
        (vec![(KEY, text(&key)?)], CERT, "beside ANALYTICS_TLS_KEY"),
        (vec![(PORT, "3443")], PORT, "unset without"),
        ([pair(&chain, &key)?, vec![(PORT, "99999")]].concat(), PORT, "0 to 65535"),
        ([pair(&chain, &key)?, vec![(PORT, "7"), ("ANALYTICS_WS_PORT", "7")]].concat(), PORT, "another port"),
        (pair(&missing, &key)?, CERT, "cannot be read"),
        (pair(&chain, &missing)?, KEY, "cannot be read"),
        (pair(&empty, &key)?, CERT, "no certificate"),
        (pair(&chain, &empty)?, KEY, "no private key"),
        (pair(&noise, &key)?, CERT, "no certificate"),
        (pair(&chain, &noise)?, KEY, "no private key"),
        (pair(scratch.path(), &key)?, CERT, "not a file"),
        (pair(&broken, &key)?, CERT, "in its part 1"),
        (pair(&tail, &key)?, CERT, "in its part 2"),
        (pair(&chain, &torn)?, KEY, "not PEM"),
        (pair(&chain, &encrypted)?, KEY, "encrypted"),
        (pair(&chain, &old)?, KEY, "encrypted"),
        (pair(&chain, &other)?, KEY, "another certificate"),
        (pair(&key, &key)?, CERT, "no certificate"),
    ] {
        let refusal = Edge::refuse(&env).await?;
        let stderr = &refusal.stderr;
        ensure!(!refusal.status.success(), "{env:?} was accepted");
        ensure!(stderr.contains(&format!("{variable} ")) && stderr.contains(wrong), "{env:?}: {stderr}");
        ensure!(stderr.lines().count() == 1 && !stderr.contains("listening"), "{env:?}: {stderr}");
    }
    Ok(())
}

/// Promise: an edge that starts with a certificate whose time is over says so.
#[tokio::test]
async fn an_ended_certificate_is_said() -> Result<()> {
    let certificate = Certificate::new()?;
    certificate.replace_by_an_ended_one()?;
    let env = certificate.env()?;
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let edge = Edge::start(&env).await?;
    wait::holds("it to be said", || edge.log().contains("the certificate in use ended at")).await
}

/// Promise: keys in the older forms, PKCS #1 and SEC 1, are keys too.
#[tokio::test]
async fn keys_in_older_forms_are_taken() -> Result<()> {
    // The two commands of openssl that make them.
    for algorithm in [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ] {
        let scratch = tempfile::tempdir()?;
        let (pkcs8, key, chain) =
            (scratch.path().join("pkcs8.pem"), scratch.path().join("key.pem"), scratch.path().join("chain.pem"));
        let openssl = |arguments: &[&str]| -> Result<()> {
            let output = std::process::Command::new("openssl").args(arguments).output().context("start openssl")?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        openssl(&[&["genpkey", "-out", text(&pkcs8)?], algorithm].concat())?;
        openssl(&["pkey", "-in", text(&pkcs8)?, "-traditional", "-out", text(&key)?])?;
        openssl(&["req", "-x509", "-new", "-key", text(&pkcs8)?, "-subj", "/CN=localhost", "-out", text(&chain)?])?;
        let held = fs::read_to_string(&key)?;
        ensure!(held.contains("BEGIN RSA PRIVATE KEY") || held.contains("BEGIN EC PRIVATE KEY"), "{held:.40}");
        let env =
            [("ANALYTICS_TLS_CERT", text(&chain)?), ("ANALYTICS_TLS_KEY", text(&key)?), ("ANALYTICS_TLS_PORT", "0")];
        let edge = Edge::start(&env).await?;
        ensure!(edge.listening()?.tls.is_some(), "it does not say where it listens for TLS");
    }
    Ok(())
}

/// Promise: a renewed certificate is used for new connections without a restart, a bad one is said and not used, and
/// connections that are open do not notice.
#[tokio::test]
async fn a_renewed_certificate_is_taken_up() -> Result<()> {
    let mut edge = Edge::start_tls(&[]).await?;
    let authority = edge.tls_authority()?;
    let mut open: Socket = by_tls(&edge).await?;
    let before = edge.certificate()?.client()?;

    let (chain, key) = (edge.certificate()?.chain(), edge.certificate()?.key());
    let whole = fs::read(&chain)?;
    fs::write(&chain, &whole[..whole.len() / 2])?;
    wait::holds("the bad certificate to be said", || edge.log().contains("is not taken up")).await?;
    Line::over(TcpStream::connect(&authority).await?, before.clone()).await.context("the one before is in use")?;
    // A key that is not the certificate's yet: a renewal between its two files.
    fs::write(&chain, &whole)?;
    let own = fs::read(&key)?;
    fs::copy(Certificate::new()?.key(), &key)?;
    wait::holds("the other key to be said", || edge.log().contains("belongs to another certificate")).await?;
    fs::write(&key, &own)?;
    // What a client would read, and refuse.
    fs::write(&chain, [&whole[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"].concat())?;
    wait::holds("the broken chain to be said", || edge.log().contains("in its part 2")).await?;
    edge.certificate()?.replace_by_an_ended_one()?;
    wait::holds("the ended one to be said", || edge.log().contains("ended at")).await?;
    Line::over(TcpStream::connect(&authority).await?, before).await.context("the first one is still in use")?;

    edge.certificate()?.renew()?;
    let after = edge.certificate()?.client()?;
    let renewed = wait::until("the new certificate to be used", async || {
        Line::over(TcpStream::connect(&authority).await.ok()?, after.clone()).await.ok()
    });
    let line = renewed.await?;
    Raw::open_on(line, &authority).await?;
    open.ask(&json!({"type": "ping"}), "pong").await?;
    Ok(())
}
