// One face beside the grid: its picture and photo, measurements, reasons, source, and the clips of its person.

import { colour } from "./colours.js";
import { element, get, picture, sound } from "./server.js";

function seconds(value) { return value === null ? "" : `${value.toFixed(1)} s`; }

function row(name, value) { return value === null || value === undefined ? [] : [element("dt", {}, name), element("dd", {}, String(value))]; }

function swatch(reason) {
  const made = element("span", { class: "swatch" });
  made.style.setProperty("--colour", colour(reason));
  return made;
}

export class Details {
  // person(id) shows that person alone; closed() is called when the panel was closed.
  constructor(box, { person, closed }) {
    this.box = box; this.person = person; this.closed = closed; this.asked = 0; this.review = null; this.playing = null; this.sounds = [];
    box.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); this.close(); } });
  }

  get open() { return !this.box.hidden; }

  close() { this.hide(); this.closed(); }

  hide() { this.asked += 1; this.#leave(); this.box.hidden = true; this.box.replaceChildren(); delete this.box.dataset.key; }

  async show(face, generation, focus) {
    const asked = this.asked += 1;
    const told = await get("face", { number: face.number, generation });
    if (asked !== this.asked) return;
    this.#leave();
    const where = { number: face.number, generation };
    const image = element("img", { class: "picture", alt: `${face.name}, ${told.kept ? "kept" : told.reasons[0]?.text ?? "not kept"}`, src: picture("face", where) });
    const photo = element("button", { type: "button", "aria-pressed": "false", on: { click: () => {
      const whole = photo.getAttribute("aria-pressed") !== "true";
      photo.setAttribute("aria-pressed", String(whole));
      image.src = picture(whole ? "photo" : "face", where);
    } } }, "Whole photo");
    const close = element("button", { type: "button", "aria-label": "Close", on: { click: () => this.close() } }, "✕");
    const clips = element("div", { class: "clips" }, element("p", { class: "soft" }, "…"));
    this.box.replaceChildren(
      element("div", { class: "top" }, element("h2", {}, told.names[0] ?? told.person), close),
      ...(told.photo ? [image] : [element("p", { class: "soft" }, "The photo has no picture: it was not decoded.")]),
      element("div", { class: "do" }, told.photo ? photo : null,
        element("button", { type: "button", on: { click: () => this.person(told.person) } }, "Only this person"),
        this.review === null ? null : element("a", { class: "button review", href: `${this.review}#${encodeURIComponent(told.person)}`, target: "_blank", rel: "noopener" }, "Review")),
      element("ul", { class: "why" }, ...(told.kept ? [element("li", {}, swatch(null), "kept")] : told.reasons.map(({ name, text }) =>
        element("li", {}, swatch(name), element("b", {}, name), ` ${text}`)))),
      element("h3", {}, "Clips"), clips,
      element("h3", {}, "Measurements"),
      element("table", {}, element("tbody", {}, ...told.measurements.map(({ label, value, limits, fails }) =>
        element("tr", { "data-fails": fails }, element("th", { scope: "row" }, label), element("td", {}, `${value}${limits ? ` (${limits})` : ""}${fails ? " ✗" : ""}`))))),
      element("h3", {}, "Source"),
      element("dl", {}, ...row("key", told.key), ...row("person", told.person), ...row("identity", told.identity), ...row("rank", told.rank),
        ...row("source", told.source), ...row("file", told.source_key), ...row("licence", told.licence), ...row("photo", told.photo_sha256)),
    );
    this.box.hidden = false;
    this.box.dataset.key = told.key;
    if (focus) close.focus();
    const answer = await get("clips", { person: told.person });
    if (asked === this.asked) this.#clips(clips, answer);
  }

  #clips(box, { clips, count }) {
    const shown = clips.map((clip) => this.#clip(clip));
    const rest = count > clips.length ? element("p", { class: "soft" }, `${count - clips.length} more clips are in the catalog's utterances.`) : null;
    box.replaceChildren(...(shown.length ? shown : [element("p", { class: "soft" }, "No clips of this person.")]), ...(rest ? [rest] : []));
  }

  #clip(clip) {
    const name = `clip ${clip.utterance_id}`;
    const play = element("button", { type: "button", "aria-label": `Play ${name}`, on: { click: () => this.#play(clip, box, play) } }, "▶ Play");
    const box = element("div", { class: "clip", "data-item": clip.item },
      element("div", { class: "line" }, play, element("b", {}, clip.kept ? "kept" : clip.reason ?? "not kept"),
        element("span", { class: "soft" }, [clip.kept ? null : clip.reason_text, seconds(clip.duration_s), clip.speech_s === null ? null : `${seconds(clip.speech_s)} of speech`].filter(Boolean).join(" · "))),
      clip.mel ? element("img", { src: picture("mel", { item: clip.item }), alt: `Log-mel of ${name}, low notes below`, loading: "lazy",
        on: { error: (event) => event.target.replaceWith(element("p", { class: "soft" }, "no log-mel")) } }) : null,
      element("code", {}, clip.utterance_id));
    return box;
  }

  // The file is asked for when somebody wants to hear it; where it is gone, the reason stands in the place of a player.
  async #play(clip, box, button) {
    button.disabled = true;
    try {
      const data = await sound(clip.item);
      if (!box.isConnected) return;
      this.#stop();
      this.sounds.push(URL.createObjectURL(data));
      const player = element("audio", { controls: true, src: this.sounds.at(-1) });
      this.playing = player;
      button.replaceWith();
      box.append(player);
      player.focus();
      await player.play().catch(() => {});
    } catch (error) {
      button.replaceWith();
      box.append(element("p", { class: "soft mute" }, error.message));
    }
  }

  // The players of a face go with it, and so do their sounds.
  #leave() {
    this.#stop();
    for (const url of this.sounds.splice(0)) URL.revokeObjectURL(url);
  }

  #stop() {
    if (this.playing === null) return;
    this.playing.pause();
    this.playing = null;
  }
}
