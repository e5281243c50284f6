//! Generates the services from their descriptions, without protoc.

#[cfg(feature = "grpc")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(["frr-northbound.proto", "nhrpd-v1.proto"])?;
    // For clients that ask what there is (tonic-reflection).
    let place = std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?;
    std::fs::write(std::path::Path::new(&place).join("descriptions"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().build_client(false).compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

#[cfg(not(feature = "grpc"))]
fn main() {}
