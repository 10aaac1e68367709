/* SPDX-License-Identifier: Apache-2.0 */
/* Raw: bytes on a socket, for requests that no HTTP client would send. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  /* 0 when the connection was closed without an answer. */
  status: number;
  text: string;
  body: string;
  closed: boolean;
}

/* Sends `bytes` and reads until the first answer is complete, the server closes, or time is up. */
export async function exchange(port: number, bytes: string | Buffer, timeoutMs = 5000): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  const answer = await receive(socket, timeoutMs);
  socket.destroy();
  return answer;
}

export async function receive(socket: Socket, timeoutMs: number): Promise<RawAnswer> {
  const pieces: Buffer[] = [];
  let closed = false;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    const finish = () => {
      clearTimeout(timer);
      resolve();
    };
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece);
      if (isComplete(Buffer.concat(pieces).toString('latin1'))) finish();
    });
    socket.on('close', () => {
      closed = true;
      finish();
    });
  });
  const text = Buffer.concat(pieces).toString('utf8');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0);
  return { status, text, body: text.split('\r\n\r\n').slice(1).join('\r\n\r\n'), closed };
}

function isComplete(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const length = /^content-length:\s*(\d+)/im.exec(text.slice(0, end));
  if (length) return text.length >= end + 4 + Number(length[1]);
  return /^transfer-encoding:\s*chunked/im.test(text.slice(0, end)) && text.endsWith('0\r\n\r\n');
}
