// Requests to the page's own server. The token is in the page's address and goes with every request in a header.

const token = new URLSearchParams(location.search).get("token") ?? "";
const headers = { "X-Review-Token": token };

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Error("the server does not answer; is voxdata review still running?");
  }
  const content = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Error(content.error);
  return content;
}

export function get(name, query = {}) {
  return answer(fetch(`/api/${name}?${new URLSearchParams(query)}`, { headers }));
}

// Writes reach the server one after the other, in the order of the keys pressed. Words that a reload interrupts wait in
// the tab's outbox and are sent again; a word that was stored already is not stored twice.
const OUTBOX = "outbox";
let last = Promise.resolve();

function outbox() { try { return JSON.parse(sessionStorage.getItem(OUTBOX)) ?? []; } catch { return []; } }

function keep(words) { try { sessionStorage.setItem(OUTBOX, JSON.stringify(words)); } catch { /* private mode */ } }

function send(name, body) {
  return answer(fetch(`/api/${name}`, {
    method: "POST", keepalive: true, body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" },
  }));
}

function queue(work) {
  const done = last.then(work);
  last = done.catch(() => {});
  return done;
}

export function say(body) {
  const id = `${Date.now()}-${Math.random()}`;
  keep([...outbox(), { id, body }]);
  const said = queue(() => send("say", body));
  const settled = () => { if (!leaving) keep(outbox().filter((word) => word.id !== id)); };
  said.then(settled, settled);
  return said;
}

export function undo(reviewer) {
  return queue(() => send("undo", { reviewer }));
}

// When all that was said so far is stored, or was refused.
export function settled() { return last; }

export async function resend() {
  for (const { body } of outbox()) await send("say", body).catch(() => {});
  keep([]);
}

// The rest goes out when the page is left, in case that it is closed for good.
let leaving = false;
addEventListener("pagehide", () => {
  leaving = true;
  for (const { body } of outbox()) send("say", body).catch(() => {});
});

export function picture(kind, key) {
  return `/picture/${kind}?${new URLSearchParams({ key })}`;
}

export function sound(key) {
  return `/api/sound?${new URLSearchParams({ key })}`;
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
