"""Look around a dataset: python docs/examples/look_around.py ROOT."""

import io
import sys

import numpy as np
from PIL import Image

import voxdata

with voxdata.open(sys.argv[1]) as data:
    print(data)
    for row in data.sql("FROM split_summary").arrow().to_pylist():
        print(row)
    for row in data.sql("FROM funnel").arrow().to_pylist():
        print(row)

    portrait = data.portraits("train").slice(0, 1).to_pylist()[0]
    picture = Image.open(io.BytesIO(data.read(portrait["key"], "jpg")))
    print(f"{portrait['key']}: {picture.width} px, turned by {portrait['face_angle_deg']:.1f} degrees")

    clip = data.utterances("train").to_pylist()[0]
    mel = np.load(io.BytesIO(data.read(clip["key"], "torch40.npy")))  # (bins, frames), float16
    hop_s = data.front_end("torch40")["hop_s"]
    print(f"{clip['key']}: {mel.shape[0]} mel bins, {mel.shape[1]} frames of {hop_s} s")
