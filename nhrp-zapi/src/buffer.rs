//! Reading and writing fields of a message body.
//!
//! Owns bounds: a [`Reader`] never panics and never reads past its slice, and every failure names the field.
//! Never knows what a field means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{DecodeError, DecodeErrorKind};

/// Address family numbers of Linux, which ZAPI uses.
pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;

/// Walks over the body of one message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    command: u16,
    body: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(command: u16, body: &'a [u8]) -> Self {
        Self { command, body, offset: 0 }
    }

    pub(crate) fn error(&self, field: &'static str, offset: usize, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { command: self.command, field, offset, kind }
    }

    /// The value just read, which began `width` octets ago, is none that the field can have.
    pub(crate) fn invalid(&self, field: &'static str, width: usize, value: u32) -> DecodeError {
        self.error(field, self.offset.saturating_sub(width), DecodeErrorKind::Invalid(value))
    }

    pub(crate) fn remaining(&self) -> usize {
        self.body.len().saturating_sub(self.offset)
    }

    pub(crate) fn bytes(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.body.get(self.offset..).unwrap_or_default();
        let Some(bytes) = rest.get(..length) else {
            let missing = length.saturating_sub(rest.len());
            return Err(self.error(field, self.offset, DecodeErrorKind::Truncated { missing }));
        };
        self.offset = self.offset.saturating_add(length);
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(field, N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[value]| value)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A u32 that zebra copies from its memory as it is.
    pub(crate) fn u32_native(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_ne_bytes)
    }

    /// Four octets that zebra holds in network order but writes as if they were a number of its own, so that they
    /// arrive reversed from a little-endian machine.
    pub(crate) fn reversed(&mut self, field: &'static str) -> Result<[u8; 4], DecodeError> {
        self.u32(field).map(u32::to_ne_bytes)
    }

    /// A name padded with NULs.
    pub(crate) fn name(&mut self, field: &'static str, width: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(field, width)?;
        let name = bytes.split(|octet| *octet == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// A family octet that must be IPv4 or IPv6.
    pub(crate) fn family(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let family = self.u8(field)?;
        if family == AF_INET || family == AF_INET6 {
            Ok(family)
        } else {
            Err(self.invalid(field, 1, family.into()))
        }
    }

    /// An address of a family that [`Reader::family`] returned.
    pub(crate) fn address(&mut self, field: &'static str, family: u8) -> Result<IpAddr, DecodeError> {
        if family == AF_INET6 {
            self.array::<16>(field).map(|octets| Ipv6Addr::from(octets).into())
        } else {
            self.array::<4>(field).map(|octets| Ipv4Addr::from(octets).into())
        }
    }

    /// Joins an address and the prefix length just read.
    pub(crate) fn prefix(
        &self,
        field: &'static str,
        address: IpAddr,
        length: u8,
    ) -> Result<IpNet, DecodeError> {
        IpNet::new(address, length).map_err(|_| self.invalid(field, 1, length.into()))
    }

    /// A prefix length, then only as many octets of the address as it needs.
    pub(crate) fn short_prefix(&mut self, field: &'static str, family: u8) -> Result<IpNet, DecodeError> {
        let length = self.u8(field)?;
        let widest = if family == AF_INET6 { 128 } else { 32 };
        if length > widest {
            return Err(self.invalid(field, 1, length.into()));
        }
        let significant = self.bytes(field, usize::from(length).div_ceil(8))?;
        let mut octets = [0_u8; 16];
        for (to, from) in octets.iter_mut().zip(significant) {
            *to = *from;
        }
        let address: IpAddr = if family == AF_INET6 {
            Ipv6Addr::from(octets).into()
        } else {
            let [a, b, c, d, ..] = octets;
            Ipv4Addr::new(a, b, c, d).into()
        };
        self.prefix(field, address, length)
    }

    /// The message must end here.
    pub(crate) fn end(&self, after: &'static str) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(after, self.offset, DecodeErrorKind::Trailing(left))),
        }
    }
}

/// Appends fields to a message.
pub(crate) trait Write {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// The counterpart of [`Reader::reversed`].
    fn put_reversed(&mut self, octets: [u8; 4]) {
        self.put_u32(u32::from_ne_bytes(octets));
    }

    fn put_family(&mut self, address: IpAddr) {
        self.put_u8(if address.is_ipv4() { AF_INET } else { AF_INET6 });
    }

    fn put_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.put(&address.octets()),
            IpAddr::V6(address) => self.put(&address.octets()),
        }
    }

    fn put_short_prefix(&mut self, prefix: IpNet) {
        let prefix = prefix.trunc();
        let significant = usize::from(prefix.prefix_len()).div_ceil(8);
        self.put_u8(prefix.prefix_len());
        match prefix.addr() {
            IpAddr::V4(address) => self.put(address.octets().get(..significant).unwrap_or_default()),
            IpAddr::V6(address) => self.put(address.octets().get(..significant).unwrap_or_default()),
        }
    }

    /// A name cut to `width - 1` octets and padded with NULs.
    fn put_name(&mut self, name: &str, width: usize) {
        let bytes = name.as_bytes();
        let kept = bytes.len().min(width.saturating_sub(1));
        self.put(bytes.get(..kept).unwrap_or_default());
        for _ in kept..width {
            self.put_u8(0);
        }
    }
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
