"""
The tree of RFC 9162, against the recursive definition of the RFC written down a second time, and against the roots
that Certificate Transparency implementations publish for their eight reference leaves.
"""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.merkle import (
    EMPTY_ROOT,
    Coordinate,
    Frontier,
    ProofError,
    Tree,
    carry_out,
    leaf_hash,
    node_hash,
    peaks,
    plan_consistency,
    plan_inclusion,
    root_of,
    verify_consistency,
    verify_inclusion,
    wanted,
)

REFERENCE_LEAVES = [
    bytes.fromhex(one)
    for one in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

MAX = 70


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


# --- The RFC's own definitions, read literally


def split_of(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def mth(hashes: list[bytes]) -> bytes:
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = split_of(len(hashes))
    return sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def path_of(index: int, hashes: list[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    k = split_of(len(hashes))
    if index < k:
        return [*path_of(index, hashes[:k]), mth(hashes[k:])]
    return [*path_of(index - k, hashes[k:]), mth(hashes[:k])]


def subproof(old: int, hashes: list[bytes], *, complete: bool) -> list[bytes]:
    if old == len(hashes):
        return [] if complete else [mth(hashes)]
    k = split_of(len(hashes))
    if old <= k:
        return [*subproof(old, hashes[:k], complete=complete), mth(hashes[k:])]
    return [*subproof(old - k, hashes[k:], complete=False), mth(hashes[:k])]


def everything(count: int) -> tuple[Tree, dict[Coordinate, bytes]]:
    tree = Tree.over(leaves(count))
    return tree, dict(tree.hashes)


sizes = st.integers(1, MAX)


def test_the_published_roots_of_the_reference_leaves() -> None:
    """Eight leaves, eight roots that every Certificate Transparency implementation knows."""
    frontier = Frontier()
    found = []

    for one in REFERENCE_LEAVES:
        frontier.append(leaf_hash(one))
        found.append(frontier.root().hex())

    assert found == REFERENCE_ROOTS
    assert Frontier().root() == EMPTY_ROOT == sha256(b"").digest()


@given(sizes)
def test_the_root_is_the_one_of_the_definition(count: int) -> None:
    """The frontier's root equals MTH of the RFC at every size."""
    assert root_of(leaves(count)) == mth(leaves(count))


@given(sizes, st.data())
def test_an_inclusion_proof_is_the_one_of_the_definition(count: int, data: st.DataObject) -> None:
    """The planned proof equals PATH of the RFC, and verifies."""
    index = data.draw(st.integers(0, count - 1))
    tree, _ = everything(count)

    proof = tree.inclusion(index)

    assert proof == tuple(path_of(index, leaves(count)))
    verify_inclusion(leaves(count)[index], index=index, size=count, proof=proof, root=tree.root)


@given(sizes, st.data())
def test_a_consistency_proof_is_the_one_of_the_definition(count: int, data: st.DataObject) -> None:
    """The planned proof equals PROOF of the RFC, and verifies."""
    old = data.draw(st.integers(1, count))
    _, hashes = everything(count)

    proof = carry_out(plan_consistency(old, count), hashes)

    assert proof == tuple(subproof(old, leaves(count), complete=True))
    verify_consistency(
        old=old, old_root=mth(leaves(old)), new=count, new_root=mth(leaves(count)), proof=proof
    )


def test_every_proof_of_every_small_tree() -> None:
    """All indexes and old sizes of all trees up to 17 leaves, one by one."""
    for count in range(1, 18):
        tree, hashes = everything(count)
        for index in range(count):
            proof = tree.inclusion(index)
            assert proof == tuple(path_of(index, leaves(count)))
            verify_inclusion(leaves(count)[index], index=index, size=count, proof=proof, root=tree.root)
            old = index + 1
            proof = carry_out(plan_consistency(old, count), hashes)
            assert proof == tuple(subproof(old, leaves(count), complete=True))
            verify_consistency(old=old, old_root=mth(leaves(old)), new=count, new_root=tree.root, proof=proof)


@given(sizes, st.data())
def test_no_other_leaf_index_size_or_proof_verifies(count: int, data: st.DataObject) -> None:
    """Any one thing changed, and an inclusion proof is refused."""
    index = data.draw(st.integers(0, count - 1))
    tree, _ = everything(count)
    leaf, proof = leaves(count)[index], list(tree.inclusion(index))
    garbage = data.draw(st.binary(min_size=32, max_size=32))

    wrong: list[tuple[bytes, int, int, list[bytes], bytes]] = [
        (leaf_hash(b"other"), index, count, proof, tree.root),
        (leaf, index + 1, count, proof, tree.root),
        (leaf, index - 1, count, proof, tree.root),
        (leaf, index ^ 2, count, proof, tree.root),
        (leaf, index, count, [*proof, garbage], tree.root),
        (leaf, index, count, [garbage, *proof], tree.root),
        (leaf, index, count, [*proof, tree.root], tree.root),
        (leaf, index, count, [*proof, b""], tree.root),
        (leaf, index, count, proof, garbage),
        (leaf, index, count, proof, b""),
        (leaf, index, count, proof, tree.root[:-1]),
        (leaf[:-1], index, count, proof, tree.root),
        *((leaf, index, count, proof[:n], tree.root) for n in range(len(proof))),
        *((leaf, index, count, [*proof[:n], garbage, *proof[n:]], tree.root) for n in range(len(proof))),
        *((leaf, index, count, [*proof[:n], garbage, *proof[n + 1 :]], tree.root) for n in range(len(proof))),
        *(
            (leaf, index, count, [*proof[:n], proof[n][:31], *proof[n + 1 :]], tree.root)
            for n in range(len(proof))
        ),
    ]

    for one in wrong:
        with pytest.raises(ProofError):
            verify_inclusion(one[0], index=one[1], size=one[2], proof=one[3], root=one[4])


@given(sizes, st.data())
def test_a_proof_for_another_size_leads_elsewhere(count: int, data: st.DataObject) -> None:
    """Where a size needs a proof of another shape, the proof is refused even if its hashes are right."""
    index = data.draw(st.integers(0, count - 1))
    other = data.draw(st.integers(index + 1, 4 * MAX).filter(lambda size: size != count))
    tree, _ = everything(count)
    proof = tree.inclusion(index)

    same_walk = [len(one) == 0 for one in plan_inclusion(index, count)] == [
        len(one) == 0 for one in plan_inclusion(index, other)
    ] and _sides(index, count) == _sides(index, other)

    if not same_walk:
        with pytest.raises(ProofError):
            verify_inclusion(leaves(count)[index], index=index, size=other, proof=proof, root=tree.root)


def _sides(index: int, size: int) -> list[bool]:
    return [one[0].position << one[0].level > index for one in plan_inclusion(index, size)]


@given(sizes, st.data())
def test_no_other_root_size_or_proof_is_consistent(count: int, data: st.DataObject) -> None:
    """Any one thing changed, and a consistency proof is refused."""
    old = data.draw(st.integers(1, count))
    _, hashes = everything(count)
    proof = list(carry_out(plan_consistency(old, count), hashes))
    a, b = mth(leaves(old)), mth(leaves(count))
    garbage = data.draw(st.binary(min_size=32, max_size=32))

    wrong: list[tuple[int, bytes, int, bytes, list[bytes]]] = [
        (0, EMPTY_ROOT, count, b, []),
        (0, a, count, b, proof),
        (-1, a, count, b, proof),
        (count + 1, a, count, b, proof),
        (old, garbage, count, b, proof),
        (old, a, count, garbage, proof),
        (old, a[:31], count, b, proof),
        (old, a, count, b, [*proof, garbage]),
        (old, a, count, b, [garbage, *proof]),
        (old, a, count, b, [*proof, b""]),
        *((old, a, count, b, proof[:n]) for n in range(len(proof))),
        *((old, a, count, b, [*proof[:n], garbage, *proof[n + 1 :]]) for n in range(len(proof))),
    ]

    for one in wrong:
        with pytest.raises(ProofError):
            verify_consistency(old=one[0], old_root=one[1], new=one[2], new_root=one[3], proof=one[4])


@given(st.integers(0, MAX), sizes)
def test_a_frontier_goes_on_from_stored_hashes(first: int, more: int) -> None:
    """A frontier made anew from the hashes at `peaks(size)` appends as the old one would have."""
    every = leaves(first + more)
    stored = {Coordinate(0, number): leaf for number, leaf in enumerate(every[:first])}
    frontier = Frontier()
    for leaf in every[:first]:
        stored.update((node.at, node.hash) for node in frontier.append(leaf))

    again = Frontier(size=first, peaks=[stored[one] for one in peaks(first)])
    for leaf in every[first:]:
        again.append(leaf)

    assert again.root() == mth(every)
    assert again.peaks == Frontier(size=again.size, peaks=again.peaks).peaks


def test_a_frontier_refuses_hashes_that_cannot_be_its_edge() -> None:
    """The number of hashes is the number of bits set in the size, and each has 32 bytes."""
    for size, edge in ((1, []), (2, leaves(2)), (3, [*leaves(1), b""]), (-1, [])):
        with pytest.raises(ValueError, match=r"edge"):
            Frontier(size=size, peaks=edge)
    with pytest.raises(ValueError, match=r"32 bytes"):
        Frontier().append(b"short")


def test_a_proof_in_a_large_tree_needs_few_hashes() -> None:
    """Ten million leaves: a proof reads at most 48 stored hashes, and is at most 24 long."""
    size = 10_000_019

    for index in (0, 1, 4_999_999, size - 2, size - 1):
        plan = plan_inclusion(index, size)
        assert len(plan) <= 24
        assert len(wanted(plan)) <= 48


def test_there_is_no_plan_for_what_is_not_there() -> None:
    """No leaf beyond the size, no consistency from nothing or from more."""
    for index, size in ((0, 0), (1, 1), (-1, 3)):
        with pytest.raises(ValueError, match="no leaf"):
            plan_inclusion(index, size)
    for old, new in ((0, 1), (2, 1), (0, 0)):
        with pytest.raises(ValueError, match="no consistency"):
            plan_consistency(old, new)


def test_leaf_and_node_hashes_are_separate() -> None:
    """A leaf that holds two hashes is not the node above them."""
    a, b = leaves(2)

    assert leaf_hash(a + b) != node_hash(a, b)
