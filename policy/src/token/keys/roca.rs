//! The fingerprint of RSA moduli that a library of smart cards made until 2017 (CVE-2017-15361, "ROCA"): Nemec, Sys, Svenda,
//! Klinec, Matyas, "The Return of Coppersmith's Attack", CCS 2017, §3.2. Such a modulus is a power of 65537 modulo each of many
//! small primes; one that was made by chance is so with a probability of 2^-27.

/// Primes of which 65537 generates a small part of the residues, as in the authors' detection tool.
const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// Has this modulus, big-endian, the fingerprint?
pub(super) fn has_fingerprint(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let residue = modulus.iter().fold(0, |residue, byte| (residue << 8 | u32::from(*byte)) % prime);
        let mut power = 1;
        // From 1 round to 1: the powers of 65537 modulo a prime are a group.
        loop {
            if power == residue {
                return true;
            }
            power = power * (65_537 % prime) % prime;
            if power == 1 {
                return false;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use rsa::BigUint;

    use super::*;

    #[test]
    fn a_power_of_65537_modulo_the_primes_has_it_and_its_neighbour_has_not() {
        let product = PRIMES.iter().fold(BigUint::from(1_u32), |product, prime| product * *prime);
        let power = BigUint::from(65_537_u32).modpow(&BigUint::from(1_000_003_u32), &product);
        // As the weak library made its primes: a power, and a multiple of the primes' product beside it.
        let weak = (BigUint::from(1_u32) << 2047_usize) / &product * &product + power;
        assert!(weak.bits() >= 2040);
        assert!(has_fingerprint(&weak.to_bytes_be()));
        let neighbours = (1_u32..200).filter(|step| has_fingerprint(&(weak.clone() + *step).to_bytes_be()));
        assert_eq!(neighbours.count(), 0);
    }
}
