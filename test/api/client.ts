/* SPDX-License-Identifier: Apache-2.0 */
/* Client: one person (or nobody) talking to the program, with what every answer must hold checked
 * on the way: a request id, no 5xx that was not asked for, problem+json for every refusal. */
import assert from 'node:assert/strict';

import type { App } from './app.ts';
import { SseReader } from './sse.ts';
import { Socket, type SocketOptions } from './socket.ts';

export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export interface RequestOptions {
  /* Sent as JSON. */
  json?: unknown;
  /* Sent as it is. */
  body?: string | Uint8Array | FormData;
  headers?: Record<string, string>;
  query?: Record<string, string | number>;
  /* The status that the answer must have. */
  expect?: number | number[];
  signal?: AbortSignal;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  bytes: Buffer;
  body: any;
  requestId: string;
}

export interface Tokens {
  access_token: string;
  refresh_token: string;
  token_type: string;
  expires_in: number;
}

export class Client {
  readonly app: App;
  token: string | null;
  tokens: Tokens | null = null;
  user: any = null;

  constructor(app: App, token: string | null = null) {
    this.app = app;
    this.token = token;
  }

  /* The same person with another (or no) token. */
  withToken(token: string | null): Client {
    return new Client(this.app, token);
  }

  async fetch(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const url = new URL(path, this.app.url);
    for (const [name, value] of Object.entries(options.query ?? {})) url.searchParams.set(name, String(value));
    const headers: Record<string, string> = { ...options.headers };
    if (this.token !== null && headers['Authorization'] === undefined) headers['Authorization'] = `Bearer ${this.token}`;
    let body = options.body ?? null;
    if (options.json !== undefined) {
      headers['Content-Type'] ??= 'application/json';
      body = JSON.stringify(options.json);
    }
    const init: RequestInit = { method, headers, body: body as NonNullable<RequestInit['body']> | null, redirect: 'manual' };
    if (options.signal) init.signal = options.signal;
    return fetch(url, init);
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const response = await this.fetch(method, path, options);
    const bytes = Buffer.from(await response.arrayBuffer());
    const answer = this.#answer(method, response, bytes);
    const where = `${method} ${path}`;
    this.app.check(where, new URL(path, this.app.url).pathname, method, answer, [options.expect ?? []].flat());
    if (options.expect !== undefined)
      assert.ok([options.expect].flat().includes(answer.status), `${where}: ${answer.status} instead of ${options.expect}: ${answer.text.slice(0, 600)}`);
    return answer;
  }

