/* SPDX-License-Identifier: Apache-2.0 */
/* Stub: an HTTP server on a free port of 127.0.0.1 that plays one outside service.
 *
 * Each stub records what it was sent, so that tests can hold the program to the wire format, and
 * is told what to do next by `next()`. Programs in other languages do the same over HTTP:
 *   POST   /__stub/next      {"behaviour":"cut","times":1,"text":"…"}
 *   GET    /__stub/requests  everything recorded
 *   DELETE /__stub/requests  forgets records and orders */
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTick } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';

/* One request as the stub saw it. `aborted` turns true when the client left before the end. */
export interface Recorded {
  method: string;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  body: string;
  json: any;
  time: number;
  aborted: boolean;
  finished: boolean;
}

/* An order for the next call; `text` replaces the answer. */
export interface Order<Behaviour extends string> {
  behaviour: Behaviour;
  text?: string;
  times?: number;
}

const STALL_MS = 30_000;
const BODY_MAX = 64 * 1024 * 1024;

/* The response side of one exchange. */
export class Reply {
  readonly res: ServerResponse;
  readonly acceptsGzip: boolean;

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.res = res;
    this.acceptsGzip = /\bgzip\b/.test(String(req.headers['accept-encoding'] ?? ''));
  }

  get gone(): boolean {
    return this.res.destroyed || this.res.closed;
  }

  json(status: number, value: unknown, headers: Record<string, string> = {}): void {
    this.raw(status, 'application/json; charset=UTF-8', JSON.stringify(value), headers);
  }

  html(status: number, title: string): void {
    const page = `<!DOCTYPE html>\n<html><head><title>${title}</title></head>`
      + `<body><center><h1>${title}</h1></center><hr>nginx</body></html>\n`;
    this.raw(status, 'text/html', page);
  }

  raw(status: number, type: string, body: string | Buffer, headers: Record<string, string> = {}): void {
    const bytes = Buffer.from(body as string);
    this.res.writeHead(status, { 'Content-Type': type, 'Content-Length': bytes.length, ...headers });
    this.res.end(bytes);
  }

  destroy(): void {
    this.res.socket?.destroy();
  }

  /* Resolves after `ms` or, at once, when the client leaves. */
  async wait(ms: number): Promise<void> {
    if (this.gone) return;
    const left = new AbortController();
    const timer = setTimeout(() => left.abort(), ms);
    try {
      await once(this.res, 'close', { signal: left.signal });
    } catch {
      /* the time is over */
    } finally {
      clearTimeout(timer);
    }
  }

  async stall(): Promise<void> {
    await this.wait(STALL_MS);
    this.destroy();
  }

  /* Writes in pieces of `size` bytes, each one its own TCP write. */
  async write(bytes: Buffer, size = bytes.length): Promise<void> {
    for (let at = 0; at < bytes.length && !this.gone; at += Math.max(size, 1)) {
      if (!this.res.write(bytes.subarray(at, at + Math.max(size, 1))))
        await this.drain();
      await nextTick();
    }
  }

  private async drain(): Promise<void> {
    const either = new AbortController();
    await Promise.race([
      once(this.res, 'drain', { signal: either.signal }).catch(() => undefined),
      once(this.res, 'close', { signal: either.signal }).catch(() => undefined),
    ]);
    either.abort();
  }

  /* 64 MiB of `unit`, as far as the client takes them. */
  async flood(type: string, head: string, unit: string, tail: string): Promise<void> {
    this.res.writeHead(200, { 'Content-Type': type });
    await this.write(Buffer.from(head));
    const block = Buffer.from(unit.repeat(Math.ceil(65536 / unit.length)));
    for (let sent = 0; sent < BODY_MAX && !this.gone; sent += block.length)
      await this.write(block);
    if (!this.gone) this.res.end(tail);
  }
}

export abstract class Stub<Behaviour extends string> {
  abstract readonly name: string;
  readonly requests: Recorded[] = [];
  port = 0;

  #orders: Order<Behaviour>[] = [];
  #standing: Order<Behaviour> | null = null;
  #rule: ((record: Recorded) => Behaviour | null) | null = null;
  #server: Server;
  #events = new EventEmitter().setMaxListeners(0);

