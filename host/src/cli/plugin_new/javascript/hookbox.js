// What a transformer needs of hookbox, as it came with the hookbox that made this project. hookbox.d.ts says what
// each part is; plugin tests run on this file alone, without WebAssembly.

const DEFAULTS = {
  name: '',
  payload_url: '',
  http_method: 'POST',
  http_content_type: 'application/json',
  additional_headers: '',
  body_template: '',
  body_escape: 'none',
  settings: null,
};

// Of a stack that many are logged.
const FRAMES = 20;

// What there is of the host; `component` and `render` set it.
let host = { log() {}, secret() {} };

export class Failure extends Error {
  constructor(message, { kind = 'plugin-error', field, line } = {}) {
    super(message);
    this.name = 'Failure';
    this.kind = kind;
    this.field = field;
    this.line = line;
  }
}

export function send({ method, url, headers = {}, json, body } = {}) {
  return { send: { method, url, headers, json, body } };
}

export function skip(reason) {
  return { skip: String(reason) };
}

export function log(message, level = 'info') {
  host.log(level, typeof message === 'string' ? message : (JSON.stringify(message) ?? String(message)));
}

export function secret(name) {
  return host.secret(name);
}

/** The functions that the component exports: from JSON texts to the world's `decision`, or a thrown `failure`. */
export function component(plugin, imported) {
  host = imported;
  // The runtime's own console knows no levels.
  const print = (level) => (...parts) => log(parts.map(shown).join(' '), level);
  globalThis.console = { ...console, debug: print('debug'), error: print('error'), info: print('info'), log: print('info'), warn: print('warn') };
  return {
    transform(event, webhook) {
      const answer = run(plugin.default, event, webhook);
      if (answer.failure) throw answer.failure;
      if (answer.skip !== undefined) return { tag: 'skip', val: answer.skip };
      const { method, url, headers, body } = answer.request;
      return { tag: 'send', val: { method, url, headers: headers.map(([name, value]) => ({ name, value })), body } };
    },
    check(webhook) {
      const wrong = attempt(() => plugin.check?.(parsed(webhook)));
      if (wrong.failure) throw wrong.failure;
    },
  };
}

export function render(transform, event, webhook, { secrets = {} } = {}) {
  const logs = [];
  const before = host;
  host = {
    log: (level, message) => logs.push({ level, message }),
    secret: (name) => (Object.hasOwn(secrets, name) ? secrets[name] : undefined),
  };
  try {
    const answer = run(transform, JSON.stringify(event), JSON.stringify(webhook));
    const body = answer.request && new TextDecoder().decode(answer.request.body);
    return { ...answer, ...(answer.request && { request: { ...answer.request, body } }), logs };
  } finally {
    host = before;
  }
}

function run(transform, eventText, webhookText) {
  return attempt(() => {
    const webhook = parsed(webhookText);
    const decision = transform(JSON.parse(eventText), webhook);
    if (typeof decision?.then === 'function') {
      throw new Failure('the plugin is asynchronous; a transformer must answer at once');
    }
    if (decision?.skip !== undefined) return { skip: decision.skip };
    if (decision?.send === undefined) throw new Failure('the plugin returned neither send(...) nor skip(...)');
    return { request: request(webhook, decision.send) };
  });
}

/** What a function returns, or what it throws as a failure. */
function attempt(answer) {
  try {
    return answer() ?? {};
  } catch (error) {
    return { failure: failure(error) };
  }
}

function parsed(webhookText) {
  return { ...DEFAULTS, ...JSON.parse(webhookText) };
}

function request(webhook, { method = webhook.http_method, url = webhook.payload_url, headers, json, body = '' }) {
  const pairs = (Array.isArray(headers) ? headers : Object.entries(headers)).map((pair) => pair.map(String));
  if (json !== undefined) body = JSON.stringify(json);
  if (body.length > 0 && !pairs.some(([name]) => name.toLowerCase() === 'content-type')) {
    pairs.push(['Content-Type', webhook.http_content_type || 'application/json']);
  }
  return { method, url, headers: pairs, body: typeof body === 'string' ? new TextEncoder().encode(body) : body };
}

function failure(error) {
  if (error instanceof Failure) {
    const { kind, field, line, message } = error;
    return { kind, field, line, message };
  }
  const frames = String(error?.stack ?? '').split('\n').filter(Boolean);
  if (frames.length > 0) [String(error), ...frames.slice(0, FRAMES)].forEach((line) => log(line, 'error'));
  // The first that is not of this file, as the component's interpreter writes it (`name@plugin.js:7`), or Node.js.
  const [, file, line] = frames.map((frame) => /([^@(/\s]+):(\d+)(?::\d+)?\)?$/.exec(frame)).find((place) => place && place[1] !== 'hookbox.js') ?? [];
  const place = file ? ` (${file}, line ${line})` : '';
  return { kind: 'plugin-error', field: undefined, line: undefined, message: `${error}${place}` };
}

function shown(part) {
  return typeof part === 'string' ? part : (JSON.stringify(part) ?? String(part));
}
