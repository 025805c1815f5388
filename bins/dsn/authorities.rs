//! The authorities that a setting names besides those of the web: whom they vouch for is dialled at addresses with TLS
//! (`/wss`). Not here: who a node is, which it proves itself.

use std::{fs::File, io::Read};

use bytes::Bytes;
use dsn_cli::{Exit, Failure, Key};
use dsn_net::check_authority;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::context::Context;

/// Certificates of a thousand authorities; a longer file is another one.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// Their certificates (DER); none when no file is named.
pub(crate) fn load(context: &Context) -> Result<Vec<Bytes>, Failure> {
    let Some((path, _)) = context.settings.get(Key::NetworkAuthorities) else { return Ok(Vec::new()) };
    let named = format!("{}: {path} names no authorities", Key::NetworkAuthorities.name());
    let bad = |cause: String| {
        Failure::new(Exit::Configuration, &named).because(cause).hint("a file in PEM form: -----BEGIN CERTIFICATE-----")
    };
    let mut content = Vec::new();
    // One byte more than any has, so that a longer one is seen to be longer.
    let read = File::open(path).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut content));
    if read.map_err(|error| bad(error.to_string()))? as u64 > FILE_MAX_BYTES {
        return Err(bad(format!("it is longer than {FILE_MAX_BYTES} bytes")));
    }
    let mut authorities = Vec::new();
    for (place, certificate) in CertificateDer::pem_slice_iter(&content).enumerate() {
        let nth = place + 1;
        let certificate = certificate.map_err(|error| bad(format!("certificate {nth} is not whole: {error}")))?;
        let certificate = Bytes::copy_from_slice(&certificate);
        check_authority(&certificate).map_err(|error| bad(format!("certificate {nth}: {error}")))?;
        authorities.push(certificate);
    }
    if authorities.is_empty() { Err(bad("there is no certificate in it".into())) } else { Ok(authorities) }
}
