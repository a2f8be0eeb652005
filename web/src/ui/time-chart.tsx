// Lines over time, by uPlot. Drag to choose a range; arrow keys on the chart move the range.

import { useEffect, useLayoutEffect, useMemo, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Instants } from '../data/time';
import { localTime, spacing } from '../data/time';
import { formatAxis, formatValue } from '../data/units';
import type { Theme } from '../flame/color';
import { oklch } from '../flame/color';

export interface Line {
  label: string;
  times: number[];
  values: number[];
  /** Its own colour, else one by its place. */
  color?: string;
}

interface Props {
  lines: Line[];
  unit: string;
  range: Instants;
  step: number;
  theme: Theme;
  label: string;
  height: number;
  /** A colour for a single line. */
  color?: string;
  brush?: (range: Instants) => void;
  /** Lines that stand out, by index; null for all. */
  lit?: ReadonlySet<number> | null;
  /** Areas one on the other, the first at the ground; else lines. */
  stacked?: boolean;
}

export const LINES_MAX = 41;
/** Lines told below the pointer. */
const TIP_ROWS = 8;
const DIM = 0.18;
/** A line of fewer points would hardly be seen. */
const FEW = 4;
/** Points that are further apart than so many times what is the rule have a hole between them. */
const HOLE = 2.5;
/** Steps of an axis of bytes. */
const POWERS_OF_TWO = Array.from({ length: 51 }, (_, i) => 2 ** i);

export function lineColor(index: number, count: number, theme: Theme): string {
  if (count === 1) return theme === 'light' ? '#c2521a' : '#f0894e';
  return oklch(theme === 'light' ? 0.6 : 0.74, 0.13, 45 + index * 137.5);
}

/**
 * Lines on one grid of times, that of the points, whose first need not be the range's start. Where a line has no point it is null; undefined
 * between points that are no further apart than the line's points are as a rule, so that they are joined.
 */
export function table(lines: Line[], range: Instants, step: number): uPlot.AlignedData {
  const grid = new Map<number, number>();
  const xs: number[] = [];
  if (!(step > 0)) return [xs];
  const first = lines.find((line) => line.times.length)?.times[0] ?? range.start;
  for (let time = first - Math.floor((first - range.start) / step / 1000) * step * 1000; time <= range.end + step * 500; time += step * 1000) {
    grid.set(time, xs.length);
    xs.push(time / 1000);
  }
  const columns = lines.map((line) => {
    const column: (number | null | undefined)[] = new Array(xs.length).fill(null);
    const hole = spacing(line.times, step) * HOLE * 1000;
    line.times.forEach((time, i) => {
      const at = grid.get(time);
      if (at === undefined) return;
      column[at] = line.values[i];
      const before = i > 0 && time - line.times[i - 1] <= hole ? grid.get(line.times[i - 1]) : undefined;
      if (before !== undefined) column.fill(undefined, before + 1, at);
    });
    return column;
  });
  return [xs, ...columns];
}

/** Points that no line leads to: they are seen only as dots. */
export function lonely(column: ArrayLike<number | null | undefined>): number[] {
  const points: number[] = [];
  let joined = false;
  let last = -1;
  for (let i = 0; i <= column.length; i++) {
    const value = column[i];
    if (i < column.length && value === undefined) continue;
    const isPoint = i < column.length && value !== null;
    if (!isPoint && last >= 0 && !joined) points.push(last);
    joined = isPoint && last >= 0;
    last = isPoint ? i : -1;
  }
  return points;
}

/** Each line on top of those before it. */
export function stack([xs, ...columns]: uPlot.AlignedData): uPlot.AlignedData {
  const sums = new Array<number>(xs.length).fill(0);
  return [
    xs,
    ...columns.map((column) =>
      Array.from(column, (value, i) => {
        sums[i] += value ?? 0;
        return value === undefined ? undefined : sums[i];
      }),
    ),
  ];
}

