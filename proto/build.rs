//! Compiles the contract without an installed protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTOS: [&str; 14] = [
        "rackhaven/v1/access.proto",
        "rackhaven/v1/alert.proto",
        "rackhaven/v1/backup.proto",
        "rackhaven/v1/enrolment.proto",
        "rackhaven/v1/event.proto",
        "rackhaven/v1/fleet.proto",
        "rackhaven/v1/k3s.proto",
        "rackhaven/v1/k3s_cluster.proto",
        "rackhaven/v1/k3s_node.proto",
        "rackhaven/v1/log.proto",
        "rackhaven/v1/power.proto",
        "rackhaven/v1/sample.proto",
        "rackhaven/v1/session.proto",
        "rackhaven/v1/workload.proto",
    ];
    for path in PROTOS {
        println!("cargo::rerun-if-changed={path}");
    }
    let descriptors = protox::compile(PROTOS, ["."])?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBufferCodec")
        .btree_map(".")
        // These hold secrets: what is printed of them stands in `convert`.
        .skip_debug(["rackhaven.v1.K3sAccess", "rackhaven.v1.K3sNewToken", "rackhaven.v1.K3sSettings"])
        .compile_fds(descriptors)?;
    Ok(())
}
