"""A first draft of a schema file, from a table's column names, types and a clinical dictionary."""

from synthvae.drafting.draft import Draft, draft_schema, draft_table, draft_yaml

__all__ = ["Draft", "draft_schema", "draft_table", "draft_yaml"]
