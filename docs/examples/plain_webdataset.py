"""One split with webdataset alone.

voxdata shards --root ROOT --split train --kind faces > train.txt
python docs/examples/plain_webdataset.py train.txt
"""

import sys
from pathlib import Path

import webdataset

if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
    sys.exit(f"'{' '.join(sys.argv[1:])}' is no file; give a list of tars, which voxdata shards writes")
tars = Path(sys.argv[1]).read_text().splitlines()
if not tars:
    sys.exit(f"{sys.argv[1]} lists no tars; write it with voxdata shards, which says why there are none")
for sample in webdataset.WebDataset(tars, shardshuffle=False).decode("pil"):
    pupils = sample["json"]["pupil_distance_px"]
    print(sample["__key__"], sample["jpg"].size, f"pupils {pupils:.0f} px apart in the photo")
