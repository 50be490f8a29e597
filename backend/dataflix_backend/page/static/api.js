// Calls of the API: sends and reads JSON, throws problem documents as errors, and sends the token if there is one.

const SESSION_TOKEN = "dataflix-token";
const PATIENCE = 15_000;

/** A failed call: `status` (0: no answer), a message that says what to do, and in `fields` what is wrong with each. */
export class Problem extends Error {
  constructor(status, title, detail, fields = {}) {
    super(detail || title);
    Object.assign(this, { status, title, fields });
  }
}

let askForToken = async () => false;

/** Set the function that asks the user for the token; it resolves to whether there is a new one to try. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

export function setToken(token) {
  sessionStorage.setItem(SESSION_TOKEN, token);
}

export const get = (path, parameters = {}, signal = undefined) => {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(given).toString();
  return send("GET", query ? `${path}?${query}` : path, { signal });
};

/** Send a write, and once more if there is no answer: its Idempotency-Key makes the API do it only once. */
export const post = (path, body) => {
  const options = { body: written(body), key: randomKey() };
  return send("POST", path, options).catch((problem) => {
    if (problem.status !== 0) throw problem;
    return send("POST", path, options);
  });
};

export const remove = (path) => send("DELETE", path, {});

async function send(method, path, options) {
  const used = token();
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: headers(options),
      body: options.body,
      signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), options.signal].filter(Boolean)),
    });
  } catch (fault) {
    if (options.signal?.aborted) throw fault;
    throw new Problem(0, "The API does not answer", "Is the backend up? bin/dataflix-status says so.");
  }
  // another request may have got a new token from the user meanwhile
  if (answer.status === 401 && (token() !== used || (await askForToken(used !== null)))) return send(method, path, options);
  if (!answer.ok) throw await problemOf(answer);
  return answer.status === 204 ? null : read(await answer.text());
}

// An id may have more digits than a JavaScript number holds: such ids are kept as text.
const read = (text) => JSON.parse(text.replace(/"(user_id|movie_id)":\s*(-?\d{16,})/g, '"$1":"$2"'));
const written = (body) => JSON.stringify(body).replace(/"(user_id|movie_id)":"(-?\d+)"/g, '"$1":$2');

function headers({ body, key }) {
  const made = { Accept: "application/json" };
  if (body !== undefined) made["Content-Type"] = "application/json";
  if (key) made["Idempotency-Key"] = key;
  if (token() !== null) made.Authorization = `Bearer ${token()}`;
  return made;
}

const token = () => sessionStorage.getItem(SESSION_TOKEN);

async function problemOf(answer) {
  const wait = answer.headers.get("Retry-After");
  let found = {};
  try {
    found = await answer.json();
  } catch {
    found.detail = "The answer is not the API's: is a proxy in between?";
  }
  const when = wait ? ` Try again in ${wait} s.` : "";
  return new Problem(answer.status, found.title ?? answer.statusText, `${found.detail ?? ""}${when}`, fields(found));
}

/** What is wrong with each field that was sent. */
const fields = ({ errors = {} }) => Object.assign({}, ...Object.values(errors));

// crypto.randomUUID works on secure origins only, and this page is also served over plain HTTP
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
