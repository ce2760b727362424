import { type Decision, type Event, Failure, type Webhook, secret, send, skip } from './hookbox.js';

interface Settings {
  channel: string;
  /** Events that are not sent. */
  skip: string[];
}

/** Posts a line about the object to Slack. The webhook's `settings` are `{"channel": "#network", "skip": ["deleted"]}`. */
export default function plugin(event: Event, webhook: Webhook): Decision {
  const { channel, skip: skipped } = settings(webhook);
  if (skipped.includes(event.event)) return skip(`${event.event} events are skipped`);
  const name: string = event.data?.name ?? event.data?.display ?? 'without a name';
  const text = `${event.object_type} ${name}: ${event.event} by ${event.username ?? 'somebody'}`;
  // What `secret` gives is a handle: the host puts the secret in its place once this code has ended.
  const token = secret('token');
  return send({ headers: token ? { Authorization: `Bearer ${token}` } : {}, json: { channel, text } });
}

/** Says when a webhook is saved what is wrong with its settings. */
export function check(webhook: Webhook): void {
  settings(webhook);
}

function settings(webhook: Webhook): Settings {
  const { channel, skip: skipped = [], ...others } = webhook.settings ?? {};
  const wrong = (message: string): Failure => new Failure(`settings: ${message}`, { field: 'settings' });
  if (!channel) throw wrong('they lack a channel, such as {"channel": "#network"}');
  if (!Array.isArray(skipped)) throw wrong('`skip` must be a list of events');
  for (const key of Object.keys(others)) throw wrong(`unknown key \`${key}\`, expected channel or skip`);
  return { channel, skip: skipped };
}
