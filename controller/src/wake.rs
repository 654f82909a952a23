//! Wake-on-LAN.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use rackhaven_proto::model::{Endpoint, MacAddress};
use tokio::net::UdpSocket;

/// Where machines expect to be woken: nobody answers there.
const PORT: u16 = 9;

/// What wakes the machine with this address: six times ff, then sixteen times the address.
pub fn magic_packet(address: MacAddress) -> [u8; 102] {
    let mut packet = [0xff; 102];
    for piece in packet[6..].chunks_exact_mut(6) {
        piece.copy_from_slice(&address.0);
    }
    packet
}

/// Sends one packet for each of `macs` to every IPv4 network that this machine is on, and to each of `more`: broadcast
/// addresses of other networks, such as `192.168.7.255:9`. Returns what did not work; a machine may wake all the same,
/// and is not known to be awake before it says so.
pub async fn wake(macs: &[MacAddress], more: &[Endpoint]) -> Vec<String> {
    let socket = match socket().await {
        Ok(socket) => socket,
        Err(error) => return vec![format!("opening a socket for Wake-on-LAN: {error}")],
    };
    let mut problems = Vec::new();
    let mut targets = match broadcasts() {
        Ok(addresses) => addresses,
        Err(error) => {
            problems.push(format!("listing the networks of this machine: {error}"));
            Vec::new()
        }
    };
    targets.push((Ipv4Addr::BROADCAST, PORT).into());
    for endpoint in more {
        match tokio::net::lookup_host((endpoint.host(), endpoint.port())).await {
            Ok(addresses) => targets.extend(addresses.filter(SocketAddr::is_ipv4).take(1)),
            Err(error) => problems.push(format!("resolving {endpoint} for Wake-on-LAN: {error}")),
        }
    }
    let mut reached = false;
    let mut unsent = Vec::new();
    for target in targets {
        for mac in macs {
            match socket.send_to(&magic_packet(*mac), target).await {
                Ok(_) => reached = true,
                Err(error) => unsent.push(format!("waking {mac} through {target}: {error}")),
            }
        }
    }
    // One network that is down is no news while another takes the packets.
    if !reached {
        problems.append(&mut unsent);
    }
    for problem in &unsent {
        tracing::debug!(problem, "a packet was not sent");
    }
    problems
}

async fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.set_broadcast(true)?;
    Ok(socket)
}

/// The broadcast addresses of this machine's IPv4 networks.
fn broadcasts() -> io::Result<Vec<SocketAddr>> {
    let usable = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST;
    let interfaces = getifaddrs()?.filter(|interface| interface.flags.contains(usable));
    let ips = interfaces.filter_map(|interface| Some(interface.broadcast?.as_sockaddr_in()?.ip()));
    let mut addresses: Vec<SocketAddr> = ips.map(|ip| (ip, PORT).into()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_six_ff_and_sixteen_addresses() {
        let packet = magic_packet(MacAddress([0x88, 0xa2, 0x9e, 1, 2, 3]));
        assert_eq!(packet[..6], [0xff; 6]);
        assert_eq!(packet[6..].len(), 16 * 6);
        assert!(packet[6..].chunks(6).all(|piece| piece == [0x88, 0xa2, 0x9e, 1, 2, 3]));
    }

    #[tokio::test]
    async fn each_machine_is_woken_at_each_address() {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let second = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let macs = [MacAddress([1; 6]), MacAddress([2; 6])];
        let endpoint = |socket: &UdpSocket| socket.local_addr().unwrap().to_string().parse::<Endpoint>().unwrap();
        let problems =
            wake(&macs, &[endpoint(&first), endpoint(&second), "no-such-host.invalid:9".parse().unwrap()]).await;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("resolving no-such-host.invalid:9 for Wake-on-LAN: "), "{problems:?}");
        for socket in [first, second] {
            for mac in macs {
                let mut packet = [0; 200];
                let length = socket.recv(&mut packet).await.unwrap();
                assert_eq!(packet[..length], magic_packet(mac));
            }
        }
    }
}
