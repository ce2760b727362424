import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { render } from './hookbox.js';
import plugin, { check } from './plugin.js';

const read = (file) => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
const [event, webhook] = [read('event.json'), read('webhook.json')];

test('a line about the object is sent to the channel', () => {
  const { request } = render(plugin, event, webhook, { secrets: { token: 'handle' } });
  assert.deepEqual(JSON.parse(request.body), { channel: '#network', text: 'dcim.site Zürich: created by jstretch' });
  assert.equal(request.method, 'POST');
  assert.equal(new Headers(request.headers).get('authorization'), 'Bearer handle');
});

test('what the settings name is skipped', () => {
  const { skip } = render(plugin, { ...event, event: 'deleted' }, webhook);
  assert.equal(skip, 'deleted events are skipped');
});

test('settings without a channel or misspelt are refused when the webhook is saved', () => {
  for (const [settings, named] of [
    [null, 'channel'],
    [{ channel: 'ops', skp: [] }, '`skp`'],
  ]) {
    assert.throws(() => check({ ...webhook, settings }), { field: 'settings', message: new RegExp(named) });
  }
});
