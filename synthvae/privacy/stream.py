"""A cryptographic stream of random numbers: for whatever the privacy proof needs to be unknown.

ChaCha20 (RFC 8439) keyed with 256 bits from the operating system; the key is never kept. Whoever could
predict the noise could subtract it: torch's generator, for one, keeps 32 bits of a seed (Garfinkel and
Leclerc 2020, "Randomness Concerns When Deploying Differential Privacy").
"""

import hashlib
import math
import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

BYTES_PER_KEY = 2**36  # a quarter of what ChaCha20's counter of 32 bits can number


class RandomStream:
    """Random numbers from ChaCha20.

    A `test_seed` derives the key from a number instead of the operating system, so that tests repeat.
    The noise is then predictable: whatever is trained with it has no guarantee.
    """

    def __init__(self, test_seed: int | None = None) -> None:
        self.is_secure = test_seed is None
        text = f"synthvae test stream {test_seed}".encode()
        self._begin(secrets.token_bytes(32) if test_seed is None else hashlib.sha256(text).digest())

    def _begin(self, key: bytes) -> None:
        self._key, self._drawn = key, 0
        self._cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()

    def part(self, name: str) -> "RandomStream":
        """Return a stream of its own: what is drawn from one part shifts no other, nor this one.

        Its key is a keyed hash (BLAKE2b) of the name. The same name gives the same numbers: each is used
        once.
        """
        part = RandomStream.__new__(RandomStream)
        part.is_secure = self.is_secure
        part._begin(hashlib.blake2b(name.encode(), digest_size=32, key=self._key).digest())
        return part

    def take(self, count: int) -> bytes:
        """Return `count` uniform bytes.

        Before the counter could run out, the stream goes on under a key that is drawn from it (fast
        key erasure; Bernstein 2017, "Fast-key-erasure random-number generators").
        """
        pieces = []
        while count > 0:
            left = BYTES_PER_KEY - self._drawn
            if left <= 0:
                self._begin(self._cipher.update(bytes(32)))
                continue
            size = min(count, left)
            pieces.append(self._cipher.update(bytes(size)))
            self._drawn += size
            count -= size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return `count` uniform 64-bit words."""
        return np.frombuffer(self.take(8 * count), dtype="<u8")

    def normal(self, count: int) -> NDArray[np.float64]:
        """Return `count` standard normal draws (Box and Muller 1958), in float64.

        The uniforms have 53 bits, so no draw exceeds 8.6 in size, which happens once in 10^17
        draws; what floating point adds beyond that is disclosed in the guarantee.
        """
        half = (count + 1) // 2
        uniforms = ((self.words(2 * half) >> np.uint64(11)) + 0.5) * 2.0**-53
        radius = np.sqrt(-2.0 * np.log(uniforms[:half]))
        angle = 2.0 * math.pi * uniforms[half:]
        return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]

    def bernoulli(self, count: int, probability: float) -> NDArray[np.bool_]:
        """Return `count` independent draws that are True with the probability given.

        It is rounded down to a multiple of 2^-64 (1 stays 1): comparison of whole words is exact.
        """
        if probability >= 1:
            return np.ones(count, bool)
        threshold = np.uint64(math.floor(probability * 2.0**64))
        return self.words(count) < threshold
