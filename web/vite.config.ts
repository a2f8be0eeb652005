import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The API of a running server while developing; the built page asks where it came from.
const server = process.env.FLAMELAKE_URL ?? 'http://127.0.0.1:4040';
const proxy = Object.fromEntries(
  ['/querier.v1.QuerierService', '/push.v1.PusherService', '/ingest', '/pyroscope', '/ready'].map((path) => [path, { target: server }]),
);

export default defineConfig({
  plugins: [react()],
  server: { proxy },
  preview: { proxy },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // The policy of the page allows no data: in scripts and styles.
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
});
