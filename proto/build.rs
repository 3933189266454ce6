//! Compiles the protocol with protox, so that no protoc is needed, and lists its methods for the
//! test that asks for a rule for each.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["node.proto", "enrol.proto", "trust.proto", "etcd.proto"];
    for proto in protos {
        println!("cargo:rerun-if-changed={proto}");
    }
    let described = protox::compile(protos, ["."])?;
    let mut methods = String::new();
    for file in described.file.iter().filter(|file| file.package().starts_with("quorate.")) {
        for service in &file.service {
            for method in &service.method {
                let line = [file.package(), ".", service.name(), "/", method.name(), "\n"];
                methods.extend(line);
            }
        }
    }
    let folder = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    std::fs::write(Path::new(&folder).join("methods.txt"), methods)?;
    tonic_prost_build::configure().compile_fds(described)?;
    Ok(())
}
