//! Generates the services from their descriptions, without protoc.

#[cfg(feature = "grpc")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["frr-northbound.proto", "nhrpd-v1.proto"], ["proto"])?;
    tonic_prost_build::configure().build_client(false).compile_fds(files)?;
    Ok(())
}

#[cfg(not(feature = "grpc"))]
fn main() {}
