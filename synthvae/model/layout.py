"""The shape of the model: how columns, tokens and features are laid out in its arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal, basis
from synthvae.marginals.interactions import LARGEST, multiplied
from synthvae.model.masks import RuleMasks, TokenShares, with_look_ahead
from synthvae.rules.compiled import CompiledRule, RuleSet
from synthvae.rules.domains import Domain, known_of, tightened
from synthvae.rules.values import MISSING
from synthvae.settings import Settings

PADDED = -1e9  # log-mass of padding
SELDOM = 0.05  # share of a column that is missing, below which it is no way out of a rule
COLUMNS_PER_GROUP = 12  # more share one product, fewer waste less of it


@dataclass(frozen=True)
class Layout:
    """How a record becomes features, and which features may explain which columns."""

    marginals: tuple[ColumnMarginal, ...]  # of each column, in the schema's order
    bases: tuple[Floats, ...]  # of each column, shape (tokens, functions)
    settings: Settings
    masks: RuleMasks | None = None  # of the rules that records keep, if there are any
    # What a column may follow besides the features of earlier ones: features that are multiplied, the
    # latest first and padded with NONE, shape (products, LARGEST - 1).
    products: Ints = field(default_factory=lambda: np.zeros((0, LARGEST - 1), np.int64))

    @classmethod
    def build(
        cls,
        marginals: Sequence[ColumnMarginal],
        fields: tuple[Field, ...],
        settings: Settings,
        rules: RuleSet | None = None,
    ) -> "Layout":
        """Return the layout for a table's marginals, with a basis for each."""
        bases = tuple(
            basis(marginal, one.is_lattice, settings.rank_of(ordered=one.is_lattice))
            for marginal, one in zip(marginals, fields, strict=True)
        )
        masks = None if rules is None or rules.is_empty else rule_masks(marginals, rules)
        return cls(tuple(marginals), bases, settings, masks)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.marginals)

    @cached_property
    def ends(self) -> Ints:
        """First feature of each column, and the number of features at the end."""
        return np.cumsum([0, *(part.shape[1] for part in self.bases)])

    @property
    def features(self) -> int:
        """Number of features of a record."""
        return int(self.ends[-1])

    @cached_property
    def owner(self) -> Ints:
        """Column of each feature."""
        return np.repeat(np.arange(self.columns), np.diff(self.ends))

    @cached_property
    def order(self) -> Ints:
        """Place of each feature in its column's basis, from 1."""
        return np.concatenate([np.arange(1, part.shape[1] + 1) for part in self.bases])

    def span(self, column: int) -> Ints:
        """Return the features of a column."""
        return np.arange(self.ends[column], self.ends[column + 1])

    @cached_property
    def mixture_masks(self) -> tuple[Floats, Floats]:
        """Masks of the network over earlier columns (Germain et al. 2015, MADE, section 4).

        A hidden unit of degree k sees columns up to k and serves columns after k.
        """
        width = self.settings.mixture
        degrees = np.arange(width) * max(self.columns - 1, 1) // max(width, 1)
        later = self.owner[:, None] > degrees[None, :]
        return (~later.T).astype(float), later.astype(float)

    @cached_property
    def smooth_first(self) -> tuple[Ints, ...]:
        """The features of each column, those that tell special values or missing apart last."""
        rolled = []
        for j, marginal in enumerate(self.marginals):
            span, apart = self.span(j), marginal.tokens - marginal.bins
            rolled.append(np.roll(span, -apart) if apart < len(span) else span)
        return tuple(rolled)

    def record_products(self, features: Floats, which: Ints | None = None) -> Floats:
        """Return some of the products, or all, shape (rows, products), of records' features."""
        products = self.products if which is None else self.products[which]
        return multiplied(features, products)

    def tokens(self, codes: Ints) -> Ints:
        """Return tokens, shape (rows, columns), of codes of the same shape."""
        return np.stack([m.encode(codes[:, j]) for j, m in enumerate(self.marginals)], axis=1)

    def record_features(self, tokens: Ints) -> Floats:
        """Return features, shape (rows, features), of tokens, shape (rows, columns)."""
        return np.concatenate([part[tokens[:, j]] for j, part in enumerate(self.bases)], axis=1)

    @cached_property
    def classes(self) -> tuple[tuple[Floats, Floats], ...]:
        """Each column's distinct rows of the basis, and the log-mass of the tokens that share them.

        Of hundreds of categories most share a row: nothing but their total mass matters to the
        likelihood.
        """
        classes = []
        for marginal, part, of_token in zip(
            self.marginals, self.bases, self.token_classes, strict=True
        ):
            rows = np.unique(part, axis=0)
            mass = np.bincount(of_token, marginal.mass, minlength=len(rows))
            classes.append((rows, np.log(mass)))
        return tuple(classes)

    @cached_property
    def token_classes(self) -> tuple[Ints, ...]:
        """The class of each token of each column, shape (tokens,)."""
        return tuple(
            np.unique(part, axis=0, return_inverse=True)[1].reshape(-1) for part in self.bases
        )

    def class_log_shares(self, column: int, shares: TokenShares) -> Floats:
        """Return the logs of what rules leave of each class's mass, shape (records, classes).

        A record that no token suits is as if without rules.
        """
        mass, (rows, log_mass) = self.marginals[column].mass, self.classes[column]
        order = np.argsort(self.token_classes[column], kind="stable")
        firsts = np.searchsorted(self.token_classes[column][order], np.arange(len(rows)))
        # Sums, and no product of matrices, which would owe its last bits to the records beside it.
        left = np.add.reduceat((shares.weights * mass)[:, order], firsts, axis=1) / np.exp(log_mass)
        left[left.sum(axis=1) <= 0] = 1.0
        with np.errstate(divide="ignore"):
            logs = np.maximum(np.log(left), PADDED)
        return np.asarray(logs[shares.combination])

    @cached_property
    def groups(self) -> tuple["Group", ...]:
        """Columns of like size, a few at a time, for padded arithmetic."""
        sizes = np.array([len(mass) for _, mass in self.classes])
        exponents = np.ceil(np.log2(np.maximum(sizes, 4))).astype(int)
        ruled = np.isin(np.arange(self.columns), [] if self.masks is None else self.masks.ruled)
        groups: list[Group] = []
        for exponent, masked in product(np.unique(exponents), (False, True)):
            alike = np.flatnonzero((exponents == exponent) & (ruled == masked))
            for first in range(0, len(alike), COLUMNS_PER_GROUP):
                start = sum(group.masses.size for group in groups if group.share_columns)
                part = alike[first : first + COLUMNS_PER_GROUP]
                groups.append(self._group(part, start if masked else None))
        return tuple(groups)

    @property
    def share_columns(self) -> int:
        """Number of shares of classes that a record brings with it: 0 without rules."""
        return sum(group.masses.size for group in self.groups if group.share_columns)

    def log_shares(self, codes: Ints) -> NDArray[np.float32] | None:
        """Return what rules leave of the classes of each column, in logs, shape (rows, shares).

        The row of a record is a function of its own codes, shape (rows, columns), and public numbers;
        its columns are those of `groups`. None without rules.
        """
        if self.masks is None:
            return None
        logs = np.zeros((len(codes), self.share_columns), np.float32)
        for group in self.groups:
            if group.share_columns is None:
                continue
            for place, column in enumerate(group.columns):
                shares = self.masks.shares(int(column), codes)
                if shares is not None:
                    start = group.share_columns.start + place * group.masses.shape[1]
                    one = self.class_log_shares(int(column), shares)
                    logs[:, start : start + one.shape[1]] = one
        return logs

    def _group(self, columns: Ints, start: int | None) -> "Group":
        members = [self.classes[j] for j in columns]
        width = max(len(mass) for _, mass in members)
        spread = block_diag(
            *(np.pad(rows.T, ((0, 0), (0, width - len(rows)))) for rows, _ in members)
        )
        masses = np.array(
            [np.pad(mass, (0, width - len(mass)), constant_values=PADDED) for _, mass in members]
        )
        place = None if start is None else slice(start, start + masses.size)
        own = np.concatenate([self.span(j) for j in columns])
        return Group(columns, own, spread, masses, place)


