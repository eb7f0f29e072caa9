//! Numbers that look random and follow from what they are made of.

use std::convert::Infallible;

use digest::Digest;
use rsa::rand_core::{TryCryptoRng, TryRng};
use sha2_next::Sha256;

/// Digests of a beginning and of a count.
pub(super) struct Random {
    start: Sha256,
    count: u64,
}

impl Random {
    pub(super) fn new(seed: u64, parts: &[&[u8]]) -> Random {
        let mut start = Sha256::new().chain_update(seed.to_be_bytes());
        for part in parts {
            start.update((part.len() as u64).to_be_bytes());
            start.update(part);
        }
        Random { start, count: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.count += 1;
        self.start.clone().chain_update(self.count.to_be_bytes()).finalize().into()
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [one, two, three, four, ..] = self.block();
        Ok(u32::from_be_bytes([one, two, three, four]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.try_next_u32()?) << 32 | u64::from(self.try_next_u32()?))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(32) {
            let block = self.block();
            part.copy_from_slice(&block[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Random {}
