"""The workers' copy of the profiles: never of another state than is asked for, and nothing depends on it."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spark_jobs import change_log
from spark_jobs.change_log import Change, Head, Stored, encode_stored
from spark_jobs.profile_cache import DamagedCacheError, ProfileCache

MIB = 2**20
BUCKET = 7
A, B = b"a" * 16, b"b" * 16
KNOWN = {f"c-{n}": encode_stored(Stored(n, f"profile of {n}".encode())) for n in range(20)}
OTHER = encode_stored(Stored(1, b"another profile"))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ProfileCache]:
    opened = ProfileCache(tmp_path / "cache", 16 * MIB)
    opened.fill(BUCKET, A, KNOWN)
    yield opened
    opened.close()


def found(cache: ProfileCache, token: bytes, bucket: int = BUCKET) -> dict[str, bytes] | None:
    customers = cache.snapshot(bucket, token)
    if customers is None:
        return None
    with closing(customers):
        return dict(customers)


def change(token: bytes, changed: dict[str, bytes], gone: frozenset[str] = frozenset()) -> Change:
    return Change(Head(token=token), [], False, changed, gone)


def test_a_bucket_is_known_by_the_token_of_its_state(cache: ProfileCache) -> None:
    assert found(cache, A) == KNOWN
    assert found(cache, B) is None
    assert found(cache, A, bucket=BUCKET + 1) is None


def test_buckets_beside_each_other_are_apart(cache: ProfileCache) -> None:
    cache.fill(BUCKET + 1, A, {"c-0": OTHER})
    cache.fill(BUCKET - 1, A, {})
    assert (found(cache, A), found(cache, A, BUCKET + 1), found(cache, A, BUCKET - 1)) == (KNOWN, {"c-0": OTHER}, {})
    cache.fill(BUCKET, B, {})
    assert (found(cache, B), found(cache, A, BUCKET + 1)) == ({}, {"c-0": OTHER})


def test_a_change_moves_the_bucket_on(cache: ProfileCache) -> None:
    cache.update(BUCKET, A, change(B, {"c-1": OTHER, "new": OTHER}, gone=frozenset({"c-2"})))
    assert found(cache, A) is None
    assert found(cache, B) == {name: kept for name, kept in KNOWN.items() if name != "c-2"} | dict.fromkeys(
        ("c-1", "new"), OTHER
    )


def test_a_change_of_another_state_changes_nothing(cache: ProfileCache) -> None:
    """As of a task that ran twice at the same time."""
    cache.update(BUCKET, B, change(b"c" * 16, {"c-1": OTHER}))
    assert found(cache, A) == KNOWN


def test_a_reader_sees_its_state_while_another_moves_on(cache: ProfileCache) -> None:
    reader = cache.snapshot(BUCKET, A)
    assert reader
    cache.update(BUCKET, A, change(B, {"c-1": OTHER}))
    assert dict(reader) == KNOWN
    reader.close()


def test_a_cache_that_was_deleted_is_filled_anew(cache: ProfileCache, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache")
    cache.reopen(empty=False)
    assert found(cache, A) is None
    cache.fill(BUCKET, A, KNOWN)
    assert found(cache, A) == KNOWN


def test_a_second_attempt_begins_with_an_empty_cache(cache: ProfileCache) -> None:
    cache.reopen(empty=False)
    assert found(cache, A) == KNOWN
    cache.reopen(empty=True)
    assert found(cache, A) is None


def test_damage_is_noticed(cache: ProfileCache, tmp_path: Path) -> None:
    file = tmp_path / "cache" / "data.mdb"
    content = file.read_bytes()
    with file.open("r+b") as damaged:
        damaged.seek(content.index(b"profile of 13"))
        damaged.write(b"PROFILE")
    with pytest.raises(DamagedCacheError, match="damaged"):
        found(cache, A)


def test_a_full_cache_begins_anew(tmp_path: Path) -> None:
    with closing(ProfileCache(tmp_path / "small", MIB)) as small:
        large = {f"c-{n}": encode_stored(Stored(n, bytes(10_000))) for n in range(50)}
        small.fill(1, A, large)
        assert found(small, A, 1) == large
        small.fill(2, A, large | {f"d-{n}": stored for n, stored in enumerate(large.values())})
        assert (found(small, A, 1), found(small, A, 2)) == (None, None)
        small.fill(3, A, large)
        assert found(small, A, 3) == large


def test_a_log_is_not_read_as_another(cache: ProfileCache) -> None:
    head, chunks = change_log.whole(KNOWN, 0)
    after = change_log.change(head, KNOWN, {"c-1": OTHER}, 0, lambda _: False)
    assert change_log.read(after.head, [*chunks, *after.chunks]) == KNOWN | {"c-1": OTHER}
    for wrong in (chunks, after.chunks, [*after.chunks, *chunks], [*chunks, *after.chunks, *after.chunks]):
        with pytest.raises(change_log.DamagedLogError, match="its hash is"):
            change_log.read(after.head, wrong)
