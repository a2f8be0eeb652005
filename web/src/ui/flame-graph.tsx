// The flame graph on a canvas. React knows its data and selection; pointer moves and scrolling draw without React.

import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type Ref } from 'react';
import { diffBuckets, diffPalette, nameBuckets, palette, type ColorBy, type Theme } from '../flame/color';
import { draw, type Look } from '../flame/draw';
import { fullHeight, layout, levelTop, nodeAt, rectangles, rows, type Orientation, type Viewport } from '../flame/layout';
import { move, type Direction } from '../flame/move';
import type { Found } from '../flame/search';
import type { FlameTree } from '../flame/tree';
import { copy } from '../data/share';
import { Tooltip, describeNode } from './tooltip';

export interface FlameHandle {
  canvas: () => HTMLCanvasElement | null;
  focus: () => void;
}

interface Props {
  tree: FlameTree;
  unit: string;
  label: string;
  theme: Theme;
  orientation: Orientation;
  colorBy: ColorBy;
  found: Found | null;
  /** The node that is as wide as the graph. */
  zoom: number;
  setZoom: (node: number) => void;
  /** A function whose bars are outlined. */
  marked: number;
  onSandwich?: (name: string) => void;
  onSearch?: (name: string) => void;
  onCallSite?: (node: number) => void;
  ref?: Ref<FlameHandle>;
}

export const ROW_HEIGHT = 20;

interface Menu {
  node: number;
  x: number;
  y: number;
}

