// The list of identities: search, filter, pages loaded as it is scrolled.

import { element, get } from "./server.js";

const list = document.querySelector("#people");
const search = document.querySelector("#search");
const show = document.querySelector("#show");
const matching = document.querySelector("#matching");

export class People {
  constructor(reviewer, open, shown) {
    this.reviewer = reviewer;
    this.open = open;
    this.shown = shown;
    this.current = null;
    this.loaded = 0;
    this.matching = 0;
    this.asked = 0;
    let typing = 0;
    search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => this.load(), 150); });
    show.addEventListener("change", () => this.load());
    list.addEventListener("scroll", () => {
      if (list.scrollTop + list.clientHeight > list.scrollHeight - 400) this.more();
    });
  }

  filter() {
    return { search: search.value, show: show.value };
  }

  // The list from its start, or again as far as it was loaded.
  async load(keep = false) {
    const wanted = keep ? Math.max(this.loaded, 1) : 1;
    const number = ++this.asked;
    const lines = [];
    let answer;
    do {
      answer = await get("people", { reviewer: this.reviewer(), ...this.filter(), offset: lines.length });
      if (number !== this.asked) return null;
      lines.push(...answer.people);
    } while (lines.length < wanted && answer.people.length);
    const top = keep ? list.scrollTop : 0;
    list.replaceChildren(...lines.map((line) => this.item(line)));
    list.scrollTop = top;
    this.count(lines.length, answer);
    return lines[0]?.person ?? null;
  }

  async more() {
    if (this.loading || this.loaded >= this.matching) return;
    this.loading = true;
    const number = this.asked;
    try {
      const answer = await get("people", { reviewer: this.reviewer(), ...this.filter(), offset: this.loaded });
      if (number !== this.asked) return;
      list.append(...answer.people.map((line) => this.item(line)));
      this.count(this.loaded + answer.people.length, answer);
    } finally {
      this.loading = false;
    }
  }

  async neighbour(step) {
    const query = { reviewer: this.reviewer(), person: this.current ?? "", step, ...this.filter() };
    return (await get("neighbour", query)).person;
  }

  mark(person) {
    this.current = person;
    for (const item of list.children) item.ariaCurrent = item.dataset.person === person ? "true" : null;
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  update(line) {
    for (const item of list.children) if (item.dataset.person === line.person) item.replaceWith(this.item(line));
  }

  count(loaded, answer) {
    this.loaded = loaded;
    this.matching = answer.matching;
    matching.textContent = `${answer.matching.toLocaleString("en")} of ${answer.progress.all.toLocaleString("en")}`;
    this.shown(answer);
  }

  item(line) {
    const name = line.names.join(", ") || line.person;
    const state = line.done ? "✓" : line.decided ? "…" : "";
    return element("li", {
      "data-person": line.person, "data-done": line.done, "aria-current": line.person === this.current && "true",
      on: { click: () => this.open(line.person) },
    },
    element("span", { class: "state", title: line.done ? "you judged every portrait" : `${line.decided} judged by you` }, state),
    element("span", { class: "name" }, name),
    line.disagreements ? element("span", { class: "dispute", title: "disagreements" }, `≠ ${line.disagreements}`) : null,
    element("span", { class: "soft" }, name === line.person ? "" : line.identities.join(", ")),
    element("span", { class: "count", title: "portraits in / candidates" }, `${line.portraits}/${line.candidates}`));
  }
}
