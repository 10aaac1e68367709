/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: the contract's line. */

export interface LogLine {
  timestamp: string;
  level: string;
  service: string;
  version: string;
  message: string;
  event_type: string;
  [field: string]: any;
}

const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const levels = ['DEBUG', 'INFO', 'WARN', 'ERROR'];
const ids = ['request_id', 'user_id', 'workflow_id', 'execution_id'];
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/* What is wrong with one line, or null. */
export function lineFault(text: string): string | null {
  let line: LogLine;
  try {
    line = JSON.parse(text) as LogLine;
  } catch {
    return 'is not JSON';
  }
  if (!timestamp.test(line.timestamp)) return 'timestamp';
  if (!levels.includes(line.level)) return 'level';
  if (line.service !== 'flowgenix-backend') return 'service';
  if (typeof line.version !== 'string' || line.version === '') return 'version';
  if (typeof line.message !== 'string' || line.message === '') return 'message';
  if (typeof line.event_type !== 'string' || !/^[a-z_]+$/.test(line.event_type)) return 'event_type';
  for (const id of ids) if (line[id] !== undefined && !uuid.test(line[id])) return id;
  if (line['trace_id'] !== undefined && !/^[0-9a-f]{32}$/.test(line['trace_id'])) return 'trace_id';
  if (line['duration_ms'] !== undefined && !(line['duration_ms'] >= 0)) return 'duration_ms';
  const error = line['error'];
  if (error !== undefined && (typeof error?.type !== 'string' || typeof error?.message !== 'string')) return 'error';
  return null;
}

/* Secrets are never in a log, nor are the parts of a token that would be as good as the whole. */
export function secretFault(text: string, secrets: Set<string>): string | null {
  for (const secret of secrets) if (secret.length >= 8 && text.includes(secret)) return `holds the secret ${secret.slice(0, 6)}…`;
  return null;
}
