// What the chat plugins have in common: an event's object in few words.

// What is shown of an object that has not been changed but made or deleted, where it has it.
const FACTS = ['status', 'tenant', 'site', 'location', 'role', 'device_type', 'address', 'prefix', 'vid', 'description'];

/** Type and name of the object, and what happened to it. */
export function title({ event, object_type: type, data }) {
  return [type, text(data?.display ?? data?.name ?? data?.id ?? ''), event].filter(Boolean).join(' ');
}

/**
 * Names, and functions that give texts: of what `chosen` names (by JSON pointer), of what changed, or of what says
 * what the object is. Functions, since there can be thousands of which a message has room for some.
 */
export function fields(event, chosen) {
  if (chosen) return Object.entries(chosen).map(([name, pointer]) => [name, () => shown(at(event, pointer))]);
  const { prechange, postchange } = event.snapshots ?? {};
  if (prechange && postchange) return changes(prechange, postchange);
  const facts = FACTS.map((name) => [name, shown(event.data?.[name])]);
  return facts.filter(([, value]) => value !== '').map(([name, value]) => [name, () => value]);
}

/** What differs between two snapshots, but for when that was; custom fields one by one. */
function changes(before, after, prefix = '') {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) => {
    const [from, to] = [before[name], after[name]];
    if (name === 'last_updated' || JSON.stringify(from) === JSON.stringify(to)) return [];
    if (name === 'custom_fields' && from && to && !prefix) return changes(from, to, 'custom field ');
    return [[prefix + name, () => `${shown(from) || '(empty)'} → ${shown(to) || '(empty)'}`]];
  });
}

/** Where the object is to be seen, if that is known and no longer than `most`. */
export function link({ data, event }, base, most) {
  const path = data?.display_url ?? data?.url;
  if (!base || event === 'deleted' || typeof path !== 'string' || !path.startsWith('/')) return undefined;
  const url = (base.endsWith('/') ? base.slice(0, -1) : base) + path;
  return url.length <= most ? url : undefined;
}

/** A text in which `{/pointer}` stands for a value of the event. */
export function fill(template, event) {
  return template.replace(/\{(\/[^}]*)\}/g, (_, pointer) => shown(at(event, pointer)));
}

/** A value as text; nothing for none. */
export function text(value) {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** A value in few words: of a choice its label, of an object its name. */
function shown(value) {
  if (Array.isArray(value)) return text(value.map((item) => brief(item)).join(', '));
  return brief(value);
}

function brief(value) {
  const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
  return text(isObject ? (value.label ?? value.display ?? value.name ?? value) : value);
}

/** What stands at a JSON pointer (RFC 6901). */
function at(event, pointer) {
  const keys = pointer.split('/').slice(1);
  return keys.reduce((value, key) => {
    const name = key.replaceAll('~1', '/').replaceAll('~0', '~');
    return value !== null && typeof value === 'object' && Object.hasOwn(value, name) ? value[name] : undefined;
  }, event);
}
