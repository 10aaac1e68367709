/* SPDX-License-Identifier: Apache-2.0 */
/* Harness: what every test file is made of. `describeApp` starts one program for the tests inside
 * and ends with what must hold for all of them together. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { App, type AppOptions } from './app.ts';

export { App, binary, freePort, password, secretKey } from './app.ts';
export { assertField, assertProblem, Client, uuidPattern, type Answer } from './client.ts';
export { Refused, Socket } from './socket.ts';

export function describeApp(name: string, define: (app: App) => void, options: AppOptions = {}): void {
  describe(name, () => {
    const app = new App(options);
    before(() => app.start());
    after(() => app.stop());
    define(app);
    test(`${name}: every answer fits api/openapi.yaml`, () => {
      assert.ok(app.contract, 'api/openapi.yaml is missing');
      assert.deepEqual(app.contract.faults, []);
    });
    test(`${name}: no crash, no sanitizer report, no unasked 5xx, clean log without secrets`, async () => {
      await app.stop();
      assert.deepEqual(app.faults, []);
    });
  });
}

/* Calls `attempt` until it stops throwing; for what has no event to wait for. */
export async function eventually<T>(attempt: () => T | Promise<T>, timeoutMs = 5000): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (let pause = 10; ; pause = Math.min(pause * 1.5, 200)) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() >= end) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
