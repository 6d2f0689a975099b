"""The report's sections about what became of every face and clip: the funnel, and contact sheets of both its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from voxdata.faces.purity import NOBODY_CHECKS, OFFERED
from voxdata.faces.rules import STATUSES, lines_of
from voxdata.pages.report import commands
from voxdata.pages.report.charts import bar
from voxdata.pages.report.facts import Facts, Row, person_name
from voxdata.pages.report.html import Html, element, join, note, share
from voxdata.pages.report.measures import Measure, face_measures
from voxdata.pages.report.pictures import Originals, member, small_picture
from voxdata.rules import Rule, by_reason, setting
from voxdata.speech.rules import REASONS as SPEECH_REASONS

PASS = "pass so far"  # of a build that has no version
NO_PIXELS = frozenset({"unreadable", "killed_worker", "too_large"})
PHOTO_REASONS = frozenset(by_reason(STATUSES))


def funnel(facts: Facts) -> Html:
    """What became of every face and every clip."""
    return join(
        element("p", "Each row is the first rule that an item failed, in the order in which the rules are applied."),
        _purity_warning(facts),
        _funnel_of(
            facts, "faces", _face_reasons(facts), "portraits" if facts.left is None else PASS, "No photo was looked at."
        ),
        _funnel_of(
            facts,
            "speech",
            SPEECH_REASONS,
            "utterances kept" if facts.left is None else PASS,
            "No speech was listened to.",
        ),
    )


def _purity_warning(facts: Facts) -> Html | None:
    recipe = facts.snapshot.recipe
    by_people = setting(recipe, "faces.select.reviewed") == "required"
    if by_people or setting(recipe, "faces.measure.embedding_model") is not None:
        return None
    return element(
        "p",
        element("b", "Nobody checked whose faces these are. "),
        f"{NOBODY_CHECKS[0].upper()}{NOBODY_CHECKS[1:]}. Pull a model with ",
        element("code", f"voxdata weights pull {OFFERED}"),
        " and build again with ",
        element("code", f"--set faces.measure.embedding_model={OFFERED}"),
        ".",
        class_="warning",
    )


def portraits(facts: Facts) -> Html:
    """A contact sheet of portraits."""
    total = facts.totals()["portraits"]
    if not total:
        what = "The snapshot has" if facts.left is None else "Nothing is published, so there are"
        return note(f"{what} no portraits. The funnel says which rule cost them.")
    chosen = facts.portraits()
    figures = [_portrait(facts, row) for row in chosen]
    return join(
        element("p", f"{len(chosen)} of {total:,}, the best of each person first. Aligned by the pupils, on white."),
        element("div", *figures, class_="sheet"),
    )


def rejects(facts: Facts) -> Html:
    """Contact sheets of rejected faces, per reason."""
    rows = {row["outcome"]: row for row in facts.funnel("faces") if row["outcome"] != "kept"}
    if not rows:
        return note("Nothing was rejected.")
    chosen, originals = facts.rejects(), Originals(facts.storage)
    parts = [
        _rejected(name, rows[name], chosen.get(name, []), originals, facts)
        for name in in_order(rows, _face_reasons(facts))
    ]
    intro = (
        "Crops of the original photos, drawn by chance but the same every time; orange boxes outline the face. "
        "The command below each reason opens a page with all of its faces."
    )
    return join(element("p", intro), element("div", *parts, class_="reasons"))


def in_order(outcomes: Mapping[str, Row], reasons: Mapping[str, Rule]) -> list[str]:
    """Reasons that occur, in the order of the rules; unknown ones last."""
    known = [name for name in reasons if name in outcomes]
    return known + sorted(set(outcomes) - set(known))


def _funnel_of(facts: Facts, kind: str, reasons: Mapping[str, Rule], kept_label: str, nothing: str) -> Html:
    outcomes = {row["outcome"]: row for row in facts.funnel(kind)}
    title = element("h3", kind.capitalize())
    if not outcomes:
        return join(title, note(nothing))
    kept = outcomes.pop("kept", {"items": 0, "people": 0})
    whole = kept["items"] + sum(row["items"] for row in outcomes.values())
    remaining = whole
    unit = "faces and faceless photos" if kind == "faces" else "clips"
    rows = [_step(f"{whole:,} {unit}", "looked at", bar(whole, whole, whole), f"{whole:,}", "start")]
    for name in in_order(outcomes, reasons):
        row = outcomes[name]
        before, remaining = remaining, remaining - row["items"]
        detail = f"−{row['items']:,} ({share(row['items'], whole)}), {_people(row['people'])}"
        rows.append(_step(name, _reason_text(name, reasons), bar(before, remaining, whole), detail, None))
    kept_detail = f"{kept['items']:,} ({share(kept['items'], whole)}), {_people(kept['people'])}"
    rows.append(_step(kept_label, "kept", bar(kept["items"], kept["items"], whole), kept_detail, "end"))
    return join(title, element("div", *rows, class_="funnel"))


def _step(name: str, text: str, drawing: Html, detail: str, kind: str | None) -> Html:
    return element(
        "div",
        element("div", element("b", name), " ", element("span", text), class_="what"),
        element("div", drawing, class_="bar"),
        element("div", detail, class_="count"),
        class_=f"step {kind}" if kind else "step",
    )


def _reason_text(name: str, reasons: Mapping[str, Rule]) -> str:
    return reasons[name].text if name in reasons else name.replace("_", " ")


def _portrait(facts: Facts, row: Row) -> Html:
    data = member(facts.storage, row, ("jpg", "webp"))
    picture = small_picture(data) if data is not None else None
    angle = "" if row["face_angle_deg"] is None else f" · {row['face_angle_deg']:.1f}°"
    name = person_name(row)
    return _figure(picture, name, f"{row['split']}{angle}", alt=f"portrait of {name}")


def _rejected(name: str, counts: Row, faces: Sequence[Row], originals: Originals, facts: Facts) -> Html:
    measure = _judging(name, facts)
    reason = _face_reasons(facts).get(name, Rule(name, name.replace("_", " ")))
    figures = []
    for face in faces:
        picture = originals.picture(face, whole=reason.whole) if name not in NO_PIXELS else None
        source = face["source_key"] or face["identity"]
        if name in NO_PIXELS:
            figures.append(element("li", element("code", source)))
            continue
        others = [other for other in face["reasons"] or [] if other != name]
        also = f"also {', '.join(others)}" if others else ""
        shown = _judged(measure, face, facts) or source
        figures.append(_figure(picture, shown, also, alt=f"a face that was rejected: {reason.text}"))
    hidden = "Never shown." if name in ("forgotten", "opted_out") else "Nothing of these can be shown."
    limit = _limit_text(measure, facts)
    what = ("photo", "photos") if name in PHOTO_REASONS else ("face", "faces")
    return element(
        "section",
        element("h3", element("code", name), f" {reason.text}"),
        element("p", f"{_count(counts['items'], what)}, {_people(counts['people'])}{limit}", class_="note"),
        _sheet(figures, name) if figures else note(hidden),
        None if name in ("forgotten", "opted_out") else commands.of_reason(facts, name),
        class_="reason",
    )


def _sheet(entries: Sequence[Html], name: str) -> Html:
    if name in NO_PIXELS:
        return element("ul", *entries, class_="note")
    return element("div", *entries, class_="sheet")


def _judging(name: str, facts: Facts) -> Measure | None:
    """The measurement that a reason judged: the one whose limit is in force, or else the first."""
    lines = [rule for rule in lines_of(facts.snapshot.measures) if rule.reason == name and rule.column]
    recipe = facts.snapshot.recipe
    limited = [rule for rule in lines if rule.limit(recipe) is not None]
    judged = (limited or lines)[0].column if lines else ""
    return next((measure for measure in face_measures(facts.snapshot) if measure.key == judged), None)


def _face_reasons(facts: Facts) -> Mapping[str, Rule]:
    """Reason -> its rule, in the order of the rules."""
    return by_reason(lines_of(facts.snapshot.measures))


def _judged(measure: Measure | None, face: Row, facts: Facts) -> str:
    """The value that the rule judged, against its limit."""
    value = None if measure is None else face.get(measure.key)
    if measure is None or value is None:
        return ""
    limits = measure.limits(facts.snapshot.recipe)
    if not limits.fails(np.array([value], np.float64))[0]:
        return measure.say(value)
    if limits.high is not None and abs(value) >= limits.high:
        return f"{measure.say(value)} > {measure.say(limits.high)}"
    return f"{measure.say(value)} < {measure.say(limits.low or 0.0)}"


def _limit_text(measure: Measure | None, facts: Facts) -> str:
    said = "" if measure is None else measure.say_limits(measure.limits(facts.snapshot.recipe))
    return f" · {measure.label}: {said}" if measure is not None and said else ""


def _figure(picture: str | None, title: str, text: str, *, alt: str) -> Html:
    shown = (
        element("img", src=picture, alt=alt, loading="lazy")
        if picture is not None
        else element("div", "no picture", class_="missing")
    )
    return element("figure", shown, element("figcaption", element("b", title), element("span", text) if text else None))


def _people(count: int) -> str:
    return _count(count, ("person", "people"))


def _count(count: int, words: tuple[str, str]) -> str:
    return f"{count:,} {words[count != 1]}"
