/* SPDX-License-Identifier: Apache-2.0 */
/* Contract: every answer that a test sees is held against api/openapi.yaml.
 *
 * Faults are collected rather than thrown, so that a test tells what it is about; the last test of
 * each file fails on them. An unknown route, an undocumented status or content type, and a body
 * that its schema refuses are faults. */
import { existsSync, readFileSync } from 'node:fs';

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

export interface Seen {
  method: string;
  path: string;
  status: number;
  contentType: string;
  body: unknown;
}

type Json = Record<string, any>;

const file = new URL('../../api/openapi.yaml', import.meta.url);
const methods = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options'];

export interface Operation {
  method: string;
  path: string;
  definition: Json;
}

export class Contract {
  readonly document: Json;
  readonly faults: string[] = [];
  #ajv: Ajv2020;
  #validators = new Map<string, ValidateFunction>();
  #routes: { pattern: RegExp; path: string; operations: Json }[];

  constructor(document: Json) {
    this.document = document;
    this.#ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true });
    (addFormats as unknown as (ajv: Ajv2020) => void)(this.#ajv);
    this.#ajv.addSchema({ ...document, $id: 'openapi' });
    this.#routes = Object.entries(document['paths'] as Json)
      .map(([path, operations]) => ({ path, operations, pattern: patternOf(path) }))
      .sort((a, b) => placeholders(a.path) - placeholders(b.path));
  }

  static load(): Contract | null {
    return existsSync(file) ? new Contract(parse(readFileSync(file, 'utf8')) as Json) : null;
  }

  get operations(): Operation[] {
    return this.#routes.flatMap(({ path, operations }) =>
      methods.filter((method) => operations[method])
        .map((method) => ({ method: method.toUpperCase(), path, definition: operations[method] as Json })));
  }

  /* The definition that answers `method path`, or null. */
  find(method: string, path: string): Operation | null {
    for (const route of this.#routes) {
      const definition = route.operations[method.toLowerCase()];
      if (definition && route.pattern.test(path)) return { method, path: route.path, definition };
    }
    return null;
  }

  see(seen: Seen): void {
    const fault = this.#faultOf(seen);
    if (fault && !this.faults.includes(fault) && this.faults.length < 50) this.faults.push(fault);
  }

  #faultOf({ method, path, status, contentType, body }: Seen): string | null {
    const operation = this.find(method, path);
    /* Tests ask for routes and methods that do not exist; only those answers may be undocumented. */
    if (!operation) return status === 404 || status === 405 || status < 100 ? null : `${method} ${path}: not in openapi.yaml (${status})`;
    const where = `${method} ${operation.path} ${status}`;
    const pointer = this.#responsePointer(operation, status) ?? this.#refusalPointer(path, status);
    if (!pointer) return `${where}: status not in openapi.yaml`;
    const response = this.#at(pointer);
    if (!response['content']) return body === undefined || body === '' ? null : `${where}: has a body, but none is documented`;
    const type = contentType.split(';')[0]!.trim().toLowerCase();
    const media = Object.keys(response['content']).find((name) => ['*/*', type].includes(name.split(';')[0]!.trim().toLowerCase()));
    if (!media) return `${where}: content type "${type}" not in openapi.yaml`;
    if (!/[/+]json$/.test(type) || !response['content'][media].schema) return null;
    const validate = this.#validator(`${pointer}/content/${escape(media)}/schema`);
    return validate(body) ? null : `${where}: ${this.#ajv.errorsText(validate.errors, { dataVar: 'body' })}`;
  }

  #responsePointer({ method, path, definition }: Operation, status: number): string | null {
    const responses = definition['responses'] as Json;
    const key = [String(status), `${String(status)[0]}XX`, 'default'].find((name) => responses[name]);
    if (!key) return null;
    const reference = responses[key].$ref as string | undefined;
    return reference ? reference.slice(1) : `/paths/${escape(path)}/${method.toLowerCase()}/responses/${key}`;
  }

  /* What the server itself may answer before any operation sees the request. */
  #refusalPointer(path: string, status: number): string | null {
    const isMalformed = status === 400 && /%/.test(path);
    return isMalformed || [408, 413, 431].includes(status) ? '/components/responses/BadRequest' : null;
  }

  #at(pointer: string): Json {
    return pointer.slice(1).split('/').reduce((value, step) => value[unescape(step)], this.document);
  }

  #validator(pointer: string): ValidateFunction {
    let validator = this.#validators.get(pointer);
    if (!validator) {
      validator = this.#ajv.compile({ $ref: `openapi#${encodeURI(pointer)}` });
      this.#validators.set(pointer, validator);
    }
    return validator;
  }
}

function escape(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1');
}

function unescape(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}

function placeholders(path: string): number {
  return path.split('{').length - 1;
}

function patternOf(path: string): RegExp {
  const text = path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]+\}/g, '[^/]+');
  return new RegExp(`^${text}$`);
}