  #answer(method: string, response: Response, bytes: Buffer): Answer {
    const text = bytes.toString('utf8');
    const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status, headers: response.headers, text, bytes,
      body: isJson && method !== 'HEAD' && text !== '' ? JSON.parse(text) : text,
      requestId: response.headers.get('x-request-id') ?? '',
    };
  }

  async get(path: string, expect = 200, query: Record<string, string | number> = {}): Promise<any> {
    return (await this.request('GET', path, { expect, query })).body;
  }

  async post(path: string, json: unknown, expect = 200): Promise<any> {
    return (await this.request('POST', path, { json, expect })).body;
  }

  async put(path: string, json: unknown, expect = 200): Promise<any> {
    return (await this.request('PUT', path, { json, expect })).body;
  }

  async delete(path: string, expect = 204): Promise<void> {
    await this.request('DELETE', path, { expect });
  }

  /* --- People ---------------------------------------------------------------------------------- */
  async register(email: string, password: string, full_name = 'Test Person'): Promise<any> {
    this.app.secrets.add(password);
    return this.post('/api/v1/auth/register', { email, password, full_name }, 201);
  }

  async login(email: string, password: string): Promise<Tokens> {
    const tokens: Tokens = await this.post('/api/v1/auth/login', { email, password });
    return this.take(tokens);
  }

  take(tokens: Tokens): Tokens {
    this.app.secrets.add(tokens.access_token);
    this.app.secrets.add(tokens.refresh_token);
    this.tokens = tokens;
    this.token = tokens.access_token;
    return tokens;
  }

  /* --- Workflows ------------------------------------------------------------------------------- */
  async createWorkflow(workflow_data: unknown, name = 'A workflow'): Promise<any> {
    return this.post('/api/v1/workflows', { name, workflow_data }, 201);
  }

  /* Runs to the end and gives the execution, whatever its status. */
  async run(workflowId: string, user_input = 'What is it?', more: object = {}): Promise<any> {
    return this.post(`/api/v1/workflows/${workflowId}/execute`, { user_input, wait: true, ...more });
  }

  /* Makes a workflow and runs it once. */
  async runGraph(workflow_data: unknown, user_input?: string): Promise<any> {
    const workflow = await this.createWorkflow(workflow_data);
    return this.run(workflow.id, user_input);
  }

  async start(workflowId: string, user_input = 'What is it?', headers: Record<string, string> = {}): Promise<string> {
    const answer = await this.request('POST', `/api/v1/workflows/${workflowId}/execute`,
      { json: { user_input }, headers, expect: 202 });
    return answer.body.execution_id;
  }

  execution(id: string): Promise<any> {
    return this.get(`/api/v1/executions/${id}`);
  }

  /* Follows the events to the end of the execution, then reads it. */
  async finish(id: string): Promise<any> {
    const stream = await this.events(`/api/v1/executions/${id}/events`);
    await stream.all();
    return this.execution(id);
  }

  /* --- Documents ------------------------------------------------------------------------------- */
  async upload(filename: string, content: string | Uint8Array, workflowId?: string, expect: number | number[] = 202): Promise<any> {
    const form = new FormData();
    if (workflowId !== undefined) form.set('workflow_id', workflowId);
    form.set('file', new Blob([content as Uint8Array<ArrayBuffer>]), filename);
    const answer = await this.request('POST', '/api/v1/documents/upload', { body: form, expect });
    return answer.body;
  }

  /* Waits until processing has ended. Each call of the status is itself the wait's measure: there
   * is no event for documents yet. */
  async processed(id: string, timeoutMs = 30_000): Promise<any> {
    const end = Date.now() + timeoutMs;
    for (let pause = 5; ; pause = Math.min(pause * 1.5, 200)) {
      const status = await this.get(`/api/v1/documents/${id}/status`);
      if (status.status === 'ready' || status.status === 'failed') return status;
      assert.ok(Date.now() < end, `document still ${status.status} after ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async uploadReady(filename: string, content: string | Uint8Array, workflowId?: string): Promise<any> {
    const document = await this.upload(filename, content, workflowId);
    const status = await this.processed(document.id);
    assert.equal(status.status, 'ready', `${filename}: ${status.error}`);
    return { ...document, ...status };
  }

  /* --- Streams --------------------------------------------------------------------------------- */
  async events(path: string, options: RequestOptions = {}): Promise<SseReader> {
    const abort = new AbortController();
    const headers = { Accept: 'text/event-stream', ...options.headers };
    const method = options.json === undefined ? 'GET' : 'POST';
    const response = await this.fetch(method, path, { ...options, headers, signal: abort.signal });
    assert.equal(response.status, options.expect ?? 200, `${method} ${path}`);
    if (response.ok) assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.match(response.headers.get('x-request-id') ?? '', /./);
    return new SseReader(response, abort);
  }

  socket(workflowId: string, options: SocketOptions = {}): Promise<Socket> {
    const auth: SocketOptions = this.token === null ? {} : { protocols: ['bearer', this.token] };
    return Socket.open(this.app.url, `/ws/${workflowId}`, { ...auth, ...options });
  }
}

/* A refusal as RFC 9457 has it, naming its cause. */
export function assertProblem(answer: Answer, status: number | number[], about?: RegExp): void {
  const expected = [status].flat();
  assert.ok(expected.includes(answer.status), `${answer.status} instead of ${expected}: ${answer.text.slice(0, 500)}`);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  const { body } = answer;
  assert.equal(body.status, answer.status);
  assert.ok(typeof body.title === 'string' && body.title !== '', 'title');
  assert.ok(typeof body.detail === 'string' && body.detail !== '', 'detail');
  assert.equal(body.request_id, answer.requestId, 'request_id is X-Request-ID');
  if (about) assert.match(JSON.stringify(body), about);
}

/* A refused body whose `errors` name the field. */
export function assertField(answer: Answer, path: string | RegExp, status = 400): void {
  assertProblem(answer, status);
  const paths: string[] = (answer.body.errors ?? []).map((error: any) => error.path);
  const hit = paths.some((name) => (typeof path === 'string' ? name === path : path.test(name)));
  assert.ok(hit, `errors name ${JSON.stringify(paths)} instead of ${path}`);
  for (const error of answer.body.errors) assert.ok(error.message.length > 0);
}
