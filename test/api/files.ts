/* SPDX-License-Identifier: Apache-2.0 */
/* Files: documents of every accepted type and hostile ones, made by the tests themselves. */
import { once } from 'node:events';
import { constants, crc32, deflateRawSync, deflateSync } from 'node:zlib';

import { strToU8, zipSync } from 'fflate';
import PDFDocument from 'pdfkit';

/* One string a page. */
export async function pdf(pages: string[], options: { userPassword?: string } = {}): Promise<Buffer> {
  const document = new PDFDocument({ autoFirstPage: false, ...options });
  const pieces: Buffer[] = [];
  document.on('data', (piece: Buffer) => pieces.push(piece));
  const end = once(document, 'end');
  for (const text of pages) {
    document.addPage();
    document.fontSize(11).text(text);
  }
  document.end();
  await end;
  return Buffer.concat(pieces);
}

/* `count` pages that hold almost nothing. */
export function manyPages(count: number): Buffer {
  const objects: string[] = ['<</Type/Catalog/Pages 2 0 R>>'];
  const kids = Array.from({ length: count }, (_, i) => `${i + 4} 0 R`).join(' ');
  objects.push(`<</Type/Pages/Count ${count}/Kids[${kids}]>>`, '<</Length 0>>stream\n\nendstream');
  for (let i = 0; i < count; i++) objects.push('<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 3 0 R>>');
  return pdfOf(objects);
}

/* A page whose content stream of some 200 KB unpacks to a hundred megabytes of strokes. */
export function pdfBomb(): Buffer {
  const objects = ['<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Count 1/Kids[3 0 R]>>',
    '<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R>>'];
  const stream = bombStream(Buffer.from('0 0 m 1 1 l S\n'.repeat(1000)), 7000);
  const head = pdfBody([...objects, `<</Length ${stream.length}/Filter/FlateDecode>>stream\n@\nendstream`]);
  return withStream(head, stream);
}

function pdfBody(objects: string[]): string {
  return `%PDF-1.4\n${objects.map((text, i) => `${i + 1} 0 obj\n${text}\nendobj\n`).join('')}`;
}

function withStream(body: string, stream: Buffer): Buffer {
  const [before, after] = body.split('@') as [string, string];
  const trailer = 'trailer\n<</Root 1 0 R/Size 5>>\n%%EOF\n';
  return Buffer.concat([Buffer.from(before), stream, Buffer.from(after + trailer)]);
}

function pdfOf(objects: string[]): Buffer {
  let text = '%PDF-1.4\n';
  const offsets = objects.map((object, i) => {
    const at = text.length;
    text += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return at;
  });
  const table = offsets.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('');
  const size = objects.length + 1;
  return Buffer.from(`${text}xref\n0 ${size}\n0000000000 65535 f \n${table}`
    + `trailer\n<</Root 1 0 R/Size ${size}>>\nstartxref\n${text.length}\n%%EOF\n`);
}

/* zlib data of `unit` `times` over. */
function bombStream(unit: Buffer, times: number): Buffer {
  return deflateSync(Buffer.alloc(unit.length * times, unit), { level: 9 });
}

const contentTypes = '<?xml version="1.0" encoding="UTF-8"?>'
  + '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
  + '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
  + '<Default Extension="xml" ContentType="application/xml"/>'
  + '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>';
const relations = '<?xml version="1.0" encoding="UTF-8"?>'
  + '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
  + '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>';
const wordOpen = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
  + '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>';
const wordClose = '</w:body></w:document>';

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/* One paragraph a string; "# " in front makes it a heading. */
export function docx(paragraphs: string[]): Buffer {
  const body = paragraphs.map((text) => {
    const isHeading = text.startsWith('# ');
    const style = isHeading ? '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>' : '';
    return `<w:p>${style}<w:r><w:t xml:space="preserve">${xml(isHeading ? text.slice(2) : text)}</w:t></w:r></w:p>`;
  }).join('');
  return docxOf(wordOpen + body + wordClose);
}

/* A DOCX whose word/document.xml is `documentXml`. */
export function docxOf(documentXml: string, more: Record<string, string> = {}): Buffer {
  const members = { '[Content_Types].xml': contentTypes, '_rels/.rels': relations, 'word/document.xml': documentXml, ...more };
  return Buffer.from(zipSync(Object.fromEntries(Object.entries(members).map(([name, text]) => [name, strToU8(text)]))));
}

/* An entity that would grow to a billion laughs. */
export function docxLaughs(): Buffer {
  const entities = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join('');
  return docxOf(`<?xml version="1.0"?><!DOCTYPE w [<!ENTITY l0 "ha">${entities}]>`
    + `<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>&l9;</w:t></w:r></w:p>${wordClose}`);
}

/* An external entity that would read a file of the server. */
export function docxExternal(): Buffer {
  return docxOf('<?xml version="1.0"?><!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + `<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>before &x; after</w:t></w:r></w:p>${wordClose}`);
}

/* Some hundred kilobytes that unpack to `megabytes` of document.xml. */
export function docxBomb(megabytes = 120): Buffer {
  const paragraph = Buffer.from(`<w:p><w:r><w:t>${'bomb '.repeat(400)}</w:t></w:r></w:p>`);
  const times = Math.floor((megabytes * 1024 * 1024) / paragraph.length);
  const text = Buffer.concat([Buffer.from(wordOpen), Buffer.alloc(times * paragraph.length, paragraph), Buffer.from(wordClose)]);
  return zipOf([
    { name: '[Content_Types].xml', data: Buffer.from(contentTypes) },
    { name: '_rels/.rels', data: Buffer.from(relations) },
    { name: 'word/document.xml', data: text },
  ]);
}

/* fflate would need the bomb several times in memory; this writes one local header a member. */
function zipOf(members: { name: string; data: Buffer }[]): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const { name, data } of members) {
    const packed = deflateRawSync(data, { level: constants.Z_BEST_SPEED });
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    centrals.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, tail, Buffer.from(name)]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(members.length, 4);
  end.writeUInt16LE(members.length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, directory, Buffer.from('PK\x05\x06', 'latin1'), end]);
}

/* --- Texts to ask about ------------------------------------------------------------------------ */
const filler = 'The annual review covers staffing, budget lines, procurement rules and the calendar of meetings. '
  + 'Departments report once a quarter, and the board reads every report before it decides. ';

/* Pages of a handbook; each fact stands on one page only. */
export const handbookPages = [
  `Chapter 1. Introduction. ${filler.repeat(6)}`,
  `Chapter 2. Leave. Every employee is entitled to thirty days of paid leave in each calendar year. ${filler.repeat(5)}`,
  `Chapter 3. Travel. Train journeys longer than four hours may be booked in first class. ${filler.repeat(5)}`,
  `Chapter 4. Security. The lighthouse door code is changed every Wednesday by the harbour master. ${filler.repeat(5)}`,
];
