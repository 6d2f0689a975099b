// Wires the page: who reviews, which person is open, keys, words and their undo.

import * as server from "./server.js";
import { element, get, picture } from "./server.js";
import { People } from "./people.js";
import { Sheet, kept } from "./sheet.js";

const $ = (selector) => document.querySelector(selector);
const POLL_MS = 2500;

let version = "";
let fading = 0;
const pending = new Map();
const asked = decodeURIComponent(location.hash.slice(1));  // whom the address names, before anybody is opened
const said = new Map();  // the last word of each face that was judged here, ahead of the server's answer
const turns = new Map();  // which word of this tab that was, the first being 1
let turn = 0;
let about = await get("about").catch((error) => { say(error.message, true); throw error; });
// A key after Enter or u is meant for the identity that they lead to: it waits for it.
let onTheWay = Promise.resolve();
const people = new People(reviewer, open, progressed);
const sheet = new Sheet(about, clicked);

// ---- who reviews: this tab's name, else the command's, else the last one given in this browser

function stored(storage) { try { return storage.getItem("reviewer"); } catch { return null; } }

function reviewer() { return $("#reviewer").value.trim(); }

function introduce(name) {
  $("#reviewer").value = name.trim();
  try { sessionStorage.setItem("reviewer", name.trim()); localStorage.setItem("reviewer", name.trim()); } catch { /* private mode */ }
}

// Under another name the sheet is another one. What is typed or clicked after a name is meant for that sheet, and waits
// for it; the words of the one before are stored first.
let named = "";
let naming = null;

async function name(given) {
  introduce(given);
  const other = reviewer() !== named;
  named = reviewer();
  const done = (other ? server.settled().then(reload) : reload()).catch((error) => say(error.message, true));
  if (other) {
    naming = done;
    delete document.body.dataset.ready;
    onTheWay = onTheWay.then(() => done);
  }
  await done;
  if (naming === done) { naming = null; document.body.dataset.ready = "yes"; }
  ask();
}

$("#reviewer").addEventListener("change", () => { name($("#reviewer").value); $("#main").focus(); });
// The dialog is closed before it says so: a key may come in between.
$("#who form").addEventListener("submit", () => name($("#who-name").value));
$("#who").addEventListener("close", () => { if ($("#who-name").value.trim() === named) ask(); else name($("#who-name").value); });

function ask() { if (!reviewer() && !$("#who").open) $("#who").showModal(); }

// ---- which person is open

// Several openings can be under way at once: by a key, a click, an undo, or because the list was read anew. The last one
// asked for counts, whichever answer comes first, and whoever asked for an earlier one waits for it, too.
let opening = null;  // the last one asked for: { person, key, done }

function open(person, key = null) {
  return lead({ person, key, again: false });
}

function lead(mine) {
  opening = mine;
  mine.done = show(mine).then(() => mine === opening ? null : opening?.done);
  return mine.done;
}

async function show(wanted) {
  const { person, key, again } = wanted;
  const before = turn, sending = new Set(pending.keys());
  try {
    const answer = await get("person", { person, reviewer: reviewer() });
    if (wanted !== opening) return;
    version = answer.version;
    // What was said since the question was put, or was on its way then, may be stored by now and still not be in this
    // answer to it.
    for (const face of answer.faces) if (pending.has(face.key) || sending.has(face.key) || (turns.get(face.key) ?? 0) > before) {
      face.mine = said.get(face.key);
      face.mine_for = face.mine === "keep" ? person : null;
    }
    // Read anew, a sheet takes no focus from the search, from a dialog or from whatever else is in use.
    const elsewhere = again && ![document.body, ...$("#main").querySelectorAll("*"), $("#main")].includes(document.activeElement);
    sheet.set(answer);
    people.mark(person);
    document.title = `${answer.names[0] ?? person} · Review`;
    history.replaceState(null, "", `${location.pathname}${location.search}#${encodeURIComponent(person)}`);
    const at = key === null ? sheet.focus : sheet.faces.findIndex((face) => face.key === key);
    while (at >= sheet.candidates() + sheet.shown) sheet.shown += 60;
    if (key !== null) sheet.draw();
    sheet.move(Math.max(at, 0), !elsewhere);
    if (!again) tell(`${answer.names.join(", ") || person}: ${sheet.candidates()} candidates, ${sheet.expected.size} in. ${at < 0 ? "" : sheet.said(sheet.face())}`);
    wanted.key = null;
    prefetch();
  } catch (error) {
    if (wanted === opening) opening = null;
    say(error.message, true);
  }
}

// Reads anew whom the page shows or is about to show; the first of the list where that is nobody.
async function reopen(first = null) {
  const person = opening?.person ?? sheet.person?.person ?? first;
  if (person) await lead({ person, key: opening?.key ?? null, again: person === sheet.person?.person });
}

async function step(by) {
  try {
    const next = await people.neighbour(by);
    if (next === null) say(by > 0 ? "This is the last identity of the list." : "This is the first identity of the list.");
    else await open(next);
  } catch (error) { say(error.message, true); }
}

