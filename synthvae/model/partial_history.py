"""What is known of patients while their visits are drawn one after the other."""

from dataclasses import dataclass

from synthvae._types import Bools, Floats, Ints
from synthvae.model.sampling import Draft


@dataclass(frozen=True)
class Visit:
    """One visit of some patients: codes and tokens of the timeline's columns, and who is stuck."""

    codes: Ints
    tokens: Ints
    stuck: Bools

    @classmethod
    def of(cls, draft: Draft) -> "Visit":
        """Return the visit that a draft holds."""
        return cls(draft.codes, draft.tokens, draft.stuck)

    def take(self, which: Ints) -> "Visit":
        """Return the visit of some of the patients."""
        return Visit(self.codes[which], self.tokens[which], self.stuck[which])

    def put(self, which: Ints, visit: "Visit") -> None:
        """Take in the visit of some of the patients."""
        self.codes[which], self.tokens[which] = visit.codes, visit.tokens
        self.stuck[which] = visit.stuck


@dataclass(frozen=True)
class Begun:
    """Patients of whom some is known: what never changes with the number of visits, and first visits.

    Of each place there is who has had a visit there, as numbers of patients, and these visits.
    """

    latents: Floats
    static: Visit
    visits: tuple[tuple[Ints, Visit], ...] = ()

    def take(self, which: Ints) -> "Begun":
        """Return some of the patients, of whom no visit is known."""
        return Begun(self.latents[which], self.static.take(which))
