/* SPDX-License-Identifier: Apache-2.0 */
/* Llm: what the Gemini stub and the OpenAI-compatible stub have in common.
 *
 * A `Dialect` says how one service words its answers, chunks and errors; `play` runs a behaviour in
 * that dialect. Which behaviour: the order of a test, else the model name. */
import { Alternation, behaviourByName, llmBehaviours, type LlmBehaviour } from './behaviours.ts';
import type { Order, Recorded, Reply } from './stub.ts';
import { defaultAnswer, pieces } from './text.ts';

export interface Call {
  record: Recorded;
  model: string;
  key: string;
  prompt: string;
  stream: boolean;
}

/* One answer, whatever the dialect. */
export interface Answer {
  text: string;
  finish: 'stop' | 'length' | 'safety';
  thinking: string;
  usage: boolean;
}

export type Refusal =
  | 'rate-limited' | 'rate-limited-date' | 'rate-limited-bare' | 'quota' | 'invalid-key' | 'forbidden'
  | 'not-found' | 'too-long' | 'internal' | 'unavailable' | 'strict-tokens';

export interface Dialect {
  /* The body of a whole answer. */
  whole(call: Call, answer: Answer): unknown;
  /* The events of a streamed answer, `texts` one an event; a string is sent as it is. */
  events(call: Call, answer: Answer, texts: string[]): (object | string)[];
  /* The answer that says that the prompt is blocked. */
  blocked(call: Call): unknown;
  refuse(call: Call, reply: Reply, refusal: Refusal): void;
  /* What an error inside a 200 stream looks like, as raw text. */
  errorInStream(): string;
}

interface Style {
  eol: string;
  space: string;
  size: number;
  comments: boolean;
  pauseMs: number;
}

const plainStyle: Style = { eol: '\n', space: ' ', size: 0, comments: false, pauseMs: 0 };
const jsonAnswer = '{"answer":"forty-two","certain":true}';
const thought = 'Let me think about this; the person must not see it.';

const styles: Partial<Record<LlmBehaviour, Partial<Style>>> = {
  tiny: { size: 3 },
  crlf: { eol: '\r\n' },
  cr: { eol: '\r' },
  comments: { comments: true },
  nospace: { space: '' },
  slow: { pauseMs: 40 },
};

const refusals: Partial<Record<LlmBehaviour, Refusal>> = {
  '429-then-ok': 'rate-limited',
  '429-date-then-ok': 'rate-limited-date',
  '429-bare': 'rate-limited-bare',
  '429-always': 'rate-limited',
  quota: 'quota',
  '500-then-ok': 'internal',
  '500': 'internal',
  '503-then-ok': 'unavailable',
  '503': 'unavailable',
  'invalid-key': 'invalid-key',
  forbidden: 'forbidden',
  'not-found': 'not-found',
  'too-long': 'too-long',
};

export class LlmPlayer {
  #alternation = new Alternation();
  #dialect: Dialect;

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  async play(call: Call, reply: Reply, order: Order<LlmBehaviour> | null): Promise<void> {
    const behaviour = await this.misbehave(call, reply, order);
    if (!behaviour) return;
    const answer = answerOf(call, behaviour, order?.text);
    if (behaviour === 'slow') await reply.wait(400);
    if (call.stream) await this.#stream(call, reply, behaviour, answer);
    else if (behaviour === 'cut' || behaviour === 'cut-clean') await cutWhole(reply, this.#dialect.whole(call, answer));
    else if (behaviour === 'stall-mid') await reply.stall();
    else await sendWhole(reply, this.#dialect.whole(call, answer), behaviour);
  }

  /* Null when the behaviour has answered (or refused to) by itself, else the behaviour that an
   * answer should follow. */
  async misbehave(call: Call, reply: Reply, order: Order<LlmBehaviour> | null): Promise<LlmBehaviour | null> {
    let behaviour = order?.behaviour ?? this.#behaviourOf(call);
    /* An order is for one call: it fails, and its "then ok" is whatever comes next. */
    if (!order && this.#recovers(behaviour) && !this.#alternation.isFailing(`${call.key} ${call.model}`))
      behaviour = 'ok';
    return (await this.#answersAlone(call, reply, behaviour)) ? null : behaviour;
  }

  #behaviourOf(call: Call): LlmBehaviour {
    return behaviourByName(llmBehaviours, call.key) ?? behaviourByName(llmBehaviours, call.model) ?? 'ok';
  }

  #recovers(behaviour: LlmBehaviour): boolean {
    return behaviour.endsWith('-then-ok') || behaviour === '429-bare';
  }

  async #answersAlone(call: Call, reply: Reply, behaviour: LlmBehaviour): Promise<boolean> {
    const refusal = refusals[behaviour];
    if (refusal) {
      this.#dialect.refuse(call, reply, refusal);
      return true;
    }
    switch (behaviour) {
      case 'cut-first':
      case 'cut-first-then-ok':
        reply.destroy();
        return true;
      case 'html':
      case '502-html-then-ok':
        reply.html(502, '502 Bad Gateway');
        return true;
      case 'html-200':
        reply.html(200, 'Welcome to the captive portal');
        return true;
      case 'no-body':
        reply.raw(200, call.stream ? 'text/event-stream' : 'application/json', '');
        return true;
      case 'stall':
        await reply.stall();
        return true;
      case 'redirect':
        reply.raw(302, 'text/plain', '', { Location: '/redirected' });
        return true;
      case 'safety-prompt':
        await this.#sendBlocked(call, reply);
        return true;
      case 'malformed':
        await this.#sendMalformed(call, reply);
        return true;
      case 'huge':
        await this.#sendHuge(call, reply);
        return true;
      default:
        return false;
    }
  }

  async #sendBlocked(call: Call, reply: Reply): Promise<void> {
    const body = this.#dialect.blocked(call);
    if (!call.stream) return reply.json(200, body);
    startStream(reply);
    await sendEvents(reply, [body as object], plainStyle);
    reply.res.end();
  }

