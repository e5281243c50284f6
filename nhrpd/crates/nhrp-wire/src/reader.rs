//! A cursor over the octets of a packet.
//!
//! Owns bounds and offsets: every read either yields its octets or says which field they were missing from. Knows
//! nothing of what the octets mean.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{DecodeError, DecodeErrorKind};

/// Unread octets and where in the packet they begin.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, offset: 0 }
    }

    /// Octet offset of the next read from the start of the packet.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((array, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(N, field));
        };
        self.rest = rest;
        self.offset += N;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(crate) fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.truncated(count, field));
        };
        self.rest = rest;
        self.offset += count;
        Ok(taken)
    }

    /// A reader for the next `count` octets only; this one goes on behind them.
    pub(crate) fn part(&mut self, count: usize, field: &'static str) -> Result<Self, DecodeError> {
        let offset = self.offset;
        Ok(Self { rest: self.take(count, field)?, offset })
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// An address of `length` octets, which the caller has checked to be 0, 4 or 16.
    pub(crate) fn address(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<Option<IpAddr>, DecodeError> {
        Ok(match length {
            4 => Some(IpAddr::V4(Ipv4Addr::from(self.array::<4>(field)?))),
            16 => Some(IpAddr::V6(Ipv6Addr::from(self.array::<16>(field)?))),
            other => {
                self.take(other, field)?;
                None
            }
        })
    }

    /// There are not so many octets left for the field.
    pub(crate) fn truncated(&self, needed: usize, field: &'static str) -> DecodeError {
        let kind = DecodeErrorKind::Truncated { needed, available: self.rest.len() };
        DecodeError { field, offset: self.offset, kind }
    }
}