async function prefetch() {
  const next = await people.neighbour(1).catch(() => null);
  const answer = next && await get("person", { person: next, reviewer: reviewer() }).catch(() => null);
  for (const face of answer?.faces.filter((each) => each.sheet) ?? []) new Image().src = picture("portrait", face.key);
}

async function reload() {
  const first = await people.load(true);
  await reopen(first);
}

// ---- words

async function clicked(what, face) {
  if (what === "focus") return;
  if (!naming) return act(what, face);
  await naming;
  const now = sheet.find(face.key);
  if (now) act(what, now);
  else say("Not stored: another identity is open by now.", true);
}

function act(what, face) {
  if (what === "zoom") return zoom(face);
  const wanted = { keep: "keep", reject: "reject", withdraw: "withdrawn", toggle: turned(face) }[what];
  if (!reviewer()) return ask();
  if (!face.can_judge) return say("This photo has no face that could be judged.");
  if (wanted === "keep" && !face.can_keep) return say("Too small or without landmarks: it cannot be made a portrait.");
  if (wanted === "withdrawn" && !face.mine) return;
  return state(face, wanted);
}

function turned(face) {
  if (face.mine) return kept(face) ? "reject" : "keep";
  return sheet.expected.has(face.key) ? "reject" : "keep";
}

// Words on their way, per face: the sheet may be read anew meanwhile, so nothing is kept on its faces.
async function state(face, decision) {
  face.mine = decision === "withdrawn" ? null : decision;
  face.mine_for = decision === "keep" ? sheet.person.person : null;
  said.set(face.key, face.mine);
  turns.set(face.key, ++turn);
  wait(face.key, 1);
  try {
    const answer = await server.say({ reviewer: reviewer(), key: face.key, decision });
    wait(face.key, -1);
    learn(answer);
    const stored = sheet.find(answer.key);
    if (stored) tell(`${sheet.said(stored)}, stored`);
  } catch (error) {
    wait(face.key, -1);
    say(`Not stored: ${error.message}`, true);
    await reopen();
  }
}

function wait(key, change) {
  pending.set(key, (pending.get(key) ?? 0) + change);
  if (!pending.get(key)) pending.delete(key);
  sheet.saving = pending;
  sheet.refresh();
}

async function undo() {
  try {
    const answer = await server.undo(reviewer());
    if (answer.person === null) { learn(answer); return say("Undone, on a face that this build does not show."); }
    said.set(answer.key, answer.mine);
    turns.set(answer.key, ++turn);
    if (answer.person !== sheet.person?.person) await open(answer.person, answer.key);
    learn(answer);
    const face = sheet.find(answer.key);
    if (face) sheet.move(sheet.faces.indexOf(face));
    say(`Undone: ${answer.mine ? `you ${answer.mine} it again` : "your word is taken back"}.`);
  } catch (error) { say(error.message); }
}

function learn(answer) {
  version = answer.version;
  const face = sheet.find(answer.key);
  if (face && !pending.has(answer.key)) {
    const { mine, mine_for, others, others_for, kept_for } = answer;
    Object.assign(face, { mine, mine_for, others, others_for, kept_for });
  }
  if (answer.line) people.update(answer.line);
  progressed(answer);
  sheet.refresh();
}

function acceptAll() {
  for (const face of sheet.faces) if (!face.mine && sheet.expected.has(face.key)) act("keep", face);
}

function progressed({ progress }) {
  $("#progress").max = Math.max(progress.all, 1);
  $("#progress").value = progress.done;
  $("#progress-text").textContent = `${progress.done.toLocaleString("en")} of ${progress.all.toLocaleString("en")} done`;
  $("#disputes-count").textContent = progress.disagreements;
}

// ---- dialogs

const ZOOMED = { portrait: "the portrait: cut out, aligned, on white", crop: "the face, cut out of its photo", photo: "the photo that it comes from" };

function zoom(face) {
  if (!face.picture) return say("There is no picture: the photo cannot be read.");
  const pictures = [face.picture, "photo"];
  $("#zoom .pictures").replaceChildren(...pictures.map((kind) => element("img", { src: picture(kind, face.key), alt: ZOOMED[kind] })));
  $("#zoom .caption").textContent = `${sheet.verdict(face)} · z or Esc closes`;
  if (!$("#zoom").open) $("#zoom").showModal();
}

$("#zoom").addEventListener("click", () => $("#zoom").close());

async function disputes() {
  try {
    const [{ faces }, { pairs }] = await Promise.all([get("disagreements"), get("agreement")]);
    $("#disputes-list").replaceChildren(...faces.map(dispute));
    $("#agreement").replaceChildren(pairs.length ? kappas(pairs) : "No two reviewers have judged the same face yet.");
    if (!$("#disputes").open) $("#disputes").showModal();
  } catch (error) { say(error.message, true); }
}

function dispute({ person, key, names, words, named }) {
  const whose = (name) => named[name] ? `${name} for ${named[name]}` : name;
  const said = (wanted) => Object.entries(words).filter(([, word]) => word === wanted).map(([name]) => whose(name)).join(", ");
  return element("li", {}, element("button", { type: "button", on: { click: () => { $("#disputes").close(); open(person, key); } } },
    element("img", { src: picture("crop", key), alt: "", loading: "lazy" }),
    element("span", {}, element("b", {}, names.join(", ") || person), element("span", { class: "said-keep" }, `keep: ${said("keep")}`),
      element("span", { class: "said-reject" }, `reject: ${said("reject")}`))));
}

