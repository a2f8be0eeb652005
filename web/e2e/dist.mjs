// The built page (web/dist) in front of a server whose binary holds an older one, or none: same files, same policy; all else goes to the server.

import { existsSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
/** As crates/web sends it. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/** Address of a front of `server`. */
export async function front(server) {
  const target = new URL(server);
  const front_ = createServer((asked, answer) => {
    const path = normalize(decodeURIComponent(new URL(asked.url, server).pathname));
    const file = join(DIST, path === '/' ? 'index.html' : path);
    if (asked.method === 'GET' && TYPES[extname(file)] && existsSync(file)) {
      const zipped = existsSync(`${file}.gz`);
      answer.writeHead(200, { 'content-type': TYPES[extname(file)], 'content-security-policy': POLICY, ...(zipped ? { 'content-encoding': 'gzip' } : {}) });
      answer.end(readFileSync(zipped ? `${file}.gz` : file));
      return;
    }
    const passed = request({ host: target.hostname, port: target.port, path: asked.url, method: asked.method, headers: asked.headers }, (from) => {
      answer.writeHead(from.statusCode, from.headers);
      from.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => passed.destroy());
    asked.pipe(passed);
  });
  await new Promise((done) => front_.listen(0, '127.0.0.1', done));
  front_.unref();
  return `http://127.0.0.1:${front_.address().port}`;
}
