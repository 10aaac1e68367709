/* SPDX-License-Identifier: Apache-2.0 */
/* The Brave Search stub: GET /res/v1/web/search. */
import { gzipSync } from 'node:zlib';

import { hits, markup, SearchStub, type Hit } from './search.ts';
import type { Order, Recorded, Reply } from './stub.ts';
import type { SearchBehaviour } from './behaviours.ts';

const known = new Set([
  'q', 'country', 'search_lang', 'ui_lang', 'count', 'offset', 'safesearch', 'freshness', 'text_decorations',
  'spellcheck', 'result_filter', 'goggles', 'goggles_id', 'units', 'extra_snippets', 'summary',
]);
const booleans = new Set(['true', 'false', '1', '0']);
const safesearch = new Set(['off', 'moderate', 'strict']);

function limits(perSecond: number, perMonth: number): Record<string, string> {
  return {
    'X-RateLimit-Limit': '1, 15000',
    'X-RateLimit-Policy': '1;w=1, 15000;w=2592000',
    'X-RateLimit-Remaining': `${perSecond}, ${perMonth}`,
    'X-RateLimit-Reset': '1, 1419704',
  };
}

function fail(reply: Reply, status: number, code: string, detail: string, month = 1000): void {
  const error = { id: '00000000-0000-4000-8000-000000000000', status, code, detail, meta: { component: 'subscriptions' } };
  reply.json(status, { type: 'ErrorResponse', error, time: 1_795_000_000 }, limits(0, month));
}

function fault(query: Record<string, string>): string | null {
  const q = query['q'] ?? '';
  const unknown = Object.keys(query).find((name) => !known.has(name));
  if (unknown) return `Unknown parameter ${unknown}`;
  if (q.trim() === '' || [...q].length > 400 || q.trim().split(/\s+/).length > 50) return 'Invalid q';
  const between = (name: string, low: number, high: number) =>
    query[name] === undefined || (/^\d+$/.test(query[name]) && +query[name] >= low && +query[name] <= high);
  if (!between('count', 1, 20)) return 'Invalid count';
  if (!between('offset', 0, 9)) return 'Invalid offset';
  if (query['safesearch'] !== undefined && !safesearch.has(query['safesearch'])) return 'Invalid safesearch';
  for (const name of ['text_decorations', 'spellcheck', 'extra_snippets', 'summary'])
    if (query[name] !== undefined && !booleans.has(query[name])) return `Invalid ${name}`;
  return null;
}

function result(hit: Hit): object {
  return {
    title: hit.title, url: hit.url, is_source_local: false, is_source_both: false, description: hit.snippet,
    page_age: hit.date, profile: { name: 'Example', url: hit.url, long_name: 'example.org' }, language: 'en',
    family_friendly: true, type: 'search_result', subtype: 'generic',
    meta_url: { scheme: 'https', netloc: 'example.org', hostname: 'example.org', favicon: '', path: '› page' },
    age: 'November 1, 2026',
  };
}

function results(behaviour: SearchBehaviour, query: Record<string, string>): object[] {
  const count = Number(query['count'] ?? 20);
  if (behaviour === 'markup') return [result(markup)];
  if (behaviour === 'odd')
    return [
      { title: null, url: 'https://example.org/untitled' }, { url: 'https://example.org/only-url' },
      { title: 'Script', url: 'javascript:alert(1)', description: 'bad link' }, { description: 'no url at all' },
      result(hits(query['q']!, 1)[0]!),
    ];
  return hits(query['q']!, count).map((hit) => ({
    ...result(hit),
    ...(query['text_decorations'] === 'false' || query['text_decorations'] === '0'
      ? {} : { description: hit.snippet.replace('web', '<strong>web</strong>') }),
  }));
}

export class BraveStub extends SearchStub {
  override readonly name = 'brave';

  protected override async handle(record: Recorded, reply: Reply, order: Order<SearchBehaviour> | null): Promise<void> {
    const { query } = record;
    const key = record.headers['x-subscription-token'];
    if (record.method !== 'GET' || record.path !== '/res/v1/web/search')
      return fail(reply, 404, 'NOT_FOUND', 'No such resource');
    const behaviour = this.choose(order, key ?? '', query['q'] ?? '');
    if (!key || key.startsWith('invalid') || behaviour === 'invalid-key')
      return fail(reply, 422, 'SUBSCRIPTION_TOKEN_INVALID', 'The provided subscription token is invalid.');
    const wrong = fault(query);
    if (wrong) return fail(reply, 422, 'VALIDATION', `Unable to validate request parameter(s): ${wrong}`);
    if (behaviour === '429-then-ok') return fail(reply, 429, 'RATE_LIMITED', 'Request rate limit exceeded for plan');
    if (behaviour === 'quota') return fail(reply, 429, 'RATE_LIMITED', 'Request rate limit exceeded for plan', 0);
    if (behaviour === '500-then-ok') return fail(reply, 500, 'INTERNAL', 'Internal error');
    if (behaviour === '503') return fail(reply, 503, 'UNAVAILABLE', 'Try again later');
    if (await this.misbehave(behaviour, reply)) return;
    const found = behaviour === 'none' ? null : results(behaviour, query);
    const body = JSON.stringify({
      type: 'search',
      query: { original: query['q'], show_strict_warning: false, is_navigational: false, more_results_available: false },
      mixed: { type: 'mixed', main: [], top: [], side: [] },
      ...(found ? { web: { type: 'search', results: found, family_friendly: true } } : {}),
    });
    const headers = { ...limits(1, 999), ...(reply.acceptsGzip ? { 'Content-Encoding': 'gzip' } : {}) };
    reply.raw(200, 'application/json', reply.acceptsGzip ? gzipSync(body) : body, headers);
  }
}
