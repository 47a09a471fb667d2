"""The anchored variational autoencoder: its shape, its private training, and sampling from it.

    `Layout` (which weight serves what) -> `train` (torch, Opacus) -> weights -> `Sampler` (numpy)

Only training imports torch; sampling and everything that reads a saved model do without.
"""
