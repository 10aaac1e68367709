/* SPDX-License-Identifier: Apache-2.0 */
/* Tools of the benchmarks: running commands, wrk, nginx, and a row of the table. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { App, freePort } from '../test/api/app.ts';
import type { Client } from '../test/api/client.ts';

export interface Row {
  what: string;
  measured: string;
  target?: string;
  against?: string;
}

export async function run(command: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { maxBuffer: 64 << 20 });
  return stdout;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

export const number = (value: number, digits = 0): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

export interface Load {
  rate: number; // requests a second
  bad: number; // answers that were not 2xx
  p99: string;
}

export async function wrk(url: string, connections: number, seconds: number, script?: string): Promise<Load> {
  const args = ['-t2', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '30s'];
  const out = await run('wrk', [...args, ...(script ? ['-s', script] : []), url]);
  const failed = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(out);
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(out)?.[1] ?? 0) +
    (failed ? failed.slice(1).reduce((sum, text) => sum + Number(text), 0) : 0);
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(out)?.[1]), bad, p99: /99%\s+(\S+)/.exec(out)?.[1] ?? '?' };
}

/* A wrk script that sends one request again and again. */
export async function wrkScript(folder: string, name: string, method: string, token: string, body?: string): Promise<string> {
  const path = join(folder, `${name}.lua`);
  const lines = [`wrk.method = "${method}"`, `wrk.headers["Authorization"] = "Bearer ${token}"`];
  if (body !== undefined) lines.push(`wrk.headers["Content-Type"] = "application/json"`, `wrk.body = [==[${body}]==]`);
  await writeFile(path, lines.join('\n'));
  return path;
}

/* nginx in the foreground with one server block; stopped by `stop`. */
export class Nginx {
  port = 0;
  #child: ChildProcess | null = null;

  async start(folder: string, locations: string): Promise<this> {
    this.port = await freePort();
    const prefix = join(folder, `nginx-${this.port}`);
    await mkdir(prefix, { recursive: true });
    await writeFile(join(prefix, 'nginx.conf'), `
      worker_processes 2; daemon off; pid ${prefix}/pid; error_log ${prefix}/error.log;
      events { worker_connections 4096; }
      http {
        access_log off; keepalive_requests 1000000000; default_type application/json;
        client_body_temp_path ${prefix}/a; proxy_temp_path ${prefix}/b; fastcgi_temp_path ${prefix}/c;
        uwsgi_temp_path ${prefix}/d; scgi_temp_path ${prefix}/e;
        server { listen 127.0.0.1:${this.port}; ${locations} }
      }`);
    this.#child = spawn('nginx', ['-p', prefix, '-c', `${prefix}/nginx.conf`], { stdio: 'ignore' });
    await waitForPort(this.port);
    return this;
  }

  async stop(): Promise<void> {
    if (!this.#child) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

export async function waitForPort(port: number): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => null);
    if (answer) return void (await answer.arrayBuffer());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nothing listens on ${port}`);
}

/* The program with logs and metrics on, and somebody signed in by an API key (no expiry in a long run). */
export async function startApp(env: Record<string, string | null> = {}): Promise<{ app: App; person: Client; key: string }> {
  const app = await new App({ env }).start();
  const person = await app.person();
  const { key } = (await person.post('/api/v1/api-keys', { name: 'bench' }, 201)) as { key: string };
  return { app, person, key };
}
