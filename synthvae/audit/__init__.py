"""Audit: bound the epsilon of the code itself from below, on simulated tables.

A guarantee is a proof about what the code should do. An audit runs the code many times, or once with
many canaries, and tests whether an observer learns more than the guarantee allows. It can refute a
claim and never prove one; so each bound stands beside the largest that so many trials could show.
"""

from synthvae.audit.case import Case, tiny_case
from synthvae.audit.results import Audit, AuditResult, Check, Component
from synthvae.audit.worlds import audit_worlds

__all__ = ["Audit", "AuditResult", "Case", "Check", "Component", "audit_worlds", "tiny_case"]
