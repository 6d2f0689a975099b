"""Face-voice pairs in batches: python docs/examples/pairs_for_torch.py ROOT."""

import sys

from torch.utils.data import DataLoader

import voxdata

with voxdata.open(sys.argv[1]) as data:
    pairs = data.pairs("train", side_px=64, front_end="torch40", frames=125, normalise="utterance")
    for batch in DataLoader(pairs, batch_size=4):
        print({name: tuple(value.shape) for name, value in batch.items()})
        break
