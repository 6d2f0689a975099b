"""The report's sections about models: training curves, faces generated for held-out voices, retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voxdata.format.errors import StorageError
from voxdata.pages.report.charts import interval, lines
from voxdata.pages.report.clips import player
from voxdata.pages.report.facts import TRUE_FACES, Facts, Row, person_name
from voxdata.pages.report.html import Html, element, join, note, table
from voxdata.pages.report.pictures import member, small_picture, voice_picture
from voxdata.pages.report.runs import Run

NO_RUNS = "No training run lies under runs/ yet. Train one with: voxdata train sf2f --root DIR --preset tiny"
GENERATED = "A plausible face: it shows no real person and identifies nobody."
RUNS = 6
GALLERY_RUNS = 2
GALLERY_PEOPLE = 16
SHEET_PX, SHEET_BYTES = 768, 40_000
HEADLINES = ("recall_at_5_of_20", "recall_at_10_of_100", "recall_at_10")
RECALL_AT = (1, 2, 5, 10)


def curves(facts: Facts, runs: Sequence[Run]) -> Html:
    """Losses of every run, and its last training samples."""
    if not runs:
        return note(NO_RUNS)
    left_out = note(f"{len(runs) - RUNS} more runs are left out.") if len(runs) > RUNS else None
    return join(*(_run(facts, run) for run in runs[:RUNS]), left_out)


def voices(facts: Facts, runs: Sequence[Run]) -> Html:
    """Voice, generated face, true faces."""
    shown = [run for run in runs if run.gallery][:GALLERY_RUNS]
    if not shown:
        return note(
            NO_RUNS if not runs else "No run has a gallery of held-out people (runs/<run>/gallery/gallery.json)."
        )
    notice = element("p", element("strong", GENERATED), class_="notice")
    return join(notice, *(_gallery(facts, run) for run in shown))


def retrieval(facts: Facts, runs: Sequence[Run]) -> Html:
    """Who is found when a generated face is the query, beside controls."""
    found = [(run, evaluation) for run in runs for evaluation in run.evaluations]
    if not found:
        return note(NO_RUNS if not runs else "No run was evaluated yet. Evaluate one with: voxdata evaluate RUN")
    intro = element(
        "p",
        "The face generated from a voice is the query; the gallery holds the mean embedding of each person's true "
        "portraits. R@K: share of people whose true person is among the K nearest, in per cent, with its 95 % interval "
        "over people. Dotted: chance. Centred: without what all generated faces, or all people, have in common.",
    )
    return join(intro, *(_evaluation(run, evaluation, facts) for run, evaluation in found))


def _run(facts: Facts, run: Run) -> Html:
    ends = [step for _, step in run.stages]
    charts = [
        element(
            "figure",
            element("figcaption", element("b", _words(name)), element("span", f"last {_last(values)}")),
            lines({name: (steps, values)}, ends[:-1], f"{_words(name)} over training steps"),
            class_="chart",
        )
        for name, (steps, values) in sorted(run.curves.items(), key=_loss_first)
    ]
    return element(
        "section",
        element("h3", run.name),
        element("p", " · ".join(_about(run, facts)), class_="note"),
        *(note(problem) for problem in run.problems),
        element("div", *charts, class_="charts") if charts else note("The run has no metrics yet."),
        element("p", "Dashed: end of a training stage. x: steps.", class_="legend")
        if len(ends) > 1 and charts
        else None,
        _samples(facts, run),
        class_="run",
    )


def _about(run: Run, facts: Facts) -> list[str]:
    config, last = run.config, run.last_line
    settings = config.get("run")
    parts = [f"{config.get('system', 'unknown system')}, preset {config.get('preset', 'unknown')}"]
    if run.snapshot:
        other = "" if run.snapshot == facts.snapshot.id else " (not the one of this report)"
        parts.append(f"snapshot {run.snapshot}{other}")
    embedder = config.get("embedder")
    if isinstance(embedder, dict):
        parts.append(f"embedder {embedder.get('name')}")
    if "people" in config:
        parts.append("1 person" if config["people"] == 1 else f"{config['people']} people")
    if last:
        parts.append(f"{last['step']:,} steps in {float(last.get('elapsed_s', 0)):.0f} s")
    if isinstance(settings, dict) and "seed" in settings:
        parts.append(f"seed {settings['seed']}")
    parts += [f"{name} {config[name]}" for name in ("device",) if name in config]
    return parts


def _samples(facts: Facts, run: Run) -> Html | None:
    if run.samples is None:
        return None
    try:
        picture = small_picture(facts.storage.read(run.samples), side_px=SHEET_PX, max_bytes=SHEET_BYTES)
    except StorageError:
        picture = None
    if picture is None:
        return note(f"{run.samples} is no picture.")
    said = "Training samples: first row real portraits, second row faces generated from the same people's voices. "
    return element(
        "figure",
        element("img", src=picture, alt=f"{said}{GENERATED}", loading="lazy"),
        element("figcaption", said, GENERATED),
        class_="samples",
    )


def _gallery(facts: Facts, run: Run) -> Html:
    people = run.gallery.get("people")
    listed = [person for person in people if isinstance(person, dict)] if isinstance(people, list) else []
    cards = [card for person in listed if (card := _card(facts, run, person)) is not None][:GALLERY_PEOPLE]
    facts_of = [f"{len(cards)} of {len(listed)} people"]
    facts_of += [f"{name} {run.gallery[name]}" for name in ("split", "step") if name in run.gallery]
    return element(
        "section",
        element("h3", run.name),
        element("p", " · ".join(facts_of), class_="note"),
        note(str(run.gallery["note"])) if run.gallery.get("note") else None,
        element("div", *cards, class_="cards") if cards else note("The gallery lists nobody of this snapshot."),
    )


def _card(facts: Facts, run: Run, entry: Mapping[str, Any]) -> Html | None:
    """One held-out person; None when the catalog has no portraits of them to show, or the picture is missing."""
    name = str(entry.get("generated", ""))
    person = str(entry.get("person", ""))
    faces = facts.samples_of(person, "faces")
    if not faces or not name or "/" in name or "\\" in name:
        return None
    try:
        generated = small_picture(facts.storage.read(f"runs/{run.name}/gallery/{name}"))
    except StorageError:
        return None
    clip = _clip(facts, entry, person)
    true_faces = [
        small_picture(data) for row in faces[:TRUE_FACES] if (data := member(facts.storage, row, ("jpg", "webp")))
    ]
    if generated is None or not true_faces:
        return None
    data = member(facts.storage, clip, (f"{run.config.get('front_end', 'torch40')}.npy",)) if clip is not None else None
    voice = voice_picture(data) if data is not None else None
    title = person_name(faces[0])
    return element(
        "article",
        element("h4", title, " ", element("small", person) if title != person else None),
        element(
            "div",
            _labelled("voice", voice, f"log-mel of {title}'s voice", _heard(clip)),
            player(facts.storage, clip, title) if clip is not None else None,
            class_="voice",
        ),
        element("div", _labelled("generated", generated, GENERATED, _ranked(entry)), class_="generated"),
        element("div", element("span", "true faces", class_="label"), _true_faces(true_faces, title), class_="true"),
        class_="card",
    )


def _labelled(label: str, picture: str | None, alt: str, text: str) -> Html:
    shown = (
        element("img", src=picture, alt=alt, loading="lazy")
        if picture
        else element("div", "no picture", class_="missing")
    )
    return join(element("span", label, class_="label"), shown, element("small", text) if text else None)


def _true_faces(pictures: Sequence[str | None], title: str) -> Html:
    images = [
        element("img", src=picture, alt=f"true face of {title}", loading="lazy") for picture in pictures if picture
    ]
    return element("div", *images, class_="faces")


def _clip(facts: Facts, entry: Mapping[str, Any], person: str) -> Row | None:
    clips = facts.samples_of(person, "speech")
    wanted = entry.get("utterances")
    named = [clip for clip in clips if isinstance(wanted, list) and clip["key"] in wanted]
    return next(iter(named or clips), None)


def _heard(clip: Row | None) -> str:
    if clip is None:
        return ""
    parts = [f"{clip[key]:.{digits}f} {unit}" for key, digits, unit in _HEARD if clip[key] is not None]
    return " · ".join(parts)


_HEARD = (("speech_s", 1, "s"), ("pitch_median_hz", 0, "Hz"))


def _ranked(entry: Mapping[str, Any]) -> str:
    rank, gallery = entry.get("rank"), entry.get("gallery")
    if not isinstance(rank, (int, float)) or not isinstance(gallery, int):
        return ""
    return f"true person ranked {rank:g} of {gallery}"


def _evaluation(run: Run, evaluation: Mapping[str, Any], facts: Facts) -> Html:
    rows: list[dict[str, Any]] = evaluation["rows"]
    embedder = evaluation.get("embedder")
    named = embedder if isinstance(embedder, dict) else {}
    embedder_name = str(named.get("name", "unknown"))
    people = evaluation.get("people", "?")
    said = [
        f"({named.get('kind', 'origin unknown')})",
        *([f"sha256 {named['sha256'][:16]}"] if isinstance(named.get("sha256"), str) else []),
        f"split {evaluation.get('split', '?')}: {people} people, {evaluation.get('portraits', '?')} portraits, "
        f"{evaluation.get('utterances', '?')} utterances",
        f"step {evaluation.get('step', '?')}",
        *([] if evaluation.get("snapshot") in (None, facts.snapshot.id) else [f"snapshot {evaluation['snapshot']}"]),
    ]
    available = {key for row in rows for key in row["figures"]}
    panels = [_panel(rows, key, people) for key in _headlines(available)]
    tables = _tables(rows, available, people, embedder_name)
    return element(
        "section",
        element("h3", run.name),
        element("p", "Face embedder ", element("strong", embedder_name), " ", " · ".join(said), class_="note"),
        element("div", *panels, class_="panels"),
        element("h4", "All figures"),
        *tables,
        element("ul", *(element("li", str(text)) for text in evaluation.get("notes") or []), class_="note"),
    )


def _headlines(available: set[str]) -> list[str]:
    plain = [key for key in HEADLINES if key in available][:2]
    if not plain:
        most = [key for k in reversed(RECALL_AT) if (key := f"recall_at_{k}") in available]
        plain = most[:1]
    return [each for key in plain for each in (key, f"centred_{key}") if each in available]


def _panel(rows: Sequence[Mapping[str, Any]], key: str, people: Any) -> Html:
    shown = [(row, figure) for row in rows if (figure := row["figures"].get(key)) is not None]
    chance = next((figure["value"] for row, figure in shown if row["name"] == "chance"), None)
    whole = max(max(float(figure["high"]) for _, figure in shown), float(chance or 0)) * 1.05
    steps = [
        element(
            "div",
            element("div", str(row["name"]), class_="what"),
            element("div", interval(figure["value"], figure["low"], figure["high"], chance, whole), class_="bar"),
            element("div", _figure(figure, per_cent=True), class_="count"),
            class_=f"step {row.get('kind', '')}",
        )
        for row, figure in shown
    ]
    k, _, gallery = key.partition("_at_")[2].partition("_of_")
    where = f"galleries of {gallery}" if gallery else f"the gallery of all {people}"
    centred = ", centred" if key.startswith("centred_") else ""
    return element("div", element("h4", f"R@{k} in {where}{centred}"), *steps, class_="panel")


def _tables(rows: Sequence[Mapping[str, Any]], available: set[str], people: Any, embedder: str) -> list[Html]:
    sizes = sorted({int(tail) for key in available if (tail := key.partition("_of_")[2]).isdigit()})
    groups: list[tuple[str, str, list[str]]] = []
    for prefix, word in (("", ""), ("centred_", ", centred")):
        plain = [f"{prefix}cosine", *([] if prefix else ["l1"]), *(f"{prefix}recall_at_{k}" for k in RECALL_AT)]
        groups.append((f"Gallery of all {people}{word}", prefix, plain))
        for size in sizes:
            keys = [f"{prefix}recall_at_{k}_of_{size}" for k in RECALL_AT]
            groups.append((f"Galleries of {size}{word}", prefix, keys))
    found = []
    for title, prefix, keys in groups:
        columns = [key for key in keys if key in available]
        if not columns:
            continue
        body = [
            [
                f"{row['name']}",
                str(row.get("people", "?")),
                *(_figure(row["figures"].get(key), per_cent="recall" in key) for key in columns),
            ]
            for row in rows
            if any(key in row["figures"] for key in columns)
        ]
        content = table(title, [embedder, "n", *(_heading(key) for key in columns)], body)
        found.append(element("details", element("summary", title), content, open=not prefix))
    return found


def _heading(key: str) -> str:
    name = key.removeprefix("centred_")
    return (
        f"R@{name.partition('_at_')[2].partition('_of_')[0]} %"
        if name.startswith("recall")
        else name.replace("l1", "L1")
    )


def _figure(figure: Mapping[str, float] | None, *, per_cent: bool) -> str:
    if figure is None:
        return "–"
    value, low, high = (figure[name] * (100 if per_cent else 1) for name in ("value", "low", "high"))
    digits = 1 if per_cent or value >= 2 else 3
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _loss_first(curve: tuple[str, Any]) -> int:
    return {"loss": 0, "steps_per_s": 2}.get(curve[0], 1)


def _words(name: str) -> str:
    return "steps per second" if name == "steps_per_s" else name.replace("_", " ")


def _last(values: Any) -> str:
    return f"{float(values[-1]):.3g}"
