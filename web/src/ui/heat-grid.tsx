// A heatmap on a canvas: columns of time, rows of values, colour for how many. Arrow keys move from cell to cell.

import { useEffect, useRef, useState } from 'react';
import type { Exemplar, HeatSlot } from '../data/api';
import { localTime, type Instants } from '../data/time';
import { formatCount, formatValue } from '../data/units';
import { oklch, type Theme } from '../flame/color';

const LEFT = 78;
const BOTTOM = 22;

export interface Cell {
  slot: number;
  row: number;
}

/** Exemplars of a cell; without one all, the largest first. */
export function exemplarsOf(slots: HeatSlot[], cell: Cell | null): Exemplar[] {
  const from = cell ? [slots[cell.slot]].filter(Boolean) : slots;
  const all = from.flatMap((slot) =>
    slot.exemplars.filter((each) => {
      if (!cell) return true;
      const low = slot.yMin[cell.row];
      const high = slot.yMin[cell.row + 1] ?? Number.POSITIVE_INFINITY;
      return each.value >= low && each.value < high;
    }),
  );
  return all.sort((a, b) => b.value - a.value);
}

/** The cell of a link, `time.row`; null where these data have none there. */
export function findCell(slots: HeatSlot[], text: string): Cell | null {
  const [time, row] = text.split('.').map(Number);
  const slot = text ? slots.findIndex((each) => each.time === time) : -1;
  return slot >= 0 && slots[slot].counts[row] ? { slot, row } : null;
}

/** The cell with dots in it that lies in a direction; the same one where there is none. Without a cell, the largest dot's. */
export function nextCell(slots: HeatSlot[], cell: Cell | null, key: string): Cell | null {
  const rows = slots[0]?.counts.length ?? 0;
  if (!cell) {
    let best: Cell | null = null;
    slots.forEach((slot, index) => slot.counts.forEach((count, row) => count && (!best || row > best.row) && (best = { slot: index, row })));
    return best;
  }
  const has = (slot: number, row: number) => (slots[slot]?.counts[row] ?? 0) > 0;
  if (key === 'ArrowUp' || key === 'ArrowDown') {
    const by = key === 'ArrowUp' ? 1 : -1;
    for (let row = cell.row + by; row >= 0 && row < rows; row += by) if (has(cell.slot, row)) return { slot: cell.slot, row };
    return cell;
  }
  const by = key === 'ArrowRight' ? 1 : -1;
  const slot = slots[cell.slot + by];
  if (!slot) return cell;
  let nearest = -1;
  slot.counts.forEach((count, row) => count > 0 && (nearest < 0 || Math.abs(row - cell.row) < Math.abs(nearest - cell.row)) && (nearest = row));
  return nearest < 0 ? cell : { slot: cell.slot + by, row: nearest };
}

interface GridProps {
  slots: HeatSlot[];
  range: Instants;
  /** Seconds a column. */
  every: number;
  unit: string;
  theme: Theme;
  /** Pixels. */
  height: number;
  cell: Cell | null;
  choose: (cell: Cell | null) => void;
}

export function HeatGrid({ slots, range, every, unit, theme, height, cell, choose }: GridProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [over, setOver] = useState<Cell | null>(null);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(host.current?.clientWidth ?? 0));
    if (host.current) observer.observe(host.current);
    return () => observer.disconnect();
  }, []);
  const rows = slots[0]?.yMin.length ?? 0;
  const columns = Math.floor((range.end - range.start) / 1000 / every) + 2;
  const across = (width - LEFT - 8) / columns;
  const up = (height - BOTTOM - 6) / Math.max(1, rows);
  const columnOf = (slot: HeatSlot) => Math.round((slot.time - range.start) / 1000 / every);

  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || !width) return;
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const most = Math.max(1, ...slots.flatMap((slot) => slot.counts));
    slots.forEach((slot, index) => {
      const x = LEFT + columnOf(slot) * across;
      slot.counts.forEach((count, row) => {
        if (!count) return;
        const strength = Math.sqrt(count / most);
        context.fillStyle = theme === 'light' ? oklch(0.92 - 0.42 * strength, 0.04 + 0.13 * strength, 45) : oklch(0.3 + 0.46 * strength, 0.03 + 0.12 * strength, 45);
        const y = height - BOTTOM - (row + 1) * up;
        context.fillRect(x, y, Math.max(1, across - 1), Math.max(1, up - 1));
        const on = (each: Cell | null) => each?.slot === index && each.row === row;
        if (on(over) || on(cell)) {
          context.strokeStyle = theme === 'light' ? '#1b1c20' : '#f2f2f4';
          context.strokeRect(x + 0.5, y + 0.5, Math.max(1, across - 2), Math.max(1, up - 2));
        }
      });
    });
    context.fillStyle = theme === 'light' ? '#686b76' : '#9a9da8';
    context.font = '11px ui-sans-serif, system-ui, sans-serif';
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (let row = 0; row < rows; row += 4) context.fillText(formatValue(slots[0].yMin[row], unit), LEFT - 8, height - BOTTOM - row * up - up / 2);
    context.textAlign = 'center';
    const labels = Math.max(2, Math.floor(width / 140));
    for (let i = 0; i <= labels; i++) {
      const time = range.start + ((range.end - range.start) * i) / labels;
      context.textAlign = i === 0 ? 'left' : i === labels ? 'right' : 'center';
      context.fillText(localTime(time, 1e12), LEFT + ((width - LEFT - 8) * i) / labels, height - 8);
    }
  }, [slots, width, height, theme, over, cell, unit]);

  const at = (event: { clientX: number; clientY: number }): Cell | null => {
    const box = canvas.current!.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - LEFT) / across);
    const row = Math.floor((height - BOTTOM - (event.clientY - box.top)) / up);
    const slot = slots.findIndex((each) => columnOf(each) === column);
    return slot >= 0 && slots[slot].counts[row] ? { slot, row } : null;
  };
  const told = over ?? cell;
  const shown = told && slots[told.slot];
  return (
    <div ref={host} className="heat-grid">
      <canvas
        ref={canvas}
        width={Math.round(width * (devicePixelRatio || 1))}
        height={Math.round(height * (devicePixelRatio || 1))}
        style={{ width, height }}
        role="application"
        tabIndex={0}
        aria-label={`Heatmap with ${slots.length} columns. Arrow keys move from cell to cell; the table lists what stands in the chosen one.`}
        onKeyDown={(event) => {
          if (event.key === 'Escape' && cell) choose(null);
          else if (event.key.startsWith('Arrow')) choose(nextCell(slots, cell, event.key));
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
        onPointerMove={(event) => setOver(at(event))}
        onPointerLeave={() => setOver(null)}
        onClick={(event) => choose(at(event))}
      />
      <p className="heat-tip muted" role="status">
        {shown && told ? `${localTime(shown.time)} · from ${formatValue(shown.yMin[told.row], unit)} · ${formatCount(shown.counts[told.row])}` : 'Choose a cell for what stands in it'}
      </p>
    </div>
  );
}
