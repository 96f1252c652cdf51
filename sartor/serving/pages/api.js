// Questions to this server, and what goes wrong with them in words.
export class ServerError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function reason(response) {
  try {
    const body = await response.json();
    return body.error.message;
  } catch { return `the server answered ${response.status}`; }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "the server cannot be reached; is sartor ui still running?");
  }
  if (response.status === 401 && location.pathname !== "/login") location.assign("/login");
  if (!response.ok) throw new ServerError(response.status, await reason(response));
  return response;
}

export const read = async (path, signal) => (await ask(path, { signal })).json();

export const send = async (path, body, method = "POST") =>
  (await ask(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();

export const upload = async (path, file) =>
  (await ask(path, { method: "POST", body: file,
    headers: { "Content-Type": "application/octet-stream", "X-Sartor-File": encodeURIComponent(file.name.toWellFormed()) } })).json();

/** The data of server-sent events as they come, parsed; ends with the stream or [DONE]. */
export async function* stream(path, body, signal) {
  const response = await ask(path, {
    method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ServerError(500, event.error.message);
      yield event;
    }
  }
}
