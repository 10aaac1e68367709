/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: access tokens taken apart and forged. The signing key is derived as src/base/secret.c
 * does it, so that tokens with a true signature and wrong claims can be made. */
import { createHmac } from 'node:crypto';

import { blake2b } from '@noble/hashes/blake2.js';

import { secretKey } from './app.ts';

export const tokenKey = Buffer.from(blake2b(Buffer.from(`flowgenix tokens\0${secretKey}`), { dkLen: 32 }));

export function base64url(value: string | object | Buffer): string {
  const text = typeof value === 'object' && !Buffer.isBuffer(value) ? JSON.stringify(value) : value;
  return Buffer.from(text as string).toString('base64url');
}

export interface Parts {
  header: any;
  claims: any;
  signature: string;
}

export function takeApart(token: string): Parts {
  const [header, claims, signature] = token.split('.') as [string, string, string];
  const read = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  return { header: read(header), claims: read(claims), signature };
}

export function sign(header: object, claims: object, key: Buffer | string = tokenKey, algorithm = 'sha256'): string {
  return signText(`${base64url(header)}.${base64url(claims)}`, key, algorithm);
}

/* `head` is encoded already, `payload` any text. */
export function signRaw(head: string, payload: string): string {
  return signText(`${head}.${base64url(payload)}`, tokenKey, 'sha256');
}

function signText(text: string, key: Buffer | string, algorithm: string): string {
  return `${text}.${createHmac(algorithm, key).update(text).digest('base64url')}`;
}