export function FlameGraph(props: Props) {
  const { tree, unit, label, theme, orientation, colorBy, found, zoom, setZoom, marked, onSandwich, onSearch, onCallSite, ref } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [hovered, setHovered] = useState<{ node: number; x: number; y: number } | null>(null);
  const [selected, setSelected] = useState(-1);
  const [menu, setMenu] = useState<Menu | null>(null);
  const shapes = useMemo(() => rectangles(), []);
  const widths = useMemo(() => new Float32Array(tree.names.length), [tree]);
  const look = useMemo<Omit<Look, 'found' | 'hovered' | 'selected' | 'marked'>>(
    () => ({
      palette: palette(theme),
      buckets: tree.sides ? diffBuckets(tree) : nameBuckets(tree.names, colorBy),
      diff: tree.sides ? diffPalette(theme) : null,
      rowHeight: ROW_HEIGHT,
    }),
    [tree, theme, colorBy],
  );

  const view = useCallback(
    (): Viewport => ({ width: size.width, height: size.height, scroll: scroller.current?.scrollTop ?? 0, rowHeight: ROW_HEIGHT, orientation }),
    [size, orientation],
  );

  const paint = useCallback(() => {
    const context = canvas.current?.getContext('2d', { alpha: false });
    if (!context || !size.width) return;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    layout(tree, zoom, view(), shapes);
    draw(context, tree, shapes, { ...look, found: found?.names ?? null, hovered: hovered?.node ?? -1, selected, marked }, widths, size.width, size.height);
  }, [tree, zoom, view, shapes, look, found, hovered, selected, marked, widths, size]);

  // Drawn once a frame, whatever changed in it.
  const frame = useRef(0);
  const schedule = useCallback(() => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(paint);
  }, [paint]);
  useEffect(() => {
    schedule();
    return () => cancelAnimationFrame(frame.current);
  }, [schedule]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const measure = () => setSize({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // A flame graph starts at its ground; an icicle at its top.
  useLayoutEffect(() => {
    if (scroller.current) scroller.current.scrollTop = orientation === 'flame' ? scroller.current.scrollHeight : 0;
  }, [orientation, tree]);
  useEffect(() => setSelected(-1), [tree]);

  const at = (event: { clientX: number; clientY: number }) => {
    const box = canvas.current!.getBoundingClientRect();
    return nodeAt(tree, zoom, view(), event.clientX - box.left, event.clientY - box.top);
  };
  const select = (node: number) => {
    setSelected(node);
    setHovered(null);
    const element = scroller.current;
    if (!element || node < 0) return;
    const top = levelTop(tree.depth[node], rows(tree), { ...view(), scroll: 0 });
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW_HEIGHT > element.scrollTop + element.clientHeight) element.scrollTop = top + ROW_HEIGHT - element.clientHeight;
  };
  const down = orientation === 'icicle' ? 'in' : 'out';
  const up = orientation === 'icicle' ? 'out' : 'in';
  const keys: Record<string, Direction> = { ArrowDown: down, ArrowUp: up, ArrowLeft: 'left', ArrowRight: 'right' };
  const current = selected >= 0 ? selected : zoom;
  const name = (node: number) => tree.names[tree.name[node]];

  useImperativeHandle(ref, () => ({ canvas: () => canvas.current, focus: () => scroller.current?.focus() }), []);
  const ratio = typeof window === 'undefined' ? 1 : window.devicePixelRatio || 1;
  const height = fullHeight(tree, ROW_HEIGHT);
  return (
    <div className="flame">
      <div
        className="flame-scroll"
        ref={scroller}
        tabIndex={0}
        role="application"
        aria-label={`${label}. Arrow keys move, Enter zooms, Escape goes back. The table has the same data.`}
        aria-describedby="flame-selection"
        onScroll={schedule}
        onPointerMove={(event) => {
          if (menu || event.pointerType === 'touch') return;
          const node = at(event);
          setHovered(node >= 0 ? { node, x: event.clientX, y: event.clientY } : null);
        }}
        onPointerLeave={() => setHovered(null)}
        onClick={(event) => {
          const node = at(event);
          setMenu(null);
          if (node < 0) return;
          setSelected(node);
          setZoom(node === zoom ? Math.max(0, tree.parent[node]) : node);
        }}
        onContextMenu={(event) => {
          const node = at(event);
          if (node < 0) return;
          event.preventDefault();
          setHovered(null);
          setSelected(node);
          const box = scroller.current!.getBoundingClientRect();
          setMenu({ node, x: Math.min(event.clientX - box.left, box.width - 200), y: Math.max(0, Math.min(event.clientY - box.top, box.height - 190)) });
        }}
        onKeyDown={(event) => {
          if (event.ctrlKey || event.metaKey || event.altKey) return;
          if (event.key in keys) select(move(tree, current, keys[event.key]));
          else if (event.key === 'Home') select(0);
          else if (event.key === 'Enter' || event.key === ' ') setZoom(current);
          else if (event.key === 'Escape' && menu) setMenu(null);
          else if (event.key === 'Escape' && zoom > 0) setZoom(0);
          else if (event.key === 'Backspace') setZoom(Math.max(0, tree.parent[zoom]));
          else if (event.key === 's' && current > 0 && onSandwich) onSandwich(name(current));
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
      >
        <canvas
          ref={canvas}
          width={Math.round(size.width * ratio)}
          height={Math.round(size.height * ratio)}
          style={{ width: size.width, height: size.height }}
          aria-hidden="true"
        />
        <div style={{ height: Math.max(0, height - size.height) }} />
      </div>
      <p className="sr-only" id="flame-selection" aria-live="polite">
        {selected >= 0 ? describeNode(tree, selected, unit) : ''}
      </p>
      {hovered && <Tooltip tree={tree} node={hovered.node} unit={unit} x={hovered.x} y={hovered.y} />}
      {menu && (
        <NodeMenu
          menu={menu}
          close={() => {
            setMenu(null);
            scroller.current?.focus();
          }}
          items={[
            { text: 'Focus block', run: () => setZoom(menu.node) },
            ...(onSandwich ? [{ text: 'Callers and callees', run: () => onSandwich(name(menu.node)) }] : []),
            ...(onSearch ? [{ text: 'Find this function', run: () => onSearch(`"${name(menu.node)}"`) }] : []),
            ...(onCallSite ? [{ text: 'This stack over time', run: () => onCallSite(menu.node) }] : []),
            { text: 'Copy name', run: () => void copy(name(menu.node)) },
          ]}
        />
      )}
    </div>
  );
}

function NodeMenu({ menu, items, close }: { menu: Menu; items: { text: string; run: () => void }[]; close: () => void }) {
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => root.current?.querySelector('button')?.focus(), []);
  return (
    <div
      className="menu"
      role="menu"
      ref={root}
      style={{ left: menu.x, top: menu.y }}
      onBlur={(event) => {
        if (!root.current?.contains(event.relatedTarget as Node)) close();
      }}
      onKeyDown={(event) => {
        const buttons = [...root.current!.querySelectorAll('button')];
        const index = buttons.indexOf(document.activeElement as HTMLButtonElement);
        if (event.key === 'ArrowDown') buttons[(index + 1) % buttons.length].focus();
        else if (event.key === 'ArrowUp') buttons[(index + buttons.length - 1) % buttons.length].focus();
        else if (event.key === 'Escape') close();
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      {items.map((item) => (
        <button
          type="button"
          role="menuitem"
          key={item.text}
          className="option"
          onClick={() => {
            item.run();
            close();
          }}
        >
          {item.text}
        </button>
      ))}
    </div>
  );
}
