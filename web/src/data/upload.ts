// Files that a person drops: which format they have, and how they are sent.

import { ingest, type Call } from './api';
import { withTime } from './proto';

/** `other`: what the server may read as a file to look at (flamebearer, perf script), and cannot store. */
export type Format = 'pprof' | 'jfr' | 'speedscope' | 'folded' | 'other';

/** The format of a file by its first bytes (inflated), then by its name. Null for what none of ours reads. */
export function detect(name: string, head: Uint8Array): Format | null {
  const starts = (text: string) => [...text].every((char, i) => head[i] === char.charCodeAt(0));
  if (starts('FLR\0')) return 'jfr';
  const text = new TextDecoder('utf-8', { fatal: false }).decode(head.slice(0, 4096));
  if (/^\s*\{/.test(text)) return /speedscope|"shared"|"profiles"/.test(text) || name.includes('speedscope') ? 'speedscope' : 'other';
  if (/^[^\0]*? \d+\s*(\r?\n|$)/.test(text) && !text.includes('\0')) return 'folded';
  if (/\.jfr(\.gz)?$/i.test(name)) return 'jfr';
  // The first field of a pprof message is a sample type: field 1, with a length.
  if (head[0] === 0x0a || /\.(pb|pprof|prof)(\.gz)?$/i.test(name)) return 'pprof';
  // `perf script` begins with a command, its id and a time: `java 4711 12.345678: cycles:`.
  return /^\S.* \d+(\/\d+)? .*\d+\.\d+:/m.test(text) && !text.includes('\0') ? 'other' : null;
}

export const isGzip = (bytes: Uint8Array) => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** Uploads above this are refused before they are sent. */
export const UPLOAD_BYTES_MAX = 256 * 1024 * 1024;
/** What the service for files takes. */
export const FILE_BYTES_MAX = 64 * 1024 * 1024;

export async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (!isGzip(bytes)) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  const reader = stream.getReader();
  const parts: BlobPart[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > UPLOAD_BYTES_MAX) throw new Error('the file is larger than 256 MiB when inflated');
    parts.push(value as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

export interface Upload {
  name: string;
  /** As it was dropped, and inflated. */
  raw: Uint8Array<ArrayBuffer>;
  bytes: Uint8Array<ArrayBuffer>;
  format: Format;
}

export async function read(file: File): Promise<Upload> {
  if (file.size > UPLOAD_BYTES_MAX) throw new Error('the file is larger than 256 MiB');
  const raw = new Uint8Array(await file.arrayBuffer());
  const bytes = await inflate(raw);
  const format = detect(file.name, bytes.slice(0, 4096));
  if (!format) throw new Error(`${file.name} is not pprof, JFR, speedscope or folded stacks`);
  return { name: file.name, raw, bytes, format };
}

/** A service name made of a file's. */
export function serviceOf(fileName: string): string {
  const base = fileName.replace(/(\.speedscope)?\.(pb\.gz|pb|pprof|prof|jfr\.gz|jfr|json|txt|folded|collapsed|gz)$/i, '');
  return base.replace(/[^a-zA-Z0-9_./-]+/g, '-').replace(/^-+|-+$/g, '') || 'upload';
}

/** In pieces: a call takes only so many arguments. */
export function base64(bytes: Uint8Array): string {
  const PIECE = 3 * 8192;
  let out = '';
  for (let at = 0; at < bytes.length; at += PIECE) out += btoa(String.fromCharCode(...bytes.subarray(at, at + PIECE)));
  return out;
}

/** Sends a file as if it was recorded at `time`. */
export async function send(upload: Upload, service: string, time: number, call: Call): Promise<void> {
  const seconds = String(Math.floor(time / 1000));
  const bytes = upload.format === 'pprof' ? withTime(upload.bytes, time) : upload.bytes;
  const parameters = { name: service, format: upload.format, from: seconds, until: seconds, spyName: 'upload' };
  await ingest(parameters, bytes, 'application/octet-stream', call);
}
