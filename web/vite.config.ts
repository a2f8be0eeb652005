import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The API of a running server while developing; the built page asks where it came from.
const server = process.env.FLAMELAKE_URL ?? 'http://127.0.0.1:4040';
const proxy = Object.fromEntries(
  ['/querier.v1.QuerierService', '/push.v1.PusherService', '/adhocprofiles.v1.AdHocProfileService', '/ingest', '/pyroscope', '/api', '/ready'].map((path) => [path, { target: server }]),
);

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

export default defineConfig({
  plugins: [react()],
  server: { proxy },
  // The policy that the server sends (crates/web), so that a breach of it is seen early.
  preview: { proxy, headers: { 'Content-Security-Policy': POLICY } },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // The policy of the page allows no data: in scripts and styles.
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
});
