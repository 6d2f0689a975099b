// Wires the page: the view and its link, what is asked for it, the tools, the grid, the histograms and the face beside them.

import * as colours from "./colours.js";
import { Details } from "./details.js";
import { Grid, PAGE } from "./grid.js";
import { Histograms } from "./histograms.js";
import { element, get } from "./server.js";
import * as views from "./view.js";

const $ = (selector) => document.querySelector(selector);

let view = views.parse(location.hash);
let about = null;
let shown = null;  // the last answer about faces
let asking = null;  // the requests about the view that is asked for
let fading = 0;

const grid = new Grid($("#grid"), {
  ask: async (offset, limit) => {
    const answer = await get("faces", { view: views.text(view, false), offset, limit }).catch((error) => { say(error.message); throw error; });
    if (answer.generation !== grid.generation) show();  // a build has swapped the catalog, or somebody opted out
    return answer;
  },
  opened: (face) => open(face, true),
  moved: (face) => { if (details.open) open(face, false); },
});
const histograms = new Histograms($("#measures"), {
  changed: (key, ends, ended) => {
    const ranges = { ...view.ranges, [key]: ends };
    if (ends.every((end) => end === null)) delete ranges[key];
    if (ended) change({ ranges }); else preview({ ranges });
  },
  seen: () => count(),
});
const details = new Details($("#details"), {
  person: (person) => { change({ person }); if (matchMedia("(max-width: 900px)").matches) details.close(); },
  closed: () => { grid.choose(""); view.face = ""; remember(false); $("#grid").focus(); },
});

// ---- the view and its link

function remember(asStep) {
  const text = views.text(view);
  const address = `${location.pathname}${location.search}${text ? `#${text}` : ""}`;
  if (asStep && text !== location.hash.slice(1)) history.pushState(null, "", address); else history.replaceState(null, "", address);
}

function change(news) {
  view = { ...view, ...news };
  remember(true);
  return show();
}

// While somebody drags: the last range that was dragged is asked for when the one before is answered.
let dragged = null;
let following = null;

function preview(news) {
  dragged = news;
  following ??= (async () => {
    while (dragged) {
      view = { ...view, ...dragged };
      dragged = null;
      await show();
    }
    following = null;
  })();
}

addEventListener("popstate", () => { view = views.parse(location.hash); show(); });

// ---- what is asked for

// The end of a drag is often the range that is being asked for already: it is not asked for again.
function show() {
  dragged = null;
  state();
  const text = views.text(view, false);
  if (asking?.text === text && asking.face === view.face) return asking.done;
  asking?.abort();
  const mine = asking = Object.assign(new AbortController(), { text, face: view.face });
  mine.done = answered(mine, text);
  return mine.done;
}

async function answered(mine, text) {
  try {
    const asked = [
      get("faces", { view: text, offset: 0, limit: PAGE }, mine.signal),
      view.face ? get("place", { view: text, key: view.face }, mine.signal).catch((error) => ({ error })) : null,
    ];
    const counting = count(mine);
    const [answer, place] = await Promise.all(asked);
    if (mine !== asking) return;
    say(place?.error?.message ?? "");
    if (about && answer.generation !== about.generation) await learn();
    shown = answer;
    grid.reset(answer, place?.place ?? 0);
    $("#count").textContent = `${answer.count.toLocaleString("en")} faces`;
    $("#statement").textContent = answer.sql;
    document.body.dataset.view = text;
    if (place && !place.error && details.box.dataset.key !== view.face) {
      grid.choose(view.face);
      await details.show({ number: place.number, name: view.face }, place.generation, false);
    } else if ((!place || place.error) && details.open) details.hide();
    await counting;
  } catch (error) {
    if (mine !== asking || error.name === "AbortError") return;
    say(error.message);
  } finally {
    if (mine === asking) mine.text = null;
  }
}

async function count(mine = asking) {
  const text = views.text(view, false);
  const wanted = [...histograms.inSight].filter((key) => histograms.all.has(key));
  try {
    const answer = await get("counts", { view: text, measures: wanted.join(",") }, mine?.signal);
    if (mine !== asking) return;
    histograms.draw(answer.histograms);
    const { kept, rejected } = answer.outcomes;
    for (const [name, number] of Object.entries({ all: kept + rejected, kept, rejected })) $(`[data-count="${name}"]`).textContent = number.toLocaleString("en");
    for (const item of $("#reasons").children) {
      const number = answer.reasons[item.dataset.reason] ?? 0;
      item.lastElementChild.lastElementChild.textContent = number.toLocaleString("en");
      item.toggleAttribute("data-none", number === 0);
    }
    document.body.dataset.counted = text;
  } catch (error) {
    if (mine === asking && error.name !== "AbortError") say(error.message);
  }
}

async function learn() {
  about = await get("about");
  document.title = `${about.name} · Browse`;
  $("#dataset").textContent = `${about.dataset} · ${about.people.toLocaleString("en")} people`;
  details.review = about.review;
  colours.learn(about.reasons);
  const measured = about.measures.filter((measure) => measure.values);
  const unit = (measure) => measure.unit ? ` (${measure.unit})` : "";
  $("#sort").replaceChildren(element("option", { value: "person" }, "person"), element("option", { value: "reason" }, "reason"),
    ...measured.map((measure) => element("option", { value: measure.key }, `${measure.label}${unit(measure)}`)));
  $("#reasons").replaceChildren(...about.reasons.map(reasonItem));
  histograms.list(measured);
  grid.paint();
  const missing = about.measures.filter((measure) => !measure.values).map((measure) => measure.label.replace("… ", ""));
  $("#unmeasured").textContent = missing.length ? `Not measured in this dataset: ${missing.join(", ")}.` : "";
  state();
}

