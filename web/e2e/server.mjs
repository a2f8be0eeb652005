// A server of our own for what the first one cannot show: tenants and tokens. Null, with a line, where no binary is named (FLAMELAKE_BIN).

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const READY_MS = 60_000;

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/** Its address, a token for `tenants` that may push and query, and how to end it. */
export async function startWithTokens(tenants) {
  const binary = process.env.FLAMELAKE_BIN;
  if (!binary) {
    console.log('skipped: no server with tenants and tokens (FLAMELAKE_BIN)');
    return null;
  }
  const folder = mkdtempSync(join(tmpdir(), 'flamelake-e2e-'));
  const [token, line] = execFileSync(binary, ['token', '--for', tenants, '--right', 'push,query', '--name', 'e2e'], { encoding: 'utf8' }).trim().split('\n');
  writeFileSync(join(folder, 'tokens'), `${line}\n`);
  const [port, internal] = [await freePort(), await freePort()];
  const flags = [
    '--target=all', '--server.http-listen-address=127.0.0.1', `--server.http-listen-port=${port}`, '--server.grpc-listen-address=127.0.0.1', `--server.grpc-listen-port=${internal}`,
    `--storage.filesystem.dir=${join(folder, 'data')}`, '--auth.multitenancy-enabled=true', `--auth.tokens-file=${join(folder, 'tokens')}`,
  ];
  const child = spawn(binary, flags, { stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  for (const until = Date.now() + READY_MS; ; ) {
    if (await fetch(`${url}/ready`).then((answer) => answer.ok, () => false)) break;
    if (Date.now() > until || child.exitCode !== null) throw new Error('the server with tokens does not start');
    await new Promise((done) => setTimeout(done, 50));
  }
  const stop = () => {
    child.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  process.on('exit', stop);
  return { url, token, stop };
}
