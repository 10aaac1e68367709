/* SPDX-License-Identifier: Apache-2.0 */
/* /health, with its real checks, against nginx returning a constant of the same size. */
import { median, Nginx, number, startApp, wrk, type Row } from './tools.ts';

export async function health(folder: string): Promise<Row[]> {
  const { app } = await startApp({ LOG_FILE: null });
  const body = await (await fetch(`${app.url}/health`)).text();
  const nginx = await new Nginx().start(folder, `location / { return 200 '${body.replaceAll("'", '')}'; }`);
  const ours: number[] = [];
  const theirs: number[] = [];
  let bad = 0;
  for (let i = 0; i < 3; i++) {
    const load = await wrk(`${app.url}/health`, 64, 4);
    ours.push(load.rate);
    bad += load.bad;
    theirs.push((await wrk(`http://127.0.0.1:${nginx.port}/health`, 64, 4)).rate);
  }
  await nginx.stop();
  await app.stop();
  const [a, b] = [median(ours), median(theirs)];
  return [{
    what: 'GET /health', measured: `${number(a)} requests/s, ${bad} bad`, target: '≥ 0.7 × nginx',
    against: `nginx ${number(b)}/s: ${number(a / b, 2)} ×`,
  }];
}
