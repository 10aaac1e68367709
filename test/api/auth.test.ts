/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts and tokens: who may come in, with what, and for how long. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { assertField, assertProblem, describeApp, password, secretKey, uuidPattern, type Client } from './harness.ts';
import { base64url, sign, signRaw, takeApart } from './tokens.ts';

describeApp('auth', (app) => {
  let admin: Client;
  let member: Client;

  before(async () => {
    admin = await app.person('admin');
    member = await app.person('member');
  });

  test('the first user is the administrator, the next one a member', () => {
    assert.equal(admin.user.role, 'admin');
    assert.equal(member.user.role, 'member');
    assert.match(member.user.id, uuidPattern);
    assert.match(member.user.created_at, /^\d{4}-\d\d-\d\dT.*Z$/);
    for (const secret of ['password', 'password_hash']) assert.ok(!(secret in member.user), secret);
  });

  test('me is the person the token was made for', async () => {
    assert.deepEqual(await member.get('/api/v1/auth/me'), member.user);
    assert.equal((await admin.get('/api/v1/auth/me')).role, 'admin');
  });

  test('login gives a bearer token and its life', () => {
    assert.equal(member.tokens!.token_type, 'bearer');
    assert.ok(member.tokens!.expires_in > 0);
    assert.notEqual(member.tokens!.access_token, member.tokens!.refresh_token);
  });

  test('an email is taken whatever its case', async () => {
    const json = { email: member.user.email.toUpperCase(), password, full_name: 'Again' };
    assertProblem(await app.client().request('POST', '/api/v1/auth/register', { json }), 409);
    await app.client().login(member.user.email.toUpperCase(), password);
  });

  test('a bad registration names each bad field', async () => {
    const bad = async (json: unknown, field: string) =>
      assertField(await app.client().request('POST', '/api/v1/auth/register', { json }), field);
    const good = { email: 'good@example.org', password, full_name: 'Good' };
    await bad({ ...good, email: 'not an email' }, 'email');
    await bad({ ...good, email: `${'x'.repeat(300)}@example.org` }, 'email');
    await bad({ ...good, password: 'short' }, 'password');
    await bad({ ...good, password: 'x'.repeat(2000) }, 'password');
    await bad({ ...good, full_name: 7 }, 'full_name');
    await bad({ ...good, role: 'admin' }, 'role');
    await bad({ password, full_name: 'No email' }, 'email');
  });

  test('a wrong password and an unknown person are refused in the same words', async () => {
    const attempt = (email: string, word: string) =>
      app.client().request('POST', '/api/v1/auth/login', { json: { email, password: word } });
    const wrong = await attempt(member.user.email, 'wrong password 123');
    const unknown = await attempt('nobody@example.org', 'wrong password 123');
    assertProblem(wrong, 401);
    assertProblem(unknown, 401);
    assert.equal(wrong.body.detail, unknown.body.detail);
    assert.ok(!wrong.text.includes('wrong password 123'));
  });

  test('nothing but a few public routes works without a token', async () => {
    const nobody = app.client();
    for (const path of ['/api/v1/auth/me', '/api/v1/workflows', '/api/v1/documents', '/api/v1/api-keys',
      '/api/v1/node-types', '/api/v1/credentials', '/api/v1/credentials/gemini', '/api/v1/users']) {
      const answer = await nobody.request('GET', path);
      assertProblem(answer, 401);
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/);
    }
  });

  test('administrators see the accounts, members do not', async () => {
    const list = await admin.get('/api/v1/users');
    assert.ok(list.items.some((user: any) => user.email === member.user.email));
    assert.ok(!JSON.stringify(list).includes('hash'));
    assertProblem(await member.request('GET', '/api/v1/users'), 403);
  });

  test('a name can be changed', async () => {
    const person = await app.person();
    const answer = await person.request('PATCH', '/api/v1/auth/me', { json: { full_name: 'Zoë 王' }, expect: 200 });
    assert.equal(answer.body.full_name, 'Zoë 王');
    assert.equal((await person.get('/api/v1/auth/me')).full_name, 'Zoë 王');
  });

  test('refresh rotates: the new pair works, the old refresh token is spent', async () => {
    const person = await app.person();
    const old = person.tokens!;
    const fresh = person.take(await person.post('/api/v1/auth/refresh', { refresh_token: old.refresh_token }));
    assert.notEqual(fresh.refresh_token, old.refresh_token);
    await person.get('/api/v1/auth/me');
    const next = await person.post('/api/v1/auth/refresh', { refresh_token: fresh.refresh_token });
    assert.ok(next.access_token);
    person.take(next);
  });

  test('a refresh token used twice ends the whole session', async () => {
    const person = await app.person();
    const stolen = person.tokens!.refresh_token;
    const fresh = person.take(await person.post('/api/v1/auth/refresh', { refresh_token: stolen }));
    const refresh = (refresh_token: string) =>
      app.client().request('POST', '/api/v1/auth/refresh', { json: { refresh_token } });
    assertProblem(await refresh(stolen), 401);
    assertProblem(await refresh(fresh.refresh_token), 401);
    /* Another session of the same person goes on. */
    await person.login(person.user.email, password);
    assert.equal((await refresh(person.tokens!.refresh_token)).status, 200);
  });

  test('of many uses of a refresh token at once at most one succeeds', async () => {
    const person = await app.person();
    const json = { refresh_token: person.tokens!.refresh_token };
    const answers = await Promise.all(Array.from({ length: 8 }, () =>
      app.client().request('POST', '/api/v1/auth/refresh', { json })));
    const good = answers.filter((answer) => answer.status === 200);
    good.forEach((answer) => person.take(answer.body));
    assert.ok(good.length <= 1, `${good.length} succeeded`);
    assert.ok(answers.every((answer) => answer.status === 200 || answer.status === 401));
  });

  test('an access token is no refresh token and the other way round', async () => {
    const json = { refresh_token: member.tokens!.access_token };
    assertProblem(await app.client().request('POST', '/api/v1/auth/refresh', { json }), 401);
    const me = await app.client(member.tokens!.refresh_token).request('GET', '/api/v1/auth/me');
    assertProblem(me, 401);
  });

  test('logout ends the session', async () => {
    const person = await app.person();
    const { refresh_token } = person.tokens!;
    await person.request('POST', '/api/v1/auth/logout', { json: { refresh_token }, expect: 204 });
    assertProblem(await app.client().request('POST', '/api/v1/auth/refresh', { json: { refresh_token } }), 401);
    /* A second time is as good as once. */
    await app.client().request('POST', '/api/v1/auth/logout', { json: { refresh_token }, expect: 204 });
  });

  test('a changed password ends every session and every token', async () => {
    const person = await app.person();
    const old = { ...person.tokens! };
    const change = (current_password: string, new_password: string) =>
      person.request('POST', '/api/v1/auth/password', { json: { current_password, new_password } });
    assertProblem(await change('not the password', 'seven quiet rivers'), 403);
    app.secrets.add('seven quiet rivers');
    assert.equal((await change(password, 'seven quiet rivers')).status, 204);
    assertProblem(await person.request('GET', '/api/v1/auth/me'), 401);
    const json = { refresh_token: old.refresh_token };
    assertProblem(await app.client().request('POST', '/api/v1/auth/refresh', { json }), 401);
    assertProblem(await person.request('POST', '/api/v1/auth/login', { json: { email: person.user.email, password } }), 401);
    await person.login(person.user.email, 'seven quiet rivers');
  });

  test('forged, tampered and expired tokens are refused, and nobody is told why', async () => {
    const token = member.tokens!.access_token;
    const { header, claims, signature } = takeApart(token);
    const [head, body] = token.split('.') as [string, string];
    assert.equal(await statusWith(sign(header, claims)), 200, 'the forge must be able to make good tokens');
    const now = Math.floor(Date.now() / 1000);
    const forged: Record<string, string> = {
      'alg none': `${base64url({ alg: 'none', typ: header.typ })}.${body}.`,
      'alg None with signature': `${base64url({ ...header, alg: 'None' })}.${body}.${signature}`,
      'alg none, signed': sign({ ...header, alg: 'none' }, claims),
      'alg RS256, signed by HMAC': sign({ ...header, alg: 'RS256' }, claims),
      'alg HS512': sign({ ...header, alg: 'HS512' }, claims, undefined, 'sha512'),
      'crit': sign({ ...header, crit: ['exp'] }, claims),
      'wrong key': sign(header, claims, 'another key of thirty-two bytes!!'),
      'SECRET_KEY itself': sign(header, claims, secretKey),
      'empty key': sign(header, claims, ''),
      'expired': sign(header, { ...claims, iat: now - 3600, exp: now - 120 }),
      'expires as text': sign(header, { ...claims, exp: String(now + 900) }),
      'no expiry': sign(header, { ...claims, exp: undefined }),
      'from the future': sign(header, { ...claims, iat: now + 86_400, exp: now + 90_000 }),
      'another issuer': sign(header, { ...claims, iss: 'somebody' }),
      'another audience': sign(header, { ...claims, aud: 'somebody' }),
      'unknown user': sign(header, { ...claims, sub: '019a5c1e-8f00-7a31-b2c4-5d6e7f8091a2' }),
      'user is SQL': sign(header, { ...claims, sub: "' OR 1=1 --" }),
      'tampered claims': `${head}.${base64url({ ...claims, sub: admin.user.id })}.${signature}`,
      'signature cut': token.slice(0, -2),
      'signature missing': `${head}.${body}.`,
      'two parts': `${head}.${body}`,
      'four parts': `${token}.x`,
      'padding': `${token}=`,
      'claims are no JSON': signRaw(head, 'not json'),
      'duplicate claims': signRaw(head, `{"sub":"${claims.sub}","sub":"${admin.user.id}","iss":"${claims.iss}","aud":"${claims.aud}","ver":${claims.ver},"iat":${claims.iat},"exp":${claims.exp}}`),
      'empty': '',
      'huge': 'x'.repeat(5000),
    };
    const details = new Set<string>();
    for (const [name, bad] of Object.entries(forged)) {
      const answer = await app.client(bad).request('GET', '/api/v1/auth/me');
      assert.equal(answer.status, 401, `${name}: ${answer.status}`);
      if (bad !== '' && bad.length < 5000 && name !== 'unknown user') details.add(answer.body.detail);
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/, name);
    }
    assert.equal(details.size, 1, [...details].join(' | '));
  });

  async function statusWith(token: string): Promise<number> {
    return (await app.client(token).request('GET', '/api/v1/auth/me')).status;
  }

  test('other schemes and broken headers are refused', async () => {
    for (const value of ['Basic dXNlcjpwYXNz', 'Bearer', 'bearer  ', member.token!, `Token ${member.token}`]) {
      const answer = await app.client().request('GET', '/api/v1/auth/me', { headers: { Authorization: value } });
      assertProblem(answer, 401);
    }
    const lower = { Authorization: `bearer ${member.token}` };
    await app.client().request('GET', '/api/v1/auth/me', { headers: lower, expect: 200 });
  });

  test('the log tells of log-ins and refusals without saying the password', async () => {
    await app.log((line) => line.event_type === 'auth' && line.level === 'WARN');
    await app.log((line) => line.event_type === 'auth' && line.level === 'INFO');
  });
});

describeApp('auth: rate limit', (app) => {
  test('too many wrong passwords are answered 429 with Retry-After, and counted', async () => {
    const person = await app.person();
    const attempt = (word: string) => app.client().request('POST', '/api/v1/auth/login',
      { json: { email: person.user.email, password: word } });
    let refused = null;
    for (let i = 0; i < 60 && !refused; i++) {
      const answer = await attempt(`guess number ${i}`);
      if (answer.status === 429) refused = answer;
      else assert.equal(answer.status, 401);
    }
    assert.ok(refused, '60 wrong passwords in a row were all tried');
    assertProblem(refused, 429);
    assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    /* Not even the right one is tried now: that would tell a guesser that it was right. */
    assertProblem(await attempt(password), 429);
    const metrics = await app.client().get('/metrics');
    assert.match(metrics, /^flowgenix_logins_total\{result="rate_limited"\} [1-9]/m);
    assert.match(metrics, /^flowgenix_logins_total\{result="failure"\} [1-9]/m);
  });
});