export function TimeChart({ lines, unit, range, step, theme, label, height, color, brush, lit = null, stacked = false }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const onBrush = useRef(brush);
  onBrush.current = brush;
  const shown = useMemo(() => lines.slice(0, LINES_MAX), [lines]);
  const plain = useMemo(() => table(shown, range, step), [shown, range.start, range.end, step]);
  const data = useMemo(() => (stacked ? stack(plain) : plain), [plain, stacked]);
  const values = useRef(plain);
  values.current = plain;
  const shape = `${stacked}\n${shown.map((line) => `${line.label} ${line.times.length < FEW} ${line.color}`).join('\n')}`;

  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const axis = theme === 'light' ? '#686b76' : '#9a9da8';
    const grid = theme === 'light' ? '#ececef' : '#24262c';
    const font = '11px ui-sans-serif, system-ui, sans-serif';
    const narrow = element.clientWidth < 480;
    const options: uPlot.Options = {
      width: element.clientWidth,
      height,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: { x: { time: true, range: () => [range.start / 1000, range.end / 1000] }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
      axes: [
        { stroke: axis, font, grid: { show: false }, ticks: { show: false }, size: 24, space: narrow ? 90 : 80, values: (_, splits) => splits.map((value) => localTime(value * 1000, 1e12)) },
        { stroke: axis, font, grid: { stroke: grid, width: 1 }, ticks: { show: false }, size: 64, space: 26, ...(unit.startsWith('bytes') ? { incrs: POWERS_OF_TWO } : {}), values: (_, splits) => splits.map((value) => formatAxis(value, unit)) },
      ],
      series: [
        {},
        ...shown.map((line, i) => {
          const stroke = line.color ?? color ?? lineColor(i, shown.length, theme);
          const fill = stacked ? `${stroke}b8` : shown.length === 1 ? `${stroke}22` : undefined;
          return { label: line.label, stroke, width: stacked ? 1 : 1.5, fill, points: { show: line.times.length < FEW, filter: (self: uPlot, at: number, all: boolean) => (all || stacked ? null : lonely(self.data[at])), size: 5, fill: stroke }, spanGaps: false };
        }),
      ],
      // Of a stack each area ends at the one below it.
      bands: stacked ? shown.slice(1).map((_, i) => ({ series: [i + 2, i + 1] as [number, number] })) : undefined,
      hooks: {
        setSelect: [
          (self) => {
            if (self.select.width < 4) return;
            const from = self.posToVal(self.select.left, 'x') * 1000;
            const to = self.posToVal(self.select.left + self.select.width, 'x') * 1000;
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            onBrush.current?.({ start: Math.round(from), end: Math.round(to) });
          },
        ],
        setCursor: [(self) => tip(element, self, values.current, unit)],
      },
    };
    const made = new uPlot(options, data, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
    // The data come by the effect below.
  }, [theme, unit, height, shape, range.start, range.end, color]);

  useEffect(() => plot.current?.setData(data), [data]);
  useEffect(() => {
    plot.current?.series.forEach((each, i) => {
      if (i > 0) each.alpha = !lit || lit.has(i - 1) ? 1 : DIM;
    });
    plot.current?.redraw(false);
  }, [lit, data, shape, theme]);

  const shift = (by: number) => brush?.({ start: range.start + by, end: range.end + by });
  const span = range.end - range.start;
  return (
    <div
      className="chart"
      ref={host}
      role="application"
      aria-label={`${label}. ${summary(lines, unit)} Arrow left and right move the range, plus and minus zoom.`}
      tabIndex={brush ? 0 : -1}
      onKeyDown={(event) => {
        if (event.key === 'ArrowLeft') shift(-span / 4);
        else if (event.key === 'ArrowRight') shift(span / 4);
        else if (event.key === '+') brush?.({ start: range.start + span / 4, end: range.end - span / 4 });
        else if (event.key === '-') brush?.({ start: range.start - span / 2, end: range.end + span / 2 });
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      <div className="chart-tip" aria-hidden="true" />
    </div>
  );
}

function summary(lines: Line[], unit: string): string {
  if (lines.length !== 1) return `${lines.length} lines.`;
  const values = lines[0].values;
  if (!values.length) return 'No data.';
  return `From ${formatValue(Math.min(...values), unit)} to ${formatValue(Math.max(...values), unit)}.`;
}

/** What stands under the pointer, without React: it moves at every pixel. */
function tip(element: HTMLElement, plot: uPlot, [, ...columns]: uPlot.AlignedData, unit: string): void {
  const box = element.querySelector<HTMLElement>('.chart-tip');
  if (!box) return;
  const { idx, idxs, left = -1 } = plot.cursor;
  if (idx === null || idx === undefined || left < 0) {
    box.style.visibility = 'hidden';
    return;
  }
  const rows = plot.series
    .slice(1)
    .map((series, i) => ({ label: String(series.label ?? ''), value: columns[i]?.[idxs?.[i + 1] ?? idx], color: paintOf(series) }))
    .filter((row) => row.value !== null && row.value !== undefined)
    .sort((a, b) => (b.value as number) - (a.value as number))
    .slice(0, TIP_ROWS);
  box.replaceChildren(line(localTime(plot.data[0][idxs?.[1] ?? idx] * 1000, 0), '', ''), ...rows.map((row) => line(row.label, formatValue(row.value as number, unit), rows.length > 1 ? row.color : '')));
  box.style.visibility = 'visible';
  const at = left + plot.over.offsetLeft;
  box.style.transform = `translateX(${Math.round(at + 12 + box.offsetWidth > element.clientWidth ? at - box.offsetWidth - 12 : at + 12)}px)`;
}

function paintOf(series: uPlot.Series): string {
  const { stroke } = series;
  return typeof stroke === 'string' ? stroke : typeof stroke === 'function' ? String((stroke as () => unknown)()) : '';
}

function line(label: string, value: string, color: string): HTMLElement {
  const row = document.createElement('p');
  const name = document.createElement('span');
  if (color) {
    const dot = document.createElement('i');
    dot.style.background = color;
    name.append(dot);
  }
  name.append(label);
  const figure = document.createElement('b');
  figure.textContent = value;
  row.append(name, figure);
  return row;
}
