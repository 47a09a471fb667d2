"""What the rules leave of each column, given the columns before it: shares of tokens, and points.

Columns are drawn one by one, so a rule forbids tokens of its last column, given the other values.
Earlier columns look ahead: what no value of the later ones can mend is forbidden at once. Of a bin of
which the rules allow a part, that part's mass counts, and a point is drawn from it: rules are solved for
the column where they can be, and the solution is judged; other bins are halved. The same shares
stand in the likelihood of a record: what a rule forbids costs no budget and takes no noise.

Shares are a function of the record's own values, of the rules, which are public, and of the marginals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.column import ColumnMarginal, draw_within
from synthvae.model.look_ahead import Reach, View, narrowed, taken
from synthvae.rules.compiled import CompiledRule
from synthvae.rules.domains import Domain, known_of
from synthvae.rules.ranges import Range
from synthvae.rules.values import FIRST_SPECIAL, Columns, Known

MOST_CELLS = 2**18  # combinations of earlier values times tokens that are judged at once
TRIALS = 3
TRIAL_ROWS = 2048
TRIAL_SEED = 20_240_302
MOST_STUCK = 0.002  # share of records that a column may stop
LARGEST_FACTOR = 1e9
MOST_PIECES = 256  # parts of one bin that are divided further; beyond, they count as allowed
MOST_DIVIDED = 2**15  # bins that are divided at once


@dataclass(frozen=True)
class Pieces:
    """The allowed parts of bins of which the rules allow a part, ordered by combination and token."""

    key: Ints  # combination * tokens + token, ascending
    low: Ints  # first and last lattice point of the part
    high: Ints
    mass: Floats

    def merged(self, other: "Pieces") -> "Pieces":
        """Return the parts of both."""
        parts = zip(self._arrays, other._arrays, strict=True)
        key, low, high, mass = (np.concatenate(part) for part in parts)
        order = np.lexsort((low, key))
        return Pieces(key[order], low[order], high[order], mass[order])

    @property
    def _arrays(self) -> tuple[Ints, Ints, Ints, Floats]:
        return self.key, self.low, self.high, self.mass


@dataclass(frozen=True)
class TokenShares:
    """The share of each token's mass that a record may get.

    Records with the same values in the columns that matter share a row of `shares`. `present` is what
    the masses of all tokens but missing are multiplied by, shape (combinations,).
    """

    shares: Floats  # shape (combinations, tokens)
    combination: Ints  # of each record, shape (records,)
    pieces: Pieces
    present: Floats

    @property
    def weights(self) -> Floats:
        """What the rules make of tokens' masses, shape (combinations, tokens).

        Where a value may be missing, what rules forbid of the others goes to the others: whether a value
        is there is not for an order or a sum to tell.
        """
        weights = self.shares * self.present[:, None]
        weights[:, -1] = self.shares[:, -1]
        return weights

    def balanced(self, logits: Floats) -> Floats:
        """Return logits, shape (records, tokens), with what `present` adds to those of values."""
        if (self.present == 1).all():
            return logits
        logits = logits + np.log(self.present)[self.combination][:, None]
        logits[:, -1] -= np.log(self.present)[self.combination]
        return logits

    def take(self, records: Bools) -> "TokenShares":
        """Return the shares of some records."""
        return replace(self, combination=self.combination[records])

    def masses(self, logits: Floats) -> tuple[Floats, Floats]:
        """Return masses of tokens under the rules, and the log of their sum before they sum to 1.

        Shapes (records, tokens) and (records,). That is minus infinity for a record that no token suits;
        its masses are as without rules.
        """
        with np.errstate(divide="ignore"):
            ruled = logits + np.log(self.shares)[self.combination]
        top = ruled.max(axis=1, keepdims=True)
        stuck = np.isneginf(top[:, 0])
        ruled[stuck] = logits[stuck]
        top[stuck] = logits[stuck].max(axis=1, keepdims=True)
        mass = np.exp(ruled - top)
        total = mass.sum(axis=1, keepdims=True)
        mass /= total
        return mass, np.where(stuck, -np.inf, (np.log(total) + top)[:, 0])

    def points(self, marginal: ColumnMarginal, tokens: Ints, places: Floats) -> Ints:
        """Return codes of tokens, shape (records,), at places in [0, 1) of their allowed parts."""
        codes = marginal.decode(tokens, places)
        if not len(self.pieces.key):
            return codes
        new = np.append(True, self.pieces.key[1:] != self.pieces.key[:-1])
        keys, group = self.pieces.key[new], np.cumsum(new) - 1
        wanted = self.combination * marginal.tokens + tokens
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        rows = np.flatnonzero(keys[found] == wanted)
        # In parts of the whole of one token: beside others', a trace of mass would be lost.
        total = np.bincount(group, self.pieces.mass)[group]
        part = self.pieces.mass / np.maximum(total, 1e-300)
        ends = np.cumsum(part)
        piece, aim = draw_within(found[rows], ends, group, places[rows])
        low, high = self.pieces.low[piece], self.pieces.high[piece]
        inside = np.clip(aim - (ends[piece] - part[piece]), 0, part[piece]) * total[piece]
        codes[rows] = np.clip(marginal.point_at(marginal.mass_before(low) + inside), low, high)
        return codes


@dataclass(frozen=True)
class RuleMasks:
    """The rules of a model, over its marginals; `domains` are what later columns may hold.

    `unique` are the places of columns whose values together come once within a patient, `tight` those of
    columns of which earlier ones look ahead to what all rules together leave.
    """

    columns: Columns
    rules: tuple[CompiledRule, ...]
    marginals: tuple[ColumnMarginal, ...]
    domains: tuple[Domain, ...]
    unique: tuple[tuple[int, ...], ...] = ()
    tight: frozenset[int] = frozenset()

    @cached_property
    def ruled(self) -> Ints:
        """The places of the columns that rules name, ascending."""
        named = [*(rule.places for rule in self.rules), *self.unique]
        return np.array(sorted({place for places in named for place in places}), np.int64)

    def about(self, column: int) -> list[CompiledRule]:
        """Return the rules that name a column."""
        return [rule for rule in self.rules if column in rule.places]

    def shares(self, column: int, codes: Ints) -> TokenShares | None:
        """Return the shares of a column's tokens for records; None where no rule names the column.

        Parameters
        ----------
        codes
            Of earlier columns, shape (records, columns); what stands in later ones is not looked at.
        """
        rules = self.about(column)
        if not rules:
            return None
        reach = Reach.of(column, self.rules, self.tight)
        index, combination = self._combinations(reach.earlier, codes)
        tokens = self.marginals[column].tokens
        domains = list(self.domains)
        domains[column] = Domain.whole(self.columns.meanings[column])  # as rare as it may be
        step = max(1, MOST_CELLS // tokens)
        parts, pieces = [], []
        for first in range(0, len(index), step):
            given = {p: codes[index[first : first + step], p] for p in reach.earlier}
            count = len(index[first : first + step])
            left = narrowed(self.columns, domains, reach, given, count)
            shares, divided = _Judgement(self, column, rules, given, left, count).shares()
            parts.append(shares)
            pieces.append((divided.key + first * tokens, divided.low, divided.high, divided.mass))
        joined = (np.concatenate(part) for part in zip(*pieces, strict=True))
        whole = np.concatenate(parts)
        present = self._present(column, whole)
        return TokenShares(whole, combination, Pieces(*joined), present)

    def _present(self, column: int, shares: Floats) -> Floats:
        """Return by how much rules cut the values of a column that may be missing, to make up for it."""
        marginal = self.marginals[column]
        if not marginal.nullable:
            return np.ones(len(shares))
        # Row by row: a product of matrices owes its last bits to the rows beside it.
        left = (shares[:, :-1] * marginal.mass[:-1]).sum(axis=1)
        may_choose = (left > 0) & (shares[:, -1] > 0)
        factor = marginal.mass[:-1].sum() / np.where(may_choose, left, 1.0)
        return np.where(may_choose, np.minimum(factor, LARGEST_FACTOR), 1.0)

    def _combinations(self, columns: Sequence[int], codes: Ints) -> tuple[Ints, Ints]:
        """Return a record of each combination of some columns' values, and that of each record."""
        if not columns:
            return np.zeros(1, np.int64), np.zeros(len(codes), np.int64)
        key, size = np.zeros(len(codes), np.int64), 1.0
        for column in columns:
            marginal = self.marginals[column]
            below = marginal.specials - FIRST_SPECIAL
            size *= marginal.size + below
            if size > 2**62:
                _, index, combination = np.unique(
                    codes[:, columns], axis=0, return_index=True, return_inverse=True
                )
                return index, combination.reshape(-1)
            key = key * (marginal.size + below) + codes[:, column] + below
        _, index, combination = np.unique(key, return_index=True, return_inverse=True)
        return index, combination.reshape(-1)


