//! Authorities and certificates for tests of TLS, made by `openssl` when they are needed: nothing that expires lies in the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools;

/// Signs certificates; its files go with it.
#[derive(Debug)]
pub struct Authority {
    openssl: PathBuf,
    folder: tempfile::TempDir,
}

/// A certificate for `localhost` and `127.0.0.1`, as a server and as a client, and its key: PEM files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one; `None`, with a printed line, if there is no openssl on this machine.
    ///
    /// # Panics
    /// If there is one and it makes none.
    pub fn new(who: &str) -> Option<Self> {
        let openssl = tools::program(who, "openssl", &["version"])?;
        let folder = tempfile::Builder::new().prefix("flamelake-ca-").tempdir().expect("make a folder");
        let authority = Self { openssl, folder };
        authority.make("ca", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign", &[]);
        Some(authority)
    }

    /// Its own certificate: what those trust who trust it.
    pub fn certificate(&self) -> PathBuf {
        self.file("ca", "pem")
    }

    /// A new certificate; `name` names its files, and an older one of that name is replaced.
    ///
    /// # Panics
    /// If openssl makes none.
    pub fn issue(&self, name: &str) -> Issued {
        let extensions = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
            extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1";
        let (certificate, key) = (self.certificate(), self.file("ca", "key"));
        self.make(name, extensions, &[Path::new("-CA"), &certificate, Path::new("-CAkey"), &key]);
        Issued { certificate: self.file(name, "pem"), key: self.file(name, "key") }
    }

    fn make(&self, name: &str, extensions: &str, signer: &[&Path]) {
        let config = self.file(name, "cnf");
        let text = format!(
            "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ext\n[dn]\nCN=flamelake test {name}\n[ext]\n{extensions}\n"
        );
        std::fs::write(&config, text).expect("write the request");
        let output = Command::new(&self.openssl)
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-config",
            ])
            .arg(&config)
            .arg("-keyout")
            .arg(self.file(name, "key"))
            .arg("-out")
            .arg(self.file(name, "pem"))
            .args(signer)
            .output()
            .expect("run openssl");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.{ending}"))
    }
}