function reasonItem({ name, text }) {
  const swatch = element("span", { class: "swatch" });
  swatch.style.setProperty("--colour", colours.colour(name));
  const box = element("input", { type: "checkbox", value: name, on: { change: () => {
    change({ reasons: [...$("#reasons").querySelectorAll("input:checked")].map((each) => each.value) });
  } } });
  return element("li", { "data-reason": name, title: text }, element("label", {}, box, swatch, element("span", { class: "name" }, name), element("span", { class: "count" })));
}

// ---- what the tools show of the view

function state() {
  for (const radio of document.querySelectorAll("[name=show]")) radio.checked = radio.value === view.show;
  if (about) $("#sort").value = view.sort;
  $("#descending").checked = view.descending;
  $("#person").value = view.person;
  for (const box of $("#reasons").querySelectorAll("input")) box.checked = view.reasons.includes(box.value);
  histograms.set(view.ranges);
  const named = (key) => about?.measures.find((measure) => measure.key === key)?.label ?? key;
  const chip = (words, news) => element("button", { type: "button", "aria-label": `Remove the filter ${words}`, on: { click: () => { change(news()); $("#grid").focus(); } } }, `${words} ✕`);
  $("#chips").replaceChildren(
    ...(view.person ? [chip(`person ${view.person}`, () => ({ person: "" }))] : []),
    ...view.reasons.map((reason) => chip(reason, () => ({ reasons: view.reasons.filter((each) => each !== reason) }))),
    ...Object.entries(view.ranges).map(([key, [low, high]]) => chip(`${low === null ? "" : `${low} ≤ `}${named(key)}${high === null ? "" : ` ≤ ${high}`}`, () => {
      const { [key]: _, ...ranges } = view.ranges;
      return { ranges };
    })),
  );
}

async function open(face, focus) {
  view.face = face.key;
  grid.choose(face.key);
  remember(false);
  await details.show(face, grid.generation, focus).catch((error) => say(error.message));
}

function say(words) { $("#error").textContent = words; $("#error").hidden = !words; }

function toast(words) {
  $("#toast").textContent = words;
  $("#toast").dataset.shown = "yes";
  clearTimeout(fading);
  fading = setTimeout(() => { delete $("#toast").dataset.shown; }, 2500);
}

async function copy(words, what) {
  try {
    await navigator.clipboard.writeText(words);
    toast(`${what} copied`);
  } catch {
    toast(`the browser does not let the page copy; here is the ${what}: ${words}`);
  }
}

// ---- tools

$("#tools").addEventListener("submit", (event) => event.preventDefault());
for (const radio of document.querySelectorAll("[name=show]")) radio.addEventListener("change", () => change({ show: radio.value }));
$("#sort").addEventListener("change", (event) => change({ sort: event.target.value }));
$("#descending").addEventListener("change", (event) => change({ descending: event.target.checked }));
$("#find").addEventListener("input", (event) => histograms.find(event.target.value));
$("#person").addEventListener("input", async (event) => {
  const search = event.target.value.trim();
  if (!search) return;
  const { people } = await get("people", { search }).catch(() => ({ people: [] }));
  if (event.target.value.trim() === search) $("#people").replaceChildren(...people.map(({ person, names }) => element("option", { value: person }, names[0] ?? person)));
});
// An id is taken as it is; of a name the person who alone is called so. Of several words the last one counts, whichever
// answer comes first.
let looked = 0;
$("#person").addEventListener("change", async (event) => {
  const search = event.target.value.trim(), mine = ++looked;
  if (!search) { change({ person: "" }); return; }
  try {
    const { people } = await get("people", { search });
    if (mine !== looked) return;
    const exact = people.find(({ person, names }) => [person, ...names].some((word) => word.toLowerCase() === search.toLowerCase()));
    if (exact ?? people.length === 1) change({ person: (exact ?? people[0]).person });
    else say(people.length ? `${search} may be ${people.length === 20 ? "20 people or more" : `${people.length} people`}: choose one of the list` : `nobody of this dataset who may be shown is called ${search}`);
  } catch (error) { say(error.message); }
});
$("#filters-button").addEventListener("click", (event) => {
  const opened = $("#filters").toggleAttribute("data-open");
  event.target.setAttribute("aria-expanded", String(opened));
});
$("#link-button").addEventListener("click", () => copy(location.href, "link"));
$("#sql-button").addEventListener("click", () => {
  $("#left-out").hidden = !shown?.left_out;
  $("#left-out").textContent = `${shown?.left_out} faces of people who opted out since the catalog was written are not shown here; until the next build the catalog, and so this SQL, has them.`;
  $("#sql").showModal();
});
$("#copy-sql").addEventListener("click", () => copy($("#statement").textContent, "SQL"));
$("#copy-command").addEventListener("click", () => copy(command(), "command"));

function quoted(words) { return `'${words.replaceAll("'", "'\\''")}'`; }

function command() { return `voxdata sql ${quoted($("#statement").textContent)} --root ${quoted(about?.root ?? "DIR")}`; }

// The faces do not wait for what is told about the dataset.
await Promise.all([show(), learn().catch((error) => say(error.message))]);
await count();
grid.draw();
document.body.dataset.ready = "yes";
