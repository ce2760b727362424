import { Failure, secret, send, skip } from './hookbox.js';

/**
 * Posts a line about the object to Slack. The webhook's `settings` are `{"channel": "#network", "skip": ["deleted"]}`;
 * `skip` names events that are not sent.
 *
 * @type {import('./hookbox.js').Transform}
 */
export default function plugin(event, webhook) {
  const { channel, skip: skipped = [] } = webhook.settings ?? {};
  if (!channel) throw new Failure('the settings lack a channel, such as {"channel": "#network"}', { field: 'settings' });
  if (skipped.includes(event.event)) return skip(`${event.event} events are skipped`);
  const name = event.data?.name ?? event.data?.display ?? 'without a name';
  const text = `${event.object_type} ${name}: ${event.event} by ${event.username ?? 'somebody'}`;
  // What `secret` gives is a handle: the host puts the secret in its place once this code has ended.
  const token = secret('token');
  return send({ headers: token ? { Authorization: `Bearer ${token}` } : {}, json: { channel, text } });
}
