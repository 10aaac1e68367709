/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of idle WebSockets. */
import { createRequire } from 'node:module';

import { number, startApp, type Row } from './tools.ts';

/* The client library is installed with the tests. */
const { WebSocket } = createRequire(new URL('../test/package.json', import.meta.url))('ws');

export async function sockets(): Promise<Row[]> {
  const rows: Row[] = [];
  const { app, person, key } = await startApp();
  const workflow = (await person.post('/api/v1/workflows', { name: 'bench' }, 201)) as { id: string };
  const idle = await app.memoryMb();
  const open: { terminate(): void }[] = [];
  const connect = () =>
    new Promise<void>((resolve, reject) => {
      const socket = new WebSocket(`ws://127.0.0.1:${app.port}/ws/${workflow.id}`, {
        headers: { Authorization: `Bearer ${key}` }, perMessageDeflate: false,
      });
      socket.on('open', () => (open.push(socket), resolve()));
      socket.on('error', (error: Error) => reject(error));
    });
  for (const count of [5_000, 10_000]) {
    while (open.length < count) await Promise.all(Array.from({ length: 100 }, connect));
    rows.push({
      what: `${number(count)} idle WebSockets`, measured: `${number(await app.memoryMb())} MB RSS (idle ${number(idle)})`,
      target: count === 10_000 ? '≤ 150 MB' : '',
    });
  }
  for (const socket of open) socket.terminate();
  await app.stop();
  return rows;
}
