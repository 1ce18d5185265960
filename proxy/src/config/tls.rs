//! From the settings of TLS to a certificate and a port. The rule: the certificate is read and checked before anything
//! is bound, and what is wrong is said of the variable that names the file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use lambda_trigger::settings::{InvalidSetting, parse, refuse, text};

use super::Settings;
use crate::tls::{Certificate, CertificateFiles, InvalidCertificate};

const CERT: &str = "ANALYTICS_TLS_CERT";
const KEY: &str = "ANALYTICS_TLS_KEY";
const PORT: &str = "ANALYTICS_TLS_PORT";

/// The port where none is named.
const DEFAULT_PORT: u16 = 3443;

/// TLS beside the plain ports.
#[derive(Debug)]
pub struct Tls {
    /// Where it is taken.
    pub listen: SocketAddr,
    /// The certificate, in use from the start.
    pub certificate: Certificate,
}

impl Settings {
    pub(super) fn tls(&self, bind: IpAddr, plain: [Option<u16>; 2]) -> Result<Option<Tls>, InvalidSetting> {
        let port: Option<u16> = parse(PORT, &self.tls_port, "a port from 0 to 65535")?;
        let files = match (text(&self.tls_cert), text(&self.tls_key)) {
            (Some(certificate), Some(key)) => {
                CertificateFiles { certificate: PathBuf::from(certificate), key: PathBuf::from(key) }
            }
            (None, None) if port.is_none() => return Ok(None),
            (None, None) => {
                return Err(invalid(PORT, "must be unset without ANALYTICS_TLS_CERT and ANALYTICS_TLS_KEY"));
            }
            (Some(_), None) => return Err(invalid(KEY, "must be set beside ANALYTICS_TLS_CERT")),
            (None, Some(_)) => return Err(invalid(CERT, "must be set beside ANALYTICS_TLS_KEY")),
        };
        let port = port.unwrap_or(DEFAULT_PORT);
        if port != 0 && plain.contains(&Some(port)) {
            let must_be = "another port than ANALYTICS_WS_PORT and ANALYTICS_API_PORT";
            return Err(refuse(PORT, &port.to_string(), must_be));
        }
        let certificate = files.load().map_err(|wrong| match wrong {
            InvalidCertificate::Certificate(text) => invalid(CERT, &format!("names a file that {text}")),
            InvalidCertificate::Key(text) => invalid(KEY, &format!("names a file that {text}")),
        })?;
        Ok(Some(Tls { listen: SocketAddr::new(bind, port), certificate }))
    }
}

fn invalid(variable: &str, problem: &str) -> InvalidSetting {
    InvalidSetting { variable: variable.to_owned(), problem: problem.to_owned() }
}
