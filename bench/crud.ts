/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, listing and saving workflows, against the same on FastAPI with SQLite (both Debian's). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePort } from '../test/api/app.ts';
import { median, number, startApp, waitForPort, wrk, wrkScript, type Row } from './tools.ts';

const graph = await readFile(new URL('../examples/document-qa.json', import.meta.url), 'utf8');

export async function crud(folder: string): Promise<Row[]> {
  const { app, person, key } = await startApp();
  const port = await freePort();
  const peer = spawn('/usr/bin/python3', ['-m', 'uvicorn', 'fastapi_workflows:app', '--port', String(port), '--workers', '2', '--log-level', 'warning'], {
    cwd: fileURLToPath(new URL('peers', import.meta.url)), stdio: 'ignore', detached: true,
    env: { ...process.env, WORKFLOWS_DB: join(folder, 'fastapi.db') },
  });
  try {
    await waitForPort(port);
    const ours = (await person.post('/api/v1/workflows', JSON.parse(graph), 201)) as { id: string };
    const theirs = (await (await fetch(`http://127.0.0.1:${port}/api/v1/workflows`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: graph,
    })).json()) as { id: string };
    const get = await wrkScript(folder, 'get', 'GET', key);
    const post = await wrkScript(folder, 'post', 'POST', key, graph);
    const rows: Row[] = [];
    const compare = async (what: string, script: string, path: (id: string) => string) => {
      const a: number[] = [], b: number[] = [];
      let bad = 0;
      for (let i = 0; i < 3; i++) {
        const load = await wrk(app.url + path(ours.id), 64, 3, script);
        a.push(load.rate);
        bad += load.bad;
        b.push((await wrk(`http://127.0.0.1:${port}${path(theirs.id)}`, 64, 3, script)).rate);
      }
      rows.push({
        what, measured: `${number(median(a))} requests/s, ${bad} bad`, target: '≥ 20 × FastAPI',
        against: `FastAPI ${number(median(b))}/s: ${number(median(a) / median(b), 1)} ×`,
      });
    };
    await compare('GET one workflow', get, (id) => `/api/v1/workflows/${id}`);
    await compare('GET a page of workflows', get, () => '/api/v1/workflows');
    await compare('POST a workflow (durable)', post, () => '/api/v1/workflows');
    return rows;
  } finally {
    const ended = once(peer, 'exit');
    if (peer.pid) process.kill(-peer.pid, 'SIGTERM');
    await ended;
    await app.stop();
  }
}
