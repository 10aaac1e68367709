/* SPDX-License-Identifier: Apache-2.0 */
/* From exec to the log line "listening", and memory when nothing happens. */
import { App } from '../test/api/app.ts';
import { median, number, type Row } from './tools.ts';

export async function startup(): Promise<Row[]> {
  const app = await new App().start();
  const times: number[] = [];
  for (let i = 0; i < 7; i++) {
    await app.terminate();
    const began = performance.now();
    const seen = app.lines.length;
    await Promise.all([
      app.launch(),
      app.log((line) => line.message === 'listening' && app.logs.indexOf(line) >= seen - 1).then(() => times.push(performance.now() - began)),
    ]);
  }
  const memory = await app.memoryMb();
  await app.stop();
  return [
    { what: 'start: exec to listening', measured: `${number(median(times))} ms`, target: '≤ 100 ms' },
    { what: 'idle memory (RSS)', measured: `${number(memory, 1)} MB`, target: '≤ 25 MB' },
  ];
}
