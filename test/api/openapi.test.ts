/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.yaml and the program hold each other: each documented operation is called and its answer
 * validated, in success and in every common refusal. An operation without a recipe here fails. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { describeApp, type Answer, type Client } from './harness.ts';
import { documentGraph, llmGraph } from './graphs.ts';
import { exchange } from './raw.ts';

const nowhere = '019a5c20-1111-7aaa-8bbb-0123456789ab';

describeApp('openapi', (app) => {
  const contract = app.contract!;
  let person: Client;
  let workflow: any;
  let run: any;
  let document: any;

  before(async () => {
    person = await app.person();
    workflow = await person.createWorkflow(documentGraph());
    document = await person.uploadReady('facts.txt', 'Otters hold hands while they sleep.', workflow.id);
    run = await person.run(workflow.id, 'What do otters do?');
    await person.post(`/api/v1/chat/${workflow.id}/messages`, { content: 'What do otters do?' });
    await person.post('/api/v1/api-keys', { name: 'kept' }, 201).then((made: any) => app.secrets.add(made.key));
  });

  const get = (path: string) => () => person.request('GET', path);
  const send = (method: string, path: () => string, json?: () => unknown) => () =>
    person.request(method, path(), json ? { json: json() } : {});
  const word = 'correct horse battery staple';

  /* How each operation succeeds. */
  const recipes: Record<string, () => Promise<Answer>> = {
    getHealth: get('/health'),
    getLiveness: get('/health/live'),
    getReadiness: get('/health/ready'),
    getMetrics: get('/metrics'),
    getDocs: get('/docs'),
    getDocsFile: async () => {
      const { text } = await person.request('GET', '/docs');
      const file = /(?:src|href)="(?:\.?\/)?(?:docs\/)?([^"/#]+\.(?:js|css|svg))"/.exec(text)?.[1];
      return person.request('GET', `/docs/${file}`);
    },
    getOpenapi: get('/openapi.json'),
    register: send('POST', () => '/api/v1/auth/register', () => ({ email: 'new@example.org', password: word, full_name: 'New' })),
    login: async () => {
      const answer = await person.request('POST', '/api/v1/auth/login', { json: { email: person.user.email, password: word } });
      person.take(answer.body);
      return answer;
    },
    refresh: async () => {
      const answer = await person.request('POST', '/api/v1/auth/refresh', { json: { refresh_token: person.tokens!.refresh_token } });
      person.take(answer.body);
      return answer;
    },
    logout: async () => {
      const leaver = await app.person('leaver');
      return leaver.request('POST', '/api/v1/auth/logout', { json: { refresh_token: leaver.tokens!.refresh_token } });
    },
    getMe: get('/api/v1/auth/me'),
    updateMe: send('PATCH', () => '/api/v1/auth/me', () => ({ full_name: 'Renamed' })),
    changePassword: async () => {
      const changer = await app.person('changer');
      return changer.request('POST', '/api/v1/auth/password', { json: { current_password: word, new_password: `${word} 2` } });
    },
    listApiKeys: get('/api/v1/api-keys'),
    createApiKey: async () => {
      const answer = await person.request('POST', '/api/v1/api-keys', { json: { name: 'k', expires_at: '2090-01-01T00:00:00Z' } });
      app.secrets.add(answer.body.key);
      return answer;
    },
    deleteApiKey: async () => {
      const [key] = (await person.get('/api/v1/api-keys')).items;
      return person.request('DELETE', `/api/v1/api-keys/${key.id}`);
    },
    listUsers: get('/api/v1/users'),
    listWorkflows: get('/api/v1/workflows'),
    createWorkflow: send('POST', () => '/api/v1/workflows', () => ({ name: 'n', description: 'd', workflow_data: documentGraph() })),
    importWorkflow: send('POST', () => '/api/v1/workflows/import', () => documentGraph()),
    getWorkflow: () => person.request('GET', `/api/v1/workflows/${workflow.id}`),
    updateWorkflow: send('PUT', () => `/api/v1/workflows/${workflow.id}`, () => ({ name: 'Renamed' })),
    deleteWorkflow: async () => {
      const made = await person.createWorkflow(documentGraph());
      return person.request('DELETE', `/api/v1/workflows/${made.id}`);
    },
    listWorkflowVersions: () => person.request('GET', `/api/v1/workflows/${workflow.id}/versions`),
    getWorkflowVersion: () => person.request('GET', `/api/v1/workflows/${workflow.id}/versions/1`),
    validateWorkflow: send('POST', () => `/api/v1/workflows/${workflow.id}/validate`),
    exportWorkflow: () => person.request('GET', `/api/v1/workflows/${workflow.id}/export`),
    executeWorkflow: send('POST', () => `/api/v1/workflows/${workflow.id}/execute`, () => ({ user_input: 'otters?', wait: true })),
    listWorkflowExecutions: () => person.request('GET', `/api/v1/workflows/${workflow.id}/executions`),
    getExecution: () => person.request('GET', `/api/v1/executions/${run.id}`),
    cancelExecution: async () => {
      app.stubs.openai.next('stall');
      const made = await person.createWorkflow(llmGraph({ provider: 'openai', model: 'stub' }));
      const id = await person.start(made.id);
      return person.request('POST', `/api/v1/executions/${id}/cancel`);
    },
    streamExecutionEvents: () => person.request('GET', `/api/v1/executions/${run.id}/events`),
    listChatMessages: () => person.request('GET', `/api/v1/chat/${workflow.id}/messages`),
    sendChatMessage: send('POST', () => `/api/v1/chat/${workflow.id}/messages`, () => ({ content: 'otters?' })),
    clearChatMessages: send('DELETE', () => `/api/v1/chat/${workflow.id}/messages`),
    uploadDocument: () => {
      const form = new FormData();
      form.set('workflow_id', workflow.id);
      form.set('file', new Blob(['Another document about seals.']), 'seals.txt');
      return person.request('POST', '/api/v1/documents/upload', { body: form });
    },
    listDocuments: get('/api/v1/documents'),
    getDocument: () => person.request('GET', `/api/v1/documents/${document.id}`),
    getDocumentStatus: () => person.request('GET', `/api/v1/documents/${document.id}/status`),
    downloadDocument: () => person.request('GET', `/api/v1/documents/${document.id}/download`),
    listDocumentChunks: () => person.request('GET', `/api/v1/documents/${document.id}/chunks`),
    deleteDocument: async () => {
      const made = await person.upload('doomed.txt', 'Doomed text.', workflow.id);
      return person.request('DELETE', `/api/v1/documents/${made.id}`);
    },
    searchDocuments: send('POST', () => '/api/v1/search/documents', () => ({ query: 'otters', workflow_id: workflow.id, limit: 3 })),
    searchWeb: send('POST', () => '/api/v1/search/web', () => ({ query: 'otters', provider: 'brave', num_results: 2 })),
    listNodeTypes: get('/api/v1/node-types'),
    listCredentials: get('/api/v1/credentials'),
    getCredential: get('/api/v1/credentials/gemini'),
    putCredential: send('PUT', () => '/api/v1/credentials/gemini', () => ({ api_key: 'AQ.some-key-99' })),
    deleteCredential: send('DELETE', () => '/api/v1/credentials/gemini'),
    openWorkflowSocket: async () => {
      const socket = await person.socket(workflow.id);
      await socket.close();
      return { status: 101, headers: new Headers(), text: '', bytes: Buffer.alloc(0), body: '', requestId: '' };
    },
  };

  for (const { method, path, definition } of contract.operations)
    test(`${method} ${path} succeeds as documented`, async () => {
      const recipe = recipes[definition['operationId']];
      assert.ok(recipe, `no recipe for ${definition['operationId']}: add one`);
      const answer = await recipe();
      const good = Object.keys(definition['responses']).filter((status) => status < '300');
      assert.ok(good.includes(String(answer.status)), `${answer.status} is not one of ${good}: ${answer.text.slice(0, 300)}`);
      const location = answer.headers.get('location');
      if (location) assert.equal((await person.request('GET', location)).status, 200, location);
    });

  test('each operation that wants a token refuses without one', async () => {
    for (const { method, path, definition } of contract.operations) {
      const open = definition['security']?.length === 0 || definition['security']?.some((item: object) => Object.keys(item).length === 0);
      if (open || path.startsWith('/ws')) continue;
      const answer = await app.client().request(method, path.replaceAll(/\{\w+\}/g, nowhere), method === 'GET' || method === 'DELETE' ? {} : { json: {} });
      assert.equal(answer.status, 401, `${method} ${path}`);
    }
  });

  test('each operation on an object answers 404 for an unknown id and 4xx for a bad one', async () => {
    for (const { method, path, definition } of contract.operations) {
      if (!/\{(id|workflow_id)\}/.test(path) || path.startsWith('/ws')) continue;
      const json = { executeWorkflow: { user_input: 'x' }, sendChatMessage: { content: 'x' }, updateWorkflow: { name: 'x' } }[definition['operationId'] as string];
      const ask = (id: string) => person.request(method, path.replace(/\{(id|workflow_id)\}/, id).replace('{version}', '1'), json ? { json } : {});
      assert.equal((await ask(nowhere)).status, 404, `${method} ${path}`);
      const bad = await ask('not-an-id');
      assert.ok([400, 404].includes(bad.status), `${method} ${path}: ${bad.status}`);
    }
  });

  test('each JSON body refuses malformed, ill-typed and unknown content as documented', async () => {
    for (const { method, path, definition } of contract.operations) {
      if (!definition['requestBody']?.content?.['application/json']) continue;
      const target = path.replace('{provider}', 'openai').replaceAll(/\{\w+\}/g, workflow.id);
      for (const body of ['{', '[]', '"text"', '{"no_such_field":1}']) {
        const answer = await person.request(method, target, { body, headers: { 'Content-Type': 'application/json' } });
        assert.equal(answer.status, 400, `${method} ${path} ${body}: ${answer.status} ${answer.text.slice(0, 200)}`);
      }
      const plain = await person.request(method, target, { body: 'text', headers: { 'Content-Type': 'text/plain' } });
      assert.equal(plain.status, 415, `${method} ${path} as text/plain`);
    }
  });

  test('each list takes limit and cursor', async () => {
    for (const { method, path, definition } of contract.operations) {
      const names = (definition['parameters'] ?? []).map((item: any) => item.name ?? item.$ref.split('/').at(-1).toLowerCase());
      if (!names.includes('cursor')) continue;
      const target = path.startsWith('/api/v1/documents/{id}') ? path.replace('{id}', document.id) : path.replaceAll(/\{\w+\}/g, workflow.id);
      const page = await person.request(method, target, { query: { limit: 1 }, expect: 200 });
      assert.ok(page.body.items.length <= 1);
      assert.equal((await person.request(method, target, { query: { limit: 0 } })).status, 400, path);
      assert.equal((await person.request(method, target, { query: { cursor: 'forged!' } })).status, 400, path);
    }
  });

  test('every error of a WebSocket handshake is documented', async () => {
    const answer = await exchange(app.port, `GET /ws/${workflow.id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.ok(contract.find('GET', `/ws/${workflow.id}`)!.definition['responses'][String(answer.status)], String(answer.status));
  });

  test('no route answers that is not documented', async () => {
    for (const path of ['/', '/api', '/api/v1', '/api/v1/admin', '/debug', '/api/v1/config', '/.env', '/data', '/api/v1/executions', '/api/v1/auth', '/ws'])
      if (!contract.find('GET', path)) assert.equal((await person.request('GET', path)).status, 404, path);
  });
});
