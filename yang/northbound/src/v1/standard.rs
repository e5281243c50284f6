//! The services that every gRPC server may have: what it offers (reflection), and whether it serves (health).

use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;
use tonic_reflection::server::Builder;

/// Both of our descriptions, as `build.rs` has compiled them.
const DESCRIPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions"));

/// For health: those that do something for a client.
const SERVICES: [&str; 5] =
    ["frr.Northbound", "nhrpd.v1.Candidates", "nhrpd.v1.Events", "nhrpd.v1.Exec", "nhrpd.v1.Show"];

/// Served with what is served already. Needs a tokio runtime.
pub(super) fn beside(others: Routes) -> Routes {
    let (reporter, health) = health_reporter();
    tokio::spawn(async move {
        // While this program answers at all, all of them are served.
        for service in SERVICES {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
    });
    let reflection = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTIONS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let all = others.add_service(health);
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        // Older tools ask for the second.
        (Ok(new), Ok(old)) => all.add_service(new).add_service(old),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(target: "nhrp::common", "gRPC reflection cannot be served: {error}; all else is");
            all
        }
    }
}
