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
    list.addEventListener("keydown", (event) => this.key(event));
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
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.person : null;
    list.replaceChildren(...lines.map((line) => this.item(line)));
    list.scrollTop = top;
    this.reach(this.button(focused) ?? this.button(this.current) ?? this.buttons()[0]);
    if (focused) this.reachable?.focus();
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
      this.reach(this.reachable ?? this.buttons()[0]);
      this.count(this.loaded + answer.people.length, answer);
    } finally {
      this.loading = false;
    }
  }

  async neighbour(step) {
    const query = { reviewer: this.reviewer(), person: this.current ?? "", step, ...this.filter() };
    return (await get("neighbour", query)).person;
  }

  buttons() { return [...list.querySelectorAll("button")]; }

  button(person) { return this.buttons().find((button) => button.dataset.person === person); }

  // One of the list is reached by Tab, the others from there by the arrows.
  reach(button) {
    this.reachable = button;
    for (const each of this.buttons()) each.tabIndex = each === button ? 0 : -1;
  }

  key(event) {
    const buttons = this.buttons();
    const here = buttons.indexOf(document.activeElement);
    const to = { ArrowUp: here - 1, ArrowDown: here + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (!buttons[to]) return;
    this.reach(buttons[to]);
    buttons[to].focus();
  }

  mark(person) {
    this.current = person;
    for (const button of this.buttons()) button.ariaCurrent = button.dataset.person === person ? "true" : null;
    const marked = this.button(person);
    if (!marked) return;
    marked.scrollIntoView({ block: "nearest" });
    if (!list.contains(document.activeElement)) this.reach(marked);
  }

  update(line) {
    const old = this.button(line.person);
    if (!old) return;
    const focused = old === document.activeElement;
    const made = this.item(line);
    old.parentElement.replaceWith(made);
    if (this.reachable === old) this.reach(made.firstElementChild);
    if (focused) made.firstElementChild.focus();
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
    const stated = line.done ? "you judged every portrait" : line.decided ? `${line.decided} judged by you` : "";
    const shown = (kind, sign, words) => words ? element("span", { class: kind, title: words }, element("span", { "aria-hidden": "true" }, sign),
      element("span", { class: "spoken" }, ` ${words} `)) : null;
    return element("li", {}, element("button", {
      type: "button", tabindex: -1, "data-person": line.person, "data-done": line.done, "aria-current": line.person === this.current && "true",
      on: { click: () => this.open(line.person) },
    },
    element("span", { class: "name" }, name),
    shown("state", state, stated),
    shown("dispute", `≠ ${line.disagreements}`, line.disagreements ? `disagreements: ${line.disagreements}` : ""),
    element("span", { class: "soft" }, name === line.person ? "" : line.identities.join(", ")),
    shown("count", `${line.portraits}/${line.candidates}`, `portraits: ${line.portraits} of ${line.candidates} candidates`)));
  }
}
