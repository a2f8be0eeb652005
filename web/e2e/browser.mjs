// The system's Chromium by Playwright; null, with a line, where there is none.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function executable() {
  return PLACES.find((path) => path && existsSync(path)) ?? null;
}

export async function launch() {
  const executablePath = executable();
  if (!executablePath) {
    console.log('SKIP: no Chromium (apt-get install chromium, or CHROMIUM=path)');
    return null;
  }
  return chromium.launch({ executablePath, args: ['--no-sandbox'] });
}
