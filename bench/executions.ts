/* SPDX-License-Identifier: Apache-2.0 */
/* Executions: how many a second when the model takes no time (nginx answers with a finished stream),
 * and what ten thousand of them cost while they wait for a slow one. */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

import type { App } from '../test/api/app.ts';
import { median, Nginx, number, startApp, wrk, wrkScript, type Row } from './tools.ts';

const graph = {
  nodes: [
    { id: 'question', type: 'userQuery', position: { x: 0, y: 0 }, data: {} },
    { id: 'library', type: 'knowledgeBase', position: { x: 1, y: 0 }, data: { top_k: 3, mode: 'keyword' } },
    { id: 'model', type: 'llmEngine', position: { x: 2, y: 0 }, data: { provider: 'openai', model: 'stub' } },
    { id: 'answer', type: 'output', position: { x: 3, y: 0 }, data: {} },
  ],
  edges: [
    { id: 'e1', source: 'question', target: 'library', sourceHandle: 'text', targetHandle: 'query' },
    { id: 'e2', source: 'question', target: 'model', sourceHandle: 'text', targetHandle: 'query' },
    { id: 'e3', source: 'library', target: 'model', sourceHandle: 'context', targetHandle: 'context' },
    { id: 'e4', source: 'model', target: 'answer', sourceHandle: 'answer', targetHandle: 'input' },
  ],
};

const chunk = (choices: object[], usage: object | null = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'stub', choices, usage })}\n\n`;
export const stream =
  chunk([{ index: 0, delta: { role: 'assistant', content: 'Thirty' }, finish_reason: null }]) +
  chunk([{ index: 0, delta: { content: ' days [1].' }, finish_reason: null }]) +
  chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]) +
  chunk([], { prompt_tokens: 100, completion_tokens: 4, total_tokens: 104 }) +
  'data: [DONE]\n\n';

async function metric(app: App, name: string): Promise<number> {
  const text = await (await fetch(`${app.url}/metrics`)).text();
  return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (\\S+)`, 'm').exec(text)?.[1] ?? 0);
}

const completedName = 'flowgenix_workflow_executions_total{status="completed"}';

export async function executions(folder: string): Promise<Row[]> {
  const nginx = await new Nginx().start(folder, `location / { default_type text/event-stream; return 200 '${stream}'; }`);
  const { app, person, key } = await startApp({ OPENAI_BASE_URL: `http://127.0.0.1:${nginx.port}/v1`, OPENAI_API_KEY: 'bench' });
  const workflow = await person.createWorkflow(graph);
  await person.uploadReady('leave.txt', 'Every employee has thirty days of paid leave in a calendar year.\n', workflow.id);
  const script = await wrkScript(folder, 'execute', 'POST', key, JSON.stringify({ user_input: 'How many days of leave?', wait: true }));
  const rates: number[] = [];
  let bad = 0, before = await metric(app, completedName), p99 = '';
  for (let i = 0; i < 3; i++) {
    const began = performance.now();
    const load = await wrk(`${app.url}/api/v1/workflows/${workflow.id}/execute`, 256, 5, script);
    const done = await metric(app, completedName);
    rates.push((done - before) / ((performance.now() - began) / 1000));
    before = done;
    bad += load.bad;
    p99 = load.p99;
  }
  await app.stop();
  await nginx.stop();
  return [{
    what: 'executions, four nodes, 0 ms model, durable, logs and metrics on',
    measured: `${number(median(rates))}/s, ${bad} bad, p99 ${p99}`, target: '≥ 3,000/s',
    against: 'n8n on such a machine, three nodes: 19 to 88/s',
  }];
}

/* Answers every request after `delayMs`. */
async function slowModel(delayMs: number) {
  const server = createServer((request, response) => {
    request.resume();
    setTimeout(() => response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end(stream), delayMs);
  });
  server.listen(0, '127.0.0.1', 16384);
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

export async function waiting(): Promise<Row[]> {
  const count = 10_000;
  const delayMs = 60_000;
  const { server, port } = await slowModel(delayMs);
  const { app, person } = await startApp({ OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: 'bench' });
  const workflow = await person.createWorkflow(graph);
  const idle = await app.memoryMb();
  const began = performance.now();
  let next = 0;
  const submit = async () => {
    while (next < count) {
      next++;
      await person.start(workflow.id, 'How many days of leave?');
    }
  };
  await Promise.all(Array.from({ length: 32 }, submit));
  let open = 0;
  while (open < count && performance.now() - began < delayMs - 5000) {
    open = await new Promise<number>((resolve) => server.getConnections((_, connections) => resolve(connections)));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const memory = await app.memoryMb();
  const running = await metric(app, 'flowgenix_workflow_executions_running');
  const started = performance.now() - began;
  let done = 0;
  while (done < count && performance.now() - began < 3 * delayMs) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    done = await metric(app, completedName);
  }
  const total = performance.now() - began;
  await app.stop();
  server.close();
  server.closeAllConnections();
  return [{
    what: `${number(count)} executions waiting on a model of ${delayMs / 1000} s`,
    measured: `${number(memory)} MB RSS (idle ${number(idle)}), ${number(running)} running at ${number(started / 1000)} s, ${number(done)} completed after ${number(total / 1000)} s`,
    target: '≤ 250 MB',
  }];
}
