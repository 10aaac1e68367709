/* SPDX-License-Identifier: Apache-2.0 */
/* The SearXNG stub: GET or POST /search?q=&format=json. It has no keys; a request that is refused
 * is refused with a page. */
import type { SearchBehaviour } from './behaviours.ts';
import { hits, markup, SearchStub, type Hit } from './search.ts';
import type { Order, Recorded, Reply } from './stub.ts';

const PAGE_SIZE = 20;

function result(hit: Hit, i: number): object {
  const url = new URL(hit.url);
  return {
    url: hit.url, title: hit.title, content: hit.snippet, publishedDate: '2026-11-01T12:00:00', thumbnail: null,
    engine: 'duckduckgo', template: 'default.html', parsed_url: [url.protocol.slice(0, -1), url.host, url.pathname, '', '', ''],
    img_src: '', priority: '', engines: ['duckduckgo', 'brave'], positions: [i + 1], score: 1 / (i + 1), category: 'general',
  };
}

function results(behaviour: SearchBehaviour, q: string): object[] {
  if (behaviour === 'none') return [];
  if (behaviour === 'markup') return [result(markup, 0)];
  if (behaviour === 'odd')
    return [
      { url: 'https://example.org/no-content', title: 'No content', engine: 'x' }, { title: 'No link', content: null },
      { url: 'javascript:alert(1)', title: 'Script', content: 'bad link' }, result(hits(q, 1)[0]!, 3),
    ];
  return hits(q, PAGE_SIZE).map(result);
}

export class SearxngStub extends SearchStub {
  override readonly name = 'searxng';

  protected override async handle(record: Recorded, reply: Reply, order: Order<SearchBehaviour> | null): Promise<void> {
    if (record.path !== '/search' && record.path !== '/') return reply.html(404, 'Page not found');
    const form = record.method === 'POST' ? Object.fromEntries(new URLSearchParams(record.body)) : {};
    const query: Record<string, string> = { ...record.query, ...form };
    const q = query['q'] ?? '';
    const behaviour = this.choose(order, '', q);
    if (q.trim() === '') return reply.html(400, 'No query');
    if (query['format'] !== 'json') return reply.html(200, `${q} - SearXNG`);
    if (behaviour === 'invalid-key') return reply.html(403, 'Forbidden');
    if (behaviour === '429-then-ok' || behaviour === 'quota') return reply.html(429, 'Too Many Requests');
    if (behaviour === '500-then-ok') return reply.html(500, 'Internal server error');
    if (behaviour === '503') return reply.html(503, 'Service Unavailable');
    if (await this.misbehave(behaviour, reply)) return;
    const found = results(behaviour, q);
    reply.json(200, {
      query: q, number_of_results: found.length, results: found, answers: [], corrections: [], infoboxes: [],
      suggestions: [`${q} history`], unresponsive_engines: found.length ? [] : [['google', 'timeout']],
    });
  }
}
