// Requests to the page's own server. The token is in the page's address and goes with every request in a header.

const token = new URLSearchParams(location.search).get("token") ?? "";
const headers = { "X-Serve-Token": token };

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Error("the server does not answer; is voxdata serve still running?");
  }
  const content = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Error(content.error);
  return content;
}

export function about() {
  return answer(fetch("/api/about", { headers }));
}

export function imagine(clip) {
  return answer(fetch("/api/imagine", {
    method: "POST", body: clip, headers: { ...headers, "Content-Type": "application/octet-stream" },
  }));
}