def with_look_ahead(masks: RuleMasks) -> RuleMasks:
    """Return masks that look ahead to the columns in which records of independent columns get stuck.

    To look ahead costs time, and most rules need none. The records are drawn from the marginals, which
    are released, so it tells nothing more of anybody.
    """
    for _ in range(TRIALS):
        stuck = _stuck_columns(masks) - masks.tight
        if not stuck:
            return masks
        masks = replace(masks, tight=masks.tight | stuck)
    return masks


def _stuck_columns(masks: RuleMasks) -> frozenset[int]:
    """Return the columns of which the rules leave nothing to many records of independent columns."""
    generator = np.random.Generator(np.random.Philox(TRIAL_SEED))
    codes = np.zeros((TRIAL_ROWS, len(masks.marginals)), np.int64)
    going, found = np.ones(TRIAL_ROWS, bool), set()
    for column in masks.ruled:
        marginal = masks.marginals[column]
        shares = masks.shares(int(column), codes)
        mass = np.broadcast_to(marginal.mass, (TRIAL_ROWS, marginal.tokens))
        left = mass if shares is None else mass * shares.weights[shares.combination]
        ladder = np.cumsum(left, axis=1)
        stuck = going & (ladder[:, -1] <= 0)
        if stuck.sum() > MOST_STUCK * TRIAL_ROWS:
            found.add(int(column))
        going &= ~stuck
        uniforms = generator.random((2, TRIAL_ROWS))
        tokens = (ladder <= (uniforms[0] * ladder[:, -1])[:, None]).sum(axis=1)
        tokens = np.minimum(tokens, marginal.tokens - 1)
        decoded = marginal.decode(tokens, uniforms[1])
        codes[:, column] = (
            decoded if shares is None else shares.points(marginal, tokens, uniforms[1])
        )
    return frozenset(found)