  async #sendMalformed(call: Call, reply: Reply): Promise<void> {
    if (!call.stream) return reply.raw(200, 'application/json', '{"candidates": [{"content": {"par');
    startStream(reply);
    await reply.write(Buffer.from('data: {"candidates": [{"cont\n\ndata: }]}\n\n'));
    reply.res.end();
  }

  async #sendHuge(call: Call, reply: Reply): Promise<void> {
    const answer = { ...answerOf(call, 'ok'), text: 'HUGE' };
    if (!call.stream) {
      const [head, tail] = JSON.stringify(this.#dialect.whole(call, answer)).split('HUGE') as [string, string];
      return reply.flood('application/json', head, 'much too much text ', tail);
    }
    const event = this.#dialect.events(call, answer, ['much too much text '.repeat(200)])[0];
    return reply.flood('text/event-stream', '', `data: ${JSON.stringify(event)}\n\n`, '');
  }

  async #stream(call: Call, reply: Reply, behaviour: LlmBehaviour, answer: Answer): Promise<void> {
    const style = { ...plainStyle, ...styles[behaviour] };
    const texts = behaviour === 'big-event' ? [answer.text] : pieces(answer.text);
    const events = this.#dialect.events(call, answer, texts);
    startStream(reply);
    switch (behaviour) {
      case 'cut':
        await sendEvents(reply, events.slice(0, 3), style);
        return reply.destroy();
      case 'cut-clean':
        await sendEvents(reply, events.slice(0, 3), style);
        break;
      case 'stall-mid':
        await sendEvents(reply, events.slice(0, 3), style);
        return reply.stall();
      case 'error-mid':
        await sendEvents(reply, [...events.slice(0, 3), this.#dialect.errorInStream()], style);
        break;
      case 'malformed-mid':
        await sendEvents(reply, [...events.slice(0, 2), 'data: {"broken\n\n', ...events.slice(2)], style);
        break;
      default:
        await sendEvents(reply, events, style);
    }
    reply.res.end();
  }
}

function answerOf(call: Call, behaviour: LlmBehaviour, text?: string): Answer {
  const answer: Answer = { text: text ?? defaultAnswer, finish: 'stop', thinking: '', usage: true };
  switch (behaviour) {
    case 'echo':
      return { ...answer, text: text ?? call.prompt };
    case 'big-event':
      return { ...answer, text: 'A long event, é. '.repeat(16_384) };
    case 'empty':
      return { ...answer, text: '' };
    case 'safety':
      return { ...answer, text: '', finish: 'safety' };
    case 'safety-mid':
      return { ...answer, finish: 'safety' };
    case 'max-tokens':
      return { ...answer, text: '', finish: 'length', thinking: thought };
    case 'thinking':
      return { ...answer, thinking: thought };
    case 'no-usage':
      return { ...answer, usage: false };
    case 'json':
      return { ...answer, text: jsonAnswer };
    case 'json-bad':
      return { ...answer, text: 'Sure! Here is your JSON: {"answer": ' };
    default:
      return answer;
  }
}

function startStream(reply: Reply): void {
  reply.res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  reply.res.flushHeaders();
}

async function sendEvents(reply: Reply, events: (object | string)[], style: Style): Promise<void> {
  for (const event of events) {
    const data = typeof event === 'string' ? event : `data:${style.space}${JSON.stringify(event)}\n\n`;
    const comment = style.comments ? ': ping\n\n:\n' : '';
    const bytes = Buffer.from((comment + data).replaceAll('\n', style.eol));
    await reply.write(bytes, style.size || bytes.length);
    if (style.pauseMs) await reply.wait(style.pauseMs);
  }
}

async function sendWhole(reply: Reply, body: unknown, behaviour: LlmBehaviour): Promise<void> {
  if (behaviour !== 'tiny') return reply.json(200, body);
  reply.res.writeHead(200, { 'Content-Type': 'application/json; charset=UTF-8' });
  await reply.write(Buffer.from(JSON.stringify(body)), 3);
  reply.res.end();
}

/* A Content-Length that the body does not reach. */
async function cutWhole(reply: Reply, body: unknown): Promise<void> {
  const bytes = Buffer.from(JSON.stringify(body));
  reply.res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': bytes.length });
  await reply.write(bytes.subarray(0, bytes.length / 2));
  reply.destroy();
}
