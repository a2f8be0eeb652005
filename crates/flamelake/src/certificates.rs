//! When the certificates of this process end: asked of the files in force at every scrape, so that a new file shows at once.

use std::path::Path;
use std::sync::Arc;

use flamelake_rpc::tls::{CertificateUse, ListenTls, PeerTls, Validity};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts, Registry};

use crate::config::ServerSettings;
use crate::tls::Tls;

type Told = Vec<(CertificateUse, Validity)>;

struct Certificates {
    /// Value of the metrics' label `file`, as in `flamelake_reloaded_file_good`.
    ports: Vec<(&'static str, Arc<ListenTls>)>,
    peers: Option<Arc<PeerTls>>,
    /// Of files that are read at start only.
    fixed: Vec<(&'static str, Told)>,
    start: IntGaugeVec,
    expiry: IntGaugeVec,
}

/// Registers the times of every certificate that this process shows or believes; none without TLS.
pub(crate) fn register(settings: &ServerSettings, tls: &Tls, registry: &Registry) -> Result<(), prometheus::Error> {
    let start = Opts::new(
        "flamelake_certificate_start_timestamp_seconds",
        "Unix time from which the certificate of flamelake_certificate_expiry_timestamp_seconds holds.",
    );
    let expiry = Opts::new(
        "flamelake_certificate_expiry_timestamp_seconds",
        "Unix time at which the first certificate of a chain ends (use=certificate) or the last authority of a file (use=authorities).",
    );
    let ports = [("tls-http", &tls.http), ("tls-grpc", &tls.grpc), ("tls-admin", &tls.admin)];
    let certificates = Certificates {
        ports: ports.into_iter().filter_map(|(name, port)| Some((name, Arc::clone(port.as_ref()?)))).collect(),
        peers: tls.peers.clone(),
        fixed: fixed(settings),
        start: IntGaugeVec::new(start, &["file", "use"])?,
        expiry: IntGaugeVec::new(expiry, &["file", "use"])?,
    };
    registry.register(Box::new(certificates))
}

/// The files for etcd and the bucket. Whoever uses one says what is wrong with it.
fn fixed(settings: &ServerSettings) -> Vec<(&'static str, Told)> {
    let (etcd, bucket) = (&settings.ring.etcd, &settings.storage.s3.tls_ca_path);
    let of = |path: &str, used_as: CertificateUse| -> Told {
        let validity = Validity::of_file(Path::new(path), used_as).ok().flatten();
        validity.map(|validity| (used_as, validity)).into_iter().collect()
    };
    vec![
        ("tls-etcd", of(&etcd.tls_cert_path, CertificateUse::Own)),
        ("tls-etcd", of(&etcd.tls_ca_path, CertificateUse::Authorities)),
        ("tls-bucket", of(bucket, CertificateUse::Authorities)),
    ]
}

impl Certificates {
    fn told(&self) -> Vec<(&'static str, Told)> {
        let ports = self.ports.iter().map(|(name, port)| (*name, port.validity()));
        let peers = self.peers.iter().map(|peers| ("tls-peers", peers.validity()));
        ports.chain(peers).chain(self.fixed.iter().cloned()).collect()
    }
}

impl Collector for Certificates {
    fn desc(&self) -> Vec<&Desc> {
        self.start.desc().into_iter().chain(self.expiry.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (file, told) in self.told() {
            for (used_as, validity) in told {
                let used_as = match used_as {
                    CertificateUse::Own => "certificate",
                    CertificateUse::Authorities => "authorities",
                };
                self.start.with_label_values(&[file, used_as]).set(validity.from);
                self.expiry.with_label_values(&[file, used_as]).set(validity.until);
            }
        }
        self.start.collect().into_iter().chain(self.expiry.collect()).collect()
    }
}
