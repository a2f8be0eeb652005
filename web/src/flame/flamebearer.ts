// Flamebearer documents (version 1), as the service for files answers them.

import { fromDiffLevels, fromLevels, type FlameTree } from './tree';

interface Document {
  flamebearer?: { names?: string[]; levels?: number[][] };
  metadata?: { format?: string; units?: string; sampleRate?: number };
  leftTicks?: number;
  rightTicks?: number;
}

const NANOSECONDS_A_SECOND = 1e9;

/** The unit as profile types call it: the document says `samples` of nanoseconds where it means time. */
function unitOf({ units = '', sampleRate = 0 }: NonNullable<Document['metadata']>): string {
  if (units === 'samples') return sampleRate === NANOSECONDS_A_SECOND ? 'nanoseconds' : 'count';
  return units === 'objects' || units === 'goroutines' || units === 'lock_samples' ? 'count' : units === 'lock_nanoseconds' ? 'nanoseconds' : units;
}

export function fromFlamebearer(text: string): { tree: FlameTree; unit: string } {
  const document = JSON.parse(text) as Document;
  const levels = (document.flamebearer?.levels ?? []).map((values) => ({ values }));
  const graph = { names: document.flamebearer?.names, levels, leftTicks: document.leftTicks, rightTicks: document.rightTicks };
  return { tree: document.metadata?.format === 'double' ? fromDiffLevels(graph) : fromLevels(graph), unit: unitOf(document.metadata ?? {}) };
}
