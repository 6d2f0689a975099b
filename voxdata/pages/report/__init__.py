"""The report of a root: one HTML file that opens offline. `page.build_report(storage)` makes it.

It reads the current snapshot, its catalog, its shards, the photo store and whatever training runs lie under `runs/`;
nothing in it depends on the time or the machine. A run is a folder `runs/<run>/` with any of

    config.json, metrics.jsonl      as the training writes them
    evaluation*.json                as the evaluation writes them: format 1, `rows` of `figures` {value, low, high}
    samples/*.png                   the newest is shown
    gallery/gallery.json            faces generated for held-out people, and beside it their PNGs:

    {"format": 1, "split": "test", "step": 1200, "note": "…",             split, step and note may be missing
     "people": [{"person": "id10001",                                     canonical person id, as in the catalog
                 "generated": "id10001.png",                              a file name in gallery/
                 "utterances": ["id10001/video_00001"],                   clips that were heard; may be missing
                 "rank": 3, "gallery": 100}]}                             place of the true person; may be missing

The voice's picture and the true faces come from the shards. People who opted out or were forgotten are never shown.
"""