  constructor() {
    this.#server = createServer((req, res) => void this.#serve(req, res));
    this.#server.keepAliveTimeout = 60_000;
    this.#server.on('connection', (socket) => socket.setNoDelay(true));
  }

  /* Answers one request. `order` is what a test asked for, null when it asked for nothing. */
  protected abstract handle(record: Recorded, reply: Reply, order: Order<Behaviour> | null): void | Promise<void>;
  protected abstract isBehaviour(name: string): name is Behaviour;

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /* The next `times` calls behave so; orders are served in turn. */
  next(behaviour: Behaviour, options: { text?: string; times?: number } = {}): void {
    for (let i = 0; i < (options.times ?? 1); i++)
      this.#orders.push({ behaviour, text: options.text });
  }

  /* Every call without an order of its own behaves so; null takes it back. */
  always(behaviour: Behaviour | null, options: { text?: string } = {}): void {
    this.#standing = behaviour && { behaviour, text: options.text };
  }

  /* Calls without an order of their own are decided by `rule`, as far as it says anything. */
  decide(rule: ((record: Recorded) => Behaviour | null) | null): void {
    this.#rule = rule;
  }

  /* Forgets orders and records. */
  reset(): void {
    this.#orders = [];
    this.#standing = null;
    this.#rule = null;
    this.requests.length = 0;
  }

  /* The first recorded request, past or future, for which `accept` holds, which is asked again
   * whenever a request arrives, ends or is aborted. */
  async waitFor(accept: (record: Recorded) => boolean, timeoutMs = 10_000): Promise<Recorded> {
    const found = this.requests.find(accept);
    if (found) return found;
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      for await (const [record] of EventEmitter.on(this.#events, 'request', { signal }))
        if (accept(record as Recorded)) return record as Recorded;
    } catch {
      /* the time is over */
    }
    throw new Error(`${this.name} stub: the expected request did not come within ${timeoutMs} ms`);
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    try {
      const record = await read(req);
      if (record.path.startsWith('/__stub/')) return this.#control(record, new Reply(req, res));
      this.requests.push(record);
      this.#follow(record, res);
      const ruled = this.#orders.length ? null : this.#rule?.(record);
      const order = this.#orders.shift() ?? (ruled ? { behaviour: ruled } : this.#standing);
      await this.handle(record, new Reply(req, res), order);
    } catch (error) {
      /* A client that leaves in mid-request is normal; a fault of the stub must be seen. */
      if (!req.aborted) console.error(`${this.name} stub:`, error);
      res.destroy();
    }
  }

  #follow(record: Recorded, res: ServerResponse): void {
    res.on('close', () => {
      record.finished = res.writableFinished;
      record.aborted = !res.writableFinished;
      this.#events.emit('request', record);
    });
    this.#events.emit('request', record);
  }

  #control(record: Recorded, reply: Reply): void {
    if (record.method === 'GET' && record.path === '/__stub/requests')
      return reply.json(200, this.requests);
    if (record.method === 'DELETE' && record.path === '/__stub/requests') {
      this.reset();
      return reply.json(200, {});
    }
    const order = record.json as Order<string> | null;
    if (record.method !== 'POST' || record.path !== '/__stub/next' || !order?.behaviour)
      return reply.json(404, { error: 'unknown control request' });
    if (!this.isBehaviour(order.behaviour))
      return reply.json(400, { error: `unknown behaviour ${order.behaviour}` });
    this.next(order.behaviour, order);
    return reply.json(200, {});
  }
}

async function read(req: IncomingMessage): Promise<Recorded> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of req) {
    size += (piece as Buffer).length;
    if (size > BODY_MAX) throw new Error('request body too large');
    pieces.push(piece as Buffer);
  }
  let bytes = Buffer.concat(pieces);
  if (req.headers['content-encoding'] === 'gzip') bytes = gunzipSync(bytes);
  const url = new URL(req.url ?? '/', 'http://stub');
  const body = bytes.toString('utf8');
  return {
    method: req.method ?? '',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: Object.fromEntries(Object.entries(req.headers).map(([k, v]) => [k, String(v)])),
    body,
    json: parse(body),
    time: Date.now(),
    aborted: false,
    finished: false,
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
