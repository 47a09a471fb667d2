"""A first draft of a schema file, from a table's column names, types and a clinical dictionary."""

from synthvae.drafting.draft import draft_schema, draft_yaml

__all__ = ["draft_schema", "draft_yaml"]