function kappas(pairs) {
  const cell = (kind, scope, text) => element(kind, { scope }, String(text));
  const row = (kind, first, ...cells) => element("tr", {}, cell("th", kind === "th" ? "col" : "row", first),
    ...cells.map((text) => cell(kind, kind === "th" && "col", text)));
  return element("table", {}, row("th", "reviewers", "faces", "both keep", "both reject", "agree", "Cohen's kappa"),
    ...pairs.map((pair) => row("td", `${pair.reviewer_a}, ${pair.reviewer_b}`, pair.faces, pair.both_keep, pair.both_reject,
      `${Math.round(100 * pair.agreement)} %`, pair.kappa === null ? "–" : pair.kappa.toFixed(2))));
}

$("#disputes-button").addEventListener("click", disputes);
$("#help-button").addEventListener("click", () => $("#help").showModal());

function say(text, bad = false) {
  const toast = $("#toast");
  toast.role = bad ? "alert" : "status";
  toast.ariaLive = bad ? "assertive" : "polite";
  toast.textContent = text;
  toast.dataset.shown = bad ? "bad" : "yes";
  clearTimeout(fading);
  fading = setTimeout(() => { toast.dataset.shown = ""; }, bad ? 8000 : 2500);
}

// For those who hear the page: what else shows without a word.
function tell(text) { $("#spoken").textContent = text; }

// A dialog gives the focus back to where it was; where that is gone meanwhile, to the face.
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("close", () => { if (document.activeElement === document.body) sheet.move(sheet.focus); });
}

// ---- keys

const anywhere = $("#keys-anywhere");
try { anywhere.checked = localStorage.getItem("keys") !== "on a face"; } catch { /* private mode */ }
anywhere.addEventListener("change", () => {
  try { localStorage.setItem("keys", anywhere.checked ? "anywhere" : "on a face"); } catch { /* private mode */ }
});

const KEYS = {
  ArrowLeft: () => sheet.move(sheet.focus - 1),
  ArrowRight: () => sheet.move(sheet.focus + 1),
  ArrowUp: () => sheet.moveRow(-1),
  ArrowDown: () => sheet.moveRow(1),
  Enter: () => step(1),
  Backspace: () => step(-1),
  " ": () => act("toggle", sheet.face()),
  k: () => act("keep", sheet.face()),
  x: () => act("reject", sheet.face()),
  c: () => act("withdraw", sheet.face()),
  z: () => zoom(sheet.face()),
  a: acceptAll,
  u: undo,
  "/": () => { $("#search").focus(); $("#search").select(); },
  "?": () => $("#help").showModal(),
};
const WITHOUT_FACE = new Set(["Enter", "Backspace", "u", "/", "?"]);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if ($("#zoom").open && event.key === "z") { event.preventDefault(); $("#zoom").close(); return; }
  if (document.querySelector("dialog[open]")) return;
  if (event.target.matches("input, select, textarea, audio")) {
    if (event.key === "Escape" || (event.key === "Enter" && event.target.id === "search")) $("#main").focus();
    return;
  }
  if ((event.key === "Enter" || event.key === " ") && event.target.matches("button, a")) return;
  if (!anywhere.checked && event.key.length === 1 && !event.target.closest(".card")) return;
  const digit = /^[1-9]$/.test(event.key) ? Number(event.key) - 1 : null;
  if ((digit === null && !KEYS[event.key]) || (digit !== null && event.repeat)) return;
  event.preventDefault();
  onTheWay = onTheWay.then(() => press(event.key, digit)).catch(() => {});
});

function press(key, digit) {
  if (digit === null) {
    if (!sheet.face() && !WITHOUT_FACE.has(key)) return null;
    const done = KEYS[key]();
    return key === "Enter" || key === "Backspace" || key === "u" ? done : null;
  }
  if (digit >= sheet.candidates()) return null;
  sheet.move(digit);
  act("toggle", sheet.face(digit));
  return null;
}

// ---- other tabs, other reviewers, new builds

async function poll() {
  // While the page still comes up nobody is open: a new reading would open the first identity in place of the asked one.
  if (!document.body.dataset.ready || document.hidden || pending.size) return;
  const now = await get("about").catch(() => null);
  if (now === null || now.version === version) return;
  Object.assign(about, now);
  $("#dataset").textContent = about.dataset;
  version = now.version;
  await reload();
}

setInterval(poll, POLL_MS);
document.addEventListener("visibilitychange", poll);
window.addEventListener("focus", poll);

introduce(stored(sessionStorage) || about.reviewer || stored(localStorage) || "");
named = reviewer();
await server.resend();
const first = await people.load();
const wanted = asked || first;
if (wanted) await open(wanted);
else say("There is nobody to review in this snapshot.");
document.body.dataset.ready = "yes";
ask();
