import assert from 'node:assert/strict';
import test from 'node:test';
import event from './event.json';
import { render } from './hookbox.js';
import plugin from './plugin';
import webhook from './webhook.json';

test('a line about the object is sent to the channel', () => {
  const { request } = render(plugin, event, webhook, { secrets: { token: 'handle' } });
  assert.ok(request);
  assert.deepEqual(JSON.parse(request.body), { channel: '#network', text: 'dcim.site Zürich: created by jstretch' });
  assert.equal(request.method, 'POST');
  assert.equal(new Headers(request.headers).get('authorization'), 'Bearer handle');
});

test('what the settings name is skipped', () => {
  const { skip } = render(plugin, { ...event, event: 'deleted' }, webhook);
  assert.equal(skip, 'deleted events are skipped');
});

test('settings without a channel are a failure that says so', () => {
  const { failure } = render(plugin, event, { ...webhook, settings: null });
  assert.equal(failure?.field, 'settings');
  assert.match(failure?.message ?? '', /channel/);
});
