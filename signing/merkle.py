"""
The Merkle tree of the log and of receipt batches: hashes, and proofs that an offline reader can check.

RFC 9162 section 2.1, SHA-256. The tree is never held in memory: appending needs the frontier (one hash per set bit
of the size), and a proof is planned first, as coordinates of complete subtrees, so that whoever keeps those hashes
reads O(log n) of them. Checking is strict: a proof that is short, long or holds anything but 32-byte hashes is refused.

Nothing here signs, stores or knows what a leaf says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Final, NamedTuple, Self, TypeAlias, final

from signing.errors import SigningError

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
MAX_PROOF: Final = 64
"""No tree with fewer than 2**63 leaves has a longer inclusion proof."""

_MAX_LEAVES: Final = 1 << 63


@final
class ProofError(SigningError):
    """A proof does not lead where it claims to; `detail` says in which way."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Coordinate(NamedTuple):
    """A complete subtree: the leaves from `position * 2**level` to before `(position + 1) * 2**level`."""

    level: int
    position: int


class Node(NamedTuple):
    """A complete subtree and its root. Level 0 is a leaf."""

    at: Coordinate
    hash: bytes


Plan: TypeAlias = tuple[tuple[Coordinate, ...], ...]
"""One entry per hash of a proof; each is made of the complete subtrees named, left to right."""


