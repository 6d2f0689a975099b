// The contact sheet of one person: cards, where the focus is, and what the next dataset is expected to take.

import { element, get, picture, sound } from "./server.js";

const sheet = document.querySelector("#sheet");
const others = document.querySelector("#others");
const othersTitle = document.querySelector("#others-title");
const more = document.querySelector("#more");
const details = document.querySelector("#details");
const head = document.querySelector("#person-head");
const clips = document.querySelector("#clips");
const clipsTitle = document.querySelector("#clips-title");

const PAGE = 60;
const CLIPS = 12;
const PASSING = new Set([null, "over_cap", "too_few_portraits"]);  // reasons that do not speak against the face itself

// As voxdata/faces/decide.py takes them: kept faces first, then by rank, at most `cap`, none below `minimum`.
export function expected(faces, cap, minimum) {
  const passes = (face) => !face.kept_for.length && (kept(face)
    ? face.can_keep && !disagreeing(face).length
    : face.mine !== "reject" && PASSING.has(face.reason));
  const better = (a, b) => kept(a) ? b.quality - a.quality : (a.rank ?? Infinity) - (b.rank ?? Infinity);
  const order = faces.filter(passes).sort((a, b) => kept(b) - kept(a) || better(a, b));
  const taken = order.slice(0, cap);
  return new Set(taken.length >= minimum ? taken.map((face) => face.key) : []);
}

// Whether the reviewer keeps it for this person. In a photo that several people have, a keep that names nobody does not.
export function kept(face) {
  return face.mine === "keep" && !face.kept_for.length && (face.mine_for !== null || !shared(face).length);
}

function shared(face) { return [...face.also, ...face.near]; }

// Reviewers who say otherwise, or say that it is somebody else's.
function disagreeing(face) {
  return Object.entries(face.others).filter(([name, word]) => word !== face.mine
    || (face.mine_for !== null && (face.others_for[name] ?? face.mine_for) !== face.mine_for)).map(([name]) => name);
}

export class Sheet {
  constructor(about, act) {
    this.about = about;
    this.act = act;
    this.person = null;
    this.faces = [];
    this.focus = 0;
    this.shown = PAGE;
    this.facts = new Map();
    this.saving = new Map();
    more.addEventListener("click", () => {
      const first = this.cards().length;
      this.shown += PAGE;
      this.draw();
      this.move(first);
    });
  }

  set(person) {
    const same = this.person?.person === person.person;
    const focused = same ? this.face()?.key : null;
    this.person = person;
    this.faces = [...person.faces.filter((face) => face.sheet), ...person.faces.filter((face) => !face.sheet)];
    if (!same) { this.shown = PAGE; this.facts.clear(); document.querySelector("#main").scrollTop = 0; }
    this.focus = Math.max(0, this.faces.findIndex((face) => face.key === focused));
    this.draw();
    if (!same) this.listen();
  }

  // What plays is left alone when the same person is read anew.
  listen() {
    const all = this.person.clips, some = all.slice(0, CLIPS);
    clipsTitle.hidden = clips.hidden = !all.length;
    clipsTitle.textContent = all.length ? `Voice (${some.length < all.length ? `${some.length} of ` : ""}${all.length} clips)` : "";
    clips.replaceChildren(...some.map((clip) => element("li", {},
      element("audio", { controls: true, preload: "none", src: sound(clip.key), "aria-label": `clip ${clip.key}` }),
      element("span", { class: "soft" }, `${clip.key} · ${clip.speech_s?.toFixed(1) ?? "?"} s of speech`))));
  }

  face(number = this.focus) { return this.faces[number]; }

  find(key) { return this.faces.find((face) => face.key === key); }

  candidates() { return this.faces.filter((face) => face.sheet).length; }

