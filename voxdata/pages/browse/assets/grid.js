// The grid of faces: only the tiles in sight exist, faces come by the page as they are scrolled to, pictures a few at a time.

import { colour } from "./colours.js";
import { element, picture } from "./server.js";

const PAGE = 120;  // faces of one request
const LEAST_PX = 112;  // width of a tile
const TEXT_PX = 42;  // height of its words, with the space around the tile
const MOST_PX = 8_000_000;  // browsers draw no element that is much higher; beyond, scrolling is scaled
const LOADING = 4;  // pictures on their way at once: two connections stay free for what is asked meanwhile

export { PAGE };

export class Grid {
  // ask(offset, limit) answers a page of faces; opened(face) is called for the face that was chosen, moved(face) for the active one.
  constructor(box, { ask, opened, moved }) {
    this.box = box;
    this.content = box.firstElementChild;
    this.asked = ask; this.opened = opened; this.moved = moved;
    this.active = 0; this.count = 0; this.generation = 0; this.epoch = 0; this.chosen = "";
    this.pages = new Map(); this.tiles = new Map(); this.waiting = []; this.loading = 0;
    box.addEventListener("scroll", () => this.#soon(), { passive: true });
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) { this.#activate(Number(tile.dataset.index)); this.#open(); }
    });
    new ResizeObserver(() => this.layout()).observe(box);
  }

  reset({ count, generation, faces }, at = 0) {
    this.epoch += 1;
    this.count = count; this.generation = generation; this.active = Math.min(at, Math.max(count - 1, 0));
    this.pages = new Map([[0, faces]]);
    for (const tile of this.tiles.values()) this.#drop(tile);
    this.tiles.clear(); this.waiting = [];
    this.layout();
    if (at) this.show(at); else { this.box.scrollTop = 0; this.draw(); }
  }

  layout() {
    const width = this.content.clientWidth, first = this.columns ? this.#top() * this.columns : 0;
    this.columns = Math.max(1, Math.floor(width / LEAST_PX));
    this.side = width / this.columns;
    this.height = Math.round(this.side) + TEXT_PX - 8;
    this.rows = Math.ceil(this.count / this.columns);
    this.whole = this.rows * this.height;
    this.content.style.height = `${Math.min(this.whole, MOST_PX)}px`;
    if (first) this.#scrollTo(Math.floor(first / this.columns) * this.height);
    this.draw();
  }

  face(index) { return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE] ?? null; }

  // Scroll until a face is in sight.
  show(index) {
    const top = Math.floor(index / this.columns) * this.height, at = this.#offset();
    if (top < at) this.#scrollTo(top);
    else if (top + this.height > at + this.box.clientHeight) this.#scrollTo(top + this.height - this.box.clientHeight);
    this.draw();
  }

  draw() {
    const at = this.#offset();
    const first = Math.max(0, Math.floor(at / this.height)) * this.columns;
    const last = Math.min(this.count, (Math.floor((at + this.box.clientHeight) / this.height) + 1) * this.columns);
    for (const [index, tile] of this.tiles) if (index < first || index >= last) { this.#drop(tile); this.tiles.delete(index); }
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) if (!this.pages.has(page)) this.#ask(page);
    const shift = this.box.scrollTop - at;
    for (let index = first; index < last; index++) {
      const tile = this.tiles.get(index) ?? this.#tile(index);
      const x = (index % this.columns) * this.side, y = Math.floor(index / this.columns) * this.height + shift;
      tile.style.transform = `translate(${x}px, ${y}px)`;
      tile.style.width = `${this.side}px`;
      tile.style.height = `${this.height}px`;
      if (!tile.dataset.key) this.#fill(tile, index);
      tile.toggleAttribute("data-active", index === this.active);
      tile.setAttribute("aria-selected", String(tile.dataset.key === this.chosen && this.chosen !== ""));
    }
    const active = this.tiles.get(this.active);
    if (active) this.box.setAttribute("aria-activedescendant", active.id); else this.box.removeAttribute("aria-activedescendant");
    this.#load();
  }

  // Colours anew, which are known after the first faces.
  paint() { for (const [index, tile] of this.tiles) if (tile.dataset.key) this.#colour(tile, this.face(index)); }

  choose(key) { this.chosen = key; this.draw(); }

  #soon() { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); }); }

  // Pixels from the top of all rows; those that are higher than an element can be are scrolled through in larger steps.
  #offset() {
    if (this.whole <= MOST_PX) return this.box.scrollTop;
    const room = this.box.clientHeight;
    return this.box.scrollTop / (MOST_PX - room) * (this.whole - room);
  }

  #scrollTo(top) {
    const room = this.box.clientHeight;
    this.box.scrollTop = this.whole <= MOST_PX ? top : top / (this.whole - room) * (MOST_PX - room);
  }

  #top() { return Math.floor(this.#offset() / this.height); }

  #tile(index) {
    const tile = element("div", { class: "tile", role: "option", id: `face-${index}`, "data-index": index,
      "aria-posinset": index + 1, "aria-setsize": this.count },
    element("div", { class: "frame" }), element("div", { class: "says" }), element("div", { class: "says soft" }));
    this.tiles.set(index, tile);
    this.content.append(tile);
    return tile;
  }

  #fill(tile, index) {
    const face = this.face(index);
    if (!face) return;
    tile.dataset.key = face.key;
    this.#colour(tile, face);
    const [frame, outcome, name] = tile.children;
    outcome.textContent = face.kept ? "kept" : face.reason ?? "not kept";
    name.textContent = face.value === null ? face.name : `${face.value} · ${face.name}`;
    tile.setAttribute("aria-label", `${face.name}, ${outcome.textContent}${face.value === null ? "" : `, ${face.value}`}`);
    tile.toggleAttribute("data-none", !face.picture);
    if (!face.picture) return;
    const image = element("img", { alt: "", draggable: "false" });
    frame.append(image);
    this.waiting.push({ image, tile, source: picture("face", { number: face.number, generation: this.generation }) });
  }

  #colour(tile, face) { tile.style.setProperty("--colour", colour(face.kept ? null : face.reason)); }

  #load() {
    while (this.loading < LOADING && this.waiting.length) {
      const { image, tile, source } = this.waiting.shift();
      if (!image.isConnected) continue;
      this.loading += 1;
      const done = (arrived) => () => {
        if (image.dataset.done) return;
        image.dataset.done = "yes";
        this.loading -= 1;
        if (!arrived) { tile.setAttribute("data-none", ""); image.remove(); }
        this.#load();
      };
      image.addEventListener("load", done(true));
      image.addEventListener("error", done(false));
      image.drop = done(true);
      image.src = source;
    }
  }

  #drop(tile) {
    const image = tile.querySelector("img");
    tile.remove();
    if (image?.src && !image.complete) { image.drop(); image.src = ""; }
  }

  async #ask(page) {
    const epoch = this.epoch;
    this.pages.set(page, null);
    const answer = await this.asked(page * PAGE, PAGE).catch(() => null);
    if (epoch !== this.epoch) return;
    if (answer === null || answer.generation !== this.generation) this.pages.delete(page);
    else { this.pages.set(page, answer.faces); this.draw(); }
  }

  #activate(index) {
    this.active = Math.max(0, Math.min(index, this.count - 1));
    this.show(this.active);
    const face = this.face(this.active);
    if (face) this.moved(face);
  }

  #open() { const face = this.face(this.active); if (face) this.opened(face); }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.count) return;
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height)) * this.columns;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page,
      Home: -this.count, End: this.count }[event.key];
    if (step !== undefined) {
      const to = this.active + step;
      const sideways = Math.abs(step) === 1 || Math.abs(step) === this.count || Math.abs(step) === page;
      if (sideways || (to >= 0 && to < this.count)) this.#activate(to);
    } else if (event.key === "Enter" || event.key === " ") this.#open();
    else return;
    event.preventDefault();
  }
}
