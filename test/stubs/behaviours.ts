/* SPDX-License-Identifier: Apache-2.0 */
/* Behaviours: the names of everything a stub can be told to do, and how one is chosen.
 *
 * A test picks a behaviour for the next call with `stub.next(...)`; a program that cannot talk to
 * the stub object (C tests, people) picks it by the model name (`stub-cut`), by the API key
 * (`stub-quota`) or, for the search stubs, by the word `stub:quota` in the query. */

/* What both LLM stubs know. The answer streams or not, as the request asks. */
export const llmBehaviours = {
  ok: 'a normal answer',
  echo: 'answers with the text of the last user message',
  tiny: 'the response leaves in TCP writes of 3 bytes, so that UTF-8 and lines are split',
  crlf: 'SSE lines end in CR LF',
  cr: 'SSE lines end in CR',
  comments: 'SSE comment lines between and inside events',
  nospace: '"data:" without the space',
  'big-event': 'one SSE event of 256 KiB',
  cut: 'the connection is destroyed in mid-answer',
  'cut-clean': 'the stream ends properly in mid-answer, without a finish reason',
  'cut-first': 'the connection is destroyed before any byte of the response',
  'cut-first-then-ok': 'as cut-first, then a normal answer',
  'error-mid': 'an error object arrives inside the 200 stream',
  '429-then-ok': 'rate limited with a short delay to wait, then a normal answer',
  '429-date-then-ok': 'as 429-then-ok, with Retry-After as a date',
  '429-always': 'rate limited for ever, with a short delay to wait',
  '429-bare': 'rate limited once without details or Retry-After, then a normal answer',
  quota: '429 whose quota is exhausted: never worth a retry',
  '500-then-ok': 'internal error, then a normal answer',
  '503-then-ok': 'overloaded, then a normal answer',
  '502-html-then-ok': 'a proxy\'s HTML page, then a normal answer',
  '500': 'internal error, always',
  '503': 'overloaded, always',
  html: 'status 502 with an HTML page, always',
  'html-200': 'status 200 with an HTML page',
  malformed: 'status 200 with broken JSON',
  'malformed-mid': 'a stream whose third event is broken JSON',
  empty: 'an answer without text',
  'no-body': 'status 200, Content-Length 0',
  stall: 'takes the request and says nothing for 30 s',
  'stall-mid': 'streams two pieces, then says nothing for 30 s',
  slow: 'a normal answer after 400 ms, pieces 40 ms apart',
  huge: 'an answer of 64 MiB',
  'invalid-key': 'the key is refused',
  forbidden: 'the key may not use this model',
  'not-found': 'there is no such model',
  'too-long': 'the prompt is longer than the model takes',
  'safety-prompt': 'the prompt is blocked',
  safety: 'the answer is blocked, without content',
  'safety-mid': 'the answer is blocked after some text',
  'max-tokens': 'the whole budget went into thinking: no text, stopped by length',
  thinking: 'thinking parts and thinking tokens beside the answer',
  'no-usage': 'an answer without token usage',
  json: 'the answer is a JSON object',
  'json-bad': 'the answer is not JSON although it was asked for',
  redirect: 'status 302 to another path of the stub',
  'strict-tokens': 'refuses max_tokens in favour of max_completion_tokens (OpenAI only)',
} as const;

export const searchBehaviours = {
  ok: 'normal results',
  none: 'no results, in the shape the service uses for that',
  '429-then-ok': 'rate limited for a short time, then normal results',
  quota: 'the month is used up: never worth a retry',
  'invalid-key': 'the key is refused',
  '500-then-ok': 'internal error, then normal results',
  '503': 'unavailable, always',
  html: 'an HTML page with status 502',
  'html-200': 'an HTML page with status 200',
  malformed: 'status 200 with broken JSON',
  'cut-first': 'the connection is destroyed before any byte of the response',
  cut: 'the connection is destroyed in mid-answer',
  stall: 'takes the request and says nothing for 30 s',
  huge: 'an answer of 64 MiB',
  markup: 'titles and snippets full of tags and HTML entities',
  odd: 'results with missing and null members, and a javascript: link',
} as const;

export type LlmBehaviour = keyof typeof llmBehaviours;
export type SearchBehaviour = keyof typeof searchBehaviours;

/* The longest behaviour that `name` starts with, so that `stub-cut-17` is `cut` and each test can
 * have a model of its own. */
export function behaviourByName<T extends string>(table: Record<T, string>, name: string): T | null {
  const rest = name.startsWith('stub-') ? name.slice('stub-'.length) : null;
  if (rest === null) return null;
  const matches = (Object.keys(table) as T[]).filter(
    (key) => rest === key || rest.startsWith(`${key}-`),
  );
  return matches.sort((a, b) => b.length - a.length)[0] ?? null;
}

/* "X-then-ok" fails on every odd call and succeeds on every even one. */
export class Alternation {
  #calls = new Map<string, number>();

  isFailing(key: string): boolean {
    const call = (this.#calls.get(key) ?? 0) + 1;
    this.#calls.set(key, call);
    return call % 2 === 1;
  }
}