  draw() {
    const rendered = this.candidates();
    const rest = this.faces.slice(rendered, rendered + this.shown);
    sheet.replaceChildren(...this.faces.slice(0, rendered).map((face, number) => this.card(face, number)));
    others.replaceChildren(...rest.map((face, number) => this.card(face, rendered + number)));
    const left = this.faces.length - rendered - rest.length;
    othersTitle.textContent = rest.length ? `Rejected by a rule, or not rendered (${this.faces.length - rendered})` : "";
    more.hidden = left <= 0;
    more.textContent = `Show more (${left} left)`;
    this.refresh();
    this.describe();
  }

  // What changes with a word: frames, the expected portraits, the header.
  refresh() {
    this.expected = expected(this.faces, this.about.cap, this.about.minimum);
    for (const card of this.cards()) {
      const face = this.face(Number(card.dataset.number));
      card.dataset.mine = face.mine ?? "";
      card.toggleAttribute("data-in", this.expected.has(face.key));
      card.toggleAttribute("data-saving", this.saving.has(face.key));
      card.querySelector(".verdict").textContent = this.verdict(face);
      card.ariaLabel = this.said(face);
    }
    this.mark();
    this.title();
  }

  // A card and its buttons are reached by Tab where the focus is, the other cards from there by the arrows.
  mark() {
    for (const card of this.cards()) {
      const here = Number(card.dataset.number) === this.focus;
      card.tabIndex = here ? 0 : -1;
      card.toggleAttribute("data-focus", here);
      for (const button of card.querySelectorAll("button")) button.tabIndex = here ? 0 : -1;
    }
  }

  said(face) { return `Face ${this.faces.indexOf(face) + 1} of ${this.faces.length}: ${this.verdict(face)}`; }

  verdict(face) {
    const disagree = disagreeing(face);
    if (disagree.length) return `you ${face.mine}, ${disagree.join(", ")} not`;
    if (face.kept_for.length && face.mine !== "reject") {
      const people = face.kept_for.join(", ");
      return face.mine_for === this.person.person ? `out: you also keep a copy for ${people}` : `you keep it for ${people}`;
    }
    if (face.mine === "keep" && !kept(face)) return "you keep · whose is it?";
    if (face.mine === "keep") return this.expected.has(face.key) ? "you keep" : "you keep · over the cap";
    if (face.mine) return "you reject";
    if (this.expected.has(face.key)) return "in";
    return face.reason_text || "out";
  }

  title() {
    const { person, names, identities, photos, face_count: faces } = this.person;
    const words = this.faces.filter((face) => face.mine).length;
    const ids = identities.filter((identity) => identity !== person);
    head.replaceChildren(
      element("h2", {}, names.join(", ") || person),
      element("span", { class: "soft" }, [person, ...ids].join(" · ")),
      element("span", { class: "gap" }),
      element("span", { id: "expected" }, `${this.expected.size} of at most ${this.about.cap} in`),
      element("span", { class: "soft" }, `${words} judged by you · ${faces} faces in ${photos} photos`),
    );
  }

  card(face, number) {
    const act = (what) => (event) => { event.stopPropagation(); this.move(number); this.act(what, face); };
    const button = (what, sign, key, off) => element("button", { type: "button", class: what, title: `${what} (${key})`,
      "aria-label": `${what} face ${number + 1}`, disabled: off, on: { click: act(what) } }, sign);
    const image = face.picture && element("img", {
      src: picture(face.picture, face.key), alt: "", loading: number < 24 ? "eager" : "lazy", decoding: "async", draggable: "false",
      on: { error: (event) => event.target.closest("li").toggleAttribute("data-broken", true), click: act("toggle") },
    });
    const marks = [face.grayscale ? "gray" : null, face.also.length ? `also under ${face.also.join(", ")}` : null,
      face.near.length ? `near copy under ${face.near.join(", ")}` : null];
    return element("li", { class: "card", "data-number": number, "data-key": face.key, "data-fixed": !face.can_judge, "data-broken": !face.picture, on: { click: act("focus"), dblclick: act("zoom") } },
    element("div", { class: "frame" }, image,
      face.sheet && number < 9 ? element("kbd", { "aria-hidden": "true" }, String(number + 1)) : null,
      element("div", { class: "buttons" },
        button("keep", "✓", "k", !face.can_keep), button("reject", "✕", "x", !face.can_judge),
        button("zoom", "⤢", "z", false))),
    element("p", { class: "verdict" }),
    element("p", { class: "numbers" }, numbers(face)),
    ...marks.filter(Boolean).map((mark) => element("p", { class: "mark" }, mark)));
  }

