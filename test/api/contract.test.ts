/* SPDX-License-Identifier: Apache-2.0 */
/* The check against openapi.yaml itself: its own examples pass, and what differs does not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Contract } from './contract.ts';

const id = '019a5c20-1111-7aaa-8bbb-0123456789ab';
const problem = { status: 404, title: 'Not Found', detail: 'There is no such workflow.', request_id: id };

function faultsOf(method: string, path: string, status: number, contentType: string, body: unknown): string[] {
  const contract = Contract.load()!;
  contract.see({ method, path, status, contentType, body });
  return contract.faults;
}

describe('contract check', () => {
  test('every JSON example of openapi.yaml fits its schema', () => {
    const contract = Contract.load()!;
    let count = 0;
    for (const { method, path, definition } of contract.operations)
      for (const [status, response] of Object.entries<any>(definition['responses']))
        for (const [type, media] of Object.entries<any>(response.content ?? {})) {
          if (media.example === undefined || !/json$/.test(type)) continue;
          contract.see({ method, path: path.replaceAll(/\{\w+\}/g, id), status: Number(status), contentType: type, body: media.example });
          count++;
        }
    assert.ok(count > 20, String(count));
    assert.deepEqual(contract.faults, []);
  });

  test('a good answer passes', () => {
    assert.deepEqual(faultsOf('GET', `/api/v1/workflows/${id}`, 404, 'application/problem+json', problem), []);
    assert.deepEqual(faultsOf('DELETE', `/api/v1/workflows/${id}`, 204, '', ''), []);
    assert.deepEqual(faultsOf('GET', `/api/v1/documents/${id}/download`, 200, 'application/pdf', 'bytes'), []);
    assert.deepEqual(faultsOf('GET', '/nothing', 404, 'application/problem+json', problem), []);
  });

  test('every kind of fault is found', () => {
    const fault = (...seen: Parameters<typeof faultsOf>) => assert.equal(faultsOf(...seen).length, 1, JSON.stringify(seen));
    fault('GET', '/secret', 200, 'application/json', {});
    fault('POST', `/api/v1/workflows/${id}/versions`, 200, 'application/json', {});
    fault('GET', `/api/v1/workflows/${id}`, 418, 'application/json', {});
    fault('GET', `/api/v1/workflows/${id}`, 404, 'text/html', 'nothing');
    fault('GET', `/api/v1/workflows/${id}`, 404, 'application/problem+json', { ...problem, title: undefined });
    fault('GET', `/api/v1/workflows/${id}`, 404, 'application/problem+json', { ...problem, stack: 'main.c:1' });
    fault('GET', '/health/live', 200, 'application/json', { status: 'fine' });
    fault('DELETE', `/api/v1/workflows/${id}`, 204, 'text/plain', 'gone');
    fault('GET', '/api/v1/auth/me', 200, 'application/json',
      { id: 'x', email: 'a@example.org', full_name: '', role: 'admin', created_at: '2026-11-22T09:30:00.000Z' });
  });
});
