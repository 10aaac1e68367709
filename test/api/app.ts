/* SPDX-License-Identifier: Apache-2.0 */
/* App: the real program, started on a free port with a data folder of its own and an environment
 * that points at the stubs.
 *
 * It must never crash, never report by a sanitizer and never answer a 5xx unasked; `faults` holds
 * what went wrong, and the last test of each file fails on it. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Client, uuidPattern, type Answer } from './client.ts';
import { Contract } from './contract.ts';
import { lineFault, secretFault, type LogLine } from './logs.ts';
import { Stubs } from '../stubs/stubs.ts';

const builds = ['../../build/src/main/flowgenix', '../../build/src/flowgenix'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
export const binary = process.env['FLOWGENIX_BIN'] ?? builds.find(existsSync) ?? builds[0]!;
export const password = 'correct horse battery staple';
export const secretKey = 'test-secret-key-of-at-least-32-characters';

const READY_MS = 20_000;
const STOP_MS = 20_000;
const sanitizer = /(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion .* failed)/;

export interface AppOptions {
  /* Added to the environment; null takes a variable away. */
  env?: Record<string, string | null>;
  args?: string[];
}

export class App {
  readonly stubs = new Stubs();
  readonly contract = Contract.load();
  readonly secrets = new Set<string>([secretKey, password]);
  readonly faults: string[] = [];
  readonly lines: string[] = [];
  readonly logs: LogLine[] = [];
  dataDir = '';
  port = 0;
  stderr = '';
  readyMs = 0;

  #options: AppOptions;
  #child: ChildProcess | null = null;
  #exited: Promise<unknown> = Promise.resolve();
  #news = new EventEmitter().setMaxListeners(0);
  #people = 0;
  #stopped = false;

  constructor(options: AppOptions = {}) {
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  environment(): Record<string, string> {
    const env: Record<string, string | null> = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: this.dataDir, LANG: 'C.UTF-8', TMPDIR: this.dataDir,
      HOST: '127.0.0.1', PORT: String(this.port), DATA_DIR: join(this.dataDir, 'data'), SECRET_KEY: secretKey,
      LOG_LEVEL: 'INFO', ...this.stubs.environment(),
    };
    for (const name of ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS', 'TSAN_OPTIONS'])
      if (process.env[name] !== undefined) env[name] = process.env[name];
    /* Freed memory held back by the sanitizer would drown what memory tests look for. */
    env['ASAN_OPTIONS'] = `quarantine_size_mb=16:allocator_release_to_os_interval_ms=100:${env['ASAN_OPTIONS'] ?? ''}`;
    Object.assign(env, this.#options.env);
    return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== null));
  }

  async start(): Promise<this> {
    assert.ok(existsSync(binary), `no program at ${binary}: build it, or set FLOWGENIX_BIN`);
    this.dataDir = await mkdtemp(join(tmpdir(), 'flowgenix-test-'));
    await this.stubs.start();
    const env = this.stubs.environment();
    for (const name of Object.keys(env)) if (name.endsWith('KEY')) this.secrets.add(env[name]!);
    this.port = await freePort();
    return this.launch();
  }

  /* Starts the process (again) on the same data and port. */
  async launch(): Promise<this> {
    const began = performance.now();
    const child = spawn(binary, this.#options.args ?? ['serve'], {
      cwd: this.dataDir, env: this.environment(), stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#exited = once(child, 'exit').then(() => this.#news.emit('news'));
    createInterface(child.stdout).on('line', (line) => this.#takeLine(line));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    await this.#untilReady(began);
    return this;
  }

  async #untilReady(began: number): Promise<void> {
    for (let pause = 5; performance.now() - began < READY_MS; pause = Math.min(pause * 1.5, 100)) {
      if (!this.running) throw new Error(`the program ended at start: ${this.#ending()}`);
      const response = await fetch(`${this.url}/health/ready`).catch(() => null);
      await response?.arrayBuffer();
      if (response?.status === 200) {
        this.readyMs = performance.now() - began;
        return;
      }
      await sleep(pause);
    }
    throw new Error(`not ready after ${READY_MS} ms: ${this.#ending()}`);
  }

  #ending(): string {
    const how = this.#child?.signalCode ?? this.#child?.exitCode;
    return `exit ${how}\n${this.stderr.slice(-4000)}\n${this.lines.slice(-10).join('\n')}`;
  }

  #takeLine(line: string): void {
    this.lines.push(line);
    try {
      this.logs.push(JSON.parse(line) as LogLine);
    } catch {
      /* lineFault reports it at the end */
    }
    this.#news.emit('news');
  }

  /* The first log line, past or future, for which `accept` holds. */
  async log(accept: (line: LogLine) => boolean, timeoutMs = 5000): Promise<LogLine> {
    const signal = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const found = this.logs.find(accept);
      if (found) return found;
      await once(this.#news, 'news', { signal }).catch(() => {
        throw new Error(`no such log line within ${timeoutMs} ms; the last: ${this.lines.slice(-5).join('\n')}`);
      });
    }
  }

  /* What every answer must hold. */
  check(where: string, path: string, method: string, answer: Answer, expected: number[]): void {
    const fault = (text: string) => this.faults.push(`${where}: ${text}`);
    if (!uuidPattern.test(answer.requestId)) fault(`X-Request-ID is "${answer.requestId}"`);
    if (answer.status >= 500 && !expected.includes(answer.status)) fault(`${answer.status} ${answer.text.slice(0, 300)}`);
    const type = answer.headers.get('content-type') ?? '';
    if (answer.status >= 400 && method !== 'HEAD' && !path.startsWith('/health') && !type.startsWith('application/problem+json'))
      fault(`${answer.status} of type "${type}"`);
    if (method === 'HEAD' || method === 'OPTIONS') return;
    this.contract?.see({ method, path, status: answer.status, contentType: type, body: answer.body });
  }

  client(token: string | null = null): Client {
    return new Client(this, token);
  }

  /* A new person, registered and logged in. The first one of an app is its administrator. */
  async person(name = 'person'): Promise<Client> {
    const client = new Client(this);
    const email = `${name}-${++this.#people}@example.org`;
    client.user = await client.register(email, password);
    await client.login(email, password);
    return client;
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /* Ends the process by SIGTERM; it must do so in order and soon. */
  async terminate(): Promise<void> {
    const child = this.#child;
    if (!child || !this.running) {
      this.faults.push(`the program ended by itself: ${this.#ending()}`);
      return;
    }
    const timer = setTimeout(() => {
      this.faults.push(`SIGTERM did not end the program within ${STOP_MS} ms`);
      child.kill('SIGKILL');
    }, STOP_MS);
    child.kill('SIGTERM');
    await this.#exited;
    clearTimeout(timer);
    if (child.exitCode !== 0) this.faults.push(`after SIGTERM: ${this.#ending()}`);
  }

  /* Stops everything and removes the data. `faults` is complete afterwards. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#child) await this.terminate();
    if (sanitizer.test(this.stderr)) this.faults.push(`a sanitizer reports:\n${this.stderr.slice(0, 8000)}`);
    for (const line of this.lines) {
      const fault = lineFault(line) ?? secretFault(line, this.secrets);
      if (fault && this.faults.length < 20) this.faults.push(`log line: ${fault}: ${line.slice(0, 600)}`);
    }
    const hidden = secretFault(this.stderr, this.secrets);
    if (hidden) this.faults.push(`stderr: ${hidden}`);
    await this.stubs.stop();
    if (this.dataDir) await rm(this.dataDir, { recursive: true, force: true });
  }

  /* Resident memory in MiB. */
  async memoryMb(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}
