// A range cut into equal slices whose ends lie on the chart's grid.

import type { Instants } from './time';

export function slices({ start, end }: Instants, count: number): { parts: Instants[]; every: number } {
  // Whole seconds, at least one: the grid of a chart is that of `start + n * every`.
  const every = Math.max(1, Math.ceil((end - start) / 1000 / count));
  const parts: Instants[] = [];
  for (let from = start; from < end; from += every * 1000) parts.push({ start: from === start ? from : from + 1, end: from + every * 1000 });
  return { parts, every };
}
