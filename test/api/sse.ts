/* SPDX-License-Identifier: Apache-2.0 */
/* Sse: a strict reader of server-sent events; what a browser would silently skip is an error here. */
import assert from 'node:assert/strict';

export interface SseEvent {
  id: string;
  event: string;
  text: string;
  data: any;
}

export class SseReader {
  readonly response: Response;
  readonly comments: string[] = [];
  readonly seen: SseEvent[] = [];
  #abort: AbortController;
  #events: AsyncGenerator<SseEvent>;

  constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    this.#events = this.#parse();
  }

  /* The next event, or null at the end of the stream. */
  async next(timeoutMs = 10_000): Promise<SseEvent | null> {
    const timer = setTimeout(() => this.#abort.abort(new Error('no event in time')), timeoutMs);
    try {
      const { value, done } = await this.#events.next();
      if (!done) this.seen.push(value);
      return done ? null : value;
    } finally {
      clearTimeout(timer);
    }
  }

  /* Reads on until `last` holds or the stream ends; all events read by this call. */
  async until(last: (event: SseEvent) => boolean, timeoutMs = 15_000): Promise<SseEvent[]> {
    const events: SseEvent[] = [];
    const end = Date.now() + timeoutMs;
    for (let event = await this.next(timeoutMs); event; event = await this.next(Math.max(end - Date.now(), 1))) {
      events.push(event);
      if (last(event)) break;
    }
    return events;
  }

  all(): Promise<SseEvent[]> {
    return this.until(() => false);
  }

  close(): void {
    this.#abort.abort();
  }

  async *#parse(): AsyncGenerator<SseEvent> {
    const decoder = new TextDecoder('utf-8', { fatal: true });
    let text = '';
    for await (const bytes of this.response.body!) {
      text += decoder.decode(bytes, { stream: true });
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = this.#block(text.slice(0, end));
        text = text.slice(end + 2);
        if (event) yield event;
      }
    }
    assert.equal(text, '', 'the stream ends inside an event');
  }

  #block(block: string): SseEvent | null {
    const fields: Record<string, string[]> = {};
    for (const line of block.split('\n')) {
      const match = /^(data|event|id|retry|): ?(.*)$/s.exec(line);
      assert.ok(match, `not a line of an event stream: ${JSON.stringify(line)}`);
      if (match[1] === '') this.comments.push(match[2]!);
      else (fields[match[1]!] ??= []).push(match[2]!);
    }
    if (!fields['data']) return null;
    const text = fields['data'].join('\n');
    return { id: fields['id']?.at(-1) ?? '', event: fields['event']?.at(-1) ?? 'message', text, data: json(text) };
  }
}

function json(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
