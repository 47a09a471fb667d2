"""What users of other tools reported, as small cases of our own: docs/peers.md lists them."""
