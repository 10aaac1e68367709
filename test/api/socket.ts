/* SPDX-License-Identifier: Apache-2.0 */
/* Socket: a WebSocket client that keeps every message and can be asked to wait for one. */
import { EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';

import { WebSocket, type ClientOptions } from 'ws';

export interface SocketOptions {
  query?: Record<string, string>;
  protocols?: string[];
  headers?: Record<string, string>;
}

export class Socket {
  readonly messages: any[] = [];
  readonly ws: WebSocket;
  closed: { code: number; reason: string } | null = null;
  #news = new EventEmitter().setMaxListeners(0);

  private constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on('message', (data, isBinary) => {
      this.messages.push(isBinary ? data : JSON.parse(String(data)));
      this.#news.emit('news');
    });
    ws.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) };
      this.#news.emit('news');
    });
    ws.on('error', () => undefined);
  }

  /* Resolves once open; a refused handshake rejects with `status` and `body` set. */
  static async open(base: string, path: string, options: SocketOptions = {}): Promise<Socket> {
    const url = new URL(path, base.replace(/^http/, 'ws'));
    for (const [name, value] of Object.entries(options.query ?? {})) url.searchParams.set(name, value);
    const clientOptions: ClientOptions = { headers: options.headers ?? {}, handshakeTimeout: 10_000, perMessageDeflate: false };
    const ws = new WebSocket(url, options.protocols ?? [], clientOptions);
    const socket = new Socket(ws);
    await opened(ws);
    return socket;
  }

  /* Waits until `holds` is true; it is asked again at each message and at the close. */
  async until(holds: (messages: any[]) => boolean, timeoutMs = 10_000): Promise<any[]> {
    const signal = AbortSignal.timeout(timeoutMs);
    while (!holds(this.messages)) {
      if (this.closed) throw new Error(`closed with ${this.closed.code} ${this.closed.reason} while waiting`);
      await once(this.#news, 'news', { signal }).catch(() => {
        throw new Error(`no such message within ${timeoutMs} ms; got ${JSON.stringify(this.messages.map((m) => m.type))}`);
      });
    }
    return this.messages;
  }

  untilType(type: string, timeoutMs?: number): Promise<any[]> {
    return this.until((messages) => messages.some((message) => message.type === type), timeoutMs);
  }

  async untilClosed(timeoutMs = 10_000): Promise<{ code: number; reason: string }> {
    const signal = AbortSignal.timeout(timeoutMs);
    while (!this.closed) await once(this.#news, 'news', { signal });
    return this.closed;
  }

  async close(): Promise<void> {
    this.ws.close(1000);
    await this.untilClosed();
  }
}

export class Refused extends Error {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage['headers'];

  constructor(response: IncomingMessage, body: string) {
    super(`the handshake was refused with ${response.statusCode}`);
    this.status = response.statusCode ?? 0;
    this.body = body;
    this.headers = response.headers;
  }
}

function opened(ws: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    ws.once('open', () => resolve());
    ws.once('error', reject);
    ws.once('unexpected-response', (_request, response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('end', () => {
        reject(new Refused(response, Buffer.concat(pieces).toString('utf8')));
        ws.terminate();
      });
    });
  });
}