@dataclass(frozen=True)
class _Judgement:
    """Judges the tokens of one column, for some combinations of earlier values."""

    masks: RuleMasks
    column: int
    rules: list[CompiledRule]
    given: dict[int, Ints]  # codes of earlier columns, shape (combinations,)
    left: dict[int, Range]  # of later columns in which rules meet, shape (combinations,)
    count: int  # combinations

    @cached_property
    def beside(self) -> dict[int, Range]:
        """What is known of other columns, shape (combinations,)."""
        values = self.masks.columns.meanings
        exact = {place: values[place].exact(codes) for place, codes in self.given.items()}
        return exact | self.left

    @cached_property
    def view(self) -> View:
        """What the rules say of the column, given what is known."""
        domains, columns = self.masks.domains, self.masks.columns
        named = {p for rule in self.rules for p in rule.places} - self.beside.keys()
        hulls = {place: domains[place].hull(columns.meanings[place]) for place in named}
        return View(columns, self.column, self.rules, hulls, self.beside, self.count)

    def shares(self) -> tuple[Floats, Pieces]:
        """Return shares, shape (combinations, tokens), and the allowed parts of divided bins."""
        marginal = self.masks.marginals[self.column]
        shares = np.empty((self.count, marginal.tokens))
        first, last, solved = self._solved()
        shares[:, : marginal.bins], pieces = self._cut(first, last, solved)
        bins, rest = np.arange(marginal.bins), np.arange(marginal.bins, marginal.tokens)
        shares[:, rest], _ = self._shares(np.arange(self.count), rest)
        others = np.flatnonzero(~solved)
        if len(others):
            shares[others[:, None], bins], divided = self._shares(others, bins)
            pieces = pieces.merged(divided)
        return shares, pieces

    def _solved(self) -> tuple[Ints, Ints, Bools]:
        """Return the points between which the rules leave all, and where that is surely so.

        Each of shape (combinations,). The last point comes before the first where nothing is left.
        """
        values = self.masks.columns.meanings[self.column]
        nowhere = np.zeros(self.count, np.int64)
        estimate = None if values.points is not None else self.view.estimate(0, values.size - 1)
        if estimate is None:
            return nowhere, nowhere - 1, np.zeros(self.count, bool)
        first, last = estimate
        some = first <= last
        inside = np.minimum(first, values.size - 1), np.maximum(last, 0)
        may, sure = self._judged(np.arange(self.count), *inside)
        right = self.view.excludes(0, values.size - 1, first, last) & (~some | (may & sure))
        return first, last, right

    def _cut(self, first: Ints, last: Ints, solved: Bools) -> tuple[Floats, Pieces]:
        """Return the shares of bins, shape (combinations, bins), of which all between two is left.

        Only at the first and at the last point may a bin be left in part.
        """
        marginal = self.masks.marginals[self.column]
        low, high = (codes[: marginal.bins] for codes in marginal.token_codes())
        whose = np.flatnonzero(solved & (first <= last))
        ends = first[whose], last[whose]
        left, right = (np.searchsorted(low, end, "right") - 1 for end in ends)
        tokens, shares = np.arange(marginal.bins), np.zeros((self.count, marginal.bins))
        shares[whose] = (tokens >= left[:, None]) & (tokens <= right[:, None])
        token = np.stack((left, right), axis=1)
        start, stop = (
            np.maximum(low[token], ends[0][:, None]),
            np.minimum(high[token], ends[1][:, None]),
        )
        part = (start > low[token]) | (stop < high[token])
        part[:, 1] &= left != right
        row, _ = np.nonzero(part)
        token, start, stop = token[part], start[part], stop[part]
        pieces = self._pieces(whose[row] * marginal.tokens + token, start, stop)
        whole = marginal.mass_before(high + 1) - marginal.mass_before(low)
        shares[whose[row], token] = np.minimum(pieces.mass / np.maximum(whole[token], 1e-300), 1.0)
        return shares, pieces

    def _shares(self, whose: Ints, tokens: Ints) -> tuple[Floats, Pieces]:
        """Return shares of some tokens, for some combinations, and parts of bins that were divided."""
        marginal = self.masks.marginals[self.column]
        low, high = (codes[tokens] for codes in marginal.token_codes())
        may, sure = self._judged(whose[:, None], low[None, :], high[None, :])
        shape = len(whose), len(tokens)
        shares = np.broadcast_to(may, shape).astype(float)
        divide = np.broadcast_to(may & ~sure & (low < high), shape)
        if not divide.any():
            return shares, self._pieces(tokens[:0], low[:0], high[:0])
        row, place = np.nonzero(divide)
        key = whose[row] * marginal.tokens + tokens[place]
        pieces = self._divided(key, low[place], high[place])
        whole = marginal.mass_before(high + 1) - marginal.mass_before(low)
        size = self.count * marginal.tokens
        part = np.bincount(pieces.key, pieces.mass, minlength=size)[key]
        shares[divide] = np.minimum(part / np.maximum(whole[place], 1e-300), 1.0)
        return shares, pieces

    def _pieces(self, key: Ints, low: Ints, high: Ints) -> Pieces:
        marginal = self.masks.marginals[self.column]
        return Pieces(key, low, high, marginal.mass_before(high + 1) - marginal.mass_before(low))

    def _divided(self, key: Ints, low: Ints, high: Ints) -> Pieces:
        """Return the allowed parts of bins, ordered by their keys."""
        parts = [(key[:0], low[:0], high[:0])]
        for first in range(0, len(key), MOST_DIVIDED):
            some = slice(first, first + MOST_DIVIDED)
            parts += self._halved(key[some], low[some], high[some])
        key, low, high = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.lexsort((low, key))
        return self._pieces(key[order], low[order], high[order])

    def _halved(self, key: Ints, low: Ints, high: Ints) -> list[tuple[Ints, Ints, Ints]]:
        """Return the allowed parts of bins: halves of halves, until rules tell nothing apart."""
        tokens, done = self.masks.marginals[self.column].tokens, []
        while len(key):
            middle = low + (high - low) // 2
            key = np.concatenate((key, key))
            low, high = np.concatenate((low, middle + 1)), np.concatenate((middle, high))
            may, sure = self._judged(key // tokens, low, high)
            # Whether to divide on is decided for each record and token by itself: what is left of one
            # record's tokens is never a function of the records beside it.
            many = np.bincount(key[may], minlength=int(key.max()) + 1)[key] > MOST_PIECES
            finished = may & (sure | (low == high) | many)
            done.append((key[finished], low[finished], high[finished]))
            rest = may & ~finished
            key, low, high = key[rest], low[rest], high[rest]
        return done

    def _judged(self, whose: Ints, low: Ints, high: Ints) -> tuple[Bools, Bools]:
        """Return whether codes between two may keep the rules, and whether all of them surely do."""
        values = self.masks.columns.meanings[self.column]
        between = values.between(low, high)
        earlier = taken(self.beside, whose)
        known = self._known(earlier, between)
        shape = np.broadcast_shapes(whose.shape, low.shape)
        may, sure = np.ones(shape, bool), np.ones(shape, bool)
        for rule in self.rules:
            truth = rule.judge(known)
            may &= truth.keeps
            if max(rule.places) == self.column:
                sure &= ~truth.no
                continue
            # What later columns hold is open: as good as sure where both ends may be kept.
            if values.points is None:
                for end in (low, high):
                    sure &= rule.judge(self._known(earlier, values.exact(end))).keeps
        return may, sure

    def _known(self, earlier: dict[int, Range], own: Range) -> Known:
        masks = self.masks
        return known_of(masks.columns, masks.domains, earlier | {self.column: own})
