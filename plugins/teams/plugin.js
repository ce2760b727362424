import { fields, fill, link, text, title } from '../common/object.js';
import { Failure, log, secret, send } from './hookbox.js';

// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using: a message is
// limited to 28 KB. Counted as 28,000 bytes, less what stands around the facts.
const MESSAGE = 28_000 - 3_000;
const TITLE = 200; // characters; what is longer fills a screen
const VALUE = 500; // enough of a value to recognise it
const URL_LENGTH = 2000;

const KEYS = ['base_url', 'secret', 'title', 'fields'];

/**
 * Posts what happened to an object, with the fields that changed and a link to it, as an adaptive card to a workflow
 * of Microsoft Teams ("When a Teams webhook request is received").
 *
 * @type {import('./hookbox.js').Transform}
 */
export default function plugin(event, webhook) {
  const settings = checked(webhook.settings);
  const heading = (settings.title ? fill(settings.title, event) : title(event)) || 'Event';
  const about = [event.object_type, event.username ?? event.request?.user, event.timestamp].filter(Boolean).join(' · ');
  const body = [line({ text: clip(heading, TITLE), size: 'Large', weight: 'Bolder' })];
  if (about) body.push(line({ text: clip(about, VALUE), isSubtle: true }));
  body.push(...facts(fields(event, settings.fields)));
  const url = link(event, settings.base_url, URL_LENGTH);
  const card = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    fallbackText: clip(heading, TITLE),
    msteams: { width: 'Full' },
    body,
    ...(url && { actions: [{ type: 'Action.OpenUrl', title: 'Open', url }] }),
  };
  const attachment = { contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content: card };
  return send({ method: 'POST', url: address(webhook, settings), json: { type: 'message', attachments: [attachment] } });
}

/**
 * A line of text. A TextBlock or a FactSet would take values for Markdown, so that data could make links; a
 * RichTextBlock shows them as they are.
 */
function line(...runs) {
  return { type: 'RichTextBlock', inlines: runs.map((run) => ({ type: 'TextRun', ...run })) };
}

/** A line for each field, as many as the message may have. */
function facts(fields) {
  const lines = [];
  let bytes = 0;
  for (const [name, show] of fields) {
    const fact = line({ text: `${clip(name, 100)}: `, weight: 'Bolder' }, { text: clip(show(), VALUE) || '-' });
    bytes += size(JSON.stringify(fact)) + 1;
    if (bytes > MESSAGE - 2 * TITLE * 6 - VALUE * 6 - URL_LENGTH * 3) break;
    lines.push(fact);
  }
  const missing = fields.length - lines.length;
  if (missing > 0) {
    log(`${missing} fields are left out: the message would be too long for Teams`, 'warn');
    lines.push(line({ text: `… and ${missing} more`, isSubtle: true }));
  }
  return lines;
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

/** A text of at most so many UTF-16 code units, cut between characters. */
function clip(value, most) {
  const whole = text(value);
  if (whole.length <= most) return whole;
  let clipped = '';
  for (const character of whole) {
    if (clipped.length + character.length >= most) break;
    clipped += character;
  }
  return `${clipped}…`;
}

function size(json) {
  return new TextEncoder().encode(json).length;
}
