/* SPDX-License-Identifier: Apache-2.0 */
/* The SerpAPI stub: GET /search.json (or /search?output=json) and /account.json. */
import type { SearchBehaviour } from './behaviours.ts';
import { hits, markup, SearchStub, type Hit } from './search.ts';
import type { Order, Recorded, Reply } from './stub.ts';

function result(hit: Hit, i: number): object {
  return {
    position: i + 1, title: hit.title, link: hit.url, redirect_link: `https://www.google.com/url?q=${hit.url}`,
    displayed_link: 'https://example.org › page', favicon: 'https://example.org/favicon.ico', snippet: hit.snippet,
    snippet_highlighted_words: ['web'], source: 'Example', date: 'Nov 1, 2026',
  };
}

function results(behaviour: SearchBehaviour, q: string, count: number): object[] {
  if (behaviour === 'markup') return [result(markup, 0)];
  if (behaviour === 'odd')
    return [
      { position: 1, title: 'No snippet', link: 'https://example.org/no-snippet' }, { position: 2, title: 'No link' },
      { position: 3, title: 'Script', link: 'javascript:alert(1)', snippet: null }, result(hits(q, 1)[0]!, 3),
    ];
  return hits(q, count).map(result);
}

function page(query: Record<string, string>, found: object[]): object {
  return {
    search_metadata: {
      id: 'stub', status: 'Success', json_endpoint: 'https://serpapi.com/searches/stub.json',
      created_at: '2026-11-01 12:00:00 UTC', processed_at: '2026-11-01 12:00:01 UTC', total_time_taken: 0.9,
    },
    search_parameters: { engine: query['engine'] ?? 'google', q: query['q'], device: 'desktop' },
    search_information: {
      query_displayed: query['q'], total_results: found.length, time_taken_displayed: 0.2,
      organic_results_state: found.length ? 'Results for exact spelling' : 'Fully empty',
    },
    ...(found.length
      ? { organic_results: found, pagination: { current: 1 }, serpapi_pagination: { current: 1 } }
      : { error: "Google hasn't returned any results for this query." }),
  };
}

export class SerpApiStub extends SearchStub {
  override readonly name = 'serpapi';

  protected override async handle(record: Recorded, reply: Reply, order: Order<SearchBehaviour> | null): Promise<void> {
    const { query, path } = record;
    const error = (status: number, text: string) => reply.json(status, { error: text });
    const key = query['api_key'] ?? '';
    if (record.method === 'GET' && path === '/account.json')
      return reply.json(200, { account_rate_limit_per_hour: 1000, plan_searches_left: 99, total_searches_left: 99, this_hour_searches: 1 });
    const isSearch = path === '/search.json' || (path === '/search' && (query['output'] ?? 'json') === 'json');
    if (record.method !== 'GET' || !isSearch) return error(404, 'Not found');
    const behaviour = this.choose(order, key, query['q'] ?? '');
    if (key === '' || key.startsWith('invalid') || behaviour === 'invalid-key')
      return error(401, 'Invalid API key. Your API key should be here: https://serpapi.com/manage-api-key');
    if ((query['q'] ?? '').trim() === '') return error(400, 'Missing query `q` parameter.');
    if (behaviour === '429-then-ok')
      return error(429, 'You have exceeded your hourly throughput limit of 1000 searches.');
    if (behaviour === 'quota') return error(429, 'Your account has run out of searches.');
    if (behaviour === '500-then-ok') return error(500, 'Something went wrong on our end.');
    if (behaviour === '503') return error(503, 'We are having a problem.');
    if (await this.misbehave(behaviour, reply)) return;
    const count = Math.min(Number(query['num'] ?? 10), 10);
    return reply.json(200, page(query, behaviour === 'none' ? [] : results(behaviour, query['q']!, count)));
  }
}