def leaf_hash(record: bytes) -> bytes:
    """RFC 9162 section 2.1.1: the hash of a leaf."""
    return sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 section 2.1.1: the hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """
    What must be remembered to append: the roots of the complete subtrees at the tree's right edge, largest first.
    """

    __slots__ = ("_peaks", "_size")

    def __init__(self, *, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """
        Continue a tree of `size` leaves; `peaks` are the hashes at `peaks(size)`.

        Raises:
            ValueError: the hashes cannot be the edge of a tree of this size.
        """
        if not 0 <= size < _MAX_LEAVES or len(peaks) != size.bit_count():
            raise ValueError(f"{len(peaks)} hashes cannot be the edge of a tree of {size} leaves")
        if any(len(one) != HASH_SIZE for one in peaks):
            raise ValueError("an edge hash has 32 bytes")
        self._size = size
        self._peaks = list(peaks)

    @property
    def size(self) -> int:
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        return tuple(self._peaks)

    def copy(self) -> Self:
        """The same tree, to be continued without touching this one."""
        return type(self)(size=self._size, peaks=self._peaks)

    def append(self, leaf: bytes) -> tuple[Node, ...]:
        """
        Add the hash of a leaf and return the subtrees of level 1 and above that it completes, smallest first.
        """
        if len(leaf) != HASH_SIZE:
            raise ValueError("a leaf hash has 32 bytes")
        index, level, current = self._size, 0, leaf
        completed: list[Node] = []
        while index & 1:
            current = node_hash(self._peaks.pop(), current)
            index >>= 1
            level += 1
            completed.append(Node(Coordinate(level, index), current))
        self._peaks.append(current)
        self._size += 1
        return tuple(completed)

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        return _fold(self._peaks) if self._peaks else EMPTY_ROOT


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def peaks(size: int) -> tuple[Coordinate, ...]:
    """The complete subtrees a tree of `size` leaves is made of, largest first."""
    return _cover(0, size)


def plan_inclusion(index: int, size: int) -> Plan:
    """
    Which subtrees prove that leaf `index` is in the tree of `size` leaves; sibling of the leaf first.

    Raises:
        ValueError: there is no such leaf in that tree.
    """
    if not 0 <= index < size < _MAX_LEAVES:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    below_root: list[tuple[Coordinate, ...]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            below_root.append(_cover(middle, end))
            end = middle
        else:
            below_root.append(_cover(begin, middle))
            begin = middle
    return tuple(reversed(below_root))


def plan_consistency(old: int, new: int) -> Plan:
    """
    Which subtrees prove that the tree of `old` leaves is the beginning of the tree of `new` leaves.

    Raises:
        ValueError: not 0 < old <= new. Nothing is proved by "begins with nothing".
    """
    if not 0 < old <= new < _MAX_LEAVES:
        raise ValueError(f"no consistency proof from {old} to {new}")
    below_root: list[tuple[Coordinate, ...]] = []
    begin, end = 0, new
    known = True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            below_root.append(_cover(middle, end))
            end = middle
        else:
            below_root.append(_cover(begin, middle))
            begin = middle
            known = False
    if not known:
        below_root.append(_cover(begin, end))
    return tuple(reversed(below_root))


def wanted(plan: Plan) -> tuple[Coordinate, ...]:
    """Every subtree the plan needs."""
    return tuple(chain.from_iterable(plan))


def carry_out(plan: Plan, hashes: Mapping[Coordinate, bytes]) -> tuple[bytes, ...]:
    """
    The proof, from the hashes at `wanted(plan)`.

    Raises:
        KeyError: a hash is missing; its key is the coordinate.
    """
    return tuple(_fold([hashes[one] for one in entry]) for entry in plan)


@dataclass(frozen=True, slots=True)
class Tree:
    """All complete subtrees of a small tree in memory: what a batch of receipts needs."""

    size: int
    hashes: Mapping[Coordinate, bytes]
    root: bytes

    @classmethod
    def over(cls, leaves: Sequence[bytes]) -> Self:
        """The tree over these leaf hashes."""
        frontier = Frontier()
        hashes: dict[Coordinate, bytes] = {}
        for index, leaf in enumerate(leaves):
            hashes[Coordinate(0, index)] = leaf
            hashes.update((node.at, node.hash) for node in frontier.append(leaf))
        return cls(frontier.size, hashes, frontier.root())

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The proof that leaf `index` is in this tree."""
        return carry_out(plan_inclusion(index, self.size), self.hashes)


def root_from_inclusion(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """
    The root that a proof leads to (RFC 9162 section 2.1.3.2). What it is worth depends on who signed that root.

    Raises:
        ProofError: the proof does not have the shape that this index and size demand.
    """
    if not 0 <= index < size < _MAX_LEAVES:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    _check_hashes((leaf, *proof))
    position, last, current = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        if position & 1 or position == last:
            current = node_hash(sibling, current)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            current = node_hash(current, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the proof is too short")
    return current


def verify_inclusion(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """
    Make sure that `leaf` is number `index` of the tree of `size` leaves with this root.

    Raises:
        ProofError: it is not, or the proof does not show it.
    """
    _check_hashes((root,))
    if root_from_inclusion(leaf, index=index, size=size, proof=proof) != root:
        raise ProofError("the proof leads to another root")


def verify_consistency(
    *, old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """
    Make sure that the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 section 2.1.4.2).

    Raises:
        ProofError: it does not, or the proof does not show it; `old` is 0, which proves nothing.
    """
    if not 0 < old <= new < _MAX_LEAVES:
        raise ProofError(f"no consistency proof from {old} to {new}")
    _check_hashes((old_root, new_root, *proof))
    if old == new:
        if proof:
            raise ProofError("the proof is too long")
        if old_root != new_root:
            raise ProofError("two roots for one size")
        return
    hashes = list(proof)
    if old & (old - 1) == 0:
        # The old tree is itself a complete subtree: its root is where the walk begins.
        hashes.insert(0, old_root)
    if not hashes:
        raise ProofError("the proof is too short")
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    from_old = from_new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if position & 1 or position == last:
            from_old = node_hash(sibling, from_old)
            from_new = node_hash(sibling, from_new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            from_new = node_hash(from_new, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the proof is too short")
    if from_old != old_root:
        raise ProofError("the proof leads to another old root")
    if from_new != new_root:
        raise ProofError("the proof leads to another new root")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MAX_PROOF + 2:
        raise ProofError("the proof is too long")
    if any(len(one) != HASH_SIZE for one in hashes):
        raise ProofError("a hash has 32 bytes")


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def _cover(begin: int, end: int) -> tuple[Coordinate, ...]:
    # `begin` is a multiple of every power of two that fits into the range: so it is for all ranges of the RFC.
    found: list[Coordinate] = []
    for level in range((end - begin).bit_length() - 1, -1, -1):
        if (end - begin) >> level & 1:
            found.append(Coordinate(level, begin >> level))
            begin += 1 << level
    return tuple(found)


def _fold(hashes: Sequence[bytes]) -> bytes:
    current = hashes[-1]
    for left in reversed(hashes[:-1]):
        current = node_hash(left, current)
    return current
