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

// Writes reach the server one after the other, in the order of the keys pressed. `keepalive`: also when the page closes.
let last = Promise.resolve();

export function post(name, body) {
  const send = () => answer(fetch(`/api/${name}`, {
    method: "POST", keepalive: true, body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" },
  }));
  const sent = last.then(send);
  last = sent.catch(() => {});
  return sent;
}

export function picture(kind, key) {
  return `/picture/${kind}?${new URLSearchParams({ key })}`;
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