def _seldom_missing(domain: Domain, marginal: ColumnMarginal) -> Domain:
    """Return what a later column may hold, for those before it: a rare gap is no way out of a rule.

    Otherwise records would run into it, and be far more often missing than real ones.
    """
    others = tuple(code for code in domain.others if code != MISSING)
    seldom = marginal.nullable and marginal.mass[-1] < SELDOM
    if not seldom or (domain.low > domain.high and not others):
        return domain
    return replace(domain, others=others)


def rule_masks(
    marginals: Sequence[ColumnMarginal],
    rules: RuleSet,
    conditions: Sequence[CompiledRule] = (),
) -> RuleMasks:
    """Return the masks of a schema's rules, and of conditions on the records, over some marginals."""
    kept = (*rules.sampled, *conditions)
    whole = [Domain.whole(values) for values in rules.columns.meanings]
    domains = tightened(rules.columns, whole, kept)
    known = known_of(rules.columns, whole, {})
    kept = tuple(rule for rule in kept if rule.judge(known).no.any())  # that anything can break
    domains = [_seldom_missing(d, m) for d, m in zip(domains, marginals, strict=False)]
    unique = tuple(places for places in rules.unique if max(places) < rules.drawn)
    return with_look_ahead(RuleMasks(rules.columns, kept, tuple(marginals), tuple(domains), unique))


@dataclass(frozen=True)
class Group:
    """Some columns' classes of tokens, padded to one width."""

    columns: Ints
    features: Ints  # of these columns, shape (features,)
    spread: Floats  # logits from coefficients, shape (features, columns * width)
    masses: Floats  # log-masses, shape (columns, width)
    share_columns: slice | None  # of their classes among the shares that rules leave; None without
