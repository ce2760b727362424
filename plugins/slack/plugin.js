import { fields, fill, link, text, title } from '../common/object.js';
import { Failure, log, secret, send } from './hookbox.js';

// Limits of Block Kit: https://docs.slack.dev/reference/block-kit/blocks
const HEADER = 150; // characters of a header's text
const FIELDS = 10; // fields of a section, of 2000 characters each: VALUE stays far below
const BLOCKS = 50; // blocks of a message
const BUTTON_URL = 1000; // characters of a button's URL, of 3000 that are allowed
const LINE = 300; // characters of a line of text
// Not documented, but blocks of some 13,200 characters of JSON are refused as msg_blocks_too_long
// (https://github.com/slackapi/bolt-js/issues/2509), ids that Slack adds included. This much is for fields.
const ALL_FIELDS = 7000;
// Enough of a value to recognise it.
const VALUE = 400;

const KEYS = ['base_url', 'secret', 'title', 'fields'];

/**
 * Posts what happened to an object, with the fields that changed and a link to it, to an incoming webhook of Slack.
 *
 * @type {import('./hookbox.js').Transform}
 */
export default function plugin(event, webhook) {
  const settings = checked(webhook.settings);
  const heading = (settings.title ? fill(settings.title, event) : title(event)) || 'Event';
  const blocks = [{ type: 'header', text: { type: 'plain_text', text: fit(heading, HEADER), emoji: false } }];
  blocks.push(...sections(fields(event, settings.fields)));
  const about = [event.object_type, event.username ?? event.request?.user, event.timestamp].filter(Boolean).join(' · ');
  if (about) blocks.push({ type: 'context', elements: [{ type: 'mrkdwn', text: fit(about, LINE) }] });
  const url = link(event, settings.base_url, BUTTON_URL);
  if (url) {
    const text = { type: 'plain_text', text: 'Open' };
    blocks.push({ type: 'actions', elements: [{ type: 'button', text, url }] });
  }
  // What stands in notifications.
  const text = fit(heading, LINE);
  return send({ method: 'POST', url: address(webhook, settings), json: { text, blocks } });
}

/**
 * Says when a webhook is saved what is wrong with its settings.
 *
 * @type {import('./hookbox.js').Check}
 */
export function check(webhook) {
  checked(webhook.settings);
}

function checked(settings) {
  const given = settings ?? {};
  const wrong = (message) => new Failure(`settings${message}`, { field: 'settings' });
  if (typeof given !== 'object' || Array.isArray(given)) throw wrong(': must be an object');
  for (const key of Object.keys(given)) {
    if (!KEYS.includes(key)) throw wrong(`: unknown key \`${key}\`, expected one of ${KEYS.join(', ')}`);
  }
  for (const key of ['base_url', 'secret', 'title']) {
    if (given[key] !== undefined && typeof given[key] !== 'string') throw wrong(`.${key}: must be a string`);
  }
  if (given.base_url !== undefined && !['https://', 'http://'].some((scheme) => given.base_url.startsWith(scheme))) {
    throw wrong('.base_url: must be a URL such as `https://netbox.example.com`');
  }
  for (const [name, pointer] of Object.entries(given.fields ?? {})) {
    if (typeof pointer !== 'string' || !pointer.startsWith('/')) {
      throw wrong(`.fields.${name}: must be a JSON pointer into the event, such as \`/data/name\``);
    }
  }
  return given;
}

/** The webhook's URL, with the part of it that is secret, if it is kept as a secret. */
function address(webhook, { secret: name }) {
  if (!name) return webhook.payload_url;
  const handle = secret(name);
  if (!handle) throw new Failure(`there is no secret \`${name}\`: store one of this name, the end of the URL`);
  return webhook.payload_url + handle;
}

/** Sections of at most ten fields, as many as the message may have. */
function sections(fields) {
  // header, context, actions and the line that says how many are missing
  const room = (BLOCKS - 4) * FIELDS;
  const shown = [];
  let characters = 0;
  for (const [name, show] of fields) {
    const field = { type: 'mrkdwn', text: `*${fit(name, 100)}*\n${fit(show(), VALUE) || '-'}` };
    characters += JSON.stringify(field).length + 1;
    if (characters > ALL_FIELDS || shown.length >= room) break;
    shown.push(field);
  }
  const blocks = [];
  for (let n = 0; n < shown.length; n += FIELDS) {
    blocks.push({ type: 'section', fields: shown.slice(n, n + FIELDS) });
  }
  const missing = fields.length - shown.length;
  if (missing > 0) {
    log(`${missing} fields are left out: the message would be too long for Slack`, 'warn');
    blocks.push({ type: 'context', elements: [{ type: 'mrkdwn', text: `… and ${missing} more` }] });
  }
  return blocks;
}

/**
 * A text with Slack's three control characters escaped, so that no value can mention a channel or make a link
 * (https://docs.slack.dev/messaging/formatting-message-text), of at most so many characters after that.
 */
function fit(value, most) {
  const whole = text(value);
  // nothing is longer once it is cut to this, so that a long text costs no more than a short one
  const escaped = escape(whole.slice(0, most + 1));
  if (escaped.length <= most) return escaped;
  let fitted = '';
  for (const character of whole) {
    const next = fitted + escape(character);
    if (next.length >= most) break;
    fitted = next;
  }
  return `${fitted}…`;
}

function escape(plain) {
  return plain.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
