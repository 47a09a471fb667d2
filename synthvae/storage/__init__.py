"""Storage: saved models, and what a fit has released so far. Values in and out, never a synthesizer."""
