"""Log-mels and portraits of other projects, damaged in every way: taken, or a row with its reason."""

from __future__ import annotations

import io
import pickle
from functools import cache

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.mutations import complaint, damaged, few
from voxdata.exchange.import_members import log_mel
from voxdata.exchange.import_pickle import load_plain_pickle
from voxdata.format.errors import SourceError

BANDS = 40


@cache
def mel(name: str) -> bytes:
    numbers = np.linspace(-5, 5, BANDS * 6).reshape(BANDS, 6)
    if name.endswith(".npy"):
        out = io.BytesIO()
        np.save(out, numbers.astype(np.float32))
        return out.getvalue()
    protocol = int(name.partition(".")[0])
    return pickle.dumps(
        {"LogMel_Features": numbers, "spkid": "id1", "clipid": ("v", 1), "wavid": [1.5, None]}, protocol
    )


NAMES = (*(f"{protocol}.pickle" for protocol in range(6)), "a.npy")


@few(150)
@given(st.data(), st.sampled_from(NAMES))
def test_any_log_mel_is_numbers_or_refused_in_one_line(data: st.DataObject, name: str) -> None:
    damage = data.draw(damaged(mel(name)))

    def read() -> None:
        numbers = log_mel(damage, name, "torch40")
        assert numbers.shape[0] == BANDS
        assert np.isfinite(numbers).all()

    complaint(read, SourceError, names=name)


@few(100)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner)
        ),
        max_leaves=20,
    ),
    st.integers(0, 5),
)
@example([10**4000], 2)
def test_plain_containers_come_through_every_protocol(value: object, protocol: int) -> None:
    def same() -> None:
        assert repr(load_plain_pickle(pickle.dumps(value, protocol), "x")) == repr(value)

    complaint(same, SourceError)
