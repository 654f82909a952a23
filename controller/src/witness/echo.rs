use std::io;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket as open};
use tokio::net::UdpSocket;

/// What we send along, to know our own again.
const PAYLOAD: &[u8; 16] = b"rackhaven-mains?";
/// Type, code, checksum, identifier, sequence number.
const HEADER_BYTES: usize = 8;

/// A socket for echo requests, of the kind that needs no privilege. The kernel fills in checksum and identifier, and
/// lets through only answers to what this socket has sent.
pub(super) fn socket(ipv6: bool) -> io::Result<UdpSocket> {
    let (family, protocol) =
        if ipv6 { (AddressFamily::Inet6, SockProtocol::IcmpV6) } else { (AddressFamily::Inet, SockProtocol::Icmp) };
    let fd = open(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?;
    // It sends and receives datagrams, which is all that the type promises.
    UdpSocket::from_std(std::net::UdpSocket::from(fd))
}

/// The request with this number; only its lower 16 bits travel.
pub(super) fn request(ipv6: bool, number: u32) -> Vec<u8> {
    message(if ipv6 { 128 } else { 8 }, number)
}

/// Whether a message is the answer to the request with this number.
pub(super) fn is_reply(ipv6: bool, number: u32, bytes: &[u8]) -> bool {
    let expected = message(if ipv6 { 129 } else { 0 }, number);
    let whole = |message: &[u8]| Some((*message.first()?, message.get(6..)?.to_vec()));
    whole(bytes) == whole(&expected)
}

fn message(kind: u8, number: u32) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[0] = kind;
    bytes[6..].copy_from_slice(&number.to_be_bytes()[2..]);
    bytes.extend_from_slice(PAYLOAD);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{is_reply, message, request};

    #[test]
    fn only_our_own_answer_is_one() {
        assert_eq!(request(false, 0x1_0203)[..8], [8, 0, 0, 0, 0, 0, 2, 3]);
        assert_eq!(request(true, 1)[0], 128);
        let mut reply = message(0, 7);
        // Checksum and identifier are the kernel's.
        reply[2..6].copy_from_slice(&[9, 9, 9, 9]);
        assert!(is_reply(false, 7, &reply));
        assert!(!is_reply(false, 8, &reply) && !is_reply(true, 7, &reply));
        for end in 0..reply.len() {
            assert!(!is_reply(false, 7, &reply[..end]));
        }
        assert!(!is_reply(false, 7, &request(false, 7)));
    }
}