  cards() { return [...sheet.children, ...others.children]; }

  // To a card; `taking` the keyboard's focus along.
  move(number, taking = true) {
    const cards = this.cards();
    if (!cards.length) return;
    this.focus = Math.min(Math.max(number, 0), cards.length - 1);
    this.mark();
    if (taking) {
      cards[this.focus].focus({ preventScroll: true });
      cards[this.focus].scrollIntoView({ block: "nearest" });
    }
    this.describe();
  }

  // To the nearest card of the row above (-1) or below (1).
  moveRow(step) {
    const cards = this.cards();
    const here = cards[this.focus]?.getBoundingClientRect();
    if (!here) return;
    const middle = here.left + here.width / 2;
    const away = (card) => step * (card.getBoundingClientRect().top - here.top);
    const beyond = cards.filter((card) => away(card) > here.height / 3);
    if (!beyond.length) return;
    const nearest = Math.min(...beyond.map(away));
    const aside = (card) => { const box = card.getBoundingClientRect(); return Math.abs(box.left + box.width / 2 - middle); };
    const row = beyond.filter((card) => away(card) < nearest + 10).sort((a, b) => aside(a) - aside(b));
    this.move(cards.indexOf(row[0]));
  }

  async describe() {
    const face = this.face();
    if (!face) { details.replaceChildren(); return; }
    if (!this.facts.has(face.key)) {
      try {
        this.facts.set(face.key, await get("face", { key: face.key }));
      } catch (error) {
        if (this.face() === face) details.replaceChildren(element("p", { class: "mark" }, error.message));
        return;
      }
    }
    if (this.face()?.key === face.key) details.replaceChildren(...described(face, this.facts.get(face.key)));
  }
}

function numbers(face) {
  const said = [];
  if (face.face_angle_deg !== null) said.push(`${face.face_angle_deg.toFixed(1)}°`);
  if (face.pupil_distance_px !== null) said.push(`${Math.round(face.pupil_distance_px)} px`);
  if (face.quality !== null) said.push(`q ${face.quality.toFixed(2)}`);
  return said.join(" · ");
}

function described(face, facts) {
  const words = Object.entries(face.others).map(([name, word]) => `${name}: ${word}`);
  const pair = (name, value) => value ? [element("dt", {}, name), element("dd", {}, String(value))] : [];
  const fails = [element("span", { "aria-hidden": "true" }, "✕ "), element("span", { class: "spoken" }, "beyond its limit ")];
  return [
    element("h2", {}, "Measurements"),
    element("table", {}, ...facts.measurements.map((row) => element("tr", { "data-fails": row.fails },
      element("th", { scope: "row" }, row.label), element("td", {}, ...(row.fails ? fails.map((each) => each.cloneNode(true)) : []), row.value),
      element("td", { class: "soft" }, row.limits)))),
    facts.measurements.length ? null : element("p", { class: "soft" }, "none: no face was measured"),
    element("h2", {}, facts.reasons.length ? "Rejected by" : "Passes every rule"),
    element("ul", {}, ...facts.reasons.map((reason) => element("li", {}, reason.text, " ", element("code", {}, reason.name)))),
    element("h2", {}, "Source"),
    element("dl", {}, ...pair("file", facts.source_key), ...pair("source", facts.source), ...pair("licence", facts.licence ?? "unknown"),
      ...pair("identity", facts.identity), ...pair("photo", facts.photo_px ? facts.photo_px.join(" × ") + " px" : null),
      ...pair("measured", facts.measured_until), ...pair("backend", facts.backend), ...pair("sha256", facts.photo_sha256),
      ...pair("same photo", face.also.join(", ")), ...pair("near copy", face.near.join(", ")), ...pair("others", words.join(", "))),
  ].filter(Boolean);
}
