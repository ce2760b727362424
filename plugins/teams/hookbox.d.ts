/** The event's context, parsed: what templates see. Numbers are JavaScript's: exact up to 2^53. */
export interface Event {
  event: string;
  timestamp: string;
  object_type: string;
  data: any;
  /** Whatever else the event carries, such as `username`, `request_id` and `snapshots`. */
  [key: string]: any;
}

/** The webhook, parsed. Later versions may have more keys. */
export interface Webhook {
  name: string;
  payload_url: string;
  http_method: string;
  http_content_type: string;
  additional_headers: string;
  body_template: string;
  body_escape: 'none' | 'json';
  /** Any JSON value that the owner of the webhook hands to the plugin; null by default. */
  settings: any;
}

/** What `send` and `skip` return. */
export interface Decision {}

/** A function from an event and a webhook to a decision. What it throws becomes a failure of the attempt. */
export type Transform = (event: Event, webhook: Webhook) => Decision;

/**
 * What a plugin may export as `check`: called when a webhook is saved. What it throws refuses the webhook, so it looks
 * only for what is wrong whatever the event, such as settings that do not fit.
 */
export type Check = (webhook: Webhook) => void;

export type Headers = Record<string, string> | [name: string, value: string][];

/**
 * Sends this request. The method and the URL are the webhook's unless given; with a body, the content type is too.
 * `json` is any value that becomes JSON; `body` is sent as it is.
 */
export function send(request?: {
  method?: string;
  url?: string;
  headers?: Headers;
  json?: unknown;
  body?: string | Uint8Array;
}): Decision;

/** Sends nothing, for this reason; the delivery ends as `skipped`. */
export function skip(reason: string): Decision;

export type Kind =
  | 'template-syntax'
  | 'template-runtime'
  | 'out-of-fuel'
  | 'out-of-memory'
  | 'output-too-large'
  | 'plugin-error';

/**
 * Throw this where there is no decision, with one sentence for the owner of the webhook: what went wrong and what
 * to do. `field` is the webhook's field at fault, `line` the line in it, from 1. Anything else that is thrown is a
 * failure of kind `plugin-error` too.
 */
export class Failure extends Error {
  constructor(message: string, options?: { kind?: Kind; field?: string; line?: number });
  kind: Kind;
  field?: string;
  line?: number;
}

/** Adds a line to the attempt's log, which the owner of the webhook reads: 16 KiB in all. `console.log` does too. */
export function log(message: unknown, level?: 'debug' | 'info' | 'warn' | 'error'): void;

/**
 * A handle for the tenant's secret of this name, if there is one. The handle is text without meaning; wherever it
 * stands in the request, the host puts the secret's value, after the plugin has ended.
 */
export function secret(name: string): string | undefined;

/**
 * For tests: runs a plugin as the host would, here. `secrets` are the handles that `secret` gives. One of `request`,
 * `skip` and `failure` is there.
 */
export function render(
  transform: Transform,
  event: unknown,
  webhook: unknown,
  options?: { secrets?: Record<string, string> },
): {
  request?: { method: string; url: string; headers: [string, string][]; body: string };
  skip?: string;
  failure?: { kind: Kind; field?: string; line?: number; message: string };
  logs: { level: string; message: string }[];
};
