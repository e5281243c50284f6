//! Generates the client's side of the services from the descriptions that the daemon's is generated from.

#[cfg(feature = "grpc")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    const DESCRIPTIONS: &str = "../yang/northbound/proto";
    println!("cargo::rerun-if-changed={DESCRIPTIONS}");
    let files = protox::compile(["frr-northbound.proto", "nhrpd-v1.proto"], [DESCRIPTIONS])?;
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;
    Ok(())
}

#[cfg(not(feature = "grpc"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
