// Requests to the page's own server. The token is in the page's address and goes with every request in a header.

const token = new URLSearchParams(location.search).get("token") ?? "";
const headers = { "X-Browse-Token": token };

async function answer(path, query, signal) {
  let response;
  try {
    response = await fetch(`${path}?${new URLSearchParams(query)}`, { headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is voxdata browse still running?");
  }
  if (response.ok) return response;
  const content = await response.json().catch(() => ({ error: `status ${response.status}` }));
  throw new Error(content.error);
}

export async function get(name, query = {}, signal = undefined) { return (await answer(`/api/${name}`, query, signal)).json(); }

export async function sound(item) { return (await answer("/api/sound", { item })).blob(); }

export function picture(kind, query) { return `/picture/${kind}?${new URLSearchParams(query)}`; }

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
