"""The dataset toolkit: photos and voices in, a catalogued HQ-VoxCeleb-style dataset out."""
