/* SPDX-License-Identifier: Apache-2.0 */
/* Search: what the three search stubs have in common.
 *
 * The order of a test decides, else the key (`stub-quota`), else a word `stub:quota` in the query. */
import { Alternation, behaviourByName, searchBehaviours, type SearchBehaviour } from './behaviours.ts';
import { Stub, type Order, type Reply } from './stub.ts';

export interface Hit {
  title: string;
  url: string;
  snippet: string;
  date: string;
}

/* Made from the query, so that a test knows them beforehand. */
export function hits(query: string, count: number): Hit[] {
  const slug = query.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'query';
  return Array.from({ length: count }, (_, i) => ({
    title: `Result ${i + 1} for ${query}`,
    url: `https://example.org/${slug}/${i + 1}`,
    snippet: `Snippet ${i + 1}: what the web says about ${query}, naïvely.`,
    date: '2026-11-01T12:00:00Z',
  }));
}

export const markup: Hit = {
  title: 'Tom &amp; Jerry &lt;3 <strong>markup</strong>',
  url: 'https://example.org/markup?a=1&b=2',
  snippet: '<strong>Bold</strong> &quot;quoted&quot; &#39;text&#39; <script>alert(1)</script> &eacute;nd',
  date: '2026-11-01T12:00:00Z',
};

export abstract class SearchStub extends Stub<SearchBehaviour> {
  #alternation = new Alternation();

  protected override isBehaviour(name: string): name is SearchBehaviour {
    return name in searchBehaviours;
  }

  protected choose(order: Order<SearchBehaviour> | null, key: string, query: string): SearchBehaviour {
    const word = /\bstub:([\w-]+)/.exec(query)?.[1];
    const behaviour = order?.behaviour ?? behaviourByName(searchBehaviours, key)
      ?? (word && word in searchBehaviours ? (word as SearchBehaviour) : 'ok');
    const recovers = !order && behaviour.endsWith('-then-ok');
    return recovers && !this.#alternation.isFailing(`${key} ${query}`) ? 'ok' : behaviour;
  }

  /* True when the behaviour has answered by itself, the same way for every service. */
  protected async misbehave(behaviour: SearchBehaviour, reply: Reply): Promise<boolean> {
    switch (behaviour) {
      case 'html':
        reply.html(502, '502 Bad Gateway');
        return true;
      case 'html-200':
        reply.html(200, 'Welcome to the captive portal');
        return true;
      case 'malformed':
        reply.raw(200, 'application/json', '{"web": {"results": [{"tit');
        return true;
      case 'cut-first':
        reply.destroy();
        return true;
      case 'cut':
        reply.res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': 5000 });
        await reply.write(Buffer.from('{"web": {"results": [{"title": "half'));
        reply.destroy();
        return true;
      case 'stall':
        await reply.stall();
        return true;
      case 'huge':
        await reply.flood('application/json', '{"padding":"', 'much too much text ', '"}');
        return true;
      default:
        return false;
    }
  }
}
